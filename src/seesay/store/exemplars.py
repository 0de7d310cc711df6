"""Reading features and exemplars out of `run.db`, which may be a stranger's: everything is checked.

Without torch, so that a table of features is there at once.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, get_args

import numpy as np

from seesay.errors import FeatureNotFound, UnusablePath, check_choice
from seesay.exemplars.config import KINDS, PARTS, Kind, Part
from seesay.exemplars.exemplar import NO_QUANTILE, Exemplar, KeptImage
from seesay.exemplars.heatmap import ACTIVE, Heatmap
from seesay.exemplars.histogram import N_BINS
from seesay.records import FeatureStats, Split
from seesay.store.run import DAMAGE, Run, parsed

IMAGE = np.dtype([("image_id", "<i8"), ("activation", "<f4"), ("quantile", "<i4"), ("n_active", "<i4")])
"""An exemplar as it is stored; `n_active` are the patches of its heatmap."""

IMAGE_COLUMNS = "image_id, pixel_hash, source_id, part, width, height, n_rows, n_columns, box"
_FEATURE_COLUMNS = (
    "feature_id, split, frequency, image_frequency, mean_activation, max_activation, histogram, fires_with, nearest"
)

_LARGEST_ID = 2**63 - 1  # that SQLite holds
_LONGEST_SIDE, _MOST_PATCHES = 1 << 20, 1 << 20


def features(run: Run, feature_ids: Sequence[int] | None = None) -> list[FeatureStats]:
    """Read features' statistics.

    Args:
        run: may be a stranger's.
        feature_ids: which, in this order; None for all. Of a range, those that there are.

    Raises:
        FeatureNotFound: the run has no such feature.
        UnusablePath: what it says is damaged.
    """
    query = f"SELECT {_FEATURE_COLUMNS} FROM features"
    if feature_ids is None:
        return [_feature(run, row) for row in run.rows(f"{query} ORDER BY feature_id")]
    if isinstance(feature_ids, range):
        limits = (feature_ids.start, feature_ids.stop - 1)
        rows = run.rows(f"{query} WHERE feature_id BETWEEN ? AND ? ORDER BY feature_id", limits)
        return [_feature(run, row) for row in rows]
    for feature_id in feature_ids:
        _check_feature(run, feature_id)
    return [_feature(run, run.rows(f"{query} WHERE feature_id = ?", (each,))[0]) for each in feature_ids]


def _check_feature(run: Run, feature_id: int) -> None:
    can_be = 0 <= feature_id <= _LARGEST_ID
    if can_be and run.rows("SELECT 1 FROM features WHERE feature_id = ?", (feature_id,)):
        return
    ((n,),) = run.rows("SELECT count(*) FROM features")
    expected = f"0 to {n - 1}, those of {run.folder}" if n else "a run that is collected"
    raise FeatureNotFound(f"feature {feature_id}", expected=expected)


def exemplars(
    run: Run,
    feature_id: int,
    part: Part,
    kind: Kind,
    n: int | None = None,
    *,
    image_of: Callable[[int], KeptImage] | None = None,
) -> list[Exemplar]:
    """Read a feature's exemplars, the best first.

    Args:
        run: may be a stranger's.
        feature_id: of the feature.
        part: `explaining` for whoever finds words, `scoring` for whoever judges them.
        kind: of exemplars: `top`, `quantile` or `inactive`.
        n: at most so many; None for all.
        image_of: `kept_image` of this run and part that remembers, for whoever reads many features: most images are
            exemplars of many of them.

    Returns:
        None for a feature that no image of that part activates, or that every one does if those that do not are asked
        for.

    Raises:
        FeatureNotFound: the run has no such feature.
        UnknownChoice: another part or kind.
        UnusablePath: what it says is damaged.
    """
    check_choice(part, PARTS, "part")
    check_choice(kind, KINDS, "kind")
    _check_feature(run, feature_id)
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
            image = kept_image(run, image_id, part) if image_of is None else image_of(image_id)
            heatmap = Heatmap.unpacked(heat, image.grid[0] * image.grid[1])
            which = None if quantile == NO_QUANTILE else quantile
            found.append(Exemplar(feature_id, kind, rank, image, _finite(activation), which, heatmap))
    except DAMAGE as error:
        raise run.damaged(f"{kind} exemplars of feature {feature_id}", error) from error
    return found


def best_images(
    run: Run, part: Part, n: int, *, image_of: Callable[[int], KeptImage] | None = None
) -> dict[int, list[KeptImage]]:
    """Read the images of all features' exemplars of kind `top`, the best first, without their heatmaps.

    Args:
        run: may be a stranger's.
        part: as for `exemplars`.
        n: at most so many of each feature.
        image_of: as for `exemplars`.

    Returns:
        In the order of the features' ids, without those that have none.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    check_choice(part, PARTS, "part")
    query = "SELECT feature_id, images FROM exemplars WHERE part = ? AND kind = 'top' ORDER BY feature_id"
    found: dict[int, list[KeptImage]] = {}
    try:
        for feature_id, data in run.rows(query, (part,)):
            ids = np.frombuffer(data, IMAGE)["image_id"][:n].tolist()
            images = [kept_image(run, each, part) if image_of is None else image_of(each) for each in ids]
            if images:
                found[int(feature_id)] = images
    except DAMAGE as error:
        raise run.damaged("top exemplars", error) from error
    return found


def with_exemplars(run: Run, part: Part, split: Split | None = None) -> list[int]:
    """The features that some image of a half activates, in order.

    Args:
        run: may be a stranger's.
        part: as for `exemplars`.
        split: only those of one part of the features; None for all.

    Raises:
        UnusablePath: what it says is damaged.
    """
    query, of_part = "SELECT feature_id FROM exemplars", "WHERE part = ? AND kind = 'top'"
    if split is None:
        rows = run.rows(f"{query} {of_part} ORDER BY feature_id", (part,))
    else:
        of_split = f"JOIN features USING (feature_id) {of_part} AND split = ?"
        rows = run.rows(f"{query} {of_split} ORDER BY feature_id", (part, split))
    found = [feature_id for (feature_id,) in rows]
    if not all(isinstance(feature_id, int) for feature_id in found):
        raise UnusablePath(f"a feature's number in {run.folder} is damaged", expected="whole numbers")
    return found


def inactive_images(run: Run, part: Part) -> list[KeptImage]:
    """The images that stand for what does not activate a feature, of all features together: taken out of random ones.

    Args:
        run: may be a stranger's.
        part: as for `exemplars`.

    Returns:
        Each once, in the order of their ids.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    check_choice(part, PARTS, "part")
    rows = run.rows("SELECT images FROM exemplars WHERE part = ? AND kind = 'inactive'", (part,))
    try:
        ids = {image_id for (data,) in rows for image_id in np.frombuffer(data, IMAGE)["image_id"].tolist()}
        return [kept_image(run, image_id, part) for image_id in sorted(ids)]
    except DAMAGE as error:
        raise run.damaged("inactive exemplars", error) from error


def _feature(run: Run, row: Sequence[Any]) -> FeatureStats:
    feature_id, split, frequency, image_frequency, mean, largest, histogram, fires_with, nearest = row
    try:
        if split not in get_args(Split):
            raise ValueError(f"split {split!r}")
        return FeatureStats(
            feature_id=int(feature_id),
            split=split,
            frequency=_finite(frequency),
            image_frequency=_finite(image_frequency),
            mean_activation=_finite(mean),
            max_activation=_finite(largest),
            histogram=tuple(np.frombuffer(histogram, "<i8", N_BINS).tolist()),
            fires_with=_neighbours(fires_with),
            nearest=_neighbours(nearest),
        )
    except DAMAGE as error:
        raise run.damaged(f"feature {feature_id!r}", error) from error


def kept_image(run: Run, image_id: int, part: Part) -> KeptImage:
    """Read what a run knows of an image.

    Args:
        run: may be a stranger's.
        image_id: which.
        part: that it must belong to.

    Raises:
        ValueError: there is no such image, or what the run says of it is damaged, for which any of `DAMAGE` may be
            raised: whoever reads it says what it is read for.
    """
    rows = run.rows(f"SELECT {IMAGE_COLUMNS} FROM images WHERE image_id = ?", (image_id,))
    if not rows:
        raise ValueError(f"no image {image_id}")
    ((_image_id, pixel_hash, source_id, its_part, width, height, n_rows, n_columns, box),) = rows
    if its_part != part:
        raise ValueError(f"image {image_id} is for {its_part!r}")
    size, grid = (int(width), int(height)), (int(n_rows), int(n_columns))
    left, top, right, bottom = map(_finite, parsed(box))
    if not (0 < min(size) <= max(size) <= _LONGEST_SIDE and left < right and top < bottom):
        raise ValueError(f"image {image_id} of {size[0]} x {size[1]} pixels, patches within {box}")
    if not (0 < min(grid) <= max(grid) and grid[0] * grid[1] <= _MOST_PATCHES):
        raise ValueError(f"image {image_id} of {grid[0]} x {grid[1]} patches")
    run.thumbnails.path(pixel_hash)  # refuses what is no hash
    return KeptImage(image_id, pixel_hash, str(source_id), part, size, grid, (left, top, right, bottom))


def _neighbours(text: str) -> tuple[tuple[int, float], ...]:
    return tuple((int(other), _finite(number)) for other, number in parsed(text))


def _finite(number: Any) -> float:
    found = float(number)
    if not math.isfinite(found):
        raise ValueError(f"{found} where a number should be")
    return found
