"""Features, images and exemplars in `run.db`."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seesay.errors import FeatureNotFound
from seesay.exemplars.choosing import NO_QUANTILE, Chosen, Kind
from seesay.exemplars.exemplar import Exemplar, KeptImage
from seesay.exemplars.hashing import PARTS, Part
from seesay.exemplars.heatmaps import ACTIVE, Heatmap, packed
from seesay.exemplars.statistics import N_BINS, Statistics
from seesay.records import FeatureStats
from seesay.split import split_of
from seesay.store.run import Run

Neighbours = tuple[Int[Tensor, "feature other"], Float[Tensor, "feature other"]]

IMAGE = np.dtype([("image_id", "<i8"), ("activation", "<f4"), ("quantile", "<i4"), ("n_active", "<i4")])
"""An exemplar as it is stored; `n_active` are the patches of its heatmap."""

_IMAGE_COLUMNS = "image_id, pixel_hash, source_id, part, width, height, n_rows, n_columns, box"
_FEATURE_COLUMNS = (
    "feature_id, split, frequency, image_frequency, mean_activation, max_activation, histogram, fires_with, nearest"
)


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
    connection.executemany(f"INSERT OR IGNORE INTO images ({_IMAGE_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)", rows)


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


def features(run: Run, feature_ids: Sequence[int] | None = None) -> list[FeatureStats]:
    """Read features' statistics.

    Args:
        run: may be a stranger's.
        feature_ids: which, in this order; None for all.

    Raises:
        FeatureNotFound: the run has no such feature.
        UnusablePath: what it says is damaged.
    """
    query = f"SELECT {_FEATURE_COLUMNS} FROM features"
    if feature_ids is None:
        return [_feature(run, row) for row in run.rows(f"{query} ORDER BY feature_id")]
    found: list[FeatureStats] = []
    for feature_id in feature_ids:
        rows = run.rows(f"{query} WHERE feature_id = ?", (feature_id,))
        if not rows:
            ((n,),) = run.rows("SELECT count(*) FROM features")
            raise FeatureNotFound(f"feature {feature_id}", expected=f"0 to {n - 1}, those of {run.folder}")
        found.append(_feature(run, rows[0]))
    return found


def exemplars(run: Run, feature_id: int, part: Part, kind: Kind, n: int | None = None) -> list[Exemplar]:
    """Read a feature's exemplars, the best first.

    Args:
        run: may be a stranger's.
        feature_id: of the feature.
        part: `explaining` for whoever finds words, `scoring` for whoever judges them.
        kind: of exemplars.
        n: at most so many; None for all.

    Raises:
        UnusablePath: what it says is damaged.
    """
    query = "SELECT images, heatmaps FROM exemplars WHERE feature_id = ? AND part = ? AND kind = ?"
    rows = run.rows(query, (feature_id, part, kind))
    if not rows:
        return []
    try:
        images, active = (np.frombuffer(data, of) for data, of in zip(rows[0], (IMAGE, ACTIVE), strict=True))
        if (images["n_active"] < 0).any() or images["n_active"].sum() != len(active):
            raise ValueError(f"{len(active)} active patches in all")
        heatmaps = np.split(active, images["n_active"].cumsum()[:-1])
        found: list[Exemplar] = []
        for rank, (facts, heat) in enumerate(zip(images[:n].tolist(), heatmaps, strict=False)):
            image_id, activation, quantile, _n_active = facts
            image = _image(run, image_id)
            if image.part != part:
                raise ValueError(f"image {image_id} is for {image.part}")
            heatmap = Heatmap.unpacked(heat, image.grid[0] * image.grid[1])
            which = None if quantile == NO_QUANTILE else quantile
            found.append(Exemplar(feature_id, kind, rank, image, activation, which, heatmap))
    except (ValueError, TypeError) as error:
        raise run.damaged(f"{kind} exemplars of feature {feature_id}", error) from error
    return found


def _feature(run: Run, row: Sequence[Any]) -> FeatureStats:
    feature_id, split, frequency, image_frequency, mean, largest, histogram, fires_with, nearest = row
    try:
        return FeatureStats(
            feature_id=int(feature_id),
            split=split,
            frequency=float(frequency),
            image_frequency=float(image_frequency),
            mean_activation=float(mean),
            max_activation=float(largest),
            histogram=tuple(np.frombuffer(histogram, "<i8", N_BINS).tolist()),
            fires_with=_from_json(fires_with),
            nearest=_from_json(nearest),
        )
    except (ValueError, TypeError) as error:
        raise run.damaged(f"feature {feature_id}", error) from error


def _image(run: Run, image_id: int) -> KeptImage:
    rows = run.rows(f"SELECT {_IMAGE_COLUMNS} FROM images WHERE image_id = ?", (image_id,))
    if not rows:
        raise ValueError(f"no image {image_id}")
    ((_image_id, pixel_hash, source_id, part, width, height, n_rows, n_columns, box),) = rows
    left, top, right, bottom = map(float, json.loads(box))
    size, grid = (int(width), int(height)), (int(n_rows), int(n_columns))
    run.thumbnails.path(pixel_hash)  # refuses what is no hash
    return KeptImage(image_id, pixel_hash, source_id, part, size, grid, (left, top, right, bottom))


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


def _from_json(text: str) -> tuple[tuple[int, float], ...]:
    return tuple((int(other), float(number)) for other, number in json.loads(text))
