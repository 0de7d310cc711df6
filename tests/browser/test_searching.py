"""Whoever looks for a feature in the atlas."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser


def not_loaded_anew(page: Page) -> None:
    """From now on, `is_the_same` tells whether the page is still this one."""
    page.evaluate("() => { window.isTheSame = true }")


def is_the_same(page: Page) -> bool:
    return page.evaluate("() => window.isTheSame === true")


def test_the_list_follows_what_is_typed(visit: Visit, viewer: str) -> None:
    page = visit(viewer)
    expect(page.locator(".count")).to_contain_text("40 features")
    not_loaded_anew(page)
    page.get_by_role("searchbox").press_sequentially("red")
    expect(page.locator(".count")).to_contain_text("10 features")
    expect(page).to_have_url(f"{viewer}/?text=red")
    assert all("red" in card for card in page.locator(".card").all_inner_texts())
    assert is_the_same(page)


def test_the_address_keeps_a_search_and_back_takes_it_away(visit: Visit, viewer: str) -> None:
    page = visit(viewer)
    page.get_by_role("searchbox").press_sequentially("dotted")
    expect(page.locator(".count")).to_contain_text("10 features")
    page.reload()
    expect(page.get_by_role("searchbox")).to_have_value("dotted")
    expect(page.locator(".count")).to_contain_text("10 features")
    page.go_back()
    expect(page.locator(".count")).to_contain_text("40 features")
    expect(page.get_by_role("searchbox")).to_have_value("")
    expect(page).to_have_url(f"{viewer}/")


def test_a_method_shows_its_own_words(visit: Visit, viewer: str) -> None:
    page = visit(viewer)
    not_loaded_anew(page)
    page.get_by_label("Words by").select_option("steering")
    expect(page).to_have_url(f"{viewer}/?method=steering")
    expect(page.locator(".chip", has_text="steering")).to_have_count(24)
    assert is_the_same(page)


def test_a_search_stays_when_a_filter_is_chosen(visit: Visit, viewer: str) -> None:
    page = visit(f"{viewer}/?text=grass")
    expect(page.locator(".count")).to_contain_text("20 features")
    page.get_by_label("Split").select_option("validation")
    expect(page).to_have_url(re.compile("text=grass.*split=validation"))
    expect(page.locator(".count")).not_to_contain_text("20 features")


def test_cards_are_sorted_as_one_chooses(visit: Visit, viewer: str) -> None:
    page = visit(viewer)
    page.get_by_label("Sort").select_option("frequency")
    expect(page).to_have_url(f"{viewer}/?order=frequency")
    asked = page.request.get(f"{viewer}/api/features?order=frequency").json()["features"]
    expect(page.locator(".facts .id")).to_have_text([str(row["feature_id"]) for row in asked])
    page.get_by_label("smallest first").check()
    asked = page.request.get(f"{viewer}/api/features?order=frequency&ascending=true").json()["features"]
    expect(page.locator(".facts .id")).to_have_text([str(row["feature_id"]) for row in asked])


def test_the_next_page_holds_the_rest(visit: Visit, viewer: str) -> None:
    page = visit(viewer)
    first = page.locator(".facts .id").all_inner_texts()
    page.get_by_role("link", name="Next").click()
    expect(page.locator(".pager")).to_contain_text("2 / 2")
    rest = page.locator(".facts .id").all_inner_texts()
    assert (len(first), len(rest), len({*first, *rest})) == (24, 16, 40)
    page.get_by_role("link", name="Previous").click()
    expect(page.locator(".pager")).to_contain_text("1 / 2")


def test_a_card_opens_its_feature(visit: Visit, viewer: str) -> None:
    page = visit(f"{viewer}/?text=green")
    feature_id = page.locator(".facts .id").first.inner_text()
    page.locator(".card .picture").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(feature_id)
    expect(page.get_by_role("cell", name="a green tree").first).to_be_visible()


def test_of_two_runs_one_can_be_chosen(visit: Visit, viewer_of_two: str) -> None:
    page = visit(viewer_of_two)
    expect(page.locator(".count")).to_contain_text("43 features")
    page.get_by_label("Run").select_option("strange")
    expect(page.locator(".count")).to_contain_text("3 features")


def test_by_meaning_another_list_follows_what_is_typed(visit: Visit, viewer: str) -> None:
    page = visit(viewer)
    page.locator("[name=by]").select_option("meaning")
    page.get_by_role("searchbox").press_sequentially("a frog")
    expect(page).to_have_url(re.compile(r"text=a(\+|%20)frog&by=meaning"))
    expect(page.locator(".count")).to_contain_text("40 features")
    asked = page.request.get(f"{viewer}/api/features?text=a+frog&by=meaning").json()["features"]
    expect(page.locator(".facts .id")).to_have_text([str(row["feature_id"]) for row in asked])


def test_a_picture_of_ones_own_finds_what_is_near_to_it(visit: Visit, viewer: str, tmp_path: Path) -> None:
    page = visit(viewer)
    with page.expect_navigation(url=re.compile("picture=")):
        page.get_by_label("or by a picture").set_input_files(a_picture(page, tmp_path))
    near = page.get_by_alt_text("The picture that features shall be near to")
    expect(near).to_be_visible()
    assert near.evaluate("(each) => each.decode().then(() => each.naturalWidth)") > 0
    page.get_by_label("Split").select_option("test")
    expect(page).to_have_url(re.compile("picture=.*split=test"))
    page.get_by_role("link", name="Take it away").click()
    expect(near).to_have_count(0)


def test_what_is_no_picture_is_told_so(visit: Visit, viewer: str, tmp_path: Path) -> None:
    page = visit(viewer)
    (tmp_path / "no.png").write_text("no picture")
    page.get_by_label("or by a picture").set_input_files(tmp_path / "no.png")
    expect(page.get_by_role("alert")).to_contain_text("expected an image")
    ((complaint,), visit.complaints) = visit.complaints, []
    assert "status of 415" in complaint


def test_of_any_picture_of_a_feature_similar_ones_are_found(visit: Visit, viewer: str) -> None:
    page = visit(f"{viewer}/?text=green")
    page.locator(".cover").first.click()
    page.get_by_role("link", name="Features near to this picture").first.click()
    expect(page).to_have_url(re.compile("picture=[0-9a-f]{64}"))
    expect(page.locator(".count")).to_contain_text("40 features")


def a_picture(page: Page, folder: Path) -> Path:
    """A file with a picture of the run in it."""
    source = page.locator(".picture img").first.get_attribute("src")
    (folder / "mine.webp").write_bytes(page.request.get(f"{page.url.rstrip('/')}{source}").body())
    return folder / "mine.webp"


def test_without_javascript_a_search_is_a_form(visit: Visit, viewer: str) -> None:
    page = visit(viewer, java_script_enabled=False)
    page.get_by_role("searchbox").fill("red")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".count")).to_contain_text("10 features")
    page.locator(".cover").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Feature")
