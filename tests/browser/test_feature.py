"""Whoever looks at one feature, or at how methods compare."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NASTY, Visit

pytestmark = pytest.mark.browser

OPACITY = "(each) => Number(getComputedStyle(each).opacity)"


def first_feature(page: Page, viewer: str) -> str:
    feature_id = page.request.get(f"{viewer}/api/features").json()["features"][0]["feature_id"]
    return f"{viewer}/runs/0/features/{feature_id}"


def test_the_slider_makes_heatmaps_stronger_and_weaker(visit: Visit, viewer: str) -> None:
    page = visit(viewer)
    with page.expect_navigation():  # nobody slides before the page is there
        page.locator(".cover").first.click()
    slider, heat = page.get_by_label("Heatmap"), page.locator(".heat").first
    for value in ("10", "100", "0"):
        slider.fill(value)
        assert heat.evaluate(OPACITY) == int(value) / 100
    slider.press("ArrowRight")
    assert heat.evaluate(OPACITY) == 0.01


def test_what_is_said_as_a_control_is_folded_away(visit: Visit, viewer: str) -> None:
    page = visit(viewer)
    page.locator(".cover").first.click()
    control = page.get_by_role("row", name=re.compile("random")).first
    expect(control).to_be_hidden()
    page.get_by_text("Controls and ablations").click()
    expect(control).to_be_visible()


def test_every_picture_is_there(visit: Visit, viewer: str) -> None:
    page = visit(viewer)
    for address in (viewer, first_feature(page, viewer)):
        page.goto(address)
        pictures = page.locator(".picture img")
        assert pictures.count() > 10
        for each in pictures.all():
            each.evaluate("(each) => { each.loading = 'eager'; return each.decode() }")
            assert each.get_attribute("alt")


def test_a_script_in_an_explanation_is_text(visit: Visit, viewer_of_two: str) -> None:
    page = visit(f"{viewer_of_two}/?run=1")
    expect(page.locator(".says").first).to_have_text(NASTY)
    page.locator(".cover").first.click()
    expect(page.locator("td.said").first).to_have_text(NASTY)
    assert page.locator("img[src=x]").count() == 0


def test_a_comparison_shows_tables_and_figures_and_leads_to_features(visit: Visit, viewer: str) -> None:
    page = visit(viewer)
    page.get_by_role("link", name="Compare").click()
    expect(page.get_by_role("heading", name="By each score")).to_be_visible(timeout=90_000)
    expect(page.locator(".tables table").first).to_contain_text("topk")
    figure = page.locator("iframe")
    figure.scroll_into_view_if_needed()
    expect(figure.content_frame.locator(".main-svg").first).to_be_visible()
    page.locator("summary", has_text="iou: ").first.click()
    link = page.locator("details[open] tbody a").first
    feature_id = link.inner_text()
    link.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(feature_id)
