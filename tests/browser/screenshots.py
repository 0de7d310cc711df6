"""Pictures of every page of the viewer, light and dark, wide and narrow, for whoever wants to see what has changed.

`make screenshots` makes them of a run of the embedded world; `--run FOLDER` of another one.
"""

import argparse
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Page, expect

from seesay.world.pictures import Pictures
from tests.browser.chromium import chromium
from tests.browser.serving import served
from tests.viewer.studying import judged

WIDTHS = {"wide": 1440, "narrow": 360}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_COMMANDS = (
    "collect --images world:120 --subject world:M --out {run}",
    "explain {run} --method topk --limit 60",
    "explain {run} --method topk --control random --limit 60",
    "explain {run} --method steering --strength 1.5 --strength-unit residual_norm --limit 60",
    "explain {run} --method steering --strength 2.5 --strength-unit residual_norm --limit 60",
    "score {run} --scores ground_truth",
)
"""A run in which every part of a page has something to show; some minutes on a small machine."""

_ASKED = ("ask", "lab")
_MODEL = ("--with-model", "--device", "cpu")

_ALL_PICTURES = """() => Promise.all([...document.images].map((each) => {
  each.loading = "eager";
  return each.decode().catch(() => null);
}))"""
"""Pictures wait until they are near the window, but are to be seen on a picture of the whole page."""


def pictures(browser: Browser, address: str, out: Path) -> Iterator[Path]:
    """Write them.

    Args:
        browser: to be used.
        address: of a viewer.
        out: folder for the files.
    """
    pages = addresses(browser, address)
    for scheme, (size, width) in product(SCHEMES, WIDTHS.items()):
        with browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}) as context:
            page = context.new_page()
            for name, path in pages.items():
                page.goto(address + path, wait_until="networkidle")
                settle(page)
                if name in _ASKED:
                    ask(page)
                file = out / f"{name}-{scheme}-{size}.png"
                page.screenshot(path=file, full_page=True)
                yield file


def addresses(browser: Browser, address: str) -> dict[str, str]:
    """What each page is called, and where it is.

    Args:
        browser: to be used.
        address: of a viewer.
    """
    with browser.new_context() as context:
        features: list[dict[str, Any]] = context.request.get(f"{address}/api/features?order=sure").json()["features"]
        studies = re.findall(r'"(/runs/\d+/studies/\d+)"', context.request.get(f"{address}/studies").text())
        page = context.request.get(address + studies[0]).text() if studies else ""
        raters = re.findall(r'"(/rate/[^"]+)"', page)
    first = features[0]
    word = (first["text"] or "red").split()[-1]
    return {
        "atlas": "/",
        "atlas-searched": f"/?text={word}&order=relevance",
        "atlas-empty": "/?text=zeppelin",
        "feature": f"/runs/{first['run']}/features/{first['feature_id']}",
        "compare": "/compare",
        "error": "/runs/0/features/999999999",
        "ask": "/ask",
        "lab": f"/steer?run={first['run']}&feature={first['feature_id']}",
        "studies": "/studies",
        **dict(zip(("study",), studies, strict=False)),
        **dict(zip(("rated", "rate"), raters, strict=False)),
    }


def ask(page: Page) -> None:
    """Ask the model, if it is there, what the page is for.

    Args:
        page: where it is opened.
    """
    if page.locator("#ask").count():
        file = io.BytesIO()
        Pictures(1, 5).entry(0).read().save(file, "PNG")
        page.set_input_files("#own", {"name": "photo.png", "mimeType": "image/png", "buffer": file.getvalue()})
        page.locator(".fire").nth(1).focus()
    elif page.locator("#push").count():
        page.get_by_role("button", name="Sweep strengths").click()
        expect(page.locator("#keep")).to_be_visible(timeout=300_000)


def settle(page: Page) -> None:
    """Wait until a page shows all that it will.

    Args:
        page: where it is opened.
    """
    expect(page.locator("main")).not_to_contain_text("Comparing:", timeout=300_000)
    page.evaluate(_ALL_PICTURES)
    if page.locator("iframe").count():
        page.frame_locator("iframe").locator(".main-svg").first.wait_for()


@contextmanager
def made() -> Iterator[Path]:
    """A run of the embedded world in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="seesay-screenshots-") as folder:
        run = Path(folder) / "world"
        for line in _COMMANDS:
            print(f"seesay {line.format(run=run.name)}", flush=True)
            command = [sys.executable, "-m", "seesay", *line.format(run=run).split(), "--device", "cpu"]
            subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, check=True)
        judged(run)
        yield run


@contextmanager
def given(run: Path) -> Iterator[Path]:
    """A run that is there."""
    yield run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/screenshots"))
    parser.add_argument("--run", type=Path)
    parser.add_argument("--with-model", action="store_true", help="ask the model of that run, too")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with (
        given(options.run) if options.run else made() as run,
        served(run, options=_MODEL if options.with_model or not options.run else ()) as address,
        chromium() as browser,
    ):
        for file in pictures(browser, address, options.out):
            print(file, flush=True)


if __name__ == "__main__":
    main()
