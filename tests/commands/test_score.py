"""`seesay score`, from the command line to the numbers in a run of the embedded world."""

import json
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from seesay import cli, world
from seesay.commands import measuring
from seesay.commands.score import ScoreCommand
from seesay.scorers.config import PAPER, SCORES, Scoring
from seesay.split import split_of
from seesay.store import run as store
from seesay.store.database import open_to_write
from seesay.store.explanations import explanations, settings
from seesay.store.held_out import RunHeldOut
from seesay.store.run import Run
from seesay.store.scores import scores, scorings
from seesay.world import truth

SMALL = ("--n-images", "4", "--n-positives", "3", "--n-exemplars", "3")
OF_WORDS = ("iou", "clip", "auroc", "detection", "fuzzing", "ground_truth", "counterfactual")
N_TEST, N_VALIDATION = 6, 2
STEERING = "--method steering --strength-unit residual_norm --strength"


def command(name: str, run: Path, *more: str) -> int:
    return cli.main([name, str(run), "--device", "cpu", *more])


def score(run: Path, *more: str) -> int:
    return command("score", run, *SMALL, *more)


def explain(run: Path, feature_ids: Sequence[int], flags: str) -> None:
    asked = ("--features", ",".join(map(str, feature_ids)), "--max-new-tokens", "12")
    assert command("explain", run, *asked, *flags.split()) == 0


@pytest.fixture(scope="module")
def feature_ids(collected_world: Path) -> list[int]:
    """Some test features, and then some validation features, with exemplars for whoever explains and scores."""
    with Run.open(collected_world) as run:
        held_out = RunHeldOut(run)
        known = [each for each in held_out.feature_ids() if len(held_out.exemplars(each, "quantile")) > 3]
    parts = [[each for each in known if split_of(each) == part] for part in ("test", "validation")]
    return parts[0][:N_TEST] + parts[1][:N_VALIDATION]


@pytest.fixture(scope="module")
def explained(collected_world: Path, feature_ids: list[int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods, a control, an ablation, and a strength that was only tried; copy it before changing it."""
    run = Path(shutil.copytree(collected_world, tmp_path_factory.mktemp("explained") / "run"))
    explain(run, feature_ids, f"{STEERING} 2")
    explain(run, feature_ids, "--method topk")
    explain(run, feature_ids, "--method topk --control random")
    explain(run, feature_ids[:2], "--method topk --control permuted")
    explain(run, feature_ids[N_TEST:], f"{STEERING} 5")
    return run


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "150")


@pytest.fixture(scope="module", autouse=True)
def few_scenes() -> Iterator[None]:
    """The truth by fewer scenes than it takes, as these take their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(truth, "N_SCENES", 120)
        yield


@pytest.fixture(scope="module")
def scored(explained: Path, feature_ids: list[int], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """All test features scored by all scores but the slowest, and what scripts were told; copy it first."""
    run = Path(shutil.copytree(explained, tmp_path_factory.mktemp("scored") / "run"))
    file = run.parent / "scores.json"
    ids = ",".join(map(str, feature_ids[:N_TEST]))
    assert score(run, "--scores", ",".join(OF_WORDS), "--features", ids, "--json", str(file)) == 0
    return run, json.loads(file.read_text())


@pytest.fixture
def run(explained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(explained, tmp_path / "run"))


@pytest.fixture
def scored_run(scored: tuple[Path, Any], tmp_path: Path) -> Path:
    return Path(shutil.copytree(scored[0], tmp_path / "run"))


def result(run: Path, capsys: pytest.CaptureFixture[str], *more: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert score(run, *more, "--json", "-") == 0
    return json.loads(capsys.readouterr().out)["scores"]


def refusal(run: Path, capsys: pytest.CaptureFixture[str], *arguments: str, by: str = "score") -> str:
    """The one line that a command ends with."""
    capsys.readouterr()
    assert command(by, run, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("seesay: error: ")
    assert error.count("\n") == 1
    return error


def stored(run: Path) -> list[tuple[Any, ...]]:
    """All that is kept of scores, how long each took among it."""
    with closing(sqlite3.connect(run / "run.db")) as connection:
        order = "ORDER BY identity, feature_id, sample"
        return connection.execute(f"SELECT * FROM scorings JOIN scores USING (scoring_id) {order}").fetchall()


def change(run: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(run / "run.db")) as connection:
        assert connection.execute(statement, values).rowcount
        connection.commit()


def titles(rows: Sequence[dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [(row["of"], row["aid"]) for row in rows]


def test_every_score_gives_numbers_of_all_test_features(scored: tuple[Path, Any], feature_ids: list[int]) -> None:
    run, told = scored
    assert told["run"] == str(run)
    rows = told["scores"]
    steering, topk = "steering", "topk"
    aids = (None, "permuted", "constant")
    expected = [*((of, aid) for of in (steering, topk) for aid in aids), ("topk, random", None)]
    for name in OF_WORDS:
        own = [row for row in rows if row["score"] == name]
        assert titles(own) == expected, name
        for row in own:
            assert row["n"] <= row["n_test"] == row["n_scored"] <= N_TEST
            if name != "ground_truth":
                assert row["n"] == row["n_test"] == N_TEST or row["aid"] == "permuted"
            assert row["interval"] is None, "so few features tell nothing of the spread"
            assert 0 <= row["mean"] <= 1 or name == "clip"
            assert (row["unanswered"] is None) == (name not in ("detection", "fuzzing"))
    with Run.open(run) as opened:
        for scoring, row in zip(scorings(opened), rows, strict=True):
            values = [each.measured.value for samples in scores(opened, scoring).values() for each in samples]
            known = [value for value in values if value is not None]
            assert (scoring.score, scoring.aid) == (row["score"], row["aid"])
            assert row["mean"] == pytest.approx(sum(known) / len(known), abs=1e-4)
    names = {scoring[2] for scoring in stored(run)}
    assert names == set(OF_WORDS)


def test_people_are_told_a_table_and_what_to_do_next(scored_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert score(scored_run, "--scores", "clip,iou") == 0
    out = capsys.readouterr().out
    assert "Scores of test features, on average" in out
    assert len(re.findall(r"iou +│ (?:steering|topk)[^│]*│ +-?\d\.\d{3} │ +too few │ +\d+ of \d+ ", out)) == 7
    assert "Words that say nothing get iou 0." in out
    assert out.index("iou ") < out.index("clip "), "in one order, however they are asked for"
    assert out.rstrip().endswith(f"Next:\n  seesay compare {scored_run}   methods side by side, with tests")
    assert "\x1b" not in out


def test_the_same_command_computes_nothing_again(
    scored: tuple[Path, Any], scored_run: Path, feature_ids: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    before = stored(scored_run)
    ids = ",".join(map(str, feature_ids[:N_TEST]))
    rows = result(scored_run, capsys, "--scores", ",".join(OF_WORDS), "--features", ids, "--batch-size", "1")
    assert rows == scored[1]["scores"]
    assert stored(scored_run) == before


def test_what_is_missing_is_added_and_the_rest_stays(scored_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = stored(scored_run)
    (row, *_) = result(scored_run, capsys, "--scores", "iou", "--methods", "topk", "--words-alone")
    assert row["n_scored"] == N_TEST + N_VALIDATION
    assert row["n_test"] == N_TEST
    after = stored(scored_run)
    assert set(before) < set(after)
    assert len(after) == len(before) + N_VALIDATION


def test_another_number_of_images_is_another_scoring_and_never_mixes(
    run: Path, capsys: pytest.CaptureFixture[str], feature_ids: list[int]
) -> None:
    asked = ("--scores", "auroc", "--methods", "topk", "--words-alone", "--features", str(feature_ids[0]))
    (first,) = result(run, capsys, *asked)
    before = stored(run)
    (other,) = result(run, capsys, *asked, "--n-images", "3")
    assert set(before) < set(stored(run))
    with Run.open(run) as opened:
        assert [scoring.facts["n_images"] for scoring in scorings(opened)] == [4, 3]
        n_made = [len(found[0].measured.details["synthesised"]) for found in each_of(opened)]
    assert n_made == [4, 3]
    assert result(run, capsys, *asked) == [first]
    assert result(run, capsys, *asked, "--n-images", "3") == [other]


def test_more_exemplars_than_the_run_keeps_are_the_same_scoring_and_that_is_told(
    run: Path, capsys: pytest.CaptureFixture[str], feature_ids: list[int]
) -> None:
    with Run.open(run) as opened:
        kept = opened.configured("collect")["n_top"]
    asked = ("--scores", "iou", "--methods", "topk", "--words-alone", "--features", str(feature_ids[0]))
    told = f"The run keeps {kept} exemplars of each half (collect --top): no more are looked at."
    capsys.readouterr()
    assert command("score", run, *asked, "--n-exemplars", str(kept)) == 0
    assert told not in " ".join(capsys.readouterr().out.split())
    before = stored(run)
    assert before
    for flags, is_told in (((), False), (("--n-exemplars", str(kept + 3)), True)):
        assert command("score", run, *asked, *flags) == 0
        assert (told in " ".join(capsys.readouterr().out.split())) is is_told, "only to whoever asks for more"
    assert stored(run) == before
    with Run.open(run) as opened:
        assert [scoring.facts["n_exemplars"] for scoring in scorings(opened)] == [kept]


def each_of(run: Run) -> Iterator[Any]:
    """The first feature's numbers of every scoring."""
    for scoring in scorings(run):
        yield next(iter(scores(run, scoring).values()))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("", [("steering", 2.0, None), ("topk", None, None), ("topk", None, "random")]),
        ("--words-alone", [("steering", 2.0, None), ("topk", None, None)]),
        ("--methods steering", [("steering", 2.0, None)]),
        ("--methods topk --controls", [("topk", None, None), ("topk", None, "random"), ("topk", None, "permuted")]),
        ("--methods steering --tried", [("steering", 2.0, None), ("steering", 5.0, None)]),
    ],
)
def test_who_is_scored_is_chosen(
    flags: str, expected: list[tuple[Any, ...]], run: Path, capsys: pytest.CaptureFixture[str], feature_ids: list[int]
) -> None:
    rows = result(run, capsys, "--scores", "iou", *flags.split())
    with Run.open(run) as opened:
        by_id = {each.setting_id: each for each in settings(opened)}
        found = scorings(opened)
        ids = {each.scoring_id: list(scores(opened, each)) for each in found}
    assert len(rows) == len(found)
    chosen = list(dict.fromkeys(each.setting_id for each in found))
    settings_of = [by_id[each] for each in chosen if each is not None]
    assert [(each.method, each.strength and each.strength.value, each.control) for each in settings_of] == expected
    for each in settings_of:
        aids = [scoring.aid for scoring in found if scoring.setting_id == each.setting_id]
        assert aids == ([None] if each.control or "--words-alone" in flags else [None, "permuted", "constant"])
    own = [ids[each.scoring_id] for each in found if each.aid is None]
    lengths = [len(each) for each in own]
    assert lengths[0] == N_TEST + N_VALIDATION
    if "--tried" in flags:
        assert own[-1] == feature_ids[N_TEST:]
        assert rows[-1]["mean"] is None, "figures come from test features"


def test_features_are_chosen_by_their_ids(
    run: Path, capsys: pytest.CaptureFixture[str], feature_ids: list[int]
) -> None:
    first, second, *_, last = sorted(feature_ids)
    asked = ("--scores", "iou", "--features", f"{first},{second},{last + 1}-99999")
    rows = result(run, capsys, *asked)
    assert {row["n_scored"] for row in rows if row["aid"] != "permuted"} == {2}
    with Run.open(run) as opened:
        assert {feature_id for each in scorings(opened) for feature_id in scores(opened, each)} == {first, second}


def scoring_for(*flags: str) -> Scoring:
    parsed = cli.parse(["score", "x", *flags])
    assert isinstance(parsed, ScoreCommand)
    return parsed._scoring()


def test_every_flag_reaches_what_scores_depend_on() -> None:
    flags = "--split shared --n-exemplars 6 --n-images 7 --n-positives 8 --overlay heatmap --seed 9"
    assert scoring_for(*flags.split()) == Scoring("shared", 6, 7, 8, "heatmap", seed=9)
    assert scoring_for() == Scoring()
    assert scoring_for("--paper") == PAPER
    assert scoring_for("--paper", "--n-images", "5", "--seed", "2").n_images == 5


def test_flags_are_among_the_facts_that_numbers_are_kept_with(
    run: Path, capsys: pytest.CaptureFixture[str], feature_ids: list[int]
) -> None:
    asked = ("--methods", "topk", "--words-alone", "--features", str(feature_ids[0]), "--seed", "3")
    result(run, capsys, "--scores", "iou,clip,auroc,detection,fuzzing", *asked, "--overlay", "heatmap")
    with Run.open(run) as opened:
        facts = {each.score: each.facts for each in scorings(opened)}
    assert {each["holding"] for each in facts.values()} == {"held-out"}
    assert (facts["iou"]["n_exemplars"], facts["clip"]["n_exemplars"], facts["auroc"]["n_images"]) == (3, 3, 4)
    for name in ("detection", "fuzzing"):
        assert (facts[name]["n_positives"], facts[name]["seed"]) == (3, 3)
    assert facts["fuzzing"]["overlay"] == "heatmap"


@pytest.mark.parametrize(("flags", "is_paper"), [("--split shared", False), ("--paper", True)])
def test_the_papers_habit_is_noted_and_told_wherever_its_numbers_stand(
    flags: str, is_paper: bool, run: Path, feature_ids: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    ids = ("--features", ",".join(map(str, feature_ids[:N_TEST])))
    assert command("score", run, "--scores", "iou", *ids, *flags.split()) == 0
    with Run.open(run) as opened:
        for each in scorings(opened):
            assert each.facts["holding"] == "shared"
            assert each.facts["first_mask"] == is_paper
    capsys.readouterr()
    assert cli.main(["compare", str(run)]) == 0
    assert "Computed on images that were shared with the explainers (the paper's habit)" in capsys.readouterr().out
    assert cli.main(["show", str(run), str(feature_ids[0])]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^topk +\d\.\d\d\*", out, re.MULTILINE)
    assert "* on images that the explainer was shown, the paper's habit" in out


def test_features_themselves_are_scored_whatever_is_said_of_them(
    collected_world: Path, feature_ids: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(collected_world, tmp_path / "run"))
    chosen = feature_ids[:3]
    ids = ",".join(map(str, chosen))
    rows = result(run, capsys, "--scores", "monosemanticity,distinctness", "--features", ids)
    assert [(row["score"], row["of"], row["aid"], row["n"], row["n_scored"]) for row in rows] == [
        ("monosemanticity", "features", None, 3, 3),
        ("distinctness", "features", None, 3, 3),
    ]
    with Run.open(run) as opened:
        for each in scorings(opened):
            assert each.setting_id is None
            assert list(scores(opened, each)) == chosen
    before = stored(run)
    assert result(run, capsys, "--scores", "distinctness,monosemanticity", "--features", ids) == rows
    assert stored(run) == before
    assert cli.main(["show", str(run), str(chosen[0])]) == 0
    told = capsys.readouterr().out
    assert re.search(r"The feature itself: monosemanticity -?\d\.\d\d, clarity -?\d\.\d\d, ", told)


@pytest.mark.slow
def test_all_features_with_held_out_exemplars_are_scored_by_default(
    collected_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(collected_world, tmp_path / "run"))
    (row,) = result(run, capsys, "--scores", "distinctness")
    with Run.open(run) as opened:
        assert row["n_scored"] == len(RunHeldOut(opened).feature_ids())


@pytest.mark.slow
def test_faithfulness_asks_whoever_explained(
    run: Path, feature_ids: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--scores", "faithfulness", "--features", f"{feature_ids[0]},{feature_ids[1]}", "--methods", "steering")
    rows = result(run, capsys, *asked)
    assert titles(rows) == [("steering", aid) for aid in (None, "permuted", "constant")]
    assert rows[0]["n"] == 2
    before = stored(run)
    assert result(run, capsys, *asked) == rows
    assert stored(run) == before


def test_faithfulness_has_nobody_to_ask_where_no_language_model_explained(
    collected_world: Path, feature_ids: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(collected_world, tmp_path / "run"))
    change(run, f"DELETE FROM exemplars WHERE feature_id NOT IN ({', '.join(map(str, feature_ids))})")
    explain(run, feature_ids[:1], "--method dissect")
    assert "expected explanations, not by dissect or imported alone" in refusal(run, capsys, "--scores", "faithfulness")
    capsys.readouterr()
    assert score(run, "--scores", "faithfulness,iou") == 0
    out = capsys.readouterr().out
    assert "faithfulness is nothing for dissect: it has no language model to ask." in out
    assert re.search(r"iou +│ dissect ", out)
    with Run.open(run) as opened:
        assert {each.score for each in scorings(opened)} == {"iou"}


def test_by_default_the_worlds_own_scores_are_among_them(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(measuring.Bench, "check_features", lambda *_: None)
    monkeypatch.setattr(measuring.Bench, "synthesise", lambda *_: None)

    def noting(_bench: measuring.Bench, name: str, _setting: Any) -> Any:
        asked.append(name)
        return Worthless()

    monkeypatch.setattr(measuring.Bench, "scorer", noting)
    assert score(run, "--methods", "topk", "--words-alone") == 0
    assert asked == ["iou", "clip", "auroc", "detection", "fuzzing", "ground_truth"]
    change(run, "UPDATE run SET value = '\"someone/elses\"' WHERE name = 'subject'")
    asked.clear()
    assert score(run, "--methods", "topk", "--words-alone", "--synthesiser", "world") == 0
    assert asked == ["iou", "clip", "auroc"]


class Worthless:
    """A scorer for which nothing can be measured."""

    facts: dict[str, Any] = {}

    def score(self, items: Sequence[Any]) -> list[Any]:
        from seesay.scorers.scorer import Measured

        return [Measured(None, reason="nothing to be measured") for _ in items]


def test_what_cannot_be_measured_is_told_as_such(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring.Bench, "scorer", lambda *_: Worthless())
    (row,) = result(run, capsys, "--scores", "iou", "--methods", "topk", "--words-alone")
    assert (row["mean"], row["interval"], row["n"], row["n_test"]) == (None, None, 0, N_TEST)
    assert score(run, "--scores", "iou", "--methods", "topk", "--words-alone") == 0
    assert re.search(rf"iou +│ topk +│ +- │ +too few │ +0 of {N_TEST} ", capsys.readouterr().out)


@pytest.fixture(scope="module")
def mumbling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world's judge, asked what it answers neither yes nor no."""
    folder = Path(shutil.copytree(world.checkpoint("world:judge"), tmp_path_factory.mktemp("judges") / "judge"))
    prompts = folder / "prompts"
    shutil.copy(prompts / "steering.txt", prompts / "detect.txt")
    (prompts / "detect.txt").write_text((prompts / "describe.txt").read_text().rstrip() + " {phrase}")
    return folder


def test_a_judge_that_answers_neither_yes_nor_no_is_counted_and_shown(
    run: Path, mumbling: Path, feature_ids: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    ids = ("--features", ",".join(map(str, feature_ids[:N_TEST])))
    asked = ("--scores", "detection", "--methods", "topk", "--words-alone", "--judge", str(mumbling), *ids)
    (row,) = result(run, capsys, *asked)
    with Run.open(run) as opened:
        (scoring,) = scorings(opened)
        found = [each.measured for samples in scores(opened, scoring).values() for each in samples]
    shares = [each.others["unanswered"] for each in found if each.others.get("unanswered") is not None]
    assert len(shares) == N_TEST
    assert row["unanswered"] > 0.05
    assert row["unanswered"] == pytest.approx(sum(shares) / N_TEST, abs=1e-4)
    assert score(run, *asked) == 0
    line = f"detection: up to {row['unanswered']:.1%} of the judge's answers (topk) would have been neither"
    assert line in capsys.readouterr().out
    assert cli.main(["show", str(run), str(min(feature_ids[:N_TEST])), "--json", "-"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert [each["unanswered"] for each in card["scores"]] == [shares[0]], "the first by its id"


def test_a_judge_that_answers_is_not_complained_about(scored_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert score(scored_run, "--scores", "detection", "--methods", "topk") == 0
    with Run.open(scored_run) as opened:
        shares = {
            each.measured.others["unanswered"]
            for scoring in scorings(opened)
            if scoring.score == "detection"
            for samples in scores(opened, scoring).values()
            for each in samples
        }
    assert shares == {0.0}
    assert "neither" not in capsys.readouterr().out


def test_a_judge_without_the_question_is_refused(
    run: Path, mumbling: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = Path(shutil.copytree(mumbling, tmp_path / "judge"))
    (judge / "prompts" / "detect.txt").unlink()
    assert "no prompt named 'detect'" in refusal(run, capsys, "--scores", "detection", "--judge", str(judge))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--scores beauty", "score 'beauty'; expected one of iou, clip, auroc"),
        ("--scores ,", "names nothing"),
        ("--scores mad", "expected auroc, with which it comes"),
        ("--methods dreaming", "method 'dreaming'; expected one of steering, topk"),
        ("--methods hybrid", "no explanations in {run} by hybrid; expected some to be scored; seesay explain {run}"),
        ("--features 99999", "nothing in {run} of features 99999 that could be scored by"),
        ("--features 3-1", "counts downwards"),
        ("--features -1", "features"),
        ("--scores distinctness --features 99999", "no feature with held-out exemplars in {run} among 99999"),
        ("--n-images 1", "n_images 1; expected 2 to 1000"),
        ("--n-exemplars 1001", "n_exemplars 1001; expected 2 to 1000"),
        ("--overlay crop", "overlay 'crop'; expected one of mask, heatmap"),
        ("--segmenter ./nowhere", "nowhere"),
        ("--embedder ./nowhere --scores clip", "nowhere"),
        ("--judge ./nowhere --scores detection", "nowhere"),
        ("--judge world:XL --scores detection", "world:XL"),
        ("--synthesiser ./nowhere --scores auroc", "nowhere"),
        ("--images ./nowhere --scores monosemanticity", "nowhere"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_number(
    flags: str, message: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message.format(run=run) in refusal(run, capsys, *flags.split())
    assert stored(run) == []


@pytest.mark.parametrize("flags", ["--n-images nan", "--n-positives 0", "--batch-size -1", "--seed nan", "--split all"])
def test_what_is_no_number_is_refused_before_anything_is_read(
    flags: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("score", tmp_path / "nowhere", *flags.split()) == 2
    assert "no run" not in capsys.readouterr().err


def test_a_run_without_images_says_which_stage_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "new"
    explain(new, [0, 1], f"{STEERING} 2 --subject world:M --sae world:late")
    error = refusal(new, capsys)
    assert f"{new} has no images yet; expected a run of which `collect` is done; seesay collect" in error


def test_a_run_without_explanations_says_which_command_brings_some(
    collected_world: Path, tmp_path: Path, feature_ids: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(collected_world, tmp_path / "run"))
    told = refusal(run, capsys)
    assert f"no explanations in {run}; expected some to be scored; seesay explain {run} --method steering" in told
    explain(run, feature_ids[N_TEST:], "--method topk")
    told = refusal(run, capsys, "--scores", "iou")
    assert f"explanations of validation features alone in {run}" in told
    assert "--tried" in told
    assert score(run, "--scores", "iou", "--tried") == 0


def test_where_there_is_no_run_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    assert "no run" in refusal(tmp_path / "nowhere", capsys)
    assert "not empty, and no run" in refusal(tmp_path / "full", capsys)


@pytest.mark.parametrize("name", ["ground_truth", "counterfactual"])
def test_the_truth_is_known_of_the_world_alone(name: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(run, "UPDATE run SET value = '\"google/gemma-3-4b-it\"' WHERE name = 'subject'")
    told = refusal(run, capsys, "--scores", f"iou,{name}")
    assert f"{name} for a run of google/gemma-3-4b-it; expected a run of the embedded world" in told
    assert stored(run) == []


def test_a_missing_extra_names_the_command_that_installs_it(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    asked = ("--scores", "iou,auroc", "--synthesiser", str(tmp_path))
    assert "pip install 'seesay[synthesis]'" in refusal(run, capsys, *asked)
    assert "pip install 'seesay[synthesis]'" in refusal(run, capsys, "--by", "auroc", *asked[2:], by="calibrate")
    assert stored(run) == [], "it is said before anything is measured"
    assert score(run, "--scores", "auroc", "--methods", "topk", "--words-alone") == 0, "the world's own needs none"


def other_model(folder: Path, part: str) -> Path:
    """The world's model with other weights in one of its parts."""
    other = Path(shutil.copytree(world.checkpoint("world:M"), folder / "other"))
    weights = load_file(other / "model.safetensors")
    name = next(name for name in weights if part in name and name.endswith("layers.2.mlp.fc1.weight"))
    save_file({**weights, name: weights[name] * 1.5}, other / "model.safetensors", {"format": "pt"})
    return other


def test_a_subject_with_other_weights_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = other_model(tmp_path, "vision_tower")
    change(run, "UPDATE run SET value = ? WHERE name = 'subject'", json.dumps(str(other)))
    told = refusal(run, capsys, "--scores", "auroc", "--synthesiser", "world")
    assert f"{other} and world:late are not what {run} was made of; expected the same weights" in told
    assert stored(run) == []


def test_an_explainer_with_other_weights_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = other_model(tmp_path, "vision_tower")
    change(run, "UPDATE settings SET explainer = ?", str(other))
    told = refusal(run, capsys, "--scores", "faithfulness")
    assert f"{other} is not what explained the features of {run}; expected the same weights" in told


def test_an_image_that_an_explainer_was_shown_is_never_looked_at(
    run: Path, feature_ids: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    with Run.open(run) as opened:
        image_id = RunHeldOut(opened).exemplars(feature_ids[0], "top")[0].image.image_id
    change(run, "UPDATE explanations SET image_ids = ? WHERE feature_id = ?", json.dumps([image_id]), feature_ids[0])
    asked = ("--scores", "iou", "--features", str(feature_ids[0]))
    assert f"image {image_id} of {run} was shown to an explainer" in refusal(run, capsys, *asked)
    assert score(run, *asked, "--split", "shared") == 0, "but by name, and then it is noted"


@pytest.mark.parametrize(
    ("statement", "flags"),
    [
        ("UPDATE explanations SET text = x'00ff'", "--scores iou"),
        ("UPDATE explanations SET image_ids = 'nothing'", "--scores iou"),
        ("UPDATE explanations SET feature_id = 7654321 WHERE feature_id = {feature_id}", "--scores iou"),
        ("UPDATE explanations SET feature_id = 7654321 WHERE feature_id = {feature_id}", "--scores ground_truth"),
        ("UPDATE explanations SET feature_id = 7654321 WHERE feature_id = {feature_id}", "--scores counterfactual"),
        ("UPDATE explanations SET feature_id = 7654321 WHERE feature_id = {feature_id}", "--scores auroc"),
        ("UPDATE explanations SET feature_id = -1 WHERE feature_id = {feature_id}", "--scores auroc"),
        ("UPDATE settings SET facts = '[1'", "--scores iou"),
        ("UPDATE settings SET method = 'dreaming'", "--scores iou"),
        ("UPDATE settings SET explainer = 'world:none'", "--scores ground_truth"),
        ("UPDATE features SET nearest = 'NaN'", "--scores iou"),
        ("UPDATE exemplars SET images = x'00'", "--scores iou"),
        ("UPDATE stages SET config = '{{\"reduction\": [1]}}'", "--scores auroc"),
        ('UPDATE stages SET config = \'{{"reduction": "mean"}}\'', "--scores monosemanticity"),
        ("UPDATE stages SET summary = '['", "--scores iou"),
        ("UPDATE run SET value = '7' WHERE name = 'subject'", "--scores iou"),
        ("UPDATE run SET value = '\"world:none\"' WHERE name = 'sae'", "--scores auroc"),
        ("INSERT INTO run VALUES ('sae_options', '{{\"sae_k\": \"many\"}}')", "--scores iou"),
        ("UPDATE run SET value = '99' WHERE name = 'layer'", "--scores auroc"),
    ],
)
def test_a_strangers_damaged_run_is_refused_in_one_line(
    statement: str, flags: str, run: Path, feature_ids: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    change(run, statement.format(feature_id=feature_ids[0]))
    refusal(run, capsys, *flags.split(), *SMALL)
    assert stored(run) == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE scores SET value = 'much'",
        "UPDATE scores SET value = 9e999",
        "UPDATE scores SET others = '{\"precision\": NaN}'",
        "UPDATE scores SET reason = x'ff'",
        "UPDATE scorings SET facts = '7'",
        "UPDATE scorings SET setting_id = 'x'",
    ],
)
def test_a_strangers_damaged_scores_are_refused_in_one_line(
    statement: str, scored_run: Path, feature_ids: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    change(scored_run, statement)
    asked = ("--scores", "iou", "--features", str(feature_ids[0]), *SMALL)
    refusal(scored_run, capsys, *asked)


def test_a_run_that_another_process_writes_is_left_alone(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Run.writing(run):
        assert "another process is writing" in refusal(run, capsys, "--scores", "iou")


def test_a_run_that_cannot_be_written_is_one_line(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(file: Path) -> sqlite3.Connection:  # root may write whatever its mode is
        connection = open_to_write(file)
        connection.execute("PRAGMA query_only = ON")
        return connection

    monkeypatch.setattr(store, "open_to_write", read_only)
    assert "readonly" in refusal(run, capsys, "--scores", "iou")
    monkeypatch.setattr(Path, "open", refusing(Path.open))
    assert "Permission denied" in refusal(run, capsys, "--scores", "iou")


def refusing(opening: Callable[..., Any]) -> Callable[..., Any]:
    """`Path.open` on a medium that cannot be written."""

    def opened(path: Path, mode: str = "r", *more: Any, **named: Any) -> Any:
        if set(mode) & set("aw+x"):
            raise PermissionError(13, "Permission denied")
        return opening(path, mode, *more, **named)

    return opened


def test_where_the_result_cannot_be_written_that_is_said_before_the_work(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "it is a folder" in refusal(run, capsys, "--scores", "iou", "--json", str(tmp_path))
    assert stored(run) == []


def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(
    run: Path, feature_ids: list[int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from seesay.pipeline import scoring

    adding, n_written = scoring.add_scores, 0

    def stopping(*given: Any) -> None:
        nonlocal n_written
        adding(*given)
        n_written += 1
        if n_written == 2:
            raise KeyboardInterrupt

    asked = ("--scores", "iou", "--methods", "topk", "--words-alone", "--batch-size", "3")
    with monkeypatch.context() as patch:
        patch.setattr(scoring, "add_scores", stopping)
        assert score(run, *asked) == 130
    assert "Stopped: the same command goes on from here." in capsys.readouterr().out
    before = stored(run)
    assert len(before) == 6
    (row,) = result(run, capsys, *asked)
    assert row["n_scored"] == N_TEST + N_VALIDATION
    assert set(before) < set(stored(run))


def test_what_does_not_fit_is_told_and_tried_again(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from seesay.scorers.iou import IoU

    scoring = IoU.score

    def full(self: IoU, items: Sequence[Any]) -> Any:
        if any(not item.feature_id % 2 for item in items):
            raise MemoryError
        return scoring(self, items)

    asked = ("--scores", "iou", "--methods", "topk", "--words-alone")
    with Run.open(run) as opened:
        topk = next(each for each in settings(opened) if each.method == "topk" and each.control is None)
        n_even = sum(not feature_id % 2 for feature_id in explanations(opened, topk))
    assert n_even
    with monkeypatch.context() as patch:
        patch.setattr(IoU, "score", full)
        assert score(run, *asked) == 0
    assert f"{n_even} did not fit into memory: the same command tries them again." in capsys.readouterr().out
    assert len(stored(run)) == N_TEST + N_VALIDATION - n_even
    assert score(run, *asked) == 0
    assert "did not fit" not in capsys.readouterr().out
    assert len(stored(run)) == N_TEST + N_VALIDATION


def test_every_score_is_described_where_help_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["score", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert all(name in told for name in SCORES)
