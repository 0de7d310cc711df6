"""The browser of these tests: Debian's Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

MISSING = "there is no chromium on this machine: apt-get install --yes --no-install-recommends chromium"


@contextmanager
def chromium() -> Generator[Browser]:
    """The browser, until it is closed.

    Raises:
        FileNotFoundError: it is not installed.
    """
    found = shutil.which("chromium")
    if found is None:
        raise FileNotFoundError(MISSING)
    # its sandbox needs another user than root, as whom containers run
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        try:
            yield browser
        finally:
            browser.close()
