"""Whoever was sent a report opens it from the disk."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from seesay.commands.report import Report
from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    page = tmp_path_factory.mktemp("report") / "report.html"
    assert Report((filled,), out=page, max_features=8).run() == 0
    return page.as_uri()


def test_it_shows_figures_tables_and_pictures(visit: Visit, report: str) -> None:
    page = visit(report)
    expect(page.locator("#figure .main-svg").first).to_be_visible()
    expect(page.locator(".tables table").first).to_be_visible()
    expect(page.locator("article")).to_have_count(8)
    widths = "(all) => Promise.all(all.map((each) => each.decode().then(() => each.naturalWidth)))"
    images = page.locator("article img")
    images.evaluate_all("(all) => all.forEach((each) => { each.loading = 'eager' })")
    found: list[int] = images.evaluate_all(widths)
    assert len(found) == 32
    assert min(found) > 0


def test_a_search_hides_the_cards_of_others(visit: Visit, report: str) -> None:
    page = visit(report)
    words = page.locator("article h3").first.inner_text().split(maxsplit=1)[1]
    page.get_by_role("searchbox").fill(words)
    shown = page.locator("article:not([hidden])")
    assert 0 < shown.count() < 8
    assert all(words in each for each in shown.all_inner_texts())


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_read_it(visit: Visit, report: str, scheme: str, width: int) -> None:
    page = visit(report, width, color_scheme=scheme)
    page.locator("details").evaluate_all("(all) => all.forEach((each) => { each.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    found = [each for each in Axe().run(page).response["violations"] if each["impact"] in ("serious", "critical")]
    assert [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]] == []
