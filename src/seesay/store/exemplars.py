"""Features, images and exemplars in `run.db`."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from seesay.errors import FeatureNotFound, UnusablePath
from seesay.exemplars.choosing import NO_QUANTILE, Chosen, Kind
from seesay.exemplars.exemplar import Exemplar, KeptImage
from seesay.exemplars.hashing import PARTS, Part
from seesay.exemplars.heatmaps import Heatmap, to_bytes
from seesay.exemplars.statistics import N_BINS, Statistics
from seesay.records import FeatureStats
from seesay.split import split_of
from seesay.store.run import Run

Neighbours = tuple[Int[Tensor, "feature other"], Float[Tensor, "feature other"]]

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


def drop_other_images(connection: sqlite3.Connection) -> list[str]:
    """Forget images that are no exemplars.

    Args:
        connection: in a transaction.

    Returns:
        The pixel hashes of those that stay.
    """
    connection.execute("DELETE FROM images WHERE image_id NOT IN (SELECT image_id FROM exemplars)")
    return [pixel_hash for (pixel_hash,) in connection.execute("SELECT pixel_hash FROM images")]


def add_exemplars(connection: sqlite3.Connection, selections: Iterable[Chosen]) -> None:
    """Write exemplars.

    Args:
        connection: in a transaction.
        selections: of every kind.
    """
    for selection in selections:
        columns = [
            selection.feature_ids.tolist(),
            [PARTS[part] for part in selection.parts.tolist()],
            [selection.kind] * len(selection),
            selection.ranks.tolist(),
            selection.image_ids.tolist(),
            selection.activations.tolist(),
            [None if each == NO_QUANTILE else each for each in selection.quantiles.tolist()],
            to_bytes(selection.patches, selection.patch_activations, selection.starts, selection.lengths),
        ]
        connection.executemany("INSERT INTO exemplars VALUES (?,?,?,?,?,?,?,?)", zip(*columns, strict=True))


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
        (n_active / n_patches).tolist(),
        (statistics.n_active_images / n_images).tolist(),
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
        rows = run.connection.execute(f"{query} ORDER BY feature_id").fetchall()
        return [_feature(run, row) for row in rows]
    found: list[FeatureStats] = []
    for feature_id in feature_ids:
        row = run.connection.execute(f"{query} WHERE feature_id = ?", (feature_id,)).fetchone()
        if row is None:
            (n,) = run.connection.execute("SELECT count(*) FROM features").fetchone()
            raise FeatureNotFound(f"feature {feature_id}", expected=f"0 to {n - 1}, those of {run.folder}")
        found.append(_feature(run, row))
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
    columns = ", ".join(f"images.{name}" for name in _IMAGE_COLUMNS.split(", "))
    rows = run.connection.execute(
        f"""SELECT rank, activation, quantile, heatmap, {columns} FROM exemplars JOIN images USING (image_id)
        WHERE feature_id = ? AND exemplars.part = ? AND kind = ? ORDER BY rank LIMIT ?""",
        (feature_id, part, kind, -1 if n is None else n),
    )
    found: list[Exemplar] = []
    for rank, activation, quantile, data, *facts in rows:
        image = _image(run, facts)
        try:
            heatmap = Heatmap.from_bytes(data, image.grid[0] * image.grid[1])
        except (ValueError, TypeError) as error:
            raise _damaged(run, f"exemplar {rank} of feature {feature_id}", error) from error
        found.append(Exemplar(feature_id, kind, rank, image, activation, quantile, heatmap))
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
        raise _damaged(run, f"feature {feature_id}", error) from error


def _image(run: Run, facts: Sequence[Any]) -> KeptImage:
    image_id, pixel_hash, source_id, part, width, height, n_rows, n_columns, box = facts
    try:
        left, top, right, bottom = map(float, json.loads(box))
        size, grid = (int(width), int(height)), (int(n_rows), int(n_columns))
        run.thumbnails.path(pixel_hash)
    except (ValueError, TypeError) as error:
        raise _damaged(run, f"image {image_id}", error) from error
    return KeptImage(image_id, pixel_hash, source_id, part, size, grid, (left, top, right, bottom))


def _as_json(neighbours: Neighbours) -> list[str]:
    ids, numbers = neighbours
    rounded = (numbers.double() * 1e4).round() / 1e4
    return [
        json.dumps([[other, number] for other, number in zip(others, found, strict=True) if other >= 0])
        for others, found in zip(ids.tolist(), rounded.tolist(), strict=True)
    ]


def _from_json(text: str) -> tuple[tuple[int, float], ...]:
    return tuple((int(other), float(number)) for other, number in json.loads(text))


def _damaged(run: Run, what: str, error: Exception) -> UnusablePath:
    return UnusablePath(
        f"{what} in {run.folder} is damaged: {error}", expected="what seesay collect wrote", remedy="collect it again"
    )
