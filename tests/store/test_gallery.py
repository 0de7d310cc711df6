"""A run as explainers look at it, on rows that are written by hand."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seesay.errors import InvalidSetting, UnreadableImage, UnusablePath
from seesay.exemplars.config import Part
from seesay.exemplars.exemplar import NO_QUANTILE
from seesay.exemplars.heatmap import ACTIVE
from seesay.explainers.gallery import Gallery
from seesay.images.decoding import pixel_hash
from seesay.split import split_of
from seesay.store.exemplars import IMAGE
from seesay.store.gallery import RunGallery, explainable
from seesay.store.run import Run

SUBJECT = {"subject": "tiny", "layer": 1, "sae": "x", "identity": "abc"}
N_FEATURES, NEVER_ACTIVE, ONLY_SCORED = 12, 4, 5
EXPLAINABLE = [each for each in range(N_FEATURES) if each not in (NEVER_ACTIVE, ONLY_SCORED)]
QUANTILES = (0, 0, 0, 2, 3, 3)
"""Of the exemplars of feature 0, as they are stored; none stands for the second quantile."""

GREYS = {"explaining": (0, 100, 200, 60, 0, 0), "scoring": (250,)}


def images_of(numbers: list[int], quantiles: tuple[int, ...] = ()) -> tuple[bytes, bytes]:
    """Exemplars as a run stores them, each active on its first patch."""
    rows = [(number, 1.0, quantiles[rank] if quantiles else NO_QUANTILE, 1) for rank, number in enumerate(numbers)]
    return np.array(rows, IMAGE).tobytes(), np.array([(0, 1.0)] * len(rows), ACTIVE).tobytes()


def fill(run: Run) -> None:
    for feature_id in range(N_FEATURES):
        largest = 0.0 if feature_id == NEVER_ACTIVE else feature_id + 0.5
        row = (feature_id, split_of(feature_id), 1, 1, 0.1, 0.1, 0.1, largest, bytes(8), "[]", "[]")
        run.rows("INSERT INTO features VALUES (?,?,?,?,?,?,?,?,?,?,?)", row)
    number = 0
    for part, greys in GREYS.items():
        for grey in greys:
            image = Image.new("RGB", (8, 8), (grey, grey, number))
            run.thumbnails.write(pixel_hash(image), image)
            row = (number, pixel_hash(image), f"{number}.png", part, 8, 8, 2, 2, json.dumps([0, 0, 8, 8]))
            run.rows("INSERT INTO images VALUES (?,?,?,?,?,?,?,?,?)", row)
            number += 1
    parts: list[tuple[int, Part, str, list[int]]] = [(each, "explaining", "top", [2, 1, 0]) for each in EXPLAINABLE]
    parts += [(ONLY_SCORED, "scoring", "top", [6]), (NEVER_ACTIVE, "explaining", "inactive", [0])]
    parts += [(0, "explaining", "quantile", list(range(len(QUANTILES))))]
    for feature_id, part, kind, numbers in parts:
        blobs = images_of(numbers, QUANTILES if kind == "quantile" else ())
        run.rows("INSERT INTO exemplars VALUES (?,?,?,?,?)", (feature_id, part, kind, *blobs))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.writing(tmp_path / "x", SUBJECT) as run:
        fill(run)
        yield run


def test_the_features_that_may_stand_in_for_each_other_are_of_one_split(run: Run) -> None:
    gallery = RunGallery(run)
    assert isinstance(gallery, Gallery)
    validation, test = gallery.groups()
    assert sorted([*validation, *test]) == EXPLAINABLE == explainable(run)
    assert {split_of(each) for each in validation} == {"validation"}
    assert {split_of(each) for each in test} == {"test"}
    assert (explainable(run, "validation"), explainable(run, "test")) == (list(validation), list(test))


def test_quantiles_take_turns_from_the_most_active_one(run: Run) -> None:
    gallery = RunGallery(run)
    found = gallery.exemplars(0, "quantile", 10)
    assert [each.quantile for each in found] == [3, 2, 0, 3, 0, 0]
    assert [each.image.image_id for each in found] == [4, 3, 0, 5, 1, 2]
    assert [each.image.image_id for each in gallery.exemplars(0, "quantile", 2)] == [4, 3]


def test_the_most_activating_come_first_and_are_as_many_as_asked_for(run: Run) -> None:
    gallery = RunGallery(run)
    assert [each.image.image_id for each in gallery.exemplars(1, "top", 2)] == [2, 1]
    assert len(gallery.exemplars(1, "top", 10)) == 3
    for feature_id in (NEVER_ACTIVE, ONLY_SCORED):
        assert gallery.exemplars(feature_id, "top", 5) == gallery.exemplars(feature_id, "quantile", 5) == []


def test_the_mean_image_is_of_the_explaining_images(run: Run) -> None:
    mean = np.asarray(RunGallery(run).mean_image(4))
    assert mean.shape == (4, 4, 3)
    greys = GREYS["explaining"]
    assert np.unique(mean[..., 0]).tolist() == [round(sum(greys) / len(greys))]


def test_without_images_there_is_no_mean(tmp_path: Path) -> None:
    with Run.writing(tmp_path / "new", SUBJECT) as run, pytest.raises(InvalidSetting, match="mean of the images"):
        RunGallery(run).mean_image(8)


def test_a_largest_activation_is_known_of_features_that_were_collected(run: Run, tmp_path: Path) -> None:
    gallery = RunGallery(run)
    assert [gallery.max_activation(each) for each in (0, 3, NEVER_ACTIVE, N_FEATURES)] == [0.5, 3.5, 0.0, None]
    with Run.writing(tmp_path / "new", SUBJECT) as new:
        assert RunGallery(new).max_activation(0) is None
        assert [list(group) for group in RunGallery(new).groups()] == [[], []]


def test_a_picture_is_a_thumbnail_and_one_that_is_gone_is_named(run: Run) -> None:
    gallery = RunGallery(run)
    shown, other = (each.image for each in gallery.exemplars(1, "top", 2))
    assert pixel_hash(gallery.picture(shown)) == shown.pixel_hash
    run.thumbnails.path(other.pixel_hash).unlink()
    with pytest.raises(UnreadableImage, match=other.pixel_hash):
        gallery.picture(other)


@pytest.mark.parametrize("largest", ["'often'", "9e999", "-9e999", "x'00'", "'nan'"])
def test_a_strangers_largest_activation_that_is_no_number_is_refused(largest: str, run: Run) -> None:
    run.rows(f"UPDATE features SET max_activation = {largest}")
    with pytest.raises(UnusablePath, match="damaged"):
        RunGallery(run).max_activation(1)


def test_a_strangers_features_that_are_no_numbers_are_refused(run: Run) -> None:
    for table in ("features", "exemplars"):
        run.rows(f"CREATE TABLE other AS SELECT * FROM {table}")
        run.rows(f"DROP TABLE {table}")
        run.rows("UPDATE other SET feature_id = 'x' || feature_id")
        run.rows(f"ALTER TABLE other RENAME TO {table}")
    with pytest.raises(UnusablePath, match="damaged"):
        explainable(run)


def test_a_strangers_images_lead_nowhere_else(run: Run) -> None:
    run.rows("UPDATE images SET pixel_hash = '../../x' || image_id")
    with pytest.raises(UnusablePath, match="64 hex digits"):
        RunGallery(run).mean_image(8)
