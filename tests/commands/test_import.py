"""`seesay import`, from a file to wherever words are looked at."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seesay import cli
from seesay.commands.import_words import Import
from seesay.explainers.config import MAY_HAVE_SEEN
from seesay.importing.keeping import keep
from seesay.store.exemplars import features
from seesay.store.explanations import add, explanations, n_explained, settings
from seesay.store.labels import Label, add_labels, labels
from seesay.store.run import Run
from seesay.store.scores import scores, scorings
from seesay.store.trust import Trusted, set_trust, trusts
from seesay.store.verdicts import Judged, give
from seesay.viewer.catalogue import Catalogue
from tests.collected import WORDS
from tests.commands.test_score import few_scenes as few_scenes  # the fixtures
from tests.commands.test_score import wide as wide
from tests.comparison.making import making, said, scored
from tests.importing.test_folders import STEERING, write
from tests.viewer.conftest import client_of

NASTY = "=cmd|' /C calc'!A0 <script>alert(1)</script> [bold]a red car"


@pytest.fixture
def run(filled: Path, tmp_path: Path) -> Path:
    """What other methods say, with a score and a control."""
    return Path(shutil.copytree(filled, tmp_path / "run"))


def ids_of(run: Path) -> list[int]:
    with Run.open(run) as opened:
        return [each.feature_id for each in features(opened)]


def table(run: Path, *, nasty: bool = False) -> Path:
    """Words of every feature, one of which has none."""
    path = run.parent / "mine.csv"
    words = {each: WORDS[place % len(WORDS)] for place, each in enumerate(ids_of(run))}
    words[ids_of(run)[0]] = NASTY if nasty else ""
    path.write_text("feature_id,text\n" + "".join(f'{each},"{text}"\n' for each, text in words.items()))
    return path


def brought(run: Path, *files: Path | str, code: int = 0) -> int:
    found = cli.main(["import", str(run), *map(str, files)])
    assert found == code
    return found


def refusal(run: Path, capsys: pytest.CaptureFixture[str], *files: Path | str) -> str:
    capsys.readouterr()
    brought(run, *files, code=2)
    error = capsys.readouterr().err
    assert error.startswith("seesay: error: ")
    assert error.count("\n") == 1
    return error


def names(run: Path) -> list[tuple[str, str, str | None]]:
    with Run.open(run) as opened:
        return [(each.method, each.explainer, each.control) for each in settings(opened)]


def dumped(run: Path) -> list[str]:
    with closing(sqlite3.connect(run / "run.db")) as connection:
        return list(connection.iterdump())


def test_a_table_is_taken_and_told_of(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    brought(run, table(run))
    out = capsys.readouterr().out
    assert re.search(r"^ *mine +39 +1 +new", out, re.MULTILINE)
    assert MAY_HAVE_SEEN in out
    assert f"\nNext:\n  seesay score {run} " in out
    assert names(run)[-1] == ("imported", "mine", None)


def test_scripts_are_told_what_was_taken(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    brought(run, table(run), "--name", "ann", "--json", "-")
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    (only,) = told["imported"]
    assert told["files"] == [str(run.parent / "mine.csv")]
    assert (only["explainer"], only["method"], only["change"]) == ("ann", "imported", "new")
    assert only["counts"] == {"ok": 39, "empty": 1, "failed": 0}


def test_the_same_file_once_more_changes_nothing_and_another_one_only_if_asked_to(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = table(run)
    brought(run, file)
    before = dumped(run)
    brought(run, file)
    assert "were there already" in capsys.readouterr().out
    assert dumped(run) == before
    file.write_text(f"feature_id,text\n{ids_of(run)[1]},a tree\n")
    assert "holds other words by mine (imported); expected the same, or another name" in refusal(run, capsys, file)
    assert dumped(run) == before
    brought(run, file, "--replace")
    assert "replaced what was there" in capsys.readouterr().out
    with Run.open(run) as opened:
        assert len(explanations(opened, settings(opened)[-1])) == 1


def test_whatever_is_wrong_is_one_line_and_leaves_the_run_as_it_was(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = table(run)
    before = dumped(run)
    with file.open("a") as rows:
        rows.write("999999,a frog\n")
    said = refusal(run, capsys, file)
    assert f"line 42 of {file}: feature 999999; expected one of the 40 features of {run}, " in said
    assert f"name '{'n' * 59}…'" in refusal(run, capsys, file, "--name", "n" * 201)
    assert f"no file; expected one or more: seesay import {run} FILE" in refusal(run, capsys)
    assert "no file or folder elsewhere.csv" in refusal(run, capsys, "elsewhere.csv")
    assert "no run none" in refusal(Path("none"), capsys, file)
    empty = file.with_name("empty.csv")
    empty.write_text("feature_id,text\n")
    assert "there is no row; expected at least one explanation" in refusal(run, capsys, empty)
    assert dumped(run) == before


def test_the_authors_folders_are_taken_with_their_placeholder_as_silence(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, *_ = ids_of(run)
    with Run.open(run) as opened:
        layer = opened.subject["layer"]
    sae = {"metadata": {"sae_id": f"x/enc_res_out_layer_{layer}_8192_1"}}
    for part, feature_id, text in (("validation", first, "Generic object"), ("test", second, "A red car.")):
        write(tmp_path / part / STEERING, feature_id, [text], **sae)
    brought(run, tmp_path / "validation" / STEERING, tmp_path / "test" / STEERING, "--name", "theirs")
    with Run.open(run) as opened:
        said = explanations(opened, settings(opened)[-1])
    assert {each: (samples[0].status, samples[0].text) for each, samples in said.items()} == {
        first: ("empty", ""),
        second: ("ok", "A red car."),
    }
    brought(run, tmp_path / "test", "--placeholder", "a red car")
    assert re.search(rf"{STEERING[:20]}.* +0 +1 +new", capsys.readouterr().out)


def test_words_that_were_exported_are_the_same_when_they_come_back(run: Path, tmp_path: Path) -> None:
    brought(run, table(run), "--name", "ann")
    brought(run, table(run), "--name", "ann", "--control", "random")
    assert cli.main(["export", str(run), "--out", str(tmp_path / "out")]) == 0
    brought(run, tmp_path / "out" / "explanations.parquet")
    known = len(names(run))
    with Run.open(run) as opened:
        said = {
            setting.setting_id: {
                (feature_id, each.sample): (each.status, each.text)
                for feature_id, samples in explanations(opened, setting).items()
                for each in samples
            }
            for setting in settings(opened)
        }
        theirs = [each for each in settings(opened) if each.method != "imported"]
        came_back = {(each.explainer, each.control): each for each in settings(opened) if each.method == "imported"}
    expected = {("ann", None), ("ann", "random")}
    for each in theirs:
        at = f" at {each.strength.value:g} {each.strength.unit}" if each.strength else ""
        name = f"{each.method} by {each.explainer}{at}"
        expected.add((name, each.control))
        assert said[came_back[name, each.control].setting_id] == said[each.setting_id]
    assert set(came_back) == expected  # words that had come from elsewhere keep the name that they had
    assert {"steering", "topk"} <= {each.method for each in theirs}
    assert cli.main(["export", str(run), "--out", str(tmp_path / "again")]) == 0
    brought(
        run, tmp_path / "again" / "explanations.parquet", code=2
    )  # each is there twice now: as it was, and imported
    assert len(names(run)) == known


def test_imported_words_are_scored_and_compared_beside_others(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = table(run)
    brought(run, file)
    brought(run, file, "--name", "other words")
    brought(run, file, "--control", "random")
    small = ("--device", "cpu", "--n-exemplars", "3", "--methods", "imported")
    capsys.readouterr()
    assert cli.main(["score", str(run), "--scores", "clip,ground_truth", *small]) == 0
    out = capsys.readouterr().out
    assert re.search(r"clip +│ imported by mine +│ 0\.", out)
    assert re.search(r"ground_truth +│ imported, random by mine +│ 0\.", out)
    assert MAY_HAVE_SEEN in out.replace("\n", " ")
    with Run.open(run) as opened:
        silent = ids_of(run)[0]
        own = {each.setting_id for each in settings(opened) if each.explainer == "mine" and each.control is None}
        of_clip = [
            each for each in scorings(opened) if each.score == "clip" and each.setting_id in own and not each.aid
        ]
        measured = scores(opened, of_clip[0])[silent][0].measured
        assert (measured.others["clip_difference"], measured.reason) == (0.0, "the text is empty"), "and not left out"
    assert cli.main(["compare", str(run), "--scores", "clip,ground_truth"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert re.search(r"imported, by mine 0\.\d{3} .*imported, by other words 0\.\d{3} ", out)
    assert MAY_HAVE_SEEN in out
    assert f"seesay import {run} FILE --name NAME --control random" in out
    assert "--method imported" not in out


def test_whoever_cannot_be_asked_is_not_asked(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    brought(run, table(run))
    capsys.readouterr()
    asked = ["score", str(run), "--scores", "faithfulness", "--methods", "imported", "--device", "cpu"]
    assert cli.main(asked) == 2
    assert "expected explanations, not by dissect or imported alone" in capsys.readouterr().err


def test_a_run_without_imported_words_says_how_to_get_them(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["score", str(run), "--methods", "imported", "--device", "cpu"]) == 2
    assert f"seesay import {run} FILE" in capsys.readouterr().err


def test_cards_pages_and_reports_show_them_and_escape_them(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    brought(run, table(run, nasty=True), "--name", "<b>mine</b>")
    feature_id = ids_of(run)[0]
    capsys.readouterr()
    assert cli.main(["show", str(run), str(feature_id)]) == 0
    assert re.search(
        r"imported +<b>mine</b> +=cmd\|' /C calc'!A0 <script>alert\(1\)</script> \[bold\]", capsys.readouterr().out
    )
    catalogue = Catalogue([run])
    catalogue.refresh()
    client = client_of(catalogue)
    for address in (f"/runs/0/features/{feature_id}", "/?method=imported", "/?q=calc"):
        page = client.get(address).text
        assert "imported" in page
        assert "&lt;script&gt;alert(1)" in page or "calc" not in page
        assert "<script>alert(1)" not in page
        assert "<b>mine" not in page
    catalogue.close()
    out = tmp_path / "report.html"
    assert cli.main(["report", str(run), "--features", str(feature_id), "--out", str(out)]) == 0
    assert "&lt;script&gt;alert(1)" in (page := out.read_text("utf-8"))
    assert "<script>alert(1)" not in page
    csv = tmp_path / "scores.csv"
    assert cli.main(["compare", str(run), "--csv", str(csv), "--page", str(tmp_path / "page.html")]) == 0
    assert not re.search(r"(^|,)=", csv.read_text())


def test_imported_words_are_labelled_trusted_and_judged_like_others(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    brought(run, table(run))
    assert cli.main(["label", str(run), "--by", "records", "--device", "cpu"]) == 0
    asked = ["people", str(run), "--begin", "first", "--n-features", "2", "--methods", "imported,topk"]
    assert cli.main(asked) == 0
    assert "by topk, imported" in capsys.readouterr().out
    with making(run.parent / "larger") as larger:
        said(larger, dict.fromkeys(range(60), "a frog"))
        keep(larger, {each: "a frog" if each % 2 else "a toad" for each in range(60)}, "mine")
    verdicts = run.parent / "right.csv"
    rows = (f"{each},{method},{each % 2}\n" for each in range(60) for method in ("imported", "topk"))
    verdicts.write_text("feature_id,method,right\n" + "".join(rows))
    assert cli.main(["trust", str(run.parent / "larger"), "--right", str(verdicts)]) == 0
    assert "agreement: methods" in capsys.readouterr().out


def test_what_was_imported_is_taken_back_with_all_that_hangs_on_it(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    brought(run, table(run), "--name", "other words")
    with Run.open(run) as opened:
        (other,) = (each for each in settings(opened) if each.explainer == "other words")
    before = dumped(run)
    brought(run, table(run))
    brought(run, table(run), "--control", "random")
    with Run.writing(run) as opened:
        words = {each: samples[0].text for each, samples in explanations(opened, settings(opened)[-2]).items()}
        mine, _control = settings(opened)[-2:]
        scored(opened, "clip", mine, dict.fromkeys(words, 0.5), words)
        scored(opened, "clip", mine, dict.fromkeys(words, 0.4), "a tree", aid="constant")
        give(opened, Judged(mine.setting_id, ids_of(run)[1], 0, "ann", words[ids_of(run)[1]], "right"))
        set_trust(opened, {}, [*trusts(opened), Trusted(mine.setting_id, ids_of(run)[1], 0, "a", 0.5)])
        add(opened, mine, [replace(explanations(opened, mine)[ids_of(run)[1]][0], sample=1, text="a lone frog")])
        add_labels(opened, "who", [Label("a lone frog", "high-level", ""), Label("a red car", "high-level", "")])
    capsys.readouterr()
    brought(run, "--remove", "mine")
    out = capsys.readouterr().out
    assert "imported by mine: explanations: 81, scores: 80, verdicts: 1, labels: 1\n" in out
    with Run.open(run) as opened:
        assert labels(opened, "who").keys() == {"a red car"}, "which others say, too"
        assert explanations(opened, other)
        assert [each.setting_id for each in settings(opened)][-2:] == [other.setting_id + 1, other.setting_id + 2]
    left = [line for line in dumped(run) if "INTO labels" not in line.replace('"', "") and "'imported'" not in line]
    assert left == [line for line in before if "'imported'" not in line]
    for command in ("report", "compare", "label --by records"):
        assert cli.main([command.split()[0], str(run), *command.split()[1:]]) == 0
    assert "by mine" not in capsys.readouterr().out
    assert "by 'mine'; expected one of other words" in refusal(run, capsys, "--remove", "mine")
    brought(run, table(run))
    assert re.search(r"^ *mine +39 +1 +new", capsys.readouterr().out, re.MULTILINE)


def test_a_control_is_taken_back_alone_where_it_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    brought(run, table(run))
    brought(run, table(run), "--control", "random")
    capsys.readouterr()
    brought(run, "--remove", "mine", "--control", "random", "--json", "-")
    told = json.loads(capsys.readouterr().out)
    assert told["removed"] == {"n_explanations": 40, "n_scores": 0, "n_verdicts": 0, "n_labels": 0}
    with Run.open(run) as opened:
        assert [len(explanations(opened, each)) for each in settings(opened)][-2:] == [40, 0]
    assert "no imported words by 'mine' with the control random" in refusal(
        run, capsys, "--remove", "mine", "--control", "random"
    )


def test_what_was_not_imported_cannot_be_removed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = dumped(run)
    assert f"nothing was imported into {run}" in refusal(run, capsys, "--remove", "mine")
    assert dumped(run) == before
    brought(run, table(run))
    before = dumped(run)
    with Run.open(run) as opened:
        topk = next(each for each in settings(opened) if each.method == "topk")
    assert f"by {topk.explainer!r}; expected one of mine" in refusal(run, capsys, "--remove", topk.explainer)
    assert "name ''; expected 1 to 200 characters" in refusal(run, capsys, "--remove", "")
    for more in ((table(run),), ("--name", "x"), ("--replace",)):
        assert "beside --remove; expected one of the two" in refusal(run, capsys, *more, "--remove", "mine")
    assert dumped(run) == before


def test_a_study_of_words_that_were_removed_is_read_as_before_and_counts_for_nobody_else(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    brought(run, table(run))
    asked = ["people", str(run), "--begin", "first", "--n-features", "2", "--methods", "imported,topk"]
    assert cli.main(asked) == 0
    brought(run, "--remove", "mine")
    with Run.open(run) as opened:
        (gone,) = (each for each in settings(opened) if each.explainer == "mine")
    brought(run, table(run), "--name", "new")
    with Run.open(run) as opened:
        assert settings(opened)[-1].setting_id != gone.setting_id
    assert cli.main(["people", str(run)]) == 0
    capsys.readouterr()


def test_an_empty_name_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = dumped(run)
    for name in ("", "  "):
        assert "name ''; expected 1 to 200 characters" in refusal(run, capsys, table(run), "--name", name)
    assert dumped(run) == before


def test_an_interrupt_leaves_the_run_as_it_was(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dumped(run)
    monkeypatch.setattr("seesay.importing.keeping._check", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert cli.main(["import", str(run), str(table(run))]) == 130
    assert dumped(run) == before


@pytest.mark.slow(seconds=60)
def test_a_million_rows_do_not_fill_the_memory(tmp_path: Path) -> None:
    n, file = 1_000_000, tmp_path / "many.csv"
    with file.open("w") as rows:
        rows.write("feature_id,text\n")
        rows.writelines(f"{each},a striped thing of kind {each}\n" for each in range(n))
    with Run.writing(tmp_path / "run", {"subject": "tiny", "layer": 1, "sae": "x", "identity": "abc"}):
        pass  # a run without images takes any feature
    script = (
        "from pathlib import Path; from seesay import cli; "
        f"assert cli.main(['import', {str(tmp_path / 'run')!r}, {str(file)!r}]) == 0; "
        "print(Path('/proc/self/status').read_text())"  # getrusage tells of the process that it was forked from, too
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    (kilobytes,) = re.findall(r"^VmHWM:\s+(\d+) kB$", done.stdout, re.MULTILINE)
    assert int(kilobytes) < 400_000
    with Run.open(tmp_path / "run") as opened:
        assert n_explained(opened, settings(opened)[0])["ok"] == n


def test_every_flag_is_told_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["import", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "csv|parquet|folders" in shown
    assert "random|permuted" in shown
    assert Import.__doc__ is not None
