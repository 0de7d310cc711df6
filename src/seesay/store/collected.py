"""Writing what was collected into `run.db`; [seesay.store.exemplars][] reads it."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seesay.exemplars.choosing import Chosen
from seesay.exemplars.config import PARTS
from seesay.exemplars.exemplar import KeptImage
from seesay.exemplars.heatmaps import packed
from seesay.exemplars.statistics import Statistics
from seesay.split import split_of
from seesay.store.exemplars import IMAGE, IMAGE_COLUMNS

Neighbours = tuple[Int[Tensor, "feature other"], Float[Tensor, "feature other"]]


def add_images(connection: sqlite3.Connection, images: Iterable[KeptImage]) -> None:
    """Note images; those that are there already stay as they are.

    Args:
        connection: in a transaction.
        images: whose thumbnails are written.
    """
    rows = (
        (image.image_id, image.pixel_hash, image.source_id, image.part, *image.size, *image.grid, json.dumps(image.box))
        for image in images
    )
    connection.executemany(f"INSERT OR IGNORE INTO images ({IMAGE_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)", rows)


def add_exemplars(connection: sqlite3.Connection, selections: Sequence[Chosen]) -> int:
    """Write exemplars, and forget images that are none.

    Args:
        connection: in a transaction.
        selections: of every kind.

    Returns:
        How many images are left.
    """
    for selection in selections:
        # Exemplars come by part, feature and rank, so that those of a row are one piece.
        key = selection.parts * (1 << 32) + selection.feature_ids
        n_images = key.unique_consecutive(return_counts=True)[1]
        ends = n_images.cumsum(0)
        n_active = torch.nn.functional.pad(selection.lengths.cumsum(0), (1, 0))
        images = np.empty(len(selection), IMAGE)
        images["image_id"], images["activation"] = selection.image_ids.cpu(), selection.activations.cpu()
        images["quantile"], images["n_active"] = selection.quantiles.cpu(), selection.lengths.cpu()
        heatmaps = packed(selection.patches, selection.patch_activations, selection.starts, selection.lengths)
        columns = [
            selection.feature_ids[ends - 1].tolist(),
            [PARTS[part] for part in selection.parts[ends - 1].tolist()],
            [selection.kind] * len(n_images),
            _pieces(images, ends),
            _pieces(heatmaps, n_active[ends]),
        ]
        connection.executemany("INSERT INTO exemplars VALUES (?,?,?,?,?)", zip(*columns, strict=True))
    exemplary = set(torch.cat([selection.image_ids for selection in selections]).unique().tolist())
    others = [row for row in connection.execute("SELECT image_id FROM images") if row[0] not in exemplary]
    connection.executemany("DELETE FROM images WHERE image_id = ?", others)
    return len(exemplary)


def add_features(
    connection: sqlite3.Connection, statistics: Statistics, fires_with: Neighbours, nearest: Neighbours
) -> None:
    """Write features with their statistics.

    Args:
        connection: in a transaction.
        statistics: of all images.
        fires_with: the features that each fires together with, and how often.
        nearest: the features of the nearest directions, and the cosines.
    """
    n_images, n_patches = statistics.totals.tolist()
    n_active = statistics.n_active_patches
    histograms = statistics.histograms.cpu().numpy().astype("<i8")
    columns = [
        range(len(n_active)),
        [split_of(feature_id) for feature_id in range(len(n_active))],
        n_active.tolist(),
        statistics.n_active_images.tolist(),
        (n_active.double() / n_patches).tolist(),
        (statistics.n_active_images.double() / n_images).tolist(),
        (statistics.sums / n_active.clamp_min(1)).tolist(),
        statistics.maxima.tolist(),
        [histogram.tobytes() for histogram in histograms],
        _as_json(fires_with),
        _as_json(nearest),
    ]
    connection.executemany("INSERT INTO features VALUES (?,?,?,?,?,?,?,?,?,?,?)", zip(*columns, strict=True))


def _pieces(array: np.ndarray, ends: Int[Tensor, " piece"]) -> list[memoryview]:
    """The bytes of an array, divided."""
    whole = memoryview(array.tobytes())
    edges = [0, *(ends * array.itemsize).tolist()]
    return [whole[first:last] for first, last in pairwise(edges)]


def _as_json(neighbours: Neighbours) -> list[str]:
    ids, numbers = neighbours
    rounded = (numbers.double() * 1e4).round() / 1e4
    return [
        json.dumps([[other, number] for other, number in zip(others, found, strict=True) if other >= 0])
        for others, found in zip(ids.tolist(), rounded.tolist(), strict=True)
    ]
