"""Monosemanticity in one pass over the images: of the scoring half alone, each once, as a double loop has it."""

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from seesay.errors import UnreadableImages
from seesay.exemplars.config import Part, Reduction
from seesay.exemplars.hashing import image_id_of, part_of
from seesay.images.decoding import pixel_hash
from seesay.images.options import Colour
from seesay.images.sources import ImageSource
from seesay.images.sources.source import Entry
from seesay.instruments.instrument import Embedder
from seesay.pipeline.progress import ProgressBar
from seesay.pipeline.scoring import score
from seesay.pipeline.surveying import Survey
from seesay.sae import SAE
from seesay.scorers.activations import Activations
from seesay.scorers.scorer import Item, Scorer
from seesay.store.run import Run
from seesay.store.scores import scores
from seesay.vlm import VLM
from seesay.world import instruments
from seesay.world.pictures import Pictures
from tests.scorers.test_monosemanticity import by_pairs
from tests.store.test_explanations import SUBJECT
from tests.tiny import N_FEATURES

LAYER = 1
ITEMS = [Item(feature_id) for feature_id in range(N_FEATURES)]


def world(n: int, first: int = 0) -> list[Image.Image]:
    return [entry.read() for entry in Pictures(n, first).entries()]


def half(images: Sequence[Image.Image], part: Part) -> list[Image.Image]:
    """Those of one half, each once."""
    distinct = {pixel_hash(image): image for image in images}
    return [image for hashed, image in distinct.items() if part_of(image_id_of(hashed)) == part]


IMAGES = world(24)
OTHERS = [each.resize((48, 40)) for each in world(4, 1000)]
GIVEN = [*IMAGES[:10], *IMAGES[3:7], *OTHERS, *IMAGES[10:], IMAGES[0], IMAGES[0]]
"""With some that stand there several times, side by side and far apart."""


@final
@dataclass(frozen=True)
class Held:
    """An image in memory."""

    pixels: Image.Image

    def image(self, name: str) -> Image.Image:
        return self.pixels


@final
class Made:
    """A source of images in memory."""

    name = "made"

    def __init__(self, images: Sequence[Image.Image]) -> None:
        self._images = list(images)
        self.n_passes = 0

    @property
    def fingerprint(self) -> str:
        return " ".join(map(pixel_hash, self._images))

    @property
    def n_images(self) -> int:
        return len(self._images)

    def entries(self, start: int = 0) -> Iterator[Entry]:
        self.n_passes += 1
        return (Entry(n, f"{n}.png", Held(self._images[n])) for n in range(start, self.n_images))

    def shuffled(self, seed: int) -> ImageSource:
        raise AssertionError("nobody asks for it")


@final
class Watched:
    """An embedder, with a note of all that it embeds."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.embedded: list[str] = []

    @property
    def facts(self) -> Mapping[str, Any]:
        return self._embedder.facts

    @property
    def mask_fill(self) -> Colour:
        return self._embedder.mask_fill

    def embed_images(self, images: Sequence[Image.Image]) -> Tensor:
        self.embedded += map(pixel_hash, images)
        return self._embedder.embed_images(images)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        raise AssertionError("no words are looked at")


@final
class Bar:
    """A progress bar, with a note of what it was told."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.done: list[int] = []

    @contextmanager
    def __call__(self, what: str, *, total: int | None) -> Generator[Callable[[int], None]]:
        self.total = total
        yield self.done.append


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return instruments.embedder("cpu")


def asked(vlm: VLM, sae: SAE, reduction: Reduction = "mean", batch_size: int = 32) -> Activations:
    return Activations(vlm.encoder, sae, LAYER, reduction, batch_size)


def survey(vlm: VLM, sae: SAE, embedder: Embedder, images: Sequence[Image.Image] = GIVEN, **options: Any) -> Survey:
    return Survey(Made(images), asked(vlm, sae), embedder, Bar(), **options)


def values(survey: Survey) -> list[float | None]:
    return [each.value for each in survey.score(ITEMS)]


def slowly(activations: Activations, embedder: Embedder, images: Sequence[Image.Image]) -> list[float]:
    """Pair by pair; NaN where there is nothing to be told."""
    return by_pairs(embedder.embed_images(images), activations.of(images))


@pytest.mark.parametrize("reduction", ["mean", "max"])
def test_it_is_what_a_double_loop_over_the_scoring_half_gives(
    reduction: Reduction, vlm: VLM, sae: SAE, embedder: Embedder
) -> None:
    activations = asked(vlm, sae, reduction)
    expected = slowly(activations, embedder, half(GIVEN, "scoring"))
    measured = Survey(Made(GIVEN), activations, embedder, Bar(), images_at_once=5).score(ITEMS)
    assert sum(math.isfinite(each) for each in expected) > N_FEATURES / 4
    for found, value in zip(measured, expected, strict=True):
        assert (found.value is None) == math.isnan(value)
        assert bool(found.reason) == math.isnan(value)
        if found.value is not None:
            assert found.value == pytest.approx(value, abs=1e-4)
    whole = slowly(activations, embedder, half(GIVEN, "explaining") + half(GIVEN, "scoring"))
    assert not np.allclose(whole, expected, atol=1e-3, equal_nan=True), "all of them would give something else"


def test_images_of_the_explaining_half_are_never_embedded_and_the_others_once(
    vlm: VLM, sae: SAE, embedder: Embedder
) -> None:
    watched = Watched(embedder)
    survey(vlm, sae, watched, images_at_once=3).score(ITEMS)
    assert sorted(watched.embedded) == sorted(map(pixel_hash, half(GIVEN, "scoring")))
    assert {part_of(image_id_of(each)) for each in watched.embedded} == {"scoring"}
    assert len(half(GIVEN, "explaining")) > 5, "there were some"


def test_images_that_stand_there_several_times_count_once(vlm: VLM, sae: SAE, embedder: Embedder) -> None:
    distinct = list({pixel_hash(image): image for image in GIVEN}.values())
    assert len(distinct) < len(GIVEN)
    assert values(survey(vlm, sae, embedder)) == pytest.approx(values(survey(vlm, sae, embedder, distinct)), abs=1e-6)


def test_the_size_of_batches_changes_nothing(vlm: VLM, sae: SAE, embedder: Embedder) -> None:
    found = [values(survey(vlm, sae, embedder, images_at_once=n)) for n in (1, 4, 1000)]
    for each in found[1:]:
        assert each == pytest.approx(found[0], abs=1e-4)


def test_the_images_are_gone_through_once_when_the_first_feature_is_asked_for(
    vlm: VLM, sae: SAE, embedder: Embedder
) -> None:
    source, bar = Made(GIVEN), Bar()
    found = Survey(source, asked(vlm, sae), embedder, bar, images_at_once=8)
    assert isinstance(found, Scorer)
    assert isinstance(bar, ProgressBar)
    before = dict(found.facts)
    assert source.n_passes == 0
    whole = found.score(ITEMS)
    assert [found.score([item])[0] for item in reversed(ITEMS)] == whole[::-1]
    assert source.n_passes == 1
    assert (bar.total, sum(bar.done)) == (len(GIVEN), len(GIVEN))
    assert found.facts == before


def test_a_feature_that_no_image_activates_has_a_reason_and_no_number(vlm: VLM, sae: SAE, embedder: Embedder) -> None:
    activations = asked(vlm, sae).of(half(GIVEN, "scoring"))
    dead = [feature_id for feature_id in range(N_FEATURES) if not activations[:, feature_id].any()]
    assert dead
    for measured in survey(vlm, sae, embedder).score([Item(each) for each in dead]):
        assert (measured.value, measured.reason) == (None, "no image activates it")


def test_without_an_image_for_scoring_there_is_nothing_to_go_through(vlm: VLM, sae: SAE, embedder: Embedder) -> None:
    with pytest.raises(UnreadableImages, match="made, of whose images none is for scoring") as caught:
        survey(vlm, sae, embedder, half(GIVEN, "explaining")).score(ITEMS)
    assert "\n" not in str(caught.value)


def test_an_image_that_does_not_fit_into_memory_ends_it_as_no_feature_is_to_blame(
    vlm: VLM, sae: SAE, embedder: Embedder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_arguments: Any, **_options: Any) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(vlm.encoder, "encode_to", full)
    with (
        Run.writing(tmp_path / "run", SUBJECT) as run,
        pytest.raises(UnreadableImages, match="no memory left") as caught,
    ):
        score(run, "monosemanticity", survey(vlm, sae, embedder), ITEMS)
    assert "\n" not in str(caught.value)


def test_its_facts_are_the_images_the_embedder_and_how_activations_are_told(
    vlm: VLM, sae: SAE, embedder: Embedder
) -> None:
    def facts(images: Sequence[Image.Image] = GIVEN, reduction: Reduction = "mean") -> Mapping[str, Any]:
        return Survey(Made(images), asked(vlm, sae, reduction), embedder, Bar()).facts

    usual = facts()
    assert usual["activations"] == {"reduction": "mean", "dtype": str(vlm.encoder.dtype)}
    assert usual["embedder"] == embedder.facts
    assert facts(GIVEN[1:]) != usual != facts(reduction="max")
    assert Survey(Made(GIVEN), asked(vlm, sae, batch_size=1), embedder, Bar(), images_at_once=1).facts == usual


def test_the_scores_of_a_run_are_stored_by_feature(vlm: VLM, sae: SAE, embedder: Embedder, tmp_path: Path) -> None:
    found = survey(vlm, sae, embedder)
    with Run.writing(tmp_path / "run", SUBJECT) as run:
        scoring = score(run, "monosemanticity", found, ITEMS, batch_size=10).scoring
        stored = [each.measured for samples in scores(run, scoring).values() for each in samples]
        source = Made(GIVEN)
        score(run, "monosemanticity", Survey(source, asked(vlm, sae), embedder, Bar()), ITEMS)
        assert source.n_passes == 0, "nothing is missing"
    assert stored == found.score(ITEMS)
    assert scoring.setting_id is None


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_pairs_are_the_activations_that_are_not_zero(batch_size: int, vlm: VLM, sae: SAE) -> None:
    activations = asked(vlm, sae, batch_size=batch_size)
    images = [*IMAGES[:4], *OTHERS[:3]]
    found = activations.pairs(images)
    whole = torch.zeros(len(images), N_FEATURES)
    whole[found.images, found.feature_ids] = found.activations
    torch.testing.assert_close(whole, activations.of(images))
    assert (found.activations > 0).all()
    keys = (found.images * N_FEATURES + found.feature_ids).tolist()
    assert keys == sorted(set(keys))
    assert found.starts.tolist() == [0, *found.lengths.cumsum(0).tolist()[:-1]]
