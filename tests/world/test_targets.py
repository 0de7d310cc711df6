"""The table of targets says what it means."""

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from seesay import cli, world
from seesay.errors import UnreadableModel, UnreadableSAE
from seesay.world import targets
from seesay.world.targets import Models, Target, evaluate, load_models, load_scorer, training_seconds
from seesay.world.training.config import STAGES
from tests.test_docs import EVALUATE

COUNTED = ("megabytes_of_weights", "megabytes_of_largest_shard", "hours_of_training")
NUMBERS = ("_features", "_best_concept_is_")
RECORD = Path(__file__).parents[2] / "docs" / "training" / "evaluation.json"


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (Target("recall", 0.9, 0.9), True),
        (Target("recall", 0.9, 0.8999), False),
        (Target("size", 32.0, 32.0, at_most=True), True),
        (Target("size", 32.0, 32.01, at_most=True), False),
        (Target("rise", 0.0, -0.0001), False),
    ],
)
def test_a_bound_is_met_or_not(target: Target, met: bool) -> None:
    assert target.met is met
    assert target.as_json() == {"name": target.name, "target": target.target, "reached": target.reached, "met": met}


def test_the_stages_seconds_add_up(tmp_path: Path) -> None:
    (tmp_path / "training.json").write_text(json.dumps(dict.fromkeys(STAGES, 10.5)))
    assert training_seconds(tmp_path) == 10.5 * len(STAGES)


@pytest.mark.parametrize("content", [None, "", "[]", '{"encoder": 10.5}', "3"])
def test_a_folder_that_notes_no_seconds_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "training.json").write_text(content)
    with pytest.raises(UnreadableModel, match="training.json"):
        training_seconds(tmp_path)


@pytest.mark.slow(seconds=300)
@pytest.mark.usefixtures("unchecked")
def test_the_shipped_models_reach_what_the_record_says_within_a_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    n_left: list[int] = []

    def counting(models: Models, on_measurement: Callable[[], None]) -> tuple[list[Target], dict[str, float]]:
        n_left.append(models.n_measurements)

        def one_less() -> None:
            n_left[0] -= 1
            on_measurement()

        return evaluate(models, one_less)

    monkeypatch.setattr(targets, "evaluate", counting)
    assert cli.main([*shlex.split(EVALUATE)[1:], "--device", "cpu", "--json", str(tmp_path / "found.json")]) == 0
    assert "\nNext:\n" in capsys.readouterr().out
    assert n_left == [0]
    found, record = (json.loads(path.read_text("utf-8")) for path in (tmp_path / "found.json", RECORD))
    reached, recorded = (
        {entry["name"]: entry["reached"] for entry in each["targets"]} | each["figures"] for each in (found, record)
    )
    assert reached.keys() == recorded.keys()
    for name, value in recorded.items():
        if name in COUNTED:
            assert reached[name] == value
        elif any(part in name for part in NUMBERS):  # a few features lie at the threshold of what holds
            assert reached[name] == pytest.approx(value, abs=10), name
        else:  # a share: within one point
            assert reached[name] == pytest.approx(value, abs=0.01), name


@pytest.mark.parametrize("missing", ["training.json", "vlm", "sae", "scorer"])
def test_a_folder_that_lacks_something_is_refused_before_anything_is_measured(tmp_path: Path, missing: str) -> None:
    for path in world.DATA.iterdir():
        if path.name != missing:
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises((UnreadableModel, UnreadableSAE), match=missing):
        load_models(tmp_path)


def test_a_damaged_scorer_is_named(tmp_path: Path) -> None:
    shutil.copytree(world.scorer(), tmp_path / "scorer")
    (tmp_path / "scorer" / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(UnreadableModel, match="scorer"):
        load_scorer(tmp_path / "scorer", device="cpu")
