"""`seesay people`: studies begun, and what people say told."""

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from seesay import cli
from seesay.store.run import Run
from seesay.store.studies import Rating, add_rater, rate, raters, studies, study_items
from seesay.store.verdicts import Judged, give
from tests.comparison.making import making, said
from tests.comparison.studying import IDS, STEERING, TOPK, studied, words_of
from tests.comparison.test_people import rated, verdict_on


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "150")


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with two raters who agree, another with one, and an open verdict; read by many."""
    folder = tmp_path_factory.mktemp("runs") / "x"
    with studied(folder) as run:
        rated(run)
        rated(run, "second", ("Cy",))
        give(run, Judged(2, IDS[0], 0, "=Di", f"seen <{IDS[0]}>", "partly", "-1"))
    return folder


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    with studied(tmp_path / "x"):
        pass
    return tmp_path / "x"


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[dict[str, Any], str]:
    assert cli.main(["people", *map(str, arguments), "--json", "-"]) == 0
    out, err = capsys.readouterr()
    return json.loads(out), err


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert cli.main(["people", *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_it_tells_what_people_say_of_methods_and_how_raters_did(
    judged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, shown = told(capsys, judged)
    blind, openly = result["methods"]
    assert (blind["is_blind"], openly["is_blind"]) == (True, False)
    by_name = {each["contender"]: each for each in blind["opinions"]}
    assert by_name["steering"]["estimate"]["mean"] == 1
    assert by_name["steering"]["n_raters"] == 3
    assert by_name["steering"]["n"] == 72
    assert by_name["steering"]["decoys"]["mean"] == 0
    assert by_name["steering"]["against"]["difference"]["mean"] == 1
    assert by_name["steering"]["adjusted"] < 0.001 < by_name["dissect"]["adjusted"] == 1
    assert {(each["first"], each["second"]) for each in blind["pairs"]} >= {("steering", "topk")}
    assert [(each["contender"], each["n"], each["decoys"]) for each in openly["opinions"]] == [("topk", 1, None)]
    first, second = result["studies"]
    assert first["alpha"]["value"] == 1
    assert second["alpha"] is None
    assert [(each["name"], each["n"], each["n_decoys"], each["n_fooled"]) for each in first["raters"]] == [
        ("Ann", 96, 24, 0),
        ("Bob", 96, 24, 0),
    ]
    for part in ("Blind ratings", "Open verdicts", "steering - topk", "96 of 96", "0 of 24", "alpha", "Study second"):
        assert part in shown


def test_one_study_is_told_alone(judged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result, _ = told(capsys, judged, "--study", "second", "--methods", "steering")
    assert [each["name"] for each in result["studies"]] == ["second"]
    (blind,) = result["methods"]
    assert [(each["contender"], each["n_raters"]) for each in blind["opinions"]] == [("steering", 1)]
    assert result["n_judgements"] == 96


def test_a_rater_who_calls_decoys_right_is_seen(fresh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Run.noting(fresh) as run:
        items = rated(run)
        eve = add_rater(run, 1, "Eve")
        for item in items[:60]:
            rate(run, eve, Rating(item.number, "Eve", "right"))
    result, shown = told(capsys, fresh)
    (study,) = result["studies"]
    found = next(each for each in study["raters"] if each["name"] == "Eve")
    n_decoys = sum(each.is_decoy for each in items[:60])
    assert (found["n"], found["n_decoys"], found["n_fooled"], found["seconds"]) == (60, n_decoys, n_decoys, None)
    assert study["alpha"]["value"] < 1
    assert f"{n_decoys} of {n_decoys}" in shown


def test_every_verdict_and_rating_is_a_line_of_the_table_without_keys(
    judged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(capsys, judged, "--csv", tmp_path / "said.csv")
    text = (tmp_path / "said.csv").read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == 1 + 3 * 96
    assert (rows[0]["kind"], rows[0]["rater"], rows[0]["note"], rows[0]["decoy"]) == ("open", "'=Di", "'-1", "")
    assert {each["decoy"] for each in rows[1:]} == {"0", "1"}
    with Run.open(judged) as run:
        keys = [each.key for study in studies(run) for each in raters(run, study.study_id)]
    assert not any(key in text for key in keys)


def test_a_study_is_begun_with_addresses_for_its_raters(fresh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--begin", "first", "--n-features", 9, "--n-images", 4, "--decoys", 2, "--methods", "steering,topk")
    result, shown = told(capsys, fresh, *arguments, "--raters", "ann,bob", "--seed", 3)
    paths = result["study"]["raters"]
    assert paths.keys() == {"ann", "bob"}
    with Run.open(fresh) as run:
        (study,) = studies(run)
        assert study.facts["seed"] == 3
        assert paths == {each.name: f"/rate/{each.key}" for each in raters(run, study.study_id)}
        items = study_items(run, study.study_id)
    assert len(items) == 9 * 4
    assert {len(each.image_ids) for each in items} == {4}
    assert "36 items of 9 features, 18 of them decoys, by steering, topk" in shown.replace("\n", " ")
    assert "shown twice" not in shown
    assert all(path in shown for path in paths.values())
    again, _ = told(capsys, fresh, "--study", "first", "--raters", "ann,eve")
    assert again["study"]["raters"]["ann"] == paths["ann"]
    assert "eve" in again["study"]["raters"]


def test_decoys_that_may_be_known_by_their_words_are_told(fresh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, shown = told(capsys, fresh, "--begin", "first", "--n-features", len(IDS))
    assert f"{len(IDS)} decoys are in words that are shown twice" in shown


def test_names_are_kept_as_one_line_and_found_as_they_were_typed(
    fresh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, _ = told(capsys, fresh, "--begin", "the \n first\0", "--raters", "ann\tb,ann b")
    assert first["study"]["name"] == "the first"
    assert first["study"]["raters"].keys() == {"ann b"}
    again, _ = told(capsys, fresh, "--study", "the \n first", "--raters", "ann b")
    assert again["study"]["raters"] == first["study"]["raters"]


def test_a_study_of_decoys_none_and_raters_none_is_begun(fresh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, shown = told(capsys, fresh, "--begin", "first", "--decoys", 0)
    assert "--study first --raters NAME,NAME" in shown
    with Run.open(fresh) as run:
        assert not any(each.is_decoy for each in study_items(run, 1))


def test_where_nobody_judged_it_says_what_to_do(fresh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result, shown = told(capsys, fresh)
    assert (result["n_judgements"], result["methods"], result["studies"]) == (0, [], [])
    assert "Nobody has judged anything of this run yet." in shown
    assert f"seesay people {fresh} --begin NAME" in shown


def test_what_compare_says_of_people_is_the_same(
    judged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result, _ = told(capsys, judged)
    page = tmp_path / "x.html"
    assert cli.main(["compare", str(judged), "--scores", "people", "--page", str(page), "--json", "-"]) == 0
    out, err = capsys.readouterr()
    (standing,) = json.loads(out)["standings"]
    assert [row["estimate"] for row in standing["rows"]] == [
        each["estimate"] for each in result["methods"][0]["opinions"]
    ]
    assert standing["pairs"] == result["methods"][0]["pairs"]
    assert "1 verdict that was not blind: left aside." in err
    assert "--scores people" not in err, "nobody can be told to compute it"
    assert "do people say that the words are right?" in page.read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--study", "none"), "the study 'none'"),
        (("--begin", "first"), "the study 'first', which there is"),
        (("--begin", " "), "a study without a name"),
        (("--begin", "q\udcff"), "the name of a study, which is no text"),
        (("--begin", "more", "--raters", "ann,\u200b"), "a rater without a name"),
        (("--study", "first", "--raters", "q\udcff"), "the name of a rater, which is no text"),
        (("--study", "q\udcff"), "the study 'q\\udcff'"),
        (("--begin", "more", "--n-features", "300"), "test features of"),
        (("--begin", "more", "--n-features", "501"), "n_features 501"),
        (("--begin", "more", "--n-images", "2"), "n_images 2"),
        (("--begin", "more", "--decoys", "11"), "n_decoys 11"),
        (("--begin", "more", "--methods", "hybrid"), "is explained by hybrid"),
        (("--begin", "more", "--methods", "magic"), "method 'magic'"),
        (("--begin", "more", "--study", "first"), "--begin and --study"),
        (("--begin", "more", "--csv", "x.csv"), "--begin and --csv"),
        (("--n-images", "4"), "--n-images without a study to begin"),
        (("--decoys", "0"), "--decoys without a study to begin"),
        (("--raters", "ann"), "--raters of no study"),
        (("--study", "first", "--raters", "a" * 61), "a name of 61 characters"),
        (("--methods", "hybrid"), "no explanations by hybrid"),
    ],
)
def test_bad_input_is_refused_in_a_line(
    judged: Path, arguments: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line in refused(capsys, judged, *arguments)
    with Run.open(judged) as run:
        assert [each.name for each in studies(run)] == ["first", "second"]


def test_a_run_without_explanations_or_none_at_all_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with making(tmp_path / "x"):
        pass
    assert "no explanations in" in refused(capsys, tmp_path / "x")
    assert "no explanations in" in refused(capsys, tmp_path / "x", "--begin", "first")
    assert "no run" in refused(capsys, tmp_path / "none")


def test_raters_who_cannot_be_are_refused_before_a_study_is_begun(
    fresh: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "a name of 61 characters" in refused(capsys, fresh, "--begin", "first", "--raters", "a" * 61)
    with Run.open(fresh) as run:
        assert studies(run) == []


def test_people_are_no_score_that_could_be_computed(fresh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["score", str(fresh), "--scores", "people"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(r"people, which no model computes; expected people who judge; they do so in seesay serve", line)


def test_two_methods_that_share_no_judged_feature_are_told_without_a_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with making(tmp_path) as run:
        for number, setting in enumerate((STEERING, TOPK)):
            stored = said(run, words_of("said"), setting)
            text = f"said <{IDS[number]}>"
            give(run, Judged(stored.setting_id, IDS[number], 0, "Ann", text, "right"))
    result, _ = told(capsys, tmp_path)
    (openly,) = result["methods"]
    assert [each["contender"] for each in openly["opinions"]] == ["steering", "topk"]
    assert openly["pairs"] == []


def test_only_decoys_that_were_judged_are_told(tmp_path: Path, fresh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(fresh, tmp_path / "copy"))
    told(capsys, folder, "--begin", "first", "--n-features", 12, "--raters", "ann")
    with Run.noting(folder) as run:
        (ann,) = raters(run, 1)
        for item in study_items(run, 1):
            if item.is_decoy:
                rate(run, ann, Rating(item.number, "ann", verdict_on(item)))
    result, shown = told(capsys, folder)
    assert result["methods"][0]["opinions"] == []
    assert "12 of 48" in shown
