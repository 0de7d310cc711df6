"""Words that are not a feature's own get chance from the scores of which chance is one half, and its own get more."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

import seesay
from seesay.exemplars.config import CollectionConfig
from seesay.instruments.judges import VLMJudge
from seesay.pipeline.collecting import Subject, collect
from seesay.sae import load_sae
from seesay.scorers.activations import Activations
from seesay.scorers.auroc import Auroc
from seesay.scorers.config import Scoring
from seesay.scorers.detection import Detection
from seesay.scorers.fuzzing import Fuzzing
from seesay.scorers.scorer import Item, Scorer
from seesay.split import split_of
from seesay.store.held_out import RunHeldOut
from seesay.store.run import Run
from seesay.vlm import load_vlm
from seesay.world.concepts import Concept
from seesay.world.grammar import phrase
from seesay.world.instruments import WorldSynthesiser
from seesay.world.pictures import Pictures
from seesay.world.truth import measure
from tests.checking import unchecked_calls

N_IMAGES, N_FEATURES, N_SCENES = 4000, 300, 1000
"""Features share images: of few, their errors would be alike, and no mean over features would take them away."""

SCORING = Scoring(n_images=10)
TOLERANCE = 0.03
CONSTANTS = ("a frog", "the colour red", "a striped pattern")
"""One thing, one colour, one pattern, chosen before anything was measured."""

pytestmark = [pytest.mark.slow(seconds=270), pytest.mark.xdist_group("chance")]


@dataclass(frozen=True)
class Features:
    """Test features for which a concept holds, with the scorers of a run."""

    concepts: dict[int, tuple[Concept, ...]]
    scorers: dict[str, Scorer]

    def mean(self, name: str, words: Callable[[int], str]) -> float:
        items = [Item(feature_id, words(feature_id)) for feature_id in self.concepts]
        values = [each.value for each in self.scorers[name].score(items)]
        return float(np.mean([value for value in values if value is not None]))


@pytest.fixture(scope="module", autouse=True)
def unchecked() -> Iterator[None]:
    with unchecked_calls():
        yield


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Features]:
    vlm = load_vlm(seesay.world.checkpoint("world:M"), device="cpu")
    sae = load_sae(seesay.world.sae("world:late"))
    layer = sae.provenance.layer
    assert layer is not None
    subject = Subject(vlm.encoder, sae, layer, {"subject": "world:M", "sae": "world:late"})
    truth = measure(vlm.encoder, sae, layer, n_scenes=N_SCENES)
    known = [each for each in truth.live if split_of(each) == "test" and truth.concepts(each)]
    folder = tmp_path_factory.mktemp("runs") / "x"
    with Run.writing(folder, subject.as_json()) as run:
        collect(run, subject, Pictures(N_IMAGES), CollectionConfig())
        held_out, activations = RunHeldOut(run), Activations(vlm.encoder, sae, layer)
        judge = VLMJudge(seesay.world.load_vlm("world:judge", device="cpu"))
        synthesiser = WorldSynthesiser()

        def synthesised(text: str) -> list | None:
            made = synthesiser.synthesise([text] * SCORING.n_images, range(SCORING.n_images))
            return [image for image in made if image is not None] or None

        scorers: dict[str, Scorer] = {
            "auroc": Auroc(held_out, synthesised, activations, SCORING, synthesiser.facts),
            "detection": Detection(held_out, activations, judge, SCORING),
            "fuzzing": Fuzzing(held_out, activations, judge, SCORING),
        }
        yield Features({each: truth.concepts(each) for each in known[:N_FEATURES]}, scorers)


def donors(concepts: dict[int, tuple[Concept, ...]]) -> dict[int, int]:
    """To each feature another one, of whose concepts none holds for it."""
    order: Sequence[int] = np.random.default_rng(0).permutation(list(concepts)).tolist()
    found: dict[int, int] = {}
    for place, feature_id in enumerate(order):
        ring = (*order[place + 1 :], *order[:place])
        found[feature_id] = next(each for each in ring if not set(concepts[each]) & set(concepts[feature_id]))
    return found


@pytest.mark.parametrize("name", ["auroc", "detection", "fuzzing"])
def test_the_words_of_features_with_other_concepts_get_chance(features: Features, name: str) -> None:
    donor_of = donors(features.concepts)
    found = features.mean(name, lambda feature_id: phrase(features.concepts[donor_of[feature_id]][0]))
    assert abs(found - 0.5) <= TOLERANCE


@pytest.mark.parametrize("words", CONSTANTS)
@pytest.mark.parametrize("name", ["auroc", "detection", "fuzzing"])
def test_the_same_words_for_all_get_chance(features: Features, name: str, words: str) -> None:
    assert abs(features.mean(name, lambda _feature_id: words) - 0.5) <= TOLERANCE


@pytest.mark.parametrize("name", ["auroc", "detection", "fuzzing"])
def test_its_own_words_get_more_than_chance(features: Features, name: str) -> None:
    found = features.mean(name, lambda feature_id: phrase(features.concepts[feature_id][0]))
    assert found > 0.5 + TOLERANCE
