"""`seesay trust`: from what is right to how sure a card says one can be, on runs made by hand."""

import csv
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seesay import cli
from seesay.commands.trust import PAGE
from seesay.explainers.config import Setting
from seesay.records import Strength
from seesay.split import split_of
from seesay.store.explanations import explanations, settings
from seesay.store.run import Run
from seesay.store.trust import trust_facts, trusts
from tests.comparison.making import FACTS, making, said, scored

N = 300
STEERING = Setting("steering", Strength(2.0, "residual_norm"))
VALIDATION = [each for each in range(N) if split_of(each) == "validation"]
TEST = [each for each in range(N) if split_of(each) == "test"]
WORDS = {each: f"a thing like {each}" for each in range(N)}
RNG = np.random.default_rng(0)
RIGHT = {each: bool(right) for each, right in enumerate(RNG.random(N) < 0.6)}
DETECTION = {each: float(np.clip(0.5 + 0.3 * RIGHT[each] + RNG.normal(0, 0.1), 0, 1)) for each in range(N)}
"""A score that tells something of what is right, but not all."""


@pytest.fixture(scope="module", autouse=True)
def few_tries() -> Iterator[None]:
    """Fewer strengths of the prior than are tried, as these take their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seesay.trust._STRENGTHS", (0.1, 1.0))
        yield


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words of one method, a score of them, and the truth; copy it before changing it."""
    folder = tmp_path_factory.mktemp("runs") / "judged"
    with making(folder, N) as run:
        topk = said(run, WORDS)
        scored(run, "detection", topk, DETECTION, WORDS)
        scored(run, "ground_truth", topk, {each: float(right) for each, right in RIGHT.items()}, WORDS)
    return folder


@pytest.fixture(scope="module")
def trusted(judged: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The same after the command, and what scripts are told; copy it before changing it."""
    folder = Path(shutil.copytree(judged, tmp_path_factory.mktemp("runs") / "trusted"))
    file = folder.parent / "trust.json"
    assert cli.main(["trust", str(folder), "--json", str(file)]) == 0
    return folder, json.loads(file.read_text())


@pytest.fixture
def trusted_run(trusted: tuple[Path, Any], tmp_path: Path) -> Path:
    return Path(shutil.copytree(trusted[0], tmp_path / "trusted"))


@pytest.fixture
def by_truth(trusted: tuple[Path, dict[str, Any]]) -> dict[str, Any]:
    """What is told where the truth says what is right, but for the run's name."""
    return {name: value for name, value in trusted[1].items() if name != "run"}


@pytest.fixture
def run(judged: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(judged, tmp_path / "run"))


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")


def result(run: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    capsys.readouterr()
    assert cli.main(["trust", str(run), *more, "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def refusal(run: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    """The one line that the command ends with; nothing is stored then."""
    capsys.readouterr()
    assert cli.main(["trust", str(run), *more]) == 2
    error = capsys.readouterr().err
    assert error.startswith("seesay: error: ")
    assert error.count("\n") == 1
    with Run.open(run) as opened:
        assert trust_facts(opened) is None
    return error


def table(path: Path, rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = ("feature_id", "right")) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def verdicts(**more: Any) -> list[dict[str, Any]]:
    """What somebody who knows the truth says of every feature."""
    return [{"feature_id": each, "right": int(right), "text": WORDS[each], **more} for each, right in RIGHT.items()]


def probabilities(run: Path) -> dict[int, float]:
    with Run.open(run) as opened:
        return {each.feature_id: each.probability for each in trusts(opened)}


def card(run: Path, feature_id: int, capsys: pytest.CaptureFixture[str]) -> tuple[str, dict[str, Any]]:
    """What `seesay show` tells people, and scripts."""
    capsys.readouterr()
    assert cli.main(["show", str(run), str(feature_id)]) == 0
    told = capsys.readouterr().out
    assert cli.main(["show", str(run), str(feature_id), "--json", "-"]) == 0
    return told, json.loads(capsys.readouterr().out)


def test_the_truth_tells_what_is_right_and_every_explanation_gets_a_probability(
    trusted: tuple[Path, dict[str, Any]],
) -> None:
    run, found = trusted
    assert (found["truth"], found["n_learnt_on"]) == ("ground_truth", len(VALIDATION))
    assert found["signals"]["detection"]["weight"] > 0.5
    assert found["test"]["n"] == len(TEST)
    assert found["test"]["share_right"] == pytest.approx(np.mean([RIGHT[each] for each in TEST]), abs=1e-4)
    sure = probabilities(run)
    assert sure.keys() == WORDS.keys()
    assert all(0 < each < 1 for each in sure.values())
    for threshold, kept in found["test"]["kept"].items():
        chosen = [each for each in TEST if sure[each] >= float(threshold)]
        assert kept["n"] == len(chosen)
        if chosen:
            assert kept["right"] == pytest.approx(np.mean([RIGHT[each] for each in chosen]), abs=1e-4)
    with Run.open(run) as opened:
        assert trust_facts(opened) == {name: value for name, value in found.items() if name != "run"}


def test_people_are_told_what_speaks_for_words_and_how_many_are_how_sure(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["trust", str(run)]) == 0
    out = capsys.readouterr().out
    assert f"What speaks for an explanation, learnt on {len(VALIDATION)} of validation features" in out
    assert "│ detection" in out
    assert f"Kept if so sure, of {len(TEST)} explanations of test features" in out
    assert "90%" in out
    assert "Expected calibration error on these explanations: 0." in out
    assert f"Curves: {run / PAGE}" in out.replace("\n", "")
    page = (run / PAGE).read_text("utf-8")
    assert f"{len(TEST)} explanations of test features, none of which was learnt from" in page
    assert out.rstrip().endswith(f"seesay compare {run}   how many explanations are how sure")


def test_it_is_the_same_again_and_takes_the_place_of_what_was_learnt_before(
    trusted_run: Path, by_truth: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, first, sure = trusted_run, by_truth, probabilities(trusted_run)
    assert result(run, capsys) == {**first, "run": str(run)}
    assert probabilities(run) == sure
    wrong = [{**each, "right": 1 - each["right"]} for each in verdicts()]
    other = result(run, capsys, "--right", str(table(tmp_path / "wrong.csv", wrong)))
    assert other["truth"] == "wrong.csv"
    assert other["signals"]["detection"]["weight"] == pytest.approx(-first["signals"]["detection"]["weight"], rel=0.05)
    assert probabilities(run) != sure


def test_a_card_and_a_comparison_say_how_sure_words_are(
    run: Path, trusted_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    feature_id = TEST[0]
    told, said_of = card(run, feature_id, capsys)
    assert "sure" not in told
    assert said_of["settings"][0]["explanations"][0]["sure"] is None
    sure = probabilities(trusted_run)[feature_id]
    told, said_of = card(trusted_run, feature_id, capsys)
    head, row = (next(line for line in told.splitlines() if line.startswith(name)) for name in ("method", "topk"))
    assert head.split()[-1] == "sure"
    assert row.split()[-1] == f"{sure:.0%}"
    assert said_of["settings"][0]["explanations"][0]["sure"] == pytest.approx(sure)
    assert cli.main(["compare", str(trusted_run)]) == 0
    assert "Trust: explanations that are at least so probably right" in capsys.readouterr().out


def test_words_that_were_replaced_lose_their_probability(trusted_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Run.writing(trusted_run) as opened:
        said(opened, {TEST[0]: "something else altogether"})
    told, said_of = card(trusted_run, TEST[0], capsys)
    assert "something else altogether" in told
    assert "%" not in next(line for line in told.splitlines() if line.startswith("topk"))
    assert said_of["settings"][0]["explanations"][0]["sure"] is None
    assert card(trusted_run, TEST[1], capsys)[1]["settings"][0]["explanations"][0]["sure"] is not None


def test_a_verdict_on_words_that_were_replaced_is_none_on_others(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replaced = VALIDATION[:20]
    with Run.writing(run) as opened:
        said(opened, dict.fromkeys(replaced, "something else altogether"))
    assert result(run, capsys)["n_learnt_on"] == len(VALIDATION) - len(replaced)


def test_verdicts_that_were_found_in_two_ways_never_mix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing, truth = VALIDATION[:20], {each: float(right) for each, right in RIGHT.items()}
    known = {each: right for each, right in truth.items() if each not in missing}
    with making(tmp_path / "run", N) as run:
        topk, steering = (said(run, WORDS, each) for each in (Setting("topk"), STEERING))
        for setting, unsteered in ((topk, ["grass"]), (steering, ["sky", "sea"])):
            scored(run, "detection", setting, DETECTION, WORDS)
            facts = {**FACTS, "unsteered": unsteered}
            scored(run, "ground_truth", setting, known, WORDS, facts=facts)
        wrong = {each: 1 - right for each, right in truth.items()}
        scored(run, "ground_truth", topk, wrong, WORDS, facts={**FACTS, "n_scenes": 9})
    found = result(tmp_path / "run", capsys)
    assert found["n_learnt_on"] == 2 * (len(VALIDATION) - len(missing)), "the way that both share"
    assert found["test"]["share_right"] == pytest.approx(np.mean([RIGHT[each] for each in TEST]), abs=1e-4)


def test_a_feature_that_hardly_fires_is_no_verdict_and_one_that_nothing_holds_for_has_no_right_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hardly, nothing = VALIDATION[:20], TEST[:30]
    values = {each: None if each in (*hardly, *nothing) else float(right) for each, right in RIGHT.items()}
    with making(tmp_path / "run", N) as run:
        topk = said(run, WORDS)
        scored(run, "detection", topk, DETECTION, WORDS)
        scored(run, "ground_truth", topk, values, WORDS, others=dict.fromkeys(nothing, {"live_hit": 0.0}))
    found = result(tmp_path / "run", capsys)
    assert found["n_learnt_on"] == len(VALIDATION) - len(hardly)
    assert found["test"]["n"] == len(TEST)
    share = np.mean([RIGHT[each] and each not in nothing for each in TEST])
    assert found["test"]["share_right"] == pytest.approx(share, abs=1e-4)


@pytest.mark.parametrize(
    "columns", [("feature_id", "right"), ("right", "method", "feature_id"), ("text", "feature_id", "right")]
)
def test_people_say_what_is_right_by_a_table(
    columns: Sequence[str],
    run: Path,
    by_truth: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    by_people = result(run, capsys, "--right", str(table(tmp_path / "v.csv", verdicts(method="topk"), columns)))
    assert by_people == {**by_truth, "run": str(run), "truth": "v.csv"}


def test_a_table_may_be_a_spreadsheets_own(
    run: Path, by_truth: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {True: ("1", "yes", " TRUE "), False: ("0", "No", "false")}
    lines = [f"{each},{words[right][each % 3]},a note,and more" for each, right in RIGHT.items()]
    path = tmp_path / "v.csv"
    path.write_bytes(b"\xef\xbb\xbf feature_id ,right\r\n" + "\r\n\r\n".join(lines).encode())
    assert result(run, capsys, "--right", str(path)) == {**by_truth, "run": str(run), "truth": "v.csv"}


def test_a_table_of_some_explanations_is_enough(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some = [each for each in verdicts() if each["feature_id"] in VALIDATION]
    found = result(run, capsys, "--right", str(table(tmp_path / "v.csv", some)))
    assert (found["n_learnt_on"], found["test"]) == (len(VALIDATION), None)
    assert probabilities(run).keys() == WORDS.keys()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "with columns none; expected feature_id and right"),
        (b"feature_id,wrong\n1,1\n", "with columns feature_id, wrong; expected feature_id and right"),
        (b"feature_id;right\n1;1\n", "with columns feature_id;right; expected feature_id and right"),
        (b"feature_id,right\n1,1\nthree,1\n", "line 3 of {path}: feature_id 'three', right '1'; expected a feature's"),
        (b"feature_id,right\n1,maybe\n", "line 2 of {path}: feature_id '1', right 'maybe'"),
        (b"feature_id,right\n1,nan\n", "right 'nan'"),
        (b"feature_id,right\n1.5,1\n", "feature_id '1.5'"),
        (b"feature_id,right\n-1,1\n", "feature_id '-1'"),
        ("feature_id,right\n\u0661,1\n".encode(), "feature_id '\u0661'"),
        (b"feature_id,right\n" + b"9" * 5000 + b",1\n", "expected a feature's number, and 1 or 0"),
        (b"feature_id,right\n1\n", "feature_id '1', right ''"),
        (b"feature_id,right\n\n\n1,1\n987654,1\n", "line 5 of {path}: feature 987654"),
        (b"feature_id,right,method\n1,1,dreaming\n", "line 2 of {path}: method 'dreaming'; expected a column method"),
        (
            b"feature_id,right,text\n1,1,other words\n",
            "line 2 of {path}: feature 1, of which nothing like this is said",
        ),
        (b"feature_id,right\n\xff\xfe,1\n", "cannot read {path}"),
        (b'feature_id,right\n"' + b"x" * 200_000 + b'",1\n', "cannot read {path}"),
        (b"feature_id,right\n", "0 right and 0 wrong explanations of 0 validation features"),
        (b"feature_id,right\n3,1\n4,0\n", "expected at least 10 of each"),
    ],
    ids=range(18),
)
def test_a_table_that_does_not_say_what_is_right_is_one_line(
    content: bytes, message: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "v.csv"
    path.write_bytes(content)
    assert message.format(path=path) in refusal(run, capsys, "--right", str(path))


def test_what_is_no_file_is_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"cannot read {tmp_path}" in refusal(run, capsys, "--right", str(tmp_path))
    assert "No such file" in refusal(run, capsys, "--right", str(tmp_path / "none.csv"))


def test_where_several_methods_speak_a_table_names_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with making(tmp_path / "run", N) as run:
        for setting in (Setting("topk"), STEERING):
            scored(run, "detection", said(run, WORDS, setting), DETECTION, WORDS)
        said(run, dict.fromkeys(VALIDATION, "only tried"), Setting("steering", Strength(9.0, "residual_norm")))
        said(run, WORDS, Setting("topk", control="permuted"))
    folder, plain = tmp_path / "run", table(tmp_path / "plain.csv", verdicts())
    assert "line 2 of" in (told := refusal(folder, capsys, "--right", str(plain)))
    assert "expected a column method, with one of topk, steering" in told
    named = table(tmp_path / "v.csv", verdicts(method="steering"), ("feature_id", "right", "method"))
    found = result(folder, capsys, "--right", str(named))
    assert found["n_learnt_on"] == len(VALIDATION), "the words of one method, at the strength that is read"
    assert found["signals"].keys() >= {"method: topk", "method: steering"}
    with Run.open(folder) as opened:
        told_of = {each.setting_id for each in trusts(opened)}
        assert told_of == {
            each.setting_id for each in settings(opened) if each.control is None and _is_read(opened, each)
        }


def _is_read(run: Run, setting: Any) -> bool:
    return any(split_of(feature_id) == "test" for feature_id in explanations(run, setting))


def test_where_one_method_says_several_things_a_table_says_which_is_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    several = {each: [words, f"not {words}"] for each, words in WORDS.items()}
    with making(folder, N) as run:
        values = {each: [value, 1 - value] for each, value in DETECTION.items()}
        scored(run, "detection", said(run, several), values, several)
    told = refusal(folder, capsys, "--right", str(table(tmp_path / "plain.csv", verdicts())))
    assert "line 2 of" in told
    assert "of which 2 different things are said; expected a column text" in told
    named = table(tmp_path / "v.csv", verdicts(), ("feature_id", "right", "text"))
    assert result(folder, capsys, "--right", str(named))["n_learnt_on"] == len(VALIDATION)


def test_a_run_in_which_nothing_is_known_to_be_right_says_how_to_get_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with making(tmp_path / "run", N) as run:
        topk = said(run, WORDS)
        scored(run, "detection", topk, DETECTION, WORDS)
        scored(run, "ground_truth", topk, dict.fromkeys(range(N), 1.0), WORDS, aid="permuted")
    told = refusal(tmp_path / "run", capsys)
    assert "does not say which explanations are right; expected the score ground_truth, or --right FILE.csv" in told
    assert f"seesay score {tmp_path / 'run'} --scores ground_truth" in told


def test_too_few_right_or_wrong_words_are_told_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with making(tmp_path / "run", N) as run:
        topk = said(run, WORDS)
        scored(run, "detection", topk, DETECTION, WORDS)
        scored(run, "ground_truth", topk, dict.fromkeys(range(N), 1.0), WORDS)
    told = refusal(tmp_path / "run", capsys)
    assert f"{len(VALIDATION)} right and 0 wrong explanations" in told
    assert "explain and score more features" in told


def test_a_run_without_explanations_says_which_commands_bring_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with making(tmp_path / "run", 5):
        pass
    assert "no run" in _error(["trust", str(tmp_path / "nowhere")], capsys)
    right = table(tmp_path / "v.csv", verdicts()[:5])
    told = refusal(tmp_path / "run", capsys, "--right", str(right))
    assert f"no explanations in {tmp_path / 'run'}; seesay explain {tmp_path / 'run'}" in told


def _error(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert cli.main(arguments) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE scores SET value = 'much'",
        "UPDATE scores SET others = '[1]'",
        "UPDATE scorings SET score = 'beauty'",
        "UPDATE explanations SET text = x'00'",
        "UPDATE explanations SET mean_log_probability = 'likely'",
        "UPDATE settings SET facts = ''",
    ],
)
def test_a_strangers_damaged_run_is_one_line(statement: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Run.writing(run) as opened:
        opened.rows(statement)
    assert "is damaged" in refusal(run, capsys)


def test_a_run_that_another_process_writes_is_left_alone(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Run.writing(run):
        assert "another process is writing" in refusal(run, capsys)
