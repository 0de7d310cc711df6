"""Whoever finds nothing, goes astray, or looks on while a run is being written."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from seesay.explainers.config import Setting
from seesay.records import Strength
from seesay.split import split_of
from seesay.store.exemplars import features
from seesay.store.run import Run
from tests.browser.conftest import Visit
from tests.browser.serving import served
from tests.comparison.making import making, said

pytestmark = pytest.mark.browser

HYBRID = Setting("hybrid", Strength(2.0, "residual_norm"))


def test_whoever_finds_nothing_can_start_anew(visit: Visit, viewer: str) -> None:
    page = visit(f"{viewer}/?text=zeppelin")
    expect(page.get_by_role("heading", name="Nothing here fits")).to_be_visible()
    page.get_by_role("link", name="start anew").click()
    expect(page.locator(".count")).to_contain_text("40 features")


@pytest.mark.parametrize(
    ("path", "status", "title"),
    [
        ("/runs/0/features/999999999", 404, "There is no such thing"),
        ("/nowhere", 404, "There is no such page"),
        ("/?page=x", 422, "That was not understood"),
    ],
)
def test_whoever_goes_astray_is_told_so_and_led_back(
    visit: Visit, viewer: str, path: str, status: int, title: str
) -> None:
    page = visit(viewer + path)
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    ((complaint,), visit.complaints) = visit.complaints, []
    assert f"status of {status}" in complaint
    page.get_by_role("link", name="To the atlas").click()
    expect(page.locator(".count")).to_contain_text("40 features")


def test_a_run_without_words_or_images_has_pages_too(visit: Visit, tmp_path: Path) -> None:
    with making(tmp_path / "bare", 3):
        pass
    with served(tmp_path / "bare") as address:
        page = visit(address)
        expect(page.get_by_text("not in words yet")).to_have_count(3)
        page.locator(".cover").first.click()
        expect(page.locator("main")).to_contain_text("seesay explain")
        page.get_by_role("link", name="Compare").click()
        expect(page.get_by_role("heading", name="Nothing to compare yet")).to_be_visible()


def test_words_appear_while_they_are_written(visit: Visit, written: Path) -> None:
    with served(written) as address, Run.writing(written) as run:
        feature_id = next(each.feature_id for each in features(run) if split_of(each.feature_id) == "test")
        atlas = visit(f"{address}/?text=zeppelin")
        feature = visit(f"{address}/runs/0/features/{feature_id}")
        for page in (atlas, feature):
            page.evaluate("() => { window.isTheSame = true }")
        feature.get_by_label("Heatmap").fill("10")
        expect(atlas.get_by_role("heading", name="Nothing here fits")).to_be_visible()
        said(run, {feature_id: "a purple zeppelin"}, HYBRID)
        expect(atlas.locator(".card")).to_contain_text("a purple zeppelin")
        expect(feature.get_by_role("cell", name="a purple zeppelin")).to_be_visible()
        expect(feature.get_by_label("Heatmap")).to_have_value("10")
        assert all(page.evaluate("() => window.isTheSame === true") for page in (atlas, feature))
