"""CLIP-Dissect into a run of the embedded world: the phrase that fits best, over all features, whoever is asked for."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

import seesay
from seesay.errors import FeatureNotFound, InvalidSetting, UnusablePath
from seesay.exemplars.config import CollectionConfig
from seesay.explainers.config import Setting
from seesay.images.decoding import pixel_hash
from seesay.images.options import Colour
from seesay.instruments.instrument import Embedder
from seesay.pipeline.collecting import Subject, collect
from seesay.pipeline.dissecting import dissect, dissecting
from seesay.records import Ablation, Control, Explanation
from seesay.sae import load_sae
from seesay.split import split_of
from seesay.steering import permuted
from seesay.store.exemplars import exemplars
from seesay.store.explanations import StoredSetting, explanations, n_explained, settings, shown_images
from seesay.store.gallery import explainable
from seesay.store.run import Run
from seesay.vlm import load_vlm
from seesay.world import instruments
from seesay.world.concepts import CONCEPTS
from seesay.world.grammar import phrase
from seesay.world.pictures import Pictures

CONFIG = CollectionConfig(n_top=8, n_quantiles=1, n_per_quantile=1, n_sampled=1, n_inactive=1, n_background=10)
WORDS = [phrase(concept) for concept in CONCEPTS]


@final
class Watched:
    """An embedder, with a note of how often it is asked and of what."""

    def __init__(self, embedder: Embedder, **facts: Any) -> None:
        self._embedder, self._facts = embedder, facts
        self.embedded: list[str] = []
        self.n_texts = 0

    @property
    def facts(self) -> Mapping[str, Any]:
        return {**self._embedder.facts, **self._facts}

    @property
    def mask_fill(self) -> Colour:
        return self._embedder.mask_fill

    def embed_images(self, images: Sequence[Image.Image]) -> Tensor:
        self.embedded += map(pixel_hash, images)
        return self._embedder.embed_images(images)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        self.n_texts += len(texts)
        return self._embedder.embed_texts(texts)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return instruments.embedder("cpu")


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "world"
    sae = load_sae(seesay.world.sae("world:late"))
    encoder = load_vlm(seesay.world.checkpoint("world:S"), device="cpu").encoder
    assert sae.provenance.layer is not None
    subject = Subject(encoder, sae, sae.provenance.layer, {"subject": "world:S", "sae": "world:late"})
    with Run.writing(folder, subject.as_json()) as run:
        collect(run, subject, Pictures(48), CONFIG)
        keep_only(run, explainable(run)[::40] + never_active(run)[:3])
    return folder


def never_active(run: Run) -> list[int]:
    query = "SELECT feature_id FROM features WHERE max_activation = 0 ORDER BY feature_id"
    return [feature_id for (feature_id,) in run.rows(query)]


def keep_only(run: Run, feature_ids: Sequence[int]) -> None:
    """Make it a run of some features, as all would take their time."""
    kept = ", ".join(map(str, feature_ids))
    for table in ("exemplars", "features"):
        run.rows(f"DELETE FROM {table} WHERE feature_id NOT IN ({kept})")


@pytest.fixture
def run(collected: Path, tmp_path: Path) -> Iterator[Run]:
    with Run.writing(shutil.copytree(collected, tmp_path / "run")) as run:
        yield run


def words_in(run: Run, stored: StoredSetting) -> dict[int, Explanation]:
    return {feature_id: said for feature_id, (said,) in explanations(run, stored).items()}


def dissected(
    run: Run, embedder: Embedder, feature_ids: Sequence[int], setting: Setting | None = None, words: Sequence[str] = ()
) -> dict[int, Explanation]:
    stored = dissect(run, embedder, "world", list(words or WORDS), setting or dissecting(None), feature_ids)
    return words_in(run, stored)


def top(run: Run, feature_id: int) -> list[str]:
    return [each.image.pixel_hash for each in exemplars(run, feature_id, "explaining", "top")]


def scores_of(cosines: Mapping[str, np.ndarray], images: Mapping[int, Sequence[str]]) -> dict[int, np.ndarray]:
    """Soft WPMI by the definition: of each feature with images, a number for each phrase."""
    longest = max(map(len, images.values()))
    joint: dict[int, np.ndarray] = {}
    for feature_id, own in images.items():
        total = 0.0
        for n, image in enumerate(own):
            weights = np.exp(10 * (cosines[image] - cosines[image].max()))
            p = 0.998 - n / len(own) * 0.028
            total = total + np.log(1 + p * (weights / weights.sum() - 1) + 1e-7)
        joint[feature_id] = total * longest / len(own)
    largest = np.max(list(joint.values()), axis=0)
    mean = np.mean([np.exp(each - largest) for each in joint.values()], axis=0)
    return {feature_id: each - largest - np.log(mean) for feature_id, each in joint.items()}


def cosines_of(run: Run, embedder: Embedder, words: Sequence[str]) -> dict[str, np.ndarray]:
    phrases = embedder.embed_texts(words)
    hashes = [pixel_hash for (pixel_hash,) in run.rows("SELECT pixel_hash FROM images WHERE part = 'explaining'")]
    return {
        each: (embedder.embed_images([run.thumbnails.read(each)]) @ phrases.T)[0].double().numpy() for each in hashes
    }


def check_best(found: Mapping[int, Explanation], scores: Mapping[int, np.ndarray], words: Sequence[str]) -> None:
    """Each text is the best phrase; between two that are as good but for rounding, either will do."""
    for feature_id, own in scores.items():
        if feature_id in found:
            assert own[words.index(found[feature_id].text)] == pytest.approx(own.max(), abs=1e-3)


def test_the_words_are_the_phrase_of_the_largest_soft_wpmi(run: Run, embedder: Embedder) -> None:
    feature_ids = explainable(run)
    found = dissected(run, embedder, feature_ids)
    assert list(found) == feature_ids
    scores = scores_of(cosines_of(run, embedder, WORDS), {each: top(run, each) for each in feature_ids})
    check_best(found, scores, WORDS)
    best = {feature_id: WORDS[int(own.argmax())] for feature_id, own in scores.items()}
    assert np.mean([found[each].text == best[each] for each in feature_ids]) > 0.98
    assert len({each.text for each in found.values()}) > 10
    for each in found.values():
        assert (each.method, each.status, each.control, each.strength, each.donor_id) == (
            "dissect",
            "ok",
            None,
            None,
            None,
        )
        assert [image_id for image_id in each.image_ids] == [
            one.image.image_id for one in exemplars(run, each.feature_id, "explaining", "top")
        ]
    assert {part for (part,) in run.rows(f"SELECT part FROM images WHERE image_id IN {tuple(shown_images(run))}")} == {
        "explaining"
    }


def test_only_what_is_asked_for_is_stored_and_says_what_it_says_among_all(run: Run, embedder: Embedder) -> None:
    feature_ids = explainable(run)
    asked = feature_ids[2:30:3]
    some = dissected(run, embedder, asked)
    assert list(some) == asked
    everything = dissected(run, embedder, feature_ids)
    assert {each: everything[each] for each in asked} == some
    alone = scores_of(cosines_of(run, embedder, WORDS), {each: top(run, each) for each in asked})
    differing = [each for each in asked if WORDS[int(alone[each].argmax())] != some[each].text]
    assert differing, "among themselves they would say something else"


def test_asking_again_adds_and_embeds_nothing(run: Run, embedder: Embedder) -> None:
    watched = Watched(embedder)
    feature_ids = explainable(run)[:20]
    done: list[int] = []
    stored = dissect(run, watched, "world", WORDS, dissecting(None), feature_ids, on_batch=done.append)
    kept = {each for feature_id in explainable(run) for each in top(run, feature_id)}
    assert sorted(watched.embedded) == sorted(kept), "each image once"
    assert sum(done) == len(kept)
    before = words_in(run, stored)
    watched.embedded.clear()
    assert dissect(run, watched, "world", WORDS, dissecting(None), feature_ids) == stored
    assert (watched.embedded, watched.n_texts) == ([], len(WORDS))
    assert words_in(run, stored) == before
    more = explainable(run)[:25]
    assert dissect(run, watched, "world", WORDS, dissecting(None), more) == stored
    assert list(words_in(run, stored)) == more
    assert {each: words_in(run, stored)[each] for each in feature_ids} == before


def test_other_words_and_other_embedders_are_other_settings(run: Run, embedder: Embedder) -> None:
    feature_ids = explainable(run)[:3]
    ways = [
        (embedder, WORDS, dissecting(None)),
        (embedder, WORDS[:50], dissecting(None)),
        (embedder, WORDS[::-1], dissecting(None)),
        (Watched(embedder, weights="others"), WORDS, dissecting(None)),
        (embedder, WORDS, dissecting("random")),
        (embedder, WORDS, dissecting("random", seed=1)),
        (embedder, WORDS, dissecting("permuted")),
    ]
    stored = [dissect(run, who, "world", words, setting, feature_ids) for who, words, setting in ways]
    assert settings(run) == stored
    assert len({each.identity for each in stored}) == len(ways)
    assert dissect(run, embedder, "another name", WORDS, dissecting(None, seed=1), feature_ids) == stored[0]
    assert {each.text for each in words_in(run, stored[1]).values()} <= set(WORDS[:50])
    assert [(each.method, each.explainer, each.strength) for each in stored] == [("dissect", "world", None)] * len(ways)


def test_a_permuted_control_says_what_its_donors_images_say(run: Run, embedder: Embedder) -> None:
    feature_ids = explainable(run)
    own = dissected(run, embedder, feature_ids)
    found = dissected(run, embedder, feature_ids, dissecting("permuted", seed=3))
    donors: dict[int, int] = {}
    for split in ("validation", "test"):
        donors |= permuted([each for each in feature_ids if split_of(each) == split], 3)
    assert {each.feature_id: each.donor_id for each in found.values()} == donors
    for feature_id, donor_id in donors.items():
        assert found[feature_id].image_ids == own[donor_id].image_ids
        assert found[feature_id].text == own[donor_id].text, "over all features the images are the same"
    assert {each.control for each in found.values()} == {"permuted"}


def test_a_random_control_looks_at_other_features_images_as_many_as_its_own(run: Run, embedder: Embedder) -> None:
    feature_ids = explainable(run)
    own = dissected(run, embedder, feature_ids)
    found = dissected(run, embedder, feature_ids, dissecting("random"))
    assert found != dissected(run, embedder, feature_ids, dissecting("random", seed=1))
    differing = [each for each in feature_ids if set(found[each].image_ids) != set(own[each].image_ids)]
    assert len(differing) > 0.9 * len(feature_ids)
    assert all(len(found[each].image_ids) == len(own[each].image_ids) for each in feature_ids)
    name_of = dict(run.rows("SELECT image_id, pixel_hash FROM images"))
    images = {each: [name_of[image_id] for image_id in found[each].image_ids] for each in feature_ids}
    check_best(found, scores_of(cosines_of(run, embedder, WORDS), images), WORDS)


@pytest.mark.parametrize("control", ["none", "random-direction", "permuted-images"])
def test_controls_of_what_it_does_not_have_are_refused(control: Control | Ablation) -> None:
    with pytest.raises(InvalidSetting, match="dissect"):
        dissecting(control)


def test_a_feature_without_images_is_empty_and_one_that_there_is_not_is_an_error(run: Run, embedder: Embedder) -> None:
    (dead, *_) = never_active(run)
    feature_ids = [*explainable(run)[:2], dead]
    found = dissected(run, embedder, feature_ids)
    assert [found[each].status for each in feature_ids] == ["ok", "ok", "empty"]
    assert (found[dead].text, found[dead].image_ids) == ("", ())
    assert "no image" in found[dead].reason
    assert found[feature_ids[0]] == dissected(run, embedder, feature_ids[:1], dissecting(None))[feature_ids[0]]
    before = n_explained(run, settings(run)[0])
    with pytest.raises(FeatureNotFound):
        dissected(run, embedder, [*feature_ids, 100_000])
    assert n_explained(run, settings(run)[0]) == before


def test_where_no_feature_has_images_all_are_empty(run: Run, embedder: Embedder) -> None:
    run.rows("DELETE FROM exemplars")
    ((one,), (other,)) = run.rows("SELECT feature_id FROM features LIMIT 2")
    found = dissected(run, embedder, [one, other])
    assert [(each.status, each.text) for each in found.values()] == [("empty", "")] * 2


def test_one_phrase_is_said_of_everything(run: Run, embedder: Embedder) -> None:
    found = dissected(run, embedder, explainable(run)[:5], words=["a frog"])
    assert {each.text for each in found.values()} == {"a frog"}


def test_a_full_disk_is_one_line_and_leaves_nothing_half_done(run: Run, embedder: Embedder) -> None:
    feature_ids = explainable(run)
    words = [f"{word}, {'and so on ' * 50}" for word in WORDS]
    stored = dissect(run, embedder, "world", words, dissecting(None), [])
    run.rows("VACUUM")
    ((n_pages,),) = run.rows("PRAGMA page_count")
    run.rows(f"PRAGMA max_page_count = {n_pages}")
    with pytest.raises(UnusablePath, match="full; expected room on the disk") as caught:
        dissected(run, embedder, feature_ids, words=words)
    assert "\n" not in str(caught.value)
    assert explanations(run, stored) == {}
    run.rows("PRAGMA max_page_count = 100000")
    assert list(dissected(run, embedder, feature_ids, words=words)) == feature_ids
