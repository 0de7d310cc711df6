"""Whoever prefers dark, has a small or a large window, or listens to pages: all of them look at every page."""

from itertools import product

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser

PAGES = ("/", "/?text=zeppelin&score=iou", "feature", "/compare", "/nowhere")
NOT_FOUND = "console: Failed to load resource: the server responded with a status of 404 (Not Found)"


@pytest.fixture(scope="module", params=PAGES)
def address(request: pytest.FixtureRequest, viewer: str) -> str:
    return viewer + ("/runs/0/features/{}" if request.param == "feature" else request.param)


def opened(visit: Visit, address: str) -> Page:
    """A page with all that it has to show unfolded."""
    viewer = address.partition("/runs")[0]
    page = visit("about:blank")
    if "{}" in address:
        address = address.format(page.request.get(f"{viewer}/api/features").json()["features"][0]["feature_id"])
    page.goto(address)
    expect(page.locator("main")).not_to_contain_text("Comparing:", timeout=90_000)
    page.locator("details").evaluate_all("(all) => all.forEach((each) => { each.open = true })")
    # that a page is not there is what one of them is about
    visit.complaints[:] = [each for each in visit.complaints if each != NOT_FOUND]
    return page


def test_axe_finds_nothing_serious(visit: Visit, address: str) -> None:
    page = opened(visit, address)
    for scheme, width in product(("light", "dark"), (360, 1280)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        found = [each for each in Axe().run(page).response["violations"] if each["impact"] in ("serious", "critical")]
        told = [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]
        assert told == [], f"{scheme}, {width} pixels"


def test_nothing_is_wider_than_the_window(visit: Visit, address: str) -> None:
    page = opened(visit, address)
    for width in (360, 768, 1280, 2560):
        page.set_viewport_size({"width": width, "height": 900})
        root = page.locator("html")
        assert root.evaluate("(each) => each.scrollWidth - each.clientWidth") <= 0, f"{width} pixels"


def test_dark_is_dark_and_light_is_light(visit: Visit, viewer: str) -> None:
    lightness = """() => ["backgroundColor", "color"].map((name) => {
      const parts = getComputedStyle(document.body)[name].match(/\\d+/g).slice(0, 3);
      return parts.reduce((sum, each) => sum + Number(each), 0);
    })"""
    (paper, ink), (dark_paper, dark_ink) = (
        visit(viewer, color_scheme=scheme).evaluate(lightness) for scheme in ("light", "dark")
    )
    assert paper > 600 > 150 > ink
    assert dark_paper < 150 < 600 < dark_ink


def test_a_large_window_holds_more_cards_beside_each_other(visit: Visit, viewer: str) -> None:
    tops = "() => new Set([...document.querySelectorAll('.card')].map((each) => each.offsetTop)).size"
    n_rows = [visit(viewer, width).evaluate(tops) for width in (360, 1280, 2560)]
    assert n_rows[0] == 24
    assert n_rows[0] > n_rows[1] > n_rows[2]


SHIFTS = """() => new Promise((done) => {
  let sum = 0;
  const add = (list) => { for (const each of list.getEntries()) if (!each.hadRecentInput) sum += each.value };
  new PerformanceObserver(add).observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(sum), 500);
})"""


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", ["atlas", "feature"])
def test_nothing_jumps_when_pictures_come_late(visit: Visit, viewer: str, name: str, width: int) -> None:
    page = visit("about:blank", width)
    feature_id = page.request.get(f"{viewer}/api/features").json()["features"][0]["feature_id"]
    held: list[Route] = []
    page.route("**/pictures/**", lambda route: held.append(route))
    page.goto(viewer if name == "atlas" else f"{viewer}/runs/0/features/{feature_id}", wait_until="domcontentloaded")
    page.wait_for_timeout(300)
    assert held
    for route in held:  # others may come meanwhile
        route.continue_()
    page.unroute("**/pictures/**")
    page.locator(".picture img").first.evaluate("(each) => each.decode()")
    assert page.evaluate(SHIFTS) < 0.1
