"""Whoever judges words on a feature's page, begins a study, or judges in one by a link."""

import csv
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from seesay.store.run import Run
from tests.browser.conftest import Visit
from tests.browser.serving import served
from tests.viewer.studying import begun, copied, judged

pytestmark = pytest.mark.browser


@pytest.fixture
def address(written: Path) -> Iterator[str]:
    with served(written) as found:
        yield found


def feature_of(page: Page, address: str) -> str:
    (first, *_) = page.request.get(f"{address}/api/features").json()["features"]
    return f"{address}/runs/0/features/{first['feature_id']}"


def test_a_verdict_is_seen_by_others_and_taken_back(visit: Visit, address: str) -> None:
    page = visit(address)
    page.goto(feature_of(page, address))
    item = page.locator(".judgement").first
    item.get_by_label("Your name").fill("Ann")
    item.get_by_label("Note").fill("no wheels")
    item.get_by_role("button", name="Partly").click()
    expect(item.locator(".given")).to_contain_text("Ann: no wheels")
    expect(item.get_by_role("button", name="Partly")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#judged .as")).to_contain_text("You judge as Ann")
    page.reload()
    expect(item.locator(".given")).to_contain_text("Ann: no wheels")
    expect(item.get_by_label("Your name")).to_be_hidden()
    expect(item.get_by_label("Note")).to_have_value("no wheels")
    other = visit(page.url).locator(".judgement").first
    expect(other.locator("summary")).to_have_text("1 partly")
    expect(other.get_by_role("button", name="Take back")).to_be_hidden()
    item.get_by_role("button", name="Take back").click()
    expect(item.locator(".given")).to_have_count(0)


def test_words_are_judged_by_keys_alone(visit: Visit, address: str) -> None:
    page = visit(address)
    page.goto(feature_of(page, address))
    item = page.locator(".judgement").first
    item.get_by_label("Your name").fill("Ann")
    page.keyboard.press("Enter")  # chooses no verdict
    right = item.get_by_role("button", name="Right")
    right.focus()
    page.keyboard.press("Enter")
    expect(right).to_have_attribute("aria-pressed", "true")
    expect(right).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(item.locator("summary")).to_have_text("1 wrong")


def test_without_scripts_words_are_judged_all_the_same(visit: Visit, address: str) -> None:
    page = visit(address, java_script_enabled=False)
    page.goto(feature_of(page, address))
    item = page.locator(".judgement").first
    item.get_by_label("Your name").fill("Ann")
    item.get_by_role("button", name="Wrong").click()
    expect(item.locator("summary")).to_have_text("1 wrong")
    assert page.url.endswith("#judged")


def test_what_cannot_be_kept_is_told_beside_the_words(visit: Visit, written: Path, address: str) -> None:
    page = visit(address)
    page.goto(feature_of(page, address))
    with Run.writing(written) as run:
        run.connection.execute("UPDATE explanations SET text = text || ' again'")
        item = page.locator(".judgement").first
        item.get_by_label("Your name").fill("Ann")
        item.get_by_role("button", name="Right").click()
        expect(page.locator("#judged .refused")).to_contain_text("they are others by now")
    # that it was refused is what this is about
    visit.complaints[:] = [each for each in visit.complaints if "409" not in each]


def judge(page: Page, by_keys: bool) -> int:
    """Judge until there is nothing left."""
    n = 0
    while page.locator("#rating").count():
        n += 1
        page.wait_for_load_state()  # nobody is faster than its script
        title = page.title()
        if by_keys:
            page.keyboard.press(str(1 + n % 3))
        else:
            page.get_by_role("button", name=("Right", "Partly", "Wrong")[n % 3]).click()
        expect(page).not_to_have_title(title)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Thank you")
    return n


def test_three_people_judge_blindly_by_their_links(visit: Visit, written: Path, address: str, tmp_path: Path) -> None:
    page = visit(address)
    page.get_by_role("link", name="Studies").click()
    page.get_by_label("Name").fill("A first look")
    page.get_by_label("Features").fill("4")
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("A first look")
    links: list[str] = []
    for name in ("Ann", "Bob", "Chiara"):
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_role("button", name="Make a link").click()
        links.append(page.get_by_label(f"Link for {name}").input_value())
    counts = set[int]()
    for place, link in enumerate(links):
        rater = visit(link)
        counts.add(judge(rater, by_keys=place != 1))
        rater.get_by_role("link", name="Go back to the last one").click()
        rater.get_by_label("Note").fill("1 2 3")  # keys for verdicts are none while one writes
        rater.get_by_role("button", name="Right").click()
        expect(rater.get_by_role("heading", level=1)).to_contain_text("Thank you")
    (n,) = counts
    page.reload()
    expect(page.locator(".raters").get_by_text(f"{n} of {n}")).to_have_count(3)
    results = page.locator("section", has=page.get_by_role("heading", name="What comes of it"))
    expect(results).to_contain_text("alpha")
    expect(results.get_by_role("row", name=re.compile("^topk")).first).to_be_visible()
    expect(results.get_by_role("row", name=re.compile("^steering")).first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    download.value.save_as(tmp_path / "said.csv")
    rows = list(csv.DictReader((tmp_path / "said.csv").read_text("utf-8").splitlines()))
    assert len(rows) == 3 * n
    assert {each["rater"] for each in rows} == {"Ann", "Bob", "Chiara"}
    assert sum(float(each["seconds"]) for each in rows) > 0
    expect(page.get_by_text("open on this machine alone")).to_be_visible()


def test_a_rater_without_scripts_judges_all_the_same(visit: Visit, written: Path, address: str) -> None:
    _, (ann,) = begun(written, "Ann")
    page = visit(f"{address}/rate/{ann.key}", java_script_enabled=False)
    page.get_by_role("button", name="Wrong").click()
    page.get_by_role("link", name="Back").click()
    expect(page.get_by_role("button", name="Wrong")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("link", name="Go on").click()
    expect(page).to_have_title(re.compile(r"^2 of \d+$"))


@pytest.fixture(scope="module")
def judged_pages(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Pages that show all that they can."""
    folder = copied(filled, tmp_path_factory.mktemp("judged"))
    study, (ann, bob), feature_id = judged(folder)
    with served(folder) as address:
        yield {
            "feature": f"{address}/runs/0/features/{feature_id}",
            "studies": f"{address}/studies",
            "study": f"{address}/runs/0/studies/{study.study_id}",
            "rate": f"{address}/rate/{bob.key}",
            "rated": f"{address}/rate/{ann.key}",
        }


@pytest.mark.parametrize("name", ["feature", "studies", "study", "rate", "rated"])
def test_pages_fit_every_window_and_axe_finds_nothing_serious(
    visit: Visit, judged_pages: dict[str, str], name: str
) -> None:
    page = visit(judged_pages[name])
    page.locator("details").evaluate_all("(all) => all.forEach((each) => { each.open = true })")
    for scheme, width in product(("light", "dark"), (360, 768, 1280, 2560)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        found = [each for each in Axe().run(page).response["violations"] if each["impact"] in ("serious", "critical")]
        told = [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]]
        assert told == [], f"{scheme}, {width} pixels"
        root = page.locator("html")
        assert root.evaluate("(each) => each.scrollWidth - each.clientWidth") <= 0, f"{width} pixels"
