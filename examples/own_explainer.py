"""An explainer of one's own: the colour of the patches on which a feature is active, in a word.

python examples/own_explainer.py runs/x
"""

import sys
from pathlib import Path

import numpy as np

from seesay.importing.keeping import keep
from seesay.store.gallery import RunGallery, explainable
from seesay.store.run import Run

COLOURS = {
    "red": (210, 50, 50), "orange": (235, 140, 40), "yellow": (240, 210, 60), "green": (70, 160, 70),
    "blue": (60, 100, 200), "purple": (140, 80, 170), "pink": (240, 150, 190), "brown": (130, 85, 50),
    "black": (20, 20, 20), "gray": (128, 128, 128), "white": (245, 245, 245),
}  # fmt: skip


def words_for(gallery: RunGallery, feature_id: int) -> str:
    """What is said of one feature: the colour nearest to the mean of its active patches; nothing if there are none."""
    pixels: list[np.ndarray] = []
    for exemplar in gallery.exemplars(feature_id, "top", 5):
        picture = gallery.picture(exemplar.image)
        pixels.append(np.asarray(picture)[exemplar.mask(picture.size)])
    if not sum(map(len, pixels)):
        return ""
    mean = np.concatenate(pixels).mean(axis=0)
    return "the colour " + min(COLOURS, key=lambda name: float(np.square(mean - COLOURS[name]).sum()))


if __name__ == "__main__":
    with Run.writing(Path(sys.argv[1])) as run:
        gallery = RunGallery(run)
        keep(run, {each: words_for(gallery, each) for each in explainable(run)}, "mean colour", replace=True)
