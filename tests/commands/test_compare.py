"""`seesay compare`: tables, JSON, CSV and figures, of runs that may be a stranger's."""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from seesay import cli
from seesay.commands.compare import Compare
from seesay.commands.comparison_csv import COLUMNS, cell
from seesay.commands.options import Options
from seesay.comparison.comparing import compare
from seesay.comparison.quantities import named
from seesay.comparison.reading import read
from seesay.errors import InvalidSetting, UnknownChoice, UnusablePath
from seesay.explainers.config import Setting
from seesay.importing.keeping import keep
from seesay.records import Strength
from seesay.report.comparison_figures import figure_of
from seesay.report.comparison_sections import summary
from seesay.scorers.config import SCORES
from seesay.split import split_of
from seesay.store.explanations import settings
from seesay.store.labels import Label, add_labels
from seesay.store.run import Run
from seesay.store.trust import Trusted, set_trust
from tests.comparison.making import FACTS, drawn, judged, making, said, scored

N = 80
IDS = judged(N)
WORDS = dict.fromkeys(range(N), "a red car")
STEERING = Setting("steering", Strength(2.0, "residual_norm"))
NASTY = "=cmd|'/c calc'!A1 [red]x[/red]</script><img src=x onerror=alert(1)>\x1b]0;title\x07"


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "150")


def fill(folder: Path, explainer: str = "world:M", **options: Any) -> Path:
    """Two methods, one with all that stands beside it."""
    with making(folder, N, **options) as run:
        topk, steering = (said(run, WORDS, each, explainer) for each in (Setting("topk"), STEERING))
        random = said(run, dict.fromkeys(range(N), "grass"), Setting("topk", control="random"), explainer)
        for seed, (setting, mean) in enumerate(((topk, 0.8), (steering, 0.7))):
            scored(run, "auroc", setting, drawn(seed, IDS, mean), others={each: {"mad": -2.5} for each in IDS})
        scored(run, "auroc", topk, drawn(5, IDS, 0.5), "grass", aid="permuted")
        scored(run, "auroc", topk, drawn(6, IDS, 0.52), "grass", aid="constant")
        scored(run, "auroc", random, drawn(7, IDS, 0.48), "grass")
        scored(run, "ground_truth", topk, {each: float(each % 2) for each in IDS})
        scored(run, "monosemanticity", None, drawn(9, IDS, 0.3), "")
        add_labels(run, "records:1", [Label("a red car", "high-level", "")])
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read by many; whoever changes it takes `copied`."""
    return fill(tmp_path_factory.mktemp("runs") / "x")


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


def shown(capsys: pytest.CaptureFixture[str], *paths: Path, **options: Any) -> str:
    assert Compare(paths, **options).run() == 0
    return capsys.readouterr().out


def test_tables_hold_means_aids_and_tests(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, run)
    topk, steering = (np.array(list(drawn(seed, IDS, mean).values())) for seed, mean in ((0, 0.8), (1, 0.7)))
    assert f"auroc, {len(IDS)} test features: do images made from the words" in out
    row = re.search(r"^topk +(\S+) +(\S+) to (\S+) +(\S+) +(\S+) +(\S+) +(\S+)$", out, re.MULTILINE)
    assert row is not None
    assert row[1] == f"{topk.mean():.3f}"
    assert row[4] == f"{len(IDS)}"
    aids = [np.mean(list(drawn(seed, IDS, mean).values())) for seed, mean in ((7, 0.48), (5, 0.5), (6, 0.52))]
    assert [row[place] for place in (5, 6, 7)] == [f"{mean:.3f}" for mean in aids]
    assert re.search(rf"^steering +{steering.mean():.3f} .* - +- +- *$", out, re.MULTILINE)
    pair = re.search(r"^steering - topk +(\S+) .* ([+-]\d\.\d\d) +(< 0.001|\S+) +(< 0.001|\S+) *$", out, re.MULTILINE)
    assert pair is not None
    assert pair[1] == f"{(steering - topk).mean():+.3f}"
    p_value = stats.wilcoxon(steering - topk).pvalue
    assert pair[3] == pair[4] == ("< 0.001" if p_value < 0.001 else f"{p_value:.3f}")
    assert "By level of what features stand for: of most of what is said of them, by the scenes' records" in out
    assert "most frequent third" in out
    assert "Rank correlation with ground_truth" in out
    assert "Uninformative" not in out
    assert "\x1b" not in out


def test_what_tables_lack_is_told_with_the_command_that_brings_it(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = shown(capsys, run, scores="auroc")
    assert f"seesay explain {run} --method steering --control random" in out
    assert "--method topk --control random" not in out
    assert f"seesay score {run} --scores auroc " in out


def test_where_random_directions_have_words_only_scoring_is_missing(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Run.writing(copied) as opened:
        topk, *_ = (each for each in settings(opened) if each.title == "topk")
        scored(opened, "iou", topk, drawn(3, IDS))
    out = shown(capsys, copied, scores="auroc,iou", methods="topk")
    assert "--control random" not in out
    assert f"seesay score {copied} --scores iou " in out


def explained_next(folder: Path, ids: Iterable[int], capsys: pytest.CaptureFixture[str]) -> str:
    """What is told of the words of random directions, where steering explained these features."""
    chosen = list(ids)
    with making(folder, N) as opened:
        setting = said(opened, dict.fromkeys(chosen, "a red car"), STEERING, "world:L")
        scored(opened, "auroc", setting, drawn(0, [each for each in IDS if each in chosen], 0.8))
        opened.rows("UPDATE run SET value = '\"world:M\"' WHERE name = 'subject'")
    (line,) = (each for each in shown(capsys, folder).splitlines() if "seesay explain" in each)
    return line.strip().removeprefix(f"seesay explain {folder} --method steering --control random ")


@pytest.mark.parametrize(
    ("ids", "features"),
    [
        (range(30), "--features 0-29   the words of random directions"),
        ([*range(20), 33, 70, 71], "--features 0-19,33,70-71   the words of random directions"),
        (range(0, N, 2), "the words of random directions; give the --features, --limit or --split of before"),
    ],
)
def test_random_directions_are_asked_for_as_and_of_what_was_explained(
    ids: Iterable[int], features: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = explained_next(tmp_path / "run", ids, capsys)
    pushed, asked = "--strength 2 --strength-unit residual_norm ", "--explainer world:L"
    assert line.split() == f"{pushed}{asked} {features}".split()


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (lambda usual: usual, ""),
        (lambda usual: usual[:5], "--limit 5"),
        (lambda usual: [each for each in usual if split_of(each) == "test"], "--split test"),
        (lambda usual: [each for each in usual if split_of(each) == "test"][:9], "--split test --limit 9"),
    ],
)
def test_what_was_explained_is_told_in_short(
    chosen: Callable[[list[int]], list[int]],
    expected: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = list(range(1, N, 2))
    monkeypatch.setattr("seesay.store.exemplars.with_exemplars", lambda *_: usual)
    line = explained_next(tmp_path / "run", chosen(usual), capsys)
    assert line.partition("world:L")[2].partition("   ")[0].strip() == expected


def test_what_stands_beside_methods_is_asked_for_of_the_features_that_were_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with making(tmp_path / "run", N) as opened:
        topk = said(opened, WORDS)
        scored(opened, "iou", topk, drawn(0, range(40), 0.8))
    beside = f"seesay score {tmp_path / 'run'} --scores iou --features 0-39   what stands beside methods"
    assert beside in shown(capsys, tmp_path / "run")
    with Run.writing(tmp_path / "run") as opened:
        scored(opened, "iou", topk, drawn(0, range(N), 0.8))
    assert beside.replace(" --features 0-39", "") in shown(capsys, tmp_path / "run")


def test_imported_words_without_scores_lead_to_scoring_them(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Run.writing(copied) as opened:
        keep(opened, WORDS, "mine")
    out = shown(capsys, copied, scores="auroc")
    assert (
        f"Next:\n  seesay score {copied} --scores auroc --methods imported   imported, which has no scores yet" in out
    )
    with pytest.raises(InvalidSetting, match=f"; seesay score {copied} --scores auroc$"):
        Compare((copied,), scores="auroc", methods="imported").run()
    with making(tmp_path / "bare", N) as bare:
        keep(bare, WORDS, "mine")
    with pytest.raises(UnusablePath, match=f"; seesay score {bare.folder} --methods imported$"):
        Compare((bare.folder,), methods="imported").run()


def test_the_page_holds_the_tables_that_the_terminal_shows(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, run)
    page = unescape((run / "compare.html").read_text().partition("<section>")[2])
    headings = [line for line in out.splitlines() if re.match(r"auroc, |By level|By how often|Rank correlation", line)]
    assert len(headings) == 4
    for heading in headings:
        assert heading in re.sub("<[^>]*>", "", page)
    cells = re.findall(r"<t[hd] [^>]*>([^<]*)</t[hd]>", page)
    row = re.search(r"^topk +(\S+) +(\S+ to \S+)  ", out, re.MULTILINE)
    assert row is not None
    assert {row[1], row[2], "random", "permuted", "constant"} <= set(cells)


def test_a_score_that_separates_nothing_is_called_uninformative(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with making(tmp_path, N) as run:
        topk = said(run, WORDS)
        scored(run, "clip", topk, drawn(0, IDS), facts={**FACTS, "holding": "shared"})
        scored(run, "clip", topk, drawn(1, IDS), "grass", aid="constant", facts={**FACTS, "holding": "shared"})
    out = shown(capsys, tmp_path)
    assert "Uninformative here" in out
    assert "shared with the explainers (the paper's habit)" in out
    assert f"clip (shared images), {len(IDS)} test features: how near are the words to exemplars" in out
    assert out.count("clip (shared images)") == 1 + (out.count("clip") - 2), "wherever it stands, but in the next steps"
    page = (tmp_path / "compare.html").read_text()
    assert "clip (shared images): Uninformative here" in page
    assert "clip (shared images): Computed on images that were shared" in page


def in_short(folder: Path, *scores: str) -> list[str]:
    with Run.open(folder) as opened:
        return summary(compare(read([opened]), named(scores, SCORES)))


def test_in_short_a_method_is_below_those_of_its_aids_that_are_above_it(tmp_path: Path) -> None:
    with making(tmp_path, N) as run:
        topk, steering = said(run, WORDS), said(run, WORDS, STEERING)
        random = said(run, WORDS, Setting("topk", control="random"))
        for seed, (setting, mean) in enumerate(((topk, 0.5), (steering, 0.8), (random, 0.7))):
            scored(run, "iou", setting, drawn(seed, IDS, mean, 0.02))
        for seed, (setting, aid, mean) in enumerate(
            ((topk, "permuted", 0.3), (topk, "constant", 0.6), (steering, "permuted", 0.2)), start=3
        ):
            scored(run, "iou", setting, drawn(seed, IDS, mean, 0.02), "grass", aid=aid)  # pyright: ignore[reportArgumentType]
    (told,) = in_short(tmp_path, "iou")
    assert re.fullmatch(
        r"iou: steering is highest, 0\.\d+; steering above topk; topk below its random and constant words", told
    )


def test_in_short_a_score_that_separates_nothing_does_not_tell_words_from_what_stands_beside_them(
    tmp_path: Path,
) -> None:
    with making(tmp_path, N) as run:
        for seed, setting in enumerate((Setting("topk"), STEERING)):
            stored = said(run, WORDS, setting)
            for name, facts in (("iou", FACTS), ("clip", {**FACTS, "holding": "shared"})):
                scored(run, name, stored, drawn(seed, IDS), facts=facts)  # pyright: ignore[reportArgumentType]
                scored(run, name, stored, drawn(9, IDS, 0.9), "grass", aid="constant", facts=facts)  # pyright: ignore[reportArgumentType]
    told = "does not tell words from what stands beside them, and so no two methods apart"
    assert in_short(tmp_path, "iou", "clip") == [f"iou: {told}", f"clip (shared images): {told}"]


def test_the_whole_result_is_written_as_json(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown(capsys, run, common=Options(json=tmp_path / "all.json"))
    found = json.loads((tmp_path / "all.json").read_text())
    assert found["split"] == "test"
    assert found["labeller"] == "records:1"
    assert [each["name"] for each in found["contenders"]] == ["steering", "topk"]
    assert found["contenders"][0]["strengths"] == [{"value": 2.0, "unit": "residual_norm"}]
    by_score = {each["quantity"]["name"]: each for each in found["standings"]}
    assert by_score.keys() == {"auroc", "ground_truth", "monosemanticity"}
    assert by_score["auroc"]["rows"][1]["aids"].keys() == {"random", "permuted", "constant"}
    assert by_score["auroc"]["truth"]["by_contender"].keys() == {"topk"}


def test_every_number_of_the_tables_is_in_the_csv(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(capsys, run, csv=tmp_path / "all.csv", all=True)
    assert "shared" not in (tmp_path / "all.csv").read_text()
    with (tmp_path / "all.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert tuple(lines[0]) == COLUMNS
    own = {int(each["feature_id"]): float(each["value"]) for each in lines if of(each, "topk", "", "auroc")}
    assert own == drawn(0, IDS, 0.8)
    constant = {
        int(each["feature_id"]): float(each["value"]) for each in lines if of(each, "topk", "constant", "auroc")
    }
    assert constant == drawn(6, IDS, 0.52)
    assert {each["value"] for each in lines if each["score"] == "mad"} == {"-2.5"}
    assert {each["method"] for each in lines if each["score"] == "monosemanticity"} == {""}
    (steering,) = {tuple(each.values())[:5] for each in lines if each["method"] == "steering"}
    assert steering == (str(run), "1", "steering", "world:M", "2 residual_norm")


def of(line: dict[str, str], method: str, aid: str, score: str) -> bool:
    return (line["method"], line["aid"], line["score"]) == (method, aid, score)


def test_how_sure_explanations_are_is_told_where_a_run_says_so(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Trust" not in shown(capsys, copied, scores="auroc")
    with Run.writing(copied) as run:
        topk, *_ = (each for each in settings(run) if each.title == "topk")
        shares = [Trusted(topk.setting_id, each, 0, "a red car", place / len(IDS)) for place, each in enumerate(IDS)]
        elsewhere = [each for each in range(N) if each not in IDS]
        others = [Trusted(topk.setting_id, each, 0, "a red car", 1.0) for each in elsewhere]
        set_trust(run, {}, [*shares[:-1], *others, Trusted(topk.setting_id, IDS[-1], 0, "replaced", 1.0)])
    out = shown(capsys, copied, scores="auroc", csv=tmp_path / "all.csv", common=Options(json=tmp_path / "all.json"))
    known = [each.probability for each in shares[:-1]]
    counts = [sum(each >= threshold for each in known) for threshold in (0.5, 0.8, 0.9, 0.95)]
    cells = " +".join(rf"{n} \({n / len(known):.0%}\)" for n in counts)
    assert re.search(rf"^topk +{cells} +{len(known)} +1 *$", out, re.MULTILINE)
    (told,) = json.loads((tmp_path / "all.json").read_text())["trust"]
    assert list(told["n_kept"].values()) == counts
    assert (tmp_path / "all.csv").read_text().count(",trust,") == len(known)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", " ="])
def test_a_cell_is_no_formula(start: str) -> None:
    assert cell(f"{start}1+1").startswith("'")
    assert cell("steering - 1") == "steering - 1"


def test_a_strangers_names_steer_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "a", NASTY, sae=NASTY)
    with making(tmp_path / "a", N, sae=NASTY) as run:
        scored(run, "auroc", said(run, WORDS, Setting("topk"), "another"), drawn(0, IDS, 0.8))
    out = shown(capsys, tmp_path / "a", csv=tmp_path / "all.csv")
    assert "topk, by =cmd|" in out
    assert "[red]x[/red]" in out
    assert "\x1b" not in out
    assert "\x07" not in out
    page = (tmp_path / "a" / "compare.html").read_text()
    assert "<img" not in page.rpartition("Plotly.newPlot")[2]
    assert "topk, by =cmd|&#x27;/c calc&#x27;!A1 [red]x[/red]&lt;/script&gt;&lt;img" in page.rpartition("<section>")[0]
    with (tmp_path / "all.csv").open(newline="") as file:
        explainers = {each["explainer"] for each in csv.DictReader(file)}
    assert any(each.startswith("'=cmd|") for each in explainers)


def test_the_csv_marks_numbers_from_images_that_were_shared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with making(tmp_path / "x", N) as run:
        topk = said(run, WORDS)
        scored(run, "clip", topk, drawn(0, IDS), facts={**FACTS, "holding": "shared"})
        scored(run, "iou", topk, drawn(1, IDS))
    shown(capsys, tmp_path / "x", csv=tmp_path / "all.csv")
    with (tmp_path / "all.csv").open(newline="") as file:
        told = {(each["score"], each["images"]) for each in csv.DictReader(file)}
    assert told == {("clip", "shared"), ("iou", "")}


def test_figures_show_what_tables_say(run: Path) -> None:
    with Run.open(run) as opened:
        contest = read([opened])
    comparison = compare(contest, named(["auroc", "monosemanticity"], SCORES))
    figure = figure_of(contest, comparison)
    (auroc, _) = comparison.standings
    for row in auroc.rows:
        (dot,) = [each for each in figure.data if each.mode == "markers" and each.name == row.contender]
        assert dot.x[0] == row.estimate.mean
        assert dot.x[0] + dot.error_x.array[0] == pytest.approx(row.estimate.high)
        assert dot.x[0] - dot.error_x.arrayminus[0] == pytest.approx(row.estimate.low)
    assert {each.marker.color for each in figure.data if each.name in ("random", "permuted", "constant")} == {"#8a8a8a"}
    (line,) = [each for each in figure.data if each.mode == "lines"]
    difference = auroc.rows[1].values - auroc.rows[0].values
    assert list(line.y) == sorted(difference.tolist(), reverse=True)
    ids = [key.feature_id for key in auroc.keys]
    assert [ids[place] for place in np.argsort(-difference)] == list(line.customdata)
    titles = [each.text for each in figure.layout.annotations]
    assert f"auroc, {len(IDS)} test features" in titles
    assert all(figure.layout[f"xaxis{place}"].title.text for place in ("", "2", "3"))


def test_figures_show_score_against_strength(tmp_path: Path) -> None:
    with making(tmp_path, N) as run:
        for strength in (4.0, 1.0, 2.0):
            setting = Setting("steering", Strength(strength, "kl"))
            scored(run, "iou", said(run, WORDS, setting), dict.fromkeys(IDS, strength / 10))
    with Run.open(tmp_path) as opened:
        contest = read([opened])
    figure = figure_of(contest, compare(contest, named(["iou"], SCORES)))
    (curve,) = [each for each in figure.data if each.mode == "lines+markers"]
    assert list(zip(curve.x, curve.y, strict=True)) == [(1.0, 0.1), (2.0, 0.2), (4.0, 0.4)]


def test_score_against_strength_is_told_with_what_stands_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with making(tmp_path, N) as run:
        for strength in (1.0, 2.0):
            own, random = (
                said(run, WORDS, Setting("steering", Strength(strength, "kl"), control)) for control in (None, "random")
            )
            scored(run, "iou", own, dict.fromkeys(IDS[:9], 0.5))
            scored(run, "iou", random, dict.fromkeys(IDS, strength / 10))
    out = shown(capsys, tmp_path).partition("Score against strength")[2]
    rows = [re.split(r" {2,}", line.strip()) for line in out.splitlines()]
    assert ["iou", "steering", "1 kl", "0.500", "too few", "0.100", "-", "-"] in rows
    assert ["2 kl", "0.500", "too few", "0.200", "-", "-"] in rows


def test_a_run_that_cannot_be_written_goes_without_figures(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied / "compare.html").unlink(missing_ok=True)
    (copied / "compare.html").mkdir()
    assert "No figures" in shown(capsys, copied)
    with pytest.raises(UnusablePath):
        Compare((copied,), page=copied / "run.db" / "page.html").run()


def test_several_runs_are_one_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [fill(tmp_path / str(layer), layer=layer, identity=str(layer)) for layer in (3, 5)]
    out = shown(capsys, *runs, runs[0])
    assert f"auroc, {2 * len(IDS)} test features" in out
    assert "By block" in out
    assert (runs[0] / "compare.html").exists()
    assert not (runs[1] / "compare.html").exists()


def test_figures_from_features_that_strengths_were_chosen_on_are_marked(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Strengths are chosen on validation features" not in shown(capsys, run)
    assert "Strengths are chosen on validation features" in shown(capsys, run, split="all")


@pytest.mark.parametrize(
    ("options", "error", "said_so"),
    [
        ({"methods": "steering,telepathy"}, UnknownChoice, "method 'telepathy'"),
        ({"scores": "beauty"}, UnknownChoice, "score 'beauty'"),
        ({"scores": "fuzzing"}, InvalidSetting, "/x --scores fuzzing"),
        ({"scores": "fuzzing,people"}, InvalidSetting, "--scores fuzzing, or seesay people "),
        (
            {"scores": "colour"},
            UnknownChoice,
            "of your own is known when it was computed: seesay score RUN --scorer FILE",
        ),
        ({"levels": "model"}, InvalidSetting, "seesay label"),
        ({"explainer": "nobody"}, InvalidSetting, "topk by world:M"),
        ({"split": "validation"}, UnusablePath, "seesay score"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(
    options: dict[str, str], error: type[Exception], said_so: str, run: Path
) -> None:
    with pytest.raises(error) as caught:
        Compare((run,), **options).run()  # pyright: ignore[reportArgumentType]
    assert said_so in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_without_a_run_there_is_nothing_to_compare(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare"]) == 2
    assert capsys.readouterr() == ("", "seesay: error: no run; expected one or more: seesay compare RUN\n")


@pytest.mark.parametrize("option", ["--csv", "--page"])
def test_a_place_that_cannot_be_written_is_refused_before_any_run_is_read(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for place, why in ((tmp_path, "it is a folder"), (tmp_path / "file" / "x", "cannot write")):
        assert cli.main(["compare", str(tmp_path / "nowhere"), option, str(place)]) == 2
        error = capsys.readouterr().err
        assert why in error
        assert "no run" not in error
        assert error.count("\n") == 1


def test_a_run_without_scores_says_how_to_get_some(tmp_path: Path) -> None:
    with making(tmp_path, N) as run:
        said(run, WORDS)
    with pytest.raises(UnusablePath, match=f"seesay score {tmp_path}"):
        Compare((tmp_path,)).run()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE scores SET value = 'high'",
        "UPDATE scores SET others = '[1]'",
        "UPDATE scorings SET facts = '7'",
        "UPDATE features SET nearest = '[[1]]'",
        "UPDATE labels SET labeller = x'00'",
        "DROP TABLE scorings",
    ],
)
def test_a_strangers_run_that_is_damaged_is_refused_in_one_line(damage: str, copied: Path) -> None:
    with Run.writing(copied) as opened:
        opened.connection.execute(damage)
    with pytest.raises(UnusablePath) as caught:
        Compare((copied,)).run()
    assert len(str(caught.value).splitlines()) == 1


def test_comparing_needs_no_torch(run: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from seesay.commands.compare import Compare;"
        f"Compare((Path({str(run)!r}),)).run(); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
