"""Numbers are read from the settings that a protocol asks for, and from no others that lie beside them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from seesay.errors import UnusablePath
from seesay.explainers.config import METHODS as WAYS
from seesay.records import Strength
from seesay.reproduction.protocol import CONTROLS, METHODS, WORLD, Protocol
from seesay.reproduction.reading import Asked, Shelves, base, stored, title
from seesay.split import split_of
from seesay.store.explanations import settings
from seesay.store.labels import Label, add_labels
from seesay.store.run import Run
from tests.comparison.making import FACTS, making, said, scored

PROTOCOL = replace(WORLD, blocks=WORLD.blocks[:2], explainers=WORLD.explainers[::2])
STRENGTHS = {"steering": Strength(2.0, "residual_norm"), "hybrid": Strength(4.0, "max_activation")}
N = 40
TEST = [each for each in range(N) if split_of(each) == "test"]
NEAR = {TEST[0]: [(TEST[1], 0.9)]}


def value(block: int, method: str, size: str, feature_id: int) -> float:
    """A number that tells where it is from."""
    return block / 10 + METHODS.index(method) / 100 + (size == "L") / 1000 + feature_id / 100_000  # type: ignore[arg-type]


def fill(run: Run, block: int, protocol: Protocol = PROTOCOL) -> None:
    for method, each in product(METHODS, protocol.explainers):
        words = {feature_id: f"{method} {feature_id}" for feature_id in range(N)}
        asked = replace(base(protocol, method), strength=STRENGTHS.get(method))
        setting = said(run, words, asked, each.name)
        values = {feature_id: value(block, method, each.size, feature_id) for feature_id in range(N)}
        scored(run, "iou", setting, values, words)
        scored(run, "iou", setting, dict.fromkeys(range(N), 0.5), words, aid="permuted")
        random = said(run, words, replace(asked, control="random"), each.name)
        scored(run, "iou", random, dict.fromkeys(range(N), 0.25), words)


def noted(run: Run, protocol: Protocol, block: str) -> dict[Asked, str]:
    """The identities of what was filled in."""
    found: dict[Asked, str] = {}
    for method, each, control in product(METHODS, protocol.explainers, CONTROLS):
        asked = replace(base(protocol, method, control), strength=STRENGTHS.get(method))
        same = [
            of.identity
            for of in settings(run)
            if of.explainer == each.name and all(of.facts[name] == fact for name, fact in asked.facts.items())
        ]
        found[block, (method, each.size, 0), control] = same[0]
    return found


@contextmanager
def shelves(folder: Path, protocol: Protocol = PROTOCOL, **options: object) -> Iterator[Shelves]:
    with ExitStack() as stack:
        runs = {each.name: stack.enter_context(Run.open(folder / each.name)) for each in protocol.blocks}
        identities = {key: value for name, run in runs.items() for key, value in noted(run, protocol, name).items()}
        yield Shelves(runs, protocol, identities, 0, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reproduced")
    for block, each in enumerate(PROTOCOL.blocks):
        with making(folder / each.name, N, layer=block, identity=each.name, nearest=NEAR) as run:
            fill(run, block)
    return folder


def test_numbers_are_those_of_test_features_by_method_explainer_and_block(filled: Path) -> None:
    with shelves(filled) as found:
        measured = found.measured("iou")
    assert measured is not None
    numbers = measured.numbers
    assert numbers.all_blocks == ("early", "middle")
    assert numbers.blocks == ["early"] * len(TEST) + ["middle"] * len(TEST)
    for method, each in product(METHODS, PROTOCOL.explainers):
        expected = [value(block, method, each.size, feature_id) for block in (0, 1) for feature_id in TEST]
        np.testing.assert_allclose(numbers.values[method, each.size, 0], expected)


def test_near_duplicates_are_one_cluster_within_a_block_alone(filled: Path) -> None:
    with shelves(filled) as found:
        measured = found.measured("iou")
    assert measured is not None
    clusters = measured.numbers.clusters
    assert clusters[0] == clusters[1]
    assert len(set(clusters.tolist())) == 2 * (len(TEST) - 1)


def test_beside_each_way_stand_its_random_directions_and_permuted_words(filled: Path) -> None:
    with shelves(filled) as found:
        measured = found.measured("iou")
    assert measured is not None
    assert [title(each.way) for each in measured.standings[:2]] == ["steering, S", "steering, L"]
    for each in measured.standings:
        assert {aid: (found.mean, found.n) for aid, found in each.aids.items()} == {
            "random": (0.25, 2 * len(TEST)),
            "permuted": (0.5, 2 * len(TEST)),
        }


def test_random_directions_beside_other_features_than_the_protocol_s_are_left_out(filled: Path) -> None:
    with shelves(filled, controls={"early": TEST[:3], "middle": TEST[:2]}) as found:
        measured = found.measured("iou")
    assert measured is not None
    assert {each.aids["random"].n for each in measured.standings} == {5}
    assert {each.mean.n for each in measured.standings} == {2 * len(TEST)}


def test_a_score_that_one_way_lacks_is_not_told(filled: Path) -> None:
    with shelves(filled) as found:
        assert found.measured("clip") is None


def test_other_settings_and_shared_images_beside_do_not_mix_in(filled: Path, tmp_path: Path) -> None:
    for block, each in enumerate(PROTOCOL.blocks):
        with making(tmp_path / each.name, N, layer=block, identity=each.name, nearest=NEAR) as run:
            fill(run, block)
            words = dict.fromkeys(range(N), "another")
            for changed in (
                replace(base(PROTOCOL, "topk"), n_images=2),
                replace(base(PROTOCOL, "steering"), strength=Strength(9.0, "residual_norm")),
                replace(base(PROTOCOL, "steering"), strength=STRENGTHS["steering"], empty="black"),
            ):
                scored(run, "iou", said(run, words, changed, "world:S"), dict.fromkeys(range(N), 0.9), words)
            topk = stored(run, noted(run, PROTOCOL, each.name)[each.name, ("topk", "S", 0), None])
            own = {feature_id: f"topk {feature_id}" for feature_id in range(N)}
            scored(run, "iou", topk, dict.fromkeys(range(N), 0.99), own, facts={**FACTS, "holding": "shared"})
    with shelves(filled) as alone, shelves(tmp_path) as mixed:
        expected, found = alone.measured("iou"), mixed.measured("iou")
    assert expected is not None and found is not None
    for way, values in expected.numbers.values.items():
        np.testing.assert_array_equal(found.numbers.values[way], values)
    assert expected.standings == found.standings


def test_strengths_are_told_by_block_and_way(filled: Path) -> None:
    with shelves(filled) as found:
        assert found.strengths()["middle"]["hybrid, L"] == "4 max_activation"


def test_words_of_another_prompt_or_number_format_are_not_taken_for_those_that_were_noted(tmp_path: Path) -> None:
    with making(tmp_path / "early", N) as run:
        words = dict.fromkeys(range(N), "a frog")
        first = said(run, words, base(PROTOCOL, "topk"), "world:S")
        said(run, words, base(PROTOCOL, "topk"), "world:S", prompt="And this?")
        assert stored(run, first.identity) == first


def test_what_was_noted_and_is_missing_is_named(filled: Path) -> None:
    with Run.open(filled / "early") as run:
        for identity in (None, "0" * 64):
            with pytest.raises(UnusablePath, match="early lacks what was said"):
                stored(run, identity)


def test_without_the_truth_a_feature_is_of_the_level_that_most_words_are(tmp_path: Path) -> None:
    protocol = replace(PROTOCOL, labeller="tiny", calibrating=MappingProxyType(dict(WORLD.calibrating)))
    for block, each in enumerate(protocol.blocks):
        with making(tmp_path / each.name, N, layer=block, identity=each.name) as run:
            fill(run, block, protocol)
            labels = [
                Label(f"{method} {feature_id}", "low-level" if method != "topk" else "high-level", "")
                for method in METHODS
                for feature_id in range(N)
                if feature_id != TEST[0]
            ]
            add_labels(run, "model:1", labels)
    with shelves(tmp_path, protocol) as found:
        measured = found.measured("iou")
    assert measured is not None
    assert measured.numbers.levels[0] == ""
    assert set(measured.numbers.levels[1 : len(TEST)]) == {"low-level"}


def test_every_method_of_the_paper_is_one_that_there_is() -> None:
    assert set(METHODS) <= set(WAYS)
