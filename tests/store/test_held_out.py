"""No score ever looks at what an explainer was shown: on a run of the embedded world, and on rigged ones."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import seesay
from seesay.errors import FeatureNotFound, LeakedImage, UnreadableImage, UnusablePath
from seesay.exemplars.config import KINDS, CollectionConfig, Kind
from seesay.exemplars.exemplar import Exemplar, KeptImage
from seesay.exemplars.hashing import part_of
from seesay.explainers.config import Setting
from seesay.images.decoding import pixel_hash
from seesay.instruments.instrument import Embedder, Judge
from seesay.pipeline.collecting import Subject, collect
from seesay.pipeline.dissecting import dissect, dissecting
from seesay.pipeline.explaining import Speaker, explain
from seesay.records import Decoding, Strength
from seesay.sae import SAE, load_sae
from seesay.scorers.activations import Activations
from seesay.scorers.auroc import Auroc
from seesay.scorers.clip import Clip
from seesay.scorers.config import Holding, Scoring
from seesay.scorers.detection import Detection
from seesay.scorers.distinctness import Distinctness
from seesay.scorers.faithfulness import Faithfulness
from seesay.scorers.fuzzing import Fuzzing
from seesay.scorers.gallery import HeldOut
from seesay.scorers.iou import IoU
from seesay.scorers.scorer import Item, Scorer
from seesay.store.exemplars import IMAGE, exemplars, inactive_images
from seesay.store.explanations import explanations, settings, shown_images
from seesay.store.gallery import RunGallery, explainable
from seesay.store.held_out import RunHeldOut
from seesay.store.run import Run
from seesay.vlm import load_vlm
from seesay.world import instruments
from seesay.world.pictures import Pictures

N_IMAGES, N_EXPLAINED = 64, 10
CONFIG = CollectionConfig(n_top=10, n_per_quantile=2, n_sampled=16, n_inactive=3, n_background=30)
STEERING = Setting(strength=Strength(2.0, "residual_norm"), decoding=Decoding(max_new_tokens=10))
TOPK, HYBRID = replace(STEERING, method="topk", strength=None), replace(STEERING, method="hybrid")
WAYS = (STEERING, TOPK, HYBRID, replace(TOPK, control="random"), replace(TOPK, selection="quantile", n_images=8))
SCORING = Scoring(n_exemplars=5, n_images=4, n_positives=4)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return instruments.embedder("cpu")


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    sae = load_sae(seesay.world.sae("world:late"))
    vlm = load_vlm(seesay.world.checkpoint("world:S"), device="cpu")
    return Speaker.of(vlm, "world:S", sae=sae, layer=sae.provenance.layer)


@dataclass(frozen=True)
class Tools:
    """What scores measure with."""

    speaker: Speaker
    sae: SAE
    layer: int
    activations: Activations
    embedder: Embedder
    judge: Judge


@pytest.fixture(scope="module")
def tools(speaker: Speaker, embedder: Embedder) -> Tools:
    sae, layer = speaker.sae, speaker.layer
    assert sae is not None
    assert layer is not None
    activations = Activations(speaker.vlm.encoder, sae, layer)
    return Tools(speaker, sae, layer, activations, embedder, instruments.judge("cpu"))


@pytest.fixture(scope="module")
def made(speaker: Speaker, embedder: Embedder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose features were explained by everything that shows images."""
    folder = tmp_path_factory.mktemp("runs") / "world"
    assert speaker.sae is not None
    assert speaker.layer is not None
    subject = Subject(speaker.vlm.encoder, speaker.sae, speaker.layer, {"subject": "world:S", "sae": "world:late"})
    with Run.writing(folder, subject.as_json()) as run:
        collect(run, subject, Pictures(N_IMAGES), CONFIG)
        feature_ids = frequent(run)
        for setting in WAYS:
            explain(run, speaker, setting, feature_ids)
        dissect(run, embedder, "world", ["a frog", "a star"], dissecting(None), feature_ids)
    return folder


def frequent(run: Run) -> list[int]:
    """Features with images enough in both halves."""
    query = "SELECT feature_id FROM features WHERE image_frequency BETWEEN 0.25 AND 0.6 ORDER BY feature_id"
    known = set(explainable(run))
    return [feature_id for (feature_id,) in run.rows(query) if feature_id in known][:N_EXPLAINED]


@pytest.fixture(scope="module")
def run(made: Path) -> Iterator[Run]:
    with Run.open(made) as run:
        yield run


@pytest.fixture(scope="module")
def shown(run: Run) -> frozenset[int]:
    return shown_images(run)


@pytest.fixture(scope="module")
def held_out(run: Run, shown: frozenset[int]) -> RunHeldOut:
    return RunHeldOut(run, "held-out", shown)


@pytest.fixture(scope="module")
def feature_ids(run: Run) -> list[int]:
    return frequent(run)


@pytest.fixture
def rigged(made: Path, tmp_path: Path) -> Iterator[Run]:
    """A copy that tests do mischief to."""
    with Run.writing(shutil.copytree(made, tmp_path / "rigged")) as run:
        yield run


def held_out_of(run: Run) -> RunHeldOut:
    return RunHeldOut(run, "held-out", shown_images(run))


def ids_of(images: Sequence[KeptImage]) -> list[int]:
    return [each.image_id for each in images]


def handed_out(held_out: HeldOut, feature_id: int, kinds: Sequence[Kind] = KINDS) -> set[int]:
    return {each.image.image_id for kind in kinds for each in held_out.exemplars(feature_id, kind)}


@contextmanager
def refused(error: type[Exception], match: str | None = None) -> Iterator[None]:
    """In one line."""
    with pytest.raises(error, match=match) as caught:
        yield
    assert "\n" not in str(caught.value)


def test_what_explainers_were_shown_is_known(run: Run, shown: frozenset[int], feature_ids: list[int]) -> None:
    gallery = RunGallery(run)
    best = {each.image.image_id for feature_id in feature_ids for each in gallery.exemplars(feature_id, "top", 5)}
    varied = {
        each.image.image_id for feature_id in feature_ids for each in gallery.exemplars(feature_id, "quantile", 8)
    }
    everything = {
        image_id
        for setting in settings(run)
        for samples in explanations(run, setting).values()
        for each in samples
        for image_id in each.image_ids
    }
    assert len(settings(run)) == len(WAYS) + 1
    assert best | varied <= shown == everything
    assert len(shown) > len(best)
    assert {part_of(image_id) for image_id in shown} == {"explaining"}


def test_no_image_that_was_shown_is_ever_handed_out(
    held_out: RunHeldOut, shown: frozenset[int], feature_ids: list[int]
) -> None:
    assert isinstance(held_out, HeldOut)
    for feature_id in (*feature_ids, *held_out.feature_ids()[::30]):
        for kind in KINDS:
            found = held_out.exemplars(feature_id, kind)
            assert {part_of(each.image.image_id) for each in found} <= {"scoring"}
            assert not {each.image.image_id for each in found} & shown
    background = ids_of(held_out.background(1000))
    assert {part_of(each) for each in background} == {"scoring"}
    assert not set(background) & shown
    assert all(handed_out(held_out, each, [kind]) for each in feature_ids for kind in KINDS), "there was something"


def test_the_two_halves_of_all_features_share_no_image(run: Run) -> None:
    halves: dict[str, set[int]] = {"explaining": set(), "scoring": set()}
    for part, images in run.rows("SELECT part, images FROM exemplars"):
        halves[part] |= set(np.frombuffer(images, IMAGE)["image_id"].tolist())
    assert min(len(half) for half in halves.values()) > N_IMAGES / 4
    assert not halves["explaining"] & halves["scoring"]
    assert all(part_of(image_id) == part for part, half in halves.items() for image_id in half)


def test_exemplars_are_those_of_the_scoring_half(run: Run, held_out: RunHeldOut, feature_ids: list[int]) -> None:
    for kind in KINDS:
        expected = exemplars(run, feature_ids[0], "scoring", kind)
        found = held_out.exemplars(feature_ids[0], kind)
        assert [(each.image, each.activation, each.rank) for each in found] == [
            (each.image, each.activation, each.rank) for each in expected
        ]
        assert ids_of([each.image for each in held_out.exemplars(feature_ids[0], kind, 2)]) == ids_of(
            [each.image for each in expected[:2]]
        )
    with pytest.raises(FeatureNotFound):
        held_out.exemplars(100_000, "top")


def test_the_features_are_those_that_have_exemplars(run: Run, held_out: RunHeldOut, feature_ids: list[int]) -> None:
    known = held_out.feature_ids()
    assert known == sorted(set(known))
    assert set(feature_ids) <= set(known)
    ((n_features,),) = run.rows("SELECT count(*) FROM features")
    for feature_id in range(0, n_features, 25):
        assert (feature_id in known) == bool(held_out.exemplars(feature_id, "top"))


def test_the_background_is_the_same_for_all_and_begins_the_same_however_much_is_asked(
    run: Run, held_out: RunHeldOut
) -> None:
    whole = ids_of(held_out.background(1000))
    assert sorted(whole) == ids_of(inactive_images(run, "scoring"))
    assert whole != sorted(whole), "it is drawn"
    assert ids_of(held_out.background(5)) == whole[:5] == ids_of(held_out_of(run).background(5))
    assert held_out.background(0) == []


def test_pictures_and_near_features_are_the_runs(held_out: RunHeldOut, feature_ids: list[int]) -> None:
    (best,) = held_out.exemplars(feature_ids[0], "top", 1)
    assert pixel_hash(held_out.picture(best.image)) == best.image.pixel_hash
    cosines = [cosine for _other, cosine in held_out.nearest(feature_ids[0])]
    assert len(cosines) == CONFIG.n_nearest
    assert cosines == sorted(cosines, reverse=True)
    assert held_out.nearest(100_000) == ()


def test_the_papers_habit_is_five_of_the_ten_most_activating_that_explainers_are_shown(
    run: Run, shown: frozenset[int], feature_ids: list[int]
) -> None:
    shared, again = RunHeldOut(run, "shared", shown), RunHeldOut(run, "shared")
    ranks: set[tuple[int, ...]] = set()
    n_shown = 0
    for feature_id in feature_ids:
        top = exemplars(run, feature_id, "explaining", "top", 10)
        found = shared.exemplars(feature_id, "top")
        assert len(found) == min(5, len(top))
        assert [each.rank for each in found] == sorted({each.rank for each in found})
        assert set(ids_of([each.image for each in found])) <= set(ids_of([each.image for each in top]))
        repeated = again.exemplars(feature_id, "top")
        assert ids_of([each.image for each in repeated]) == ids_of([each.image for each in found])
        assert [each.rank for each in shared.exemplars(feature_id, "top", 3)] == [each.rank for each in found[:3]]
        ranks.add(tuple(each.rank for each in found))
        n_shown += len(handed_out(shared, feature_id, ["top"]) & shown)
    assert n_shown > 0, "it leaks, as it did"
    assert len(ranks) > len(feature_ids) / 2, "which ones is drawn for each feature"


def test_with_the_papers_habit_nothing_is_of_the_scoring_half(run: Run, feature_ids: list[int]) -> None:
    shared = RunHeldOut(run, "shared", shown_images(run))
    for feature_id in feature_ids[:3]:
        assert {part_of(each) for each in handed_out(shared, feature_id)} == {"explaining"}
    assert {part_of(each) for each in ids_of(shared.background(1000))} == {"explaining"}
    assert set(feature_ids) <= set(shared.feature_ids())


class Watched:
    """A run as scorers look at it, with a note of all that they look at."""

    def __init__(self, held_out: HeldOut) -> None:
        self.held_out = held_out
        self.looked: set[int] = set()

    def exemplars(self, feature_id: int, kind: Kind, n: int | None = None) -> list[Exemplar]:
        found = self.held_out.exemplars(feature_id, kind, n)
        self.looked |= {each.image.image_id for each in found}
        return found

    def best_images(self, n: int) -> Mapping[int, Sequence[KeptImage]]:
        all_of_them = self.held_out.best_images(n)
        found = {feature_id: all_of_them[feature_id] for feature_id in self.feature_ids()}
        self.looked |= {each.image_id for images in found.values() for each in images}
        return found

    def feature_ids(self) -> Sequence[int]:
        return self.held_out.feature_ids()[:60]

    def picture(self, image: KeptImage) -> Image.Image:
        self.looked.add(image.image_id)
        return self.held_out.picture(image)

    def nearest(self, feature_id: int) -> Sequence[tuple[int, float]]:
        return self.held_out.nearest(feature_id)

    def background(self, n: int) -> list[KeptImage]:
        found = self.held_out.background(n)
        self.looked |= {each.image_id for each in found}
        return found


def drawn(text: str, n: int) -> list[Image.Image] | None:
    found = instruments.WorldSynthesiser().synthesise([text] * n, range(n))
    return [each for each in found if each is not None] or None


Making = Callable[[HeldOut, Tools, Scoring], Scorer]
SCORERS: dict[str, Making] = {
    "iou": lambda held_out, _tools, scoring: IoU(held_out, instruments.WorldSegmenter(), scoring),
    "clip": lambda held_out, tools, scoring: Clip(held_out, tools.embedder, scoring),
    "detection": lambda held_out, tools, scoring: Detection(held_out, tools.activations, tools.judge, scoring),
    "fuzzing": lambda held_out, tools, scoring: Fuzzing(held_out, tools.activations, tools.judge, scoring),
    "faithfulness": lambda held_out, tools, scoring: Faithfulness(
        held_out, tools.speaker.vlm, tools.sae, tools.layer, scoring
    ),
    "distinctness": lambda held_out, tools, scoring: Distinctness(held_out, tools.embedder, scoring),
    "auroc": lambda held_out, tools, scoring: Auroc(held_out, lambda t: drawn(t, 4), tools.activations, scoring, {}),
}
"""Every score that looks at a run's images."""


def items(feature_ids: Sequence[int]) -> list[Item]:
    words = ("a frog", "a red star", "")
    return [Item(each, words[number % len(words)]) for number, each in enumerate(feature_ids)]


@pytest.mark.parametrize("name", SCORERS)
def test_no_score_looks_at_an_image_that_was_shown(
    name: str,
    held_out: RunHeldOut,
    shown: frozenset[int],
    feature_ids: list[int],
    tools: Tools,
) -> None:
    watched = Watched(held_out)
    measured = SCORERS[name](watched, tools, SCORING).score(items(feature_ids[:4]))
    assert sum(each.value is not None for each in measured) >= 2
    assert watched.looked
    assert not watched.looked & shown
    assert {part_of(image_id) for image_id in watched.looked} == {"scoring"}


@pytest.mark.parametrize("name", [name for name in SCORERS if name not in ("auroc", "faithfulness")])
def test_a_score_by_the_papers_habit_does_and_is_not_refused(
    name: str,
    run: Run,
    shown: frozenset[int],
    feature_ids: list[int],
    tools: Tools,
) -> None:
    watched = Watched(RunHeldOut(run, "shared", shown))
    scoring = replace(SCORING, holding="shared")
    SCORERS[name](watched, tools, scoring).score(items(feature_ids[:2]))
    assert watched.looked & shown
    assert {part_of(image_id) for image_id in watched.looked} == {"explaining"}


def leak(run: Run, image_id: int) -> None:
    """Write that an explainer was shown an image."""
    rows = run.rows("SELECT setting_id, feature_id FROM explanations LIMIT 1")
    run.rows(
        "UPDATE explanations SET image_ids = ? WHERE setting_id = ? AND feature_id = ?",
        (json.dumps([image_id]), *rows[0]),
    )


def test_an_image_that_was_shown_after_all_is_refused(rigged: Run, feature_ids: list[int]) -> None:
    for kind in KINDS:
        [*_, last] = exemplars(rigged, feature_ids[-1], "scoring", kind)
        leak(rigged, last.image.image_id)
        with refused(LeakedImage, f"image {last.image.image_id} .*was shown to an explainer.*--split shared"):
            held_out_of(rigged).exemplars(feature_ids[-1], kind)
    assert RunHeldOut(rigged, "shared", shown_images(rigged)).exemplars(feature_ids[-1], "top")


def test_a_background_that_was_shown_is_refused(rigged: Run) -> None:
    last = held_out_of(rigged).background(1000)[-1]
    leak(rigged, last.image_id)
    held_out = held_out_of(rigged)
    assert held_out.background(1)
    with refused(LeakedImage):
        held_out.background(1000)
    assert RunHeldOut(rigged, "shared", shown_images(rigged)).background(1000)


@pytest.mark.parametrize("name", SCORERS)
def test_every_score_of_a_run_that_leaks_is_refused(
    name: str, rigged: Run, feature_ids: list[int], tools: Tools
) -> None:
    (setting,) = [each for each in settings(rigged) if each.method == "steering"]
    everything = [image_id for (image_id,) in rigged.rows("SELECT image_id FROM images WHERE part = 'scoring'")]
    rigged.rows(
        "UPDATE explanations SET image_ids = ? WHERE setting_id = ?", (json.dumps(everything), setting.setting_id)
    )
    scorer = SCORERS[name](held_out_of(rigged), tools, SCORING)
    with refused(LeakedImage):
        scorer.score(items(feature_ids[:2]))


def swap(run: Run, feature_id: int) -> None:
    """Put a feature's best explaining images in the place of its scoring ones."""
    query = "SELECT images, heatmaps FROM exemplars WHERE feature_id = ? AND part = 'explaining' AND kind = 'top'"
    (blobs,) = run.rows(query, (feature_id,))
    run.rows(
        "UPDATE exemplars SET images = ?, heatmaps = ? WHERE feature_id = ? AND part = 'scoring' AND kind = 'top'",
        (*blobs, feature_id),
    )


def test_exemplars_of_the_other_half_are_refused_even_if_nobody_was_shown_them(
    rigged: Run, feature_ids: list[int]
) -> None:
    rigged.rows("DELETE FROM explanations")
    swap(rigged, feature_ids[0])
    with refused(UnusablePath):
        held_out_of(rigged).exemplars(feature_ids[0], "top")


def test_exemplars_that_were_moved_to_the_other_half_with_their_images_are_refused(
    rigged: Run, feature_ids: list[int]
) -> None:
    swap(rigged, feature_ids[0])
    rigged.rows("UPDATE images SET part = 'scoring'")
    with refused(LeakedImage):
        held_out_of(rigged).exemplars(feature_ids[0], "top")


def test_an_image_that_was_moved_to_the_other_half_is_refused(rigged: Run, feature_ids: list[int]) -> None:
    held_out = held_out_of(rigged)
    (best,) = held_out.exemplars(feature_ids[0], "top", 1)
    rigged.rows("UPDATE images SET part = 'explaining' WHERE image_id = ?", (best.image.image_id,))
    with refused(UnusablePath):
        held_out_of(rigged).exemplars(feature_ids[0], "top")
    with refused(UnusablePath):
        held_out_of(rigged).best_images(10)
    rigged.rows("UPDATE images SET part = 'explaining'")
    with refused(UnusablePath):
        held_out.background(5)


@pytest.mark.parametrize("holding", ["held-out", "shared"])
def test_the_best_images_of_all_features_are_those_of_their_exemplars(rigged: Run, holding: Holding) -> None:
    held_out = RunHeldOut(rigged, holding, shown_images(rigged))
    expected = {each: [found.image for found in held_out.exemplars(each, "top", 4)] for each in held_out.feature_ids()}
    assert held_out.best_images(4) == expected
    assert list(held_out.best_images(4)) == list(expected)


def test_an_image_that_is_gone_is_named(rigged: Run, feature_ids: list[int]) -> None:
    held_out = held_out_of(rigged)
    (best,) = held_out.exemplars(feature_ids[0], "top", 1)
    rigged.thumbnails.path(best.image.pixel_hash).unlink()
    with pytest.raises(UnreadableImage, match=best.image.pixel_hash):
        held_out.picture(best.image)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE explanations SET image_ids = '{'",
        "UPDATE explanations SET image_ids = '[\"x\"]'",
        "UPDATE features SET nearest = '[[1, NaN]]'",
        "UPDATE exemplars SET feature_id = 'x' || feature_id",
        "UPDATE exemplars SET images = x'00'",
    ],
)
def test_a_strangers_run_that_is_damaged_is_refused_in_one_line(damage: str, rigged: Run) -> None:
    rigged.rows(damage)

    def everything() -> list[Any]:
        held_out = held_out_of(rigged)
        return [held_out.feature_ids(), held_out.background(5), held_out.nearest(0)]

    with refused(UnusablePath):
        everything()
