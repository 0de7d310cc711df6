"""Runs that people can judge, made by hand: words of features, and images of the half that no explainer was shown."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from seesay.exemplars.heatmap import ACTIVE
from seesay.explainers.config import Setting
from seesay.store.database import transaction
from seesay.store.exemplars import IMAGE
from seesay.store.run import Run
from tests.comparison.making import judged, making, said

IDS = judged()
N_IMAGES = 8
STEERING, TOPK, DISSECT = Setting("steering"), Setting("topk"), Setting("dissect")


def picture(run: Run, n_images: Mapping[int, int]) -> None:
    """Give features images of the scoring half, of each its own."""
    with transaction(run.connection):
        for feature_id, n in n_images.items():
            ids = [feature_id * 100 + rank for rank in range(n)]
            run.connection.executemany(
                "INSERT INTO images VALUES (?,?,?,?,?,?,?,?,?)",
                [
                    (each, f"{each:064x}", f"{each}.png", "scoring", 8, 8, 1, 1, json.dumps([0, 0, 8, 8]))
                    for each in ids
                ],
            )
            rows = np.array([(each, 1.0, -1, 1) for each in ids], IMAGE)
            heat = np.zeros(n, ACTIVE)
            run.connection.execute(
                "INSERT INTO exemplars (feature_id, part, kind, images, heatmaps) VALUES (?,?,?,?,?)",
                (feature_id, "scoring", "top", rows.tobytes(), heat.tobytes()),
            )


def words_of(name: str, ids: Sequence[int] = IDS) -> dict[int, str]:
    """What nobody else says of any other feature."""
    return {each: f"{name} <{each}>" for each in ids}


@contextmanager
def studied(folder: Path, nearest: Mapping[int, Sequence[tuple[int, float]]] | None = None) -> Iterator[Run]:
    """Three methods' words of all test features, all of which have images."""
    with making(folder, nearest=nearest) as run:
        picture(run, dict.fromkeys(IDS, N_IMAGES))
        for name, setting in (("steered", STEERING), ("seen", TOPK), ("cut", DISSECT)):
            said(run, words_of(name), setting)
        yield run
