"""Whoever keeps their hands on the keys."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser


def test_j_and_k_go_from_card_to_card_and_enter_opens_one(visit: Visit, viewer: str) -> None:
    page = visit(viewer)
    covers = page.locator(".cover")
    page.keyboard.press("j")
    expect(covers.nth(0)).to_be_focused()
    page.keyboard.press("j")
    expect(covers.nth(1)).to_be_focused()
    page.keyboard.press("k")
    expect(covers.nth(0)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/runs/0/features/\d+$"))


def test_j_after_the_last_card_goes_to_the_next_page_and_k_back(visit: Visit, viewer: str) -> None:
    page = visit(viewer)
    page.locator(".cover").last.focus()
    page.keyboard.press("j")
    page.wait_for_url(f"{viewer}/?page=2")
    expect(page.locator(".pager")).to_contain_text("2 / 2")
    page.locator(".cover").first.focus()
    page.keyboard.press("k")
    expect(page.locator(".pager")).to_contain_text("1 / 2")


def test_j_and_k_go_from_feature_to_feature(visit: Visit, viewer: str) -> None:
    page = visit(viewer)
    first, second = page.locator(".facts .id").all_inner_texts()[:2]
    page.locator(".cover").first.click()
    page.wait_for_url(f"{viewer}/runs/0/features/{first}")
    page.keyboard.press("j")
    page.wait_for_url(f"{viewer}/runs/0/features/{second}")
    page.keyboard.press("k")
    page.wait_for_url(f"{viewer}/runs/0/features/{first}")


def test_a_slash_searches_and_escape_leaves_the_field(visit: Visit, viewer: str) -> None:
    page = visit(viewer)
    field = page.get_by_role("searchbox")
    page.keyboard.press("/")
    expect(field).to_be_focused()
    page.keyboard.type("jk/red")
    expect(field).to_have_value("jk/red")
    page.keyboard.press("Escape")
    expect(field).not_to_be_focused()
    expect(field).to_have_value("jk/red")


def test_a_slash_on_any_page_leads_to_the_search(visit: Visit, viewer: str) -> None:
    page = visit(f"{viewer}/?text=green")
    page.locator(".cover").first.click()
    page.wait_for_url("**/features/*")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()


def test_the_first_tab_offers_to_skip_to_the_content(visit: Visit, viewer: str) -> None:
    page = visit(viewer)
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
