"""Take the pictures of docs/tutorial.md: pages of the viewer, of the run that the tutorial makes.

    python -m tools.make_tutorial_pictures runs/first

It needs Debian's chromium. Few colours suffice for such pages, which makes the files small.
"""

import argparse
import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page
from tests.browser.chromium import chromium
from tests.browser.screenshots import ask, settle
from tests.browser.serving import served

FOLDER = Path(__file__).parents[1] / "docs" / "images"
PAGES = {
    "tutorial-atlas": ("/?order=sure", 492),
    "tutorial-feature": ("/runs/0/features/10", 1360),
    "tutorial-compare": ("/compare", 800),
    "tutorial-steer": ("/steer?run=0&feature=10", 900),
}
"""Of each picture the page, and how much of it is shown, in pixels."""

_WIDTH = 1080
_N_COLOURS = 128


def take(page: Page, address: str, name: str) -> None:
    """Take one of them.

    Args:
        page: of a browser.
        address: of the viewer.
        name: of the picture.
    """
    path, height = PAGES[name]
    page.goto(address + path, wait_until="networkidle")
    settle(page)
    ask(page)
    taken = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    shown = taken.crop((0, 0, _WIDTH, min(height, taken.height)))
    shown.quantize(_N_COLOURS, dither=Image.Dither.NONE).save(FOLDER / f"{name}.png", optimize=True)


def main() -> None:
    """Take all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    options = parser.parse_args()
    with (
        served(options.run, options=("--with-model", "--device", "cpu")) as address,
        chromium() as browser,
        browser.new_context(color_scheme="light", viewport={"width": _WIDTH, "height": 900}) as context,
    ):
        page = context.new_page()
        for name in PAGES:
            take(page, address, name)
            print(FOLDER / f"{name}.png", flush=True)


if __name__ == "__main__":
    main()
