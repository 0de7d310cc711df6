"""`seesay score --scorer`: a class of one's own, from its file to every place where its numbers are told."""

import csv
import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from math import dist
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from PIL import Image, ImageColor

from seesay import cli
from seesay.commands.own_scorers import load_own
from seesay.errors import UnusableScorer
from seesay.explainers.config import Setting
from seesay.importing.keeping import keep
from seesay.scorers.config import Measure, Scoring
from seesay.scorers.scorer import Item
from seesay.split import split_of
from seesay.store.exemplars import exemplars, features
from seesay.store.run import Run
from seesay.store.scores import scores, scorings
from tests.collected import WORDS
from tests.comparison.making import making, said
from tests.scorers.held_out import MadeHeldOut

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_scorer.py"
BREVITY = '''
from dataclasses import dataclass

from seesay.scorers.config import Measure
from seesay.scorers.scorer import Measured


@dataclass
class Brevity:
    held_out: object
    scoring: object
    measure = Measure("brevity", ("letters",), chance=0.0, what="how few words are there? [red]<b>=1+1")
    facts = {}

    def score(self, items):
        return [Measured(1 / (1 + item.text.count(" ")), {"letters": float(len(item.text))}) for item in items]


class Rank:
    """Of features, whatever is said of them."""

    measure = Measure("rank", ("last_digit",), what="the number of the feature", of_words=False)
    facts = {}

    def __init__(self, held_out, scoring):
        pass

    def score(self, items):
        return [Measured(float(item.feature_id), {"last_digit": item.feature_id % 10.0}) for item in items]


class Seeing:
    measure = Measure("seeing", needs=frozenset({"embedder", "subject"}), what="how alike are exemplars?")
    facts = {}

    def __init__(self, held_out, scoring, embedder, activations):
        self.held_out, self.n = held_out, activations.sae.n_features
        self.embedder = embedder

    def score(self, items):
        assert self.n > 100
        best = [self.held_out.exemplars(item.feature_id, "top", 1)[0] for item in items]
        pictures = [each.drawn("mask", self.held_out.picture(each.image)) for each in best]
        return [Measured(float(a @ b)) for a, b in zip(
            self.embedder.embed_images(pictures), self.embedder.embed_texts([i.text for i in items]))]
'''


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "150")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "brief.py"
    found.write_text(BREVITY, "utf-8")
    return found


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run without images, of features of which two methods say something."""
    folder = tmp_path / "run"
    with making(folder, 40) as run:
        run.rows("UPDATE run SET value = '\"world:late\"' WHERE name = 'sae'")
        said(run, {each: WORDS[each % len(WORDS)] for each in range(40)})
        said(run, {each: "grass" if each % 3 else "a red car" for each in range(40)}, Setting("steering"))
    return folder


def command(name: str, run: Path, *more: str) -> int:
    return cli.main([name, str(run), "--device", "cpu", *more])


def told(capsys: pytest.CaptureFixture[str], name: str, run: Path, *more: str) -> str:
    capsys.readouterr()
    assert command(name, run, *more) == 0
    return capsys.readouterr().out


def judged_ids(run: Run, n: int) -> list[int]:
    return [each.feature_id for each in features(run) if split_of(each.feature_id) == "test"][:n]


def colours_of(run: Run, feature_id: int) -> list[str]:
    """The name that is nearest to the mean colour of each held-out exemplar's active patches, pixel by pixel."""
    names = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey")
    found: list[str] = []
    for each in exemplars(run, feature_id, "scoring", "top"):
        picture = run.thumbnails.read(each.image.pixel_hash)
        (rows, columns), (width, height) = each.image.grid, picture.size
        active = each.dense() > 0
        pixels = [
            picture.getpixel((x, y))
            for x in range(width)
            for y in range(height)
            if active[y * rows // height, x * columns // width]
        ]
        mean = [fmean(channel) for channel in zip(*pixels, strict=True)]
        found.append(min(names, key=lambda name: dist(ImageColor.getrgb(name), mean)))
    return found


def refusal(capsys: pytest.CaptureFixture[str], name: str, run: Path, *more: str) -> str:
    """The one line that a command ends with."""
    capsys.readouterr()
    assert command(name, run, *more) == 2
    error = capsys.readouterr().err
    assert error.startswith("seesay: error: ")
    assert error.count("\n") == 1
    return error


def test_the_example_scores_a_run_and_is_compared_like_any_other(
    filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(filled, tmp_path / "run"))
    with Run.writing(run) as opened:
        colours = {each: colours_of(opened, each) for each in judged_ids(opened, 12)}
        said(opened, {each: f"a {seen[0]} thing, not pink" for each, seen in colours.items()})
    by = ("--scorer", f"{EXAMPLE}:Colour", "--features", ",".join(map(str, colours)))
    out = told(capsys, "score", run, *by, "--json", str(tmp_path / "scores.json"))
    assert "Words that say nothing get colour 0." in out
    rows = json.loads((tmp_path / "scores.json").read_text())["scores"]
    assert {(row["score"], row["aid"]) for row in rows} == {("colour", each) for each in (None, "permuted", "constant")}
    with Run.open(run) as opened:
        found = next(each for each in scorings(opened) if each.score == "colour" and each.setting_id == 1)
        values = {each: samples[0].measured.value for each, samples in scores(opened, found).items()}
    assert values == {each: seen.count(seen[0]) / len(seen) for each, seen in colours.items()}
    assert (found.facts["holding"], found.facts["n_exemplars"]) == ("held-out", 6), "no more than the run keeps"
    out = told(capsys, "compare", run)
    assert "is the colour that is named that of the active patches?" in out
    assert "colour: topk is highest" in out
    assert "topk above steering" in out


def test_the_example_leaves_out_exemplars_whose_active_patches_hold_no_pixel() -> None:
    picture = Image.new("RGB", (2, 2), "red")
    thin, plain = (picture, [[0, 1, 0, 0, 0, 0, 0, 0]]), (picture, [[1, 0]])
    held_out = MadeHeldOut({1: {"top": [thin]}, 2: {"top": [thin, plain]}})
    (own,) = load_own([f"{EXAMPLE}:Colour"]).values()
    scorer = own.made(held_out, Scoring())
    nothing, red = scorer.score([Item(1, "red"), Item(2, "red")])
    assert (nothing.value, nothing.reason) == (None, "no active pixel on any held-out exemplar")
    assert red.value == 1


def test_the_page_shows_the_example_as_it_is() -> None:
    page = (EXAMPLE.parents[1] / "docs" / "own-scorer.md").read_text("utf-8")
    assert f"```python\n{EXAMPLE.read_text('utf-8')}```\n" in page


def test_the_example_is_thirty_lines_of_code_at_most() -> None:
    lines = [line for line in EXAMPLE.read_text("utf-8").splitlines() if line.strip() and '"""' not in line]
    assert len(lines) <= 30


def test_its_code_is_needed_by_nobody_who_reads_the_numbers(
    filled: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(filled, tmp_path / "run"))
    with Run.writing(run) as opened:
        (feature_id,) = judged_ids(opened, 1)
        opened.rows("DELETE FROM scores")
    out = told(capsys, "score", run, "--scorer", f"{file}:Brevity", "--scorer", f"{file}:Rank")
    assert out.index("brevity") < out.index("rank"), "words before features"
    file.unlink()
    table = tmp_path / "numbers.csv"
    out = told(capsys, "compare", run, "--all", "--csv", str(table))
    assert "how few words are there? [red]<b>=1+1" in out
    assert "brevity letters, " in out
    assert "rank, " in out
    with table.open(encoding="utf-8") as opened:
        lines = list(csv.DictReader(opened))
    names = {"brevity", "brevity letters", "rank", "rank last_digit"}
    assert {line["score"] for line in lines} == {*names, "trust"}
    assert {line["aid"] for line in lines if line["score"] == "brevity"} == {"", "permuted", "constant", "random"}
    assert "how few words are there? [red]&lt;b&gt;=1+1" in (run / "compare.html").read_text("utf-8")
    out = told(capsys, "show", run, str(feature_id))
    assert "brevity" in out
    assert f"The feature itself: rank {feature_id:.2f}, rank last_digit {feature_id % 10:.2f}" in out
    told(capsys, "report", run, "--out", str(tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text("utf-8")
    assert '<th scope="col" class="n">brevity</th>' in page
    assert "<b>=1+1" not in page
    out = told(capsys, "compare", run, "--scores", "brevity letters,rank")
    assert "how few words" in out
    assert "--scorer FILE.py:CLASS" in told(capsys, "compare", run, "--scores", "brevity").rpartition("Next:")[2]
    with Run.writing(run) as opened:
        keep(opened, {feature_id: "a red car"}, "mine")
    error = refusal(capsys, "compare", run, "--scores", "brevity", "--methods", "imported")
    assert f"seesay score {run} --scorer FILE.py:CLASS" in error
    assert "--scores" not in error
    error = refusal(capsys, "compare", run, "--scores", "brevity,beauty")
    assert "score 'beauty'; expected some of iou, " in error
    assert "brevity" in error


def test_another_text_of_the_file_is_scored_anew_and_never_mixes(
    run: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by = ("--scorer", f"{file}:Brevity", "--words-alone", "--methods", "topk")
    for text in (BREVITY, BREVITY, BREVITY.replace("1 / (1", "0.5 / (1")):
        file.write_text(text, "utf-8")
        assert command("score", run, *by) == 0
    with Run.open(run) as opened:
        first, other = scorings(opened)
        ids = [each.feature_id for each in features(opened)]
        values = [scores(opened, each)[ids[0]][0].measured.value for each in (first, other)]
    assert values[0] is not None
    assert values[1] == values[0] / 2
    assert "brevity of topk was also computed in another way (source " in told(capsys, "compare", run)


def test_it_is_given_what_it_says_that_it_needs(
    filled: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(filled, tmp_path / "run"))
    with Run.open(run) as opened:
        ids = judged_ids(opened, 3)
    asked = ("--features", ",".join(map(str, ids)), "--methods", "topk", "--words-alone")
    told(capsys, "score", run, "--scorer", f"{file}:Seeing", *asked)
    with Run.open(run) as opened:
        (found,) = [each for each in scorings(opened) if each.score == "seeing"]
        assert found.facts["embedder"]
        assert found.facts["activations"] == {"reduction": "mean", "dtype": "torch.float32"}
        assert list(scores(opened, found)) == ids


def test_it_stands_beside_other_scores_where_they_are_named(
    run: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refusal(capsys, "score", run, "--scores", "people", "--scorer", f"{file}:Brevity")
    assert "people, which no model computes" in error
    assert "expected one of iou, " in (error := refusal(capsys, "score", run, "--scores", "brevity"))
    assert "brevity" not in error.partition("expected")[2]


def stored(run: Path) -> int:
    with closing(sqlite3.connect(run / "run.db")) as connection:
        return connection.execute("SELECT count(*) FROM scores").fetchone()[0]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (('"brevity"', '"iou"'), "the measure of Brevity: the name iou, which is one of seesay's own scores"),
        (("1 / (1 +", "1 / (0 *"), "Brevity failed on feature 0: ZeroDivisionError: division by zero (brief.py, line "),
        (("1 / (1 +", "float('nan') / (1 +"), "Brevity gave nan for feature 0; expected a finite number"),
        (("for item in items]", "for item in items[1:]]"), "results for "),
        (('"letters":', '"words":'), "Brevity gave the number words for feature 0"),
        (('{"letters": float(len(item.text))}', r'{}, {}, "\ud800"'), "Brevity gave the reason "),
        (("facts = {}", "facts = {'of': object()}"), "the facts of Brevity: "),
        (("    scoring: object", ""), "Brevity cannot be made: TypeError: "),
        (("class Brevity", "class Bravery"), "no class Brevity in "),
        (("@dataclass", "@dataclas"), "--scorer "),
        (("    facts = {}", "   facts = {}"), "outer indentation level (brief.py, line 13); expected code"),
        (
            ("Brevity:", "Brevity"),
            "brief.py: SyntaxError: expected ':' (brief.py, line 9); expected code that can be run",
        ),
    ],
)
def test_what_is_wrong_with_it_is_told_in_a_line_and_nothing_is_written(
    change: tuple[str, str], expected: str, run: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(BREVITY.replace(*change), "utf-8")
    assert expected in refusal(capsys, "score", run, "--scorer", f"{file}:Brevity")
    assert stored(run) == 0
    with Run.open(run) as opened:
        assert scorings(opened) == [] or "gave" in expected or "failed" in expected or "results" in expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(
            ('{"letters": float(len(item.text))}', "None"),
            "Brevity gave Measured(others=None) for feature 0; ",
            marks=pytest.mark.slow(seconds=8),
        ),
        (("chance=0.0", 'chance="0.5"'), "the measure of Brevity: chance is '0.5'; "),
    ],
)
def test_a_part_of_another_type_is_told_in_a_line_where_no_hook_of_the_tests_checks_types(
    change: tuple[str, str], expected: str, run: Path, file: Path
) -> None:
    file.write_text(BREVITY.replace(*change), "utf-8")
    command = [sys.executable, "-m", "seesay", "score", str(run), "--scorer", f"{file}:Brevity", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"seesay: error: {expected}")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("nowhere.py:Brevity", "--scorer nowhere.py: No such file"),
        ("brief.py", "expected FILE.py:CLASS or package.module:CLASS"),
        ("brief.py:", "expected FILE.py:CLASS"),
        ("no.such.module:Brevity", "ModuleNotFoundError: No module named 'no'; expected"),
        ("../brief:Brevity", "expected FILE.py:CLASS"),
        ("seesay.scorers.config:Score", "which is no scorer"),
        ("seesay.scorers.iou:IoU", "IoU, which is no scorer"),
    ],
)
def test_a_class_that_is_not_there_is_told(given: str, expected: str) -> None:
    with pytest.raises(UnusableScorer) as refused:
        load_own([given])
    assert expected in str(refused.value)


def test_a_class_of_a_package_is_found_by_its_name(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(file.parent)
    monkeypatch.setitem(sys.modules, "brief", None)
    del sys.modules["brief"]
    (own,) = load_own(["brief:Brevity", "brief:Brevity"]).values()
    assert isinstance(own.measure, Measure)
    assert own.source is None, "its class tells where it is"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import json\n\nimport no_such_thing\n", r"No module named 'no_such_thing' \(brief.py, line 3\)"),
        ("\n\n1 +\n", r"SyntaxError: invalid syntax \(brief.py, line 3\)"),
    ],
)
@pytest.mark.parametrize("way", ["{file}:Brevity", "brief:Brevity"])
def test_what_stops_a_file_is_told_with_its_own_line(
    way: str, code: str, expected: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(code, "utf-8")
    monkeypatch.syspath_prepend(file.parent)
    with pytest.raises(UnusableScorer, match=expected):
        load_own([way.format(file=file)])


def test_a_file_of_two_classes_is_run_once(file: Path) -> None:
    file.write_text(f"{BREVITY}\n\nclass Other(Brevity):\n    measure = Measure('other', what='the same')\n", "utf-8")
    one, other = load_own([f"{file}:Brevity", f"{file}:Other"]).values()
    assert issubclass(other.made, one.made)  # type: ignore[arg-type]
    assert sys.modules[one.made.__module__].Brevity is one.made


@pytest.mark.parametrize("code", ["raise SystemExit(0)", "exit()"])
def test_a_file_that_ends_the_process_is_told(code: str, file: Path) -> None:
    file.write_text(f"{BREVITY}\n{code}\n", "utf-8")
    with pytest.raises(UnusableScorer, match="SystemExit"):
        load_own([f"{file}:Brevity"])


def test_two_scorers_of_one_name_are_refused(file: Path) -> None:
    other = file.with_name("other.py")
    other.write_text(BREVITY, "utf-8")
    with pytest.raises(UnusableScorer, match="two scorers of brevity"):
        load_own([f"{file}:Brevity", f"{other}:Brevity"])


def test_no_run_says_what_code_is_run(run: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "score", run, "--scorer", f"{file}:Brevity")
    with Run.open(run) as opened:
        facts: Any = json.dumps([dict(each.facts) for each in scorings(opened)])
    assert str(file) not in facts
    assert "Brevity" not in facts
