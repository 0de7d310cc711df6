"""`seesay report`: one file of runs that may be a stranger's."""

import json
import re
import shutil
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from seesay import cli
from seesay.commands.report import Report
from seesay.explainers.config import Setting
from seesay.report.page import drawn
from seesay.split import split_of
from seesay.store.run import Run
from tests.comparison.making import judged, making, said, scored

NASTY = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\x1b]0;title\x07"


def written(out: Path, *runs: Path, **options: Any) -> str:
    assert Report(runs, out=out, **options).run() == 0
    return out.read_text("utf-8")


def cards(page: str) -> list[str]:
    return re.findall(r"<article .*?</article>", page, re.DOTALL)


@pytest.fixture(scope="module")
def page(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("report") / "new" / "report.html", filled, max_features=10)


def test_everything_is_in_the_file(page: str) -> None:
    sources = re.findall(r'\b(?:src|href)="([^"]*)"', "".join(cards(page)))
    assert sources
    assert all(each.startswith("data:image/") for each in sources)
    outside = re.sub(r"<script nonce=.*?</script>", "", page, flags=re.DOTALL)  # plotly knows addresses of its own
    assert not re.search(r'(?:src|href|action)="(?!data:image/|#)', outside)
    assert "url(" not in outside


def test_its_title_says_what_one_run_is_of_and_the_names_of_several(tmp_path: Path) -> None:
    for name in ("run", "late"):
        with making(tmp_path / name, 2):
            pass
    one, two = (
        written(tmp_path / "r.html", *(tmp_path / each for each in names)) for names in (["run"], ["run", "late"])
    )
    assert re.search(r"<title>run: tiny, block 1, x · seesay</title>", one)
    assert "<title>run, late · seesay</title>" in two


def test_cards_show_words_pictures_and_scores(page: str) -> None:
    found = cards(page)
    assert len(found) == 10
    for card in found:
        assert card.count("<img src=") == 4
        assert "words that say nothing" in card
        assert "Controls and ablations" in card


def test_a_card_tells_how_sure_its_words_are(filled: Path, tmp_path: Path) -> None:
    with Run.open(filled) as run:
        ((feature_id,), *_) = run.rows("SELECT feature_id FROM trusts")
    (card,) = cards(written(tmp_path / "r.html", filled, features=str(feature_id)))
    assert "90% sure" in card


def test_methods_are_compared_in_it(page: str) -> None:
    assert "Methods side by side" in page
    assert re.search(r"<th scope='row' class='words'>topk</th>", page)
    match = re.search(r'<script type="application/json" id="drawn">(.*?)</script>', page, re.DOTALL)
    assert match
    assert json.loads(match[1])["data"]


def test_fewer_pixels_make_a_smaller_file(filled: Path, tmp_path: Path) -> None:
    sizes = [
        len("".join(cards(written(tmp_path / "r.html", filled, max_features=10, pixels=pixels)))) for pixels in (16, 96)
    ]
    assert sizes[0] < 0.8 * sizes[1]


def test_features_that_are_named_are_shown_in_their_order(filled: Path, tmp_path: Path) -> None:
    with Run.open(filled) as run:
        explained = [each for (each,) in run.rows("SELECT DISTINCT feature_id FROM explanations")]
    asked = sorted(explained, reverse=True)[:3]
    page = written(tmp_path / "r.html", filled, features=",".join(map(str, asked)))
    assert re.findall(r'id="f-\d+-(\d+)"', page) == [str(each) for each in asked]
    assert "3 features" in page


def test_features_are_drawn_among_test_features_always_the_same_ones(tmp_path: Path) -> None:
    with making(tmp_path / "x", 200) as run:
        said(run, dict.fromkeys(range(200), "a cat"))
        found, n = drawn(run, 20)
        assert (found, n) == drawn(run, 20)
        assert n == sum(split_of(each) == "test" for each in range(200))
        assert all(split_of(each) == "test" for each in found)
        assert found == sorted(found)
        assert set(drawn(run, 10)[0]) < set(found)
        assert found != [each for each in range(200) if split_of(each) == "test"][:20]


def test_where_only_validation_features_have_words_these_are_drawn(tmp_path: Path) -> None:
    some = [each for each in range(100) if split_of(each) == "validation"][:5]
    with making(tmp_path / "x", 100) as run:
        said(run, dict.fromkeys(some, "a cat"))
        assert drawn(run, 60) == (some, 5)


def test_a_strangers_words_are_only_words(tmp_path: Path) -> None:
    with making(tmp_path / "x", 40) as run:
        topk = said(run, dict.fromkeys(range(40), NASTY), explainer=NASTY)
        scored(run, "auroc", topk, dict.fromkeys(judged(40), 0.7), NASTY)
    page = written(tmp_path / "r.html", tmp_path / "x", max_features=3)
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", re.sub(r"<script nonce=.*?</script>", "", page, flags=re.DOTALL))
    assert unescape(cards(page)[0]).count("alert(1)") >= 2
    nonces = set(re.findall(r'nonce="([^"]+)"', page))
    assert len(nonces) == 1
    assert f"script-src 'nonce-{nonces.pop()}'" in unescape(page)


def test_a_run_without_words_has_a_report_that_says_so(
    collected_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = written(tmp_path / "r.html", collected_world)
    assert "No feature has words yet" in page
    assert "plotly" not in page.lower()
    assert "No comparison: no explanations in" in capsys.readouterr().out


def test_a_run_without_scores_has_cards_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with making(tmp_path / "x", 40) as run:
        said(run, dict.fromkeys(range(40), "a cat"), Setting("topk"))
    page = written(tmp_path / "r.html", tmp_path / "x", max_features=3)
    assert len(cards(page)) == 3
    assert "Methods side by side" not in page
    assert "No comparison: no scores" in page
    assert str(tmp_path) not in page, "where it lies is nobody's business"
    assert "No comparison: no scores, which seesay score" in capsys.readouterr().out


def test_a_run_without_its_pictures_still_has_its_words(filled: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(filled, tmp_path / "copy"))
    shutil.rmtree(copy / "images")
    found = cards(written(tmp_path / "r.html", copy, max_features=2))
    assert len(found) == 2
    assert all('src="data:,"' in card for card in found)


def test_several_runs_have_their_names_but_not_their_places(filled: Path, tmp_path: Path) -> None:
    copies = [Path(shutil.copytree(filled, tmp_path / name / "run")) for name in ("one", "two")]
    page = written(tmp_path / "r.html", *copies, max_features=2)
    assert re.findall(r'<h2 id="name-\d">(.*?)</h2>', page) == ["one/run", "two/run"]
    assert str(tmp_path) not in page
    assert len(cards(page)) == 4


def test_it_lies_in_the_first_run_unless_it_is_told_where(filled: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(filled, tmp_path / "copy"))
    assert cli.main(["report", str(copy), "--max-features", "1", "--json", str(tmp_path / "r.json")]) == 0
    told = json.loads((tmp_path / "r.json").read_text())
    assert told["page"] == str(copy / "report.html")
    assert told["bytes"] == (copy / "report.html").stat().st_size
    assert len(told["runs"]["copy"]) == 1
    assert "iou" in told["scores"]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--features", "999999"], "feature 999999"),
        (["--features", "x"], "cannot read 'x'"),
        (["--pixels", "0"], "--pixels"),
        (["--out", "."], "it is a folder"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(
    filled: Path, tmp_path: Path, arguments: list[str], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept.html"
    kept.write_text("before")
    assert cli.main(["report", str(filled), "--out", str(kept), *arguments]) == 2
    assert what in capsys.readouterr().err
    assert kept.read_text() == "before"
    assert list(tmp_path.iterdir()) == [kept]
