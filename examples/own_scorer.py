"""A score of one's own: is the colour that the words name the colour of the patches where the feature is active?"""

import re

import numpy as np
from PIL import ImageColor

from seesay.scorers.config import Measure
from seesay.scorers.scorer import Measured

NAMES = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey")
COLOURS = {name: np.array(ImageColor.getrgb(name)) for name in NAMES}


class Colour:
    """The share of exemplars whose active patches are, on average, nearest to the colour that is named first."""

    measure = Measure("colour", chance=0.0, what="is the colour that is named that of the active patches?")
    facts = {}

    def __init__(self, held_out, scoring):
        self.held_out, self.n = held_out, scoring.n_exemplars

    def score(self, items):
        """Measure some items."""
        return [self.measured(item) for item in items]

    def measured(self, item):
        """Measure one."""
        found = [self.colour_of(each) for each in self.held_out.exemplars(item.feature_id, "top", self.n)]
        seen = [colour for colour in found if colour]
        named = [word for word in re.findall(r"\w+", item.text.lower()) if word in COLOURS]
        if not seen:
            return Measured(None, reason="no active pixel on any held-out exemplar")
        return Measured(seen.count(named[0]) / len(seen) if named else 0.0)

    def colour_of(self, exemplar):
        """The colour of an exemplar's active patches; none if they are too small to hold a pixel of the thumbnail."""
        picture = self.held_out.picture(exemplar.image)
        pixels = np.asarray(picture)[exemplar.mask(picture.size)]
        return min(COLOURS, key=lambda name: np.linalg.norm(COLOURS[name] - pixels.mean(0))) if len(pixels) else ""
