"""Whoever asks the model: about a picture of their own, or what is said when a feature is pushed."""

import base64
import io
import re
from itertools import product

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

import seesay
from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser

DROP = """([data, name]) => {
  const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "image/png" }));
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""
UNSUPPORTED = "console: Failed to load resource: the server responded with a status of 415 (Unsupported Media Type)"


@pytest.fixture(scope="module")
def photo() -> bytes:
    file = io.BytesIO()
    seesay.world.pictures.Pictures(1, 5).entry(0).read().save(file, "PNG")
    return file.getvalue()


def drop(page: Page, data: bytes, name: str = "photo.png") -> None:
    page.evaluate(DROP, [base64.b64encode(data).decode(), name])


def asked(visit: Visit, answering: str, photo: bytes, width: int = 1280) -> Page:
    page = visit(f"{answering}/ask", width)
    drop(page, photo)
    expect(page.locator(".fire").first).to_be_visible()
    return page


def steered(visit: Visit, answering: str, button: str = "Steer") -> Page:
    page = visit(f"{answering}/steer?feature=42")
    page.get_by_role("button", name=button).click()
    expect(page.get_by_role("button", name="Bookmark")).to_be_visible()
    return page


def answers(page: Page) -> list[str]:
    return page.locator(".answer .words").all_inner_texts()


def in_the_middle(page: Page, seen: Locator) -> None:
    box = seen.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_a_picture_that_is_dropped_shows_which_features_it_activates_and_where(
    visit: Visit, answering: str, photo: bytes
) -> None:
    page = asked(visit, answering, photo)
    expect(page.locator("#n")).to_contain_text("features are active")
    features, heat = page.locator(".fire"), page.locator("#seen image")
    assert features.count() == 30
    features.nth(2).hover()
    first = heat.get_attribute("href")
    features.nth(3).focus()
    assert first != heat.get_attribute("href")
    in_the_middle(page, page.locator("#seen"))
    expect(page.locator("#under")).to_contain_text("Here: ")
    assert page.locator(".fire.here").count() > 0
    expect(page.locator(".spot")).to_be_visible()
    page.get_by_label("First").select_option("rarest")
    expect(page.locator("#n")).to_contain_text("30 of them")
    page.reload()
    expect(features.first).to_be_visible()
    expect(page.get_by_label("First")).to_have_value("rarity")
    features.get_by_role("link", name="feature").first.click()
    expect(page).to_have_url(re.compile(r"/runs/0/features/\d+"))


def test_what_is_no_picture_is_refused_in_words(visit: Visit, answering: str) -> None:
    page = visit(f"{answering}/ask")
    drop(page, b"no picture", "x.png")
    expect(page.get_by_role("alert")).to_contain_text("the picture")
    expect(page.get_by_role("alert")).to_contain_text("x.png")
    assert visit.complaints == [UNSUPPORTED]
    visit.complaints.clear()


def test_a_feature_is_steered_beside_nothing(visit: Visit, answering: str) -> None:
    page = steered(visit, answering)
    expect(page.locator(".answer")).to_have_count(2)
    expect(page.locator(".answer").first).to_contain_text("nothing pushed")
    expect(page.locator(".waits")).to_have_count(0)
    assert all(answers(page))
    expect(page.locator("#command")).to_contain_text(
        "seesay steer --subject world:M --sae world:late --device cpu --features 42"
    )


def test_a_sweep_is_kept_and_found_again(visit: Visit, answering: str) -> None:
    page = steered(visit, answering, "Sweep strengths")
    expect(page.locator(".answer")).to_have_count(10)
    said = answers(page)
    page.get_by_label("Keep it as").fill("<b>mine</b>")
    page.get_by_role("button", name="Bookmark").click()
    expect(page).to_have_url(re.compile(r"/steer/0/\d+$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("<b>mine</b>")
    assert answers(page) == said
    link = page.url
    other = visit(link)
    assert answers(other) == said
    other.get_by_role("button", name="Steer").click()
    expect(other.get_by_role("button", name="Bookmark")).to_be_visible()
    page.get_by_role("button", name="Forget <b>mine</b>").click()
    expect(page).to_have_url(f"{answering}/steer?run=0")
    expect(page.locator(".kept")).to_have_count(0)


def test_the_address_keeps_the_whole_question(visit: Visit, answering: str) -> None:
    page = visit(f"{answering}/steer?feature=42")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Push along").fill("7:1")
    page.get_by_label("Ask", exact=True).fill("what is it ?")
    page.get_by_label("Where").select_option("patches")
    page.get_by_role("button", name="Steer", exact=True).click()
    expect(page.get_by_role("button", name="Bookmark")).to_be_visible()
    other = visit(page.url)
    expect(other.get_by_label("Ask", exact=True)).to_have_value("what is it ?")
    expect(other.get_by_label("Push along")).to_have_value("7:1")
    expect(other.get_by_label("Where")).to_have_value("patches")


def test_a_sweep_in_nats_is_of_positive_ones(visit: Visit, answering: str) -> None:
    page = visit(f"{answering}/steer?feature=42&strength=2&unit=kl")
    page.get_by_role("button", name="Sweep strengths").click()
    expect(page.get_by_role("button", name="Bookmark")).to_be_visible()
    expect(page.locator(".answer")).to_have_count(9)


def test_a_picture_is_steered_from_what_it_activates(visit: Visit, answering: str, photo: bytes) -> None:
    page = asked(visit, answering, photo)
    page.locator(".fire").first.get_by_role("link", name="steer it here").click()
    expect(page.locator("#shown")).to_be_visible()
    page.get_by_label("and a random direction").check()
    page.get_by_role("button", name="Steer", exact=True).click()
    expect(page.get_by_role("button", name="Bookmark")).to_be_visible()
    on_mine = answers(page)
    assert len(on_mine) == 3
    expect(page.locator("#command")).to_contain_text("--image FILE")
    page.get_by_role("button", name="Back to an empty image").click()
    page.get_by_role("button", name="Steer").click()
    expect(page.locator("#command")).not_to_contain_text("--image")
    expect(page.get_by_role("button", name="Bookmark")).to_be_visible()
    assert answers(page)[0] != on_mine[0]


def test_what_nobody_waits_for_any_more_is_cancelled_and_the_page_stays_usable(visit: Visit, answering: str) -> None:
    page = visit(f"{answering}/steer?feature=42")
    page.get_by_role("button", name="Sweep strengths").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#told")).to_contain_text("Cancelled.")
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
    page.get_by_role("button", name="Steer").click()
    expect(page.get_by_role("button", name="Bookmark")).to_be_visible()


def test_others_are_told_how_many_go_before_them_and_look_at_pages_meanwhile(visit: Visit, answering: str) -> None:
    pages = [visit(f"{answering}/steer?feature={each}") for each in (1, 2, 3)]
    for page in pages:
        page.get_by_role("button", name="Sweep strengths").click()
    expect(pages[2].locator("#told")).to_contain_text("before this")
    atlas = visit(answering)
    expect(atlas.locator(".card").first).to_be_visible()
    for page in pages:
        expect(page.get_by_role("button", name="Bookmark")).to_be_visible()


def test_what_cannot_be_asked_is_told_beside_the_form(visit: Visit, answering: str) -> None:
    page = visit(f"{answering}/steer?feature=42")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Mode").select_option("replace")
    page.get_by_label("Push along").fill("7:1")
    page.get_by_role("button", name="Steer").click()
    expect(page.get_by_role("alert")).to_contain_text("pushed along")


@pytest.mark.parametrize("name", ["ask", "lab"])
def test_axe_finds_nothing_serious_and_nothing_is_too_wide(
    visit: Visit, answering: str, photo: bytes, name: str
) -> None:
    page = asked(visit, answering, photo) if name == "ask" else steered(visit, answering)
    page.locator("details").evaluate_all("(all) => all.forEach((each) => { each.open = true })")
    for scheme, width in product(("light", "dark"), (360, 1280)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        found = [each for each in Axe().run(page).response["violations"] if each["impact"] in ("serious", "critical")]
        assert [f"{each['id']}: {node['html']}" for each in found for node in each["nodes"]] == []
        assert page.locator("html").evaluate("(each) => each.scrollWidth - each.clientWidth") <= 0
