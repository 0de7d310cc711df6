"""`seesay calibrate --by` a score: words are held against held-out images, on validation features alone."""

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seesay import cli
from seesay.commands import measuring
from seesay.commands.calibrate import By, Calibrate
from seesay.commands.instruments import InstrumentOptions
from seesay.commands.measuring import Bench
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.errors import NotEnoughMemory
from seesay.pipeline import calibrating
from seesay.records import Explanation
from seesay.scorers.config import SCORES, Scoring
from seesay.scorers.scorer import Item, Measured
from seesay.split import split_of
from seesay.store.calibrations import calibrations
from seesay.store.explanations import explanations, settings, shown_images
from seesay.store.gallery import explainable
from seesay.store.held_out import RunHeldOut
from seesay.store.run import Run

GRID, N = (0.5, 4.0), 8
FLAGS = ("--grid", "0.5,4", "--max-features", str(N), "--max-new-tokens", "10", "--device", "cpu")
SMALL = Scoring(n_exemplars=3, n_images=3, n_positives=3)


def calibrate(run: Path, *more: str) -> int:
    return cli.main(["calibrate", str(run), *FLAGS, *more])


@pytest.fixture
def run(collected_world: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(collected_world, tmp_path / "run"))


@pytest.fixture(autouse=True)
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores by fewer images than they take, as these take their time."""
    monkeypatch.setattr("seesay.commands.calibrate.Scoring", lambda **named: SMALL)
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[int]]:
    """The features whose held-out images are looked at as their own."""
    found: set[int] = set()
    exemplars = RunHeldOut.exemplars

    def noting(self: RunHeldOut, feature_id: int, kind: Any, n: int | None = None) -> Any:
        found.add(feature_id)
        return exemplars(self, feature_id, kind, n)

    monkeypatch.setattr(RunHeldOut, "exemplars", noting)
    yield found


@pytest.mark.parametrize(
    "name", ["iou", *(pytest.param(each, marks=pytest.mark.slow) for each in ("clip", "auroc", "detection"))]
)
def test_a_score_chooses_on_validation_features_alone_and_is_named_with_the_choice(
    name: By,
    run: Path,
    looked_at: set[int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # So few features are seldom above chance; here it matters which of them are looked at.
    monkeypatch.setattr(calibrating, "_chance", lambda _name: 0.0)
    assert calibrate(run, "--by", name, "--json", "-") == 0
    found = json.loads(capsys.readouterr().out)
    with Run.open(run) as opened:
        chosen_on = explainable(opened, "validation")[:N]
        (kept,) = calibrations(opened)
        said = {each.strength.value: explanations(opened, each) for each in settings(opened) if each.strength}
    assert (found["score"], kept.score) == (name, name)
    assert [point["strength"] for point in kept.curve] == list(GRID)
    assert [point["n"] for point in kept.curve] == [N, N]
    assert kept.strength.value in GRID
    assert {split_of(feature_id) for feature_id in chosen_on} == {"validation"}
    assert all(set(words) == set(chosen_on) for words in said.values())
    if name == "iou":  # others hold words against other features' images, too
        assert looked_at == set(chosen_on)
    expected = [
        np.mean(measured(run, name, [words[each][0].text for each in chosen_on], chosen_on))
        for words in (said[value] for value in GRID)
    ]
    assert [point["score"] for point in kept.curve] == pytest.approx(expected, abs=1e-4)
    assert Path(found["page"]).is_file()


def measured(run: Path, name: Any, texts: Sequence[str], feature_ids: Sequence[int]) -> list[float]:
    """What the score itself gives to words."""
    common = Options(device="cpu")
    with Run.writing(run) as opened:
        bench = Bench.of(opened, SMALL, InstrumentOptions(), common, Output(common))
        if name == "auroc":
            bench.synthesise(texts)
        items = [Item(each, text) for each, text in zip(feature_ids, texts, strict=True)]
        values = [each.value for each in bench.scorer(name).score(items)]
    return [(SCORES[name].chance or 0.0) if value is None else value for value in values]


def test_explaining_takes_the_choice_and_tells_by_what_it_was_made(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrate(run, "--by", "iou") == 0
    out = capsys.readouterr().out
    assert re.search(r"^┃ residual_norm ┃ +iou ┃", out, re.MULTILINE)
    with Run.open(run) as opened:
        (kept,) = calibrations(opened)
        feature_id = explainable(opened, "test")[0]
    assert f"Chosen: {kept.strength.value:g} (residual_norm), by iou of " in out
    assert "It is the weakest that is as good as the best. So few features tell little" in " ".join(out.split())
    explain = ["explain", str(run), "--features", str(feature_id), "--max-new-tokens", "10", "--device", "cpu"]
    assert cli.main(explain) == 0
    assert "calibrated for steering in this run, by iou." in capsys.readouterr().out


def test_a_feature_that_nothing_can_be_measured_on_counts_as_chance(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Weighing:
        facts: dict[str, Any] = {}

        def score(self, items: Sequence[Item]) -> list[Measured]:
            return [Measured(None if place == 0 else 0.9) for place, _ in enumerate(items)]

    monkeypatch.setattr(Bench, "scorer", lambda *_: Weighing())
    assert calibrate(run, "--by", "fuzzing", "--json", "-") == 0
    curve = json.loads(capsys.readouterr().out)["curve"]
    assert [point["score"] for point in curve] == pytest.approx([(0.5 + 0.9 * (N - 1)) / N] * 2, abs=1e-4)


class Narrow:
    """Measures no more words at a time than there is room for."""

    facts: dict[str, Any] = {}

    def __init__(self, room: int) -> None:
        self.room, self.n_at_once = room, list[int]()

    def score(self, items: Sequence[Item]) -> list[Measured]:
        self.n_at_once.append(len(items))
        if len(items) > self.room:
            raise MemoryError
        return [Measured(item.feature_id / 1e4) for item in items]


def test_words_are_measured_so_many_at_a_time(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counting = Narrow(N)
    monkeypatch.setattr(Bench, "scorer", lambda *_: counting)
    assert calibrate(run, "--by", "clip", "--batch-size", "3", "--json", "-") == 0
    assert counting.n_at_once == [3, 3, 2] * len(GRID)
    curve = json.loads(capsys.readouterr().out)["curve"]
    with Run.open(run) as opened:
        expected = np.mean(explainable(opened, "validation")[:N]) / 1e4
    assert [point["score"] for point in curve] == pytest.approx([expected] * len(GRID), abs=1e-4)


def test_where_memory_is_short_fewer_words_are_measured_at_a_time(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [
        Explanation(each, "steering", None, text="x", raw_text="x", status="ok", strength=None, coefficient=None)
        for each in range(N)
    ]
    common, narrow = Options(device="cpu"), Narrow(4)
    with Run.writing(run) as opened:
        judge = Bench.of(opened, SMALL, InstrumentOptions(), common, Output(common)).judge_by("clip", N)
        monkeypatch.setattr(Bench, "scorer", lambda *_: narrow)
        assert judge(said) == [each / 1e4 for each in range(N)]
        assert narrow.n_at_once == [N, 4, 4]
        monkeypatch.setattr(Bench, "scorer", lambda *_: Narrow(0))
        with pytest.raises(NotEnoughMemory, match="feature 0 alone does not fit into memory; expected room for one"):
            judge(said)


def test_what_makes_images_is_loaded_once_for_all_strengths(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = 0
    synthesiser = measuring.Instruments.synthesiser

    def counting(self: measuring.Instruments) -> Any:
        nonlocal loaded
        loaded += 1
        return synthesiser(self)

    monkeypatch.setattr(measuring.Instruments, "synthesiser", counting)
    assert calibrate(run, "--by", "auroc") == 0
    assert loaded == 1


@pytest.mark.slow
def test_the_images_that_explainers_were_shown_choose_no_strength(run: Path) -> None:
    assert calibrate(run, "--by", "iou", "--method", "hybrid", "--shown", "2") == 0
    with Run.open(run) as opened:
        shown = shown_images(opened)
        assert shown
        parts = {
            part
            for (part,) in opened.rows(
                "SELECT part FROM images WHERE image_id IN ({})".format(", ".join(map(str, shown)))
            )
        }
    assert parts == {"explaining"}


def refusal(run: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert calibrate(run, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("seesay: error: ")
    assert error.count("\n") == 1
    return error


def test_a_run_without_images_cannot_choose_by_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "new"
    explain = f"explain {new} --strength 1 --subject world:M --sae world:late --features 0 --max-new-tokens 4"
    assert cli.main([*explain.split(), "--device", "cpu"]) == 0
    for name in ("iou", "clip", "auroc", "detection", "fuzzing"):
        assert "has no images yet; expected a run of which `collect` is done" in refusal(new, capsys, "--by", name)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--by iou --segmenter ./nowhere", "nowhere"),
        ("--by iou --grid nan,1", "above 0"),
        ("--by iou --grid inf", "above 0"),
    ],
)
def test_what_cannot_choose_is_one_line(
    flags: str, message: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refusal(run, capsys, *flags.split())
    with Run.open(run) as opened:
        assert calibrations(opened) == []


def test_only_some_scores_choose(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("faithfulness", "counterfactual", "monosemanticity", "beauty"):
        assert calibrate(run, "--by", name) == 2
        assert "--by" in capsys.readouterr().err


def test_every_score_that_chooses_is_one_or_told_apart() -> None:
    from typing import get_args

    assert set(get_args(By)) - {"agreement", "kl"} <= set(SCORES)
    for name in get_args(By):
        parsed = cli.parse(["calibrate", "x", "--by", name])
        assert isinstance(parsed, Calibrate)
        assert parsed.by == name
