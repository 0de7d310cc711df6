"""A browser, viewers to look at with it, and a visit that ends badly if anything on its pages went wrong."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, final

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, expect

from tests.browser.chromium import chromium
from tests.browser.serving import served
from tests.comparison.making import making, said

NASTY = "<script>alert(1)</script><img src=x onerror=alert(1)>"
_PATIENCE_MS = 20_000
"""A busy machine is slow, and what is awaited is there at once on any other."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=_PATIENCE_MS)
    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def viewer(filled: Path) -> Iterator[str]:
    """The address of a viewer of one run, which nobody writes."""
    with served(filled) as address:
        yield address


@pytest.fixture(scope="session")
def answering(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a viewer of one run, with its models."""
    folder = Path(shutil.copytree(filled, tmp_path_factory.mktemp("answering") / "run"))
    with served(folder, options=("--with-model", "--device", "cpu")) as address:
        yield address


@pytest.fixture(scope="session")
def viewer_of_two(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same with a second run, whose words are a stranger's."""
    with making(tmp_path_factory.mktemp("strange") / "strange", 3) as run:
        said(run, dict.fromkeys(range(3), NASTY), explainer=NASTY)
        folder = run.folder
    with served(filled, folder) as address:
        yield address


@pytest.fixture
def written(filled: Path, tmp_path: Path) -> Path:
    """A run of the test's own."""
    return Path(shutil.copytree(filled, tmp_path / "run"))


@final
class Visit:
    """Opens pages as a person does, and keeps what nobody may see of them: errors, refusals, dialogs.

    Args:
        browser: to open them in.
        stack: closes what was opened.
    """

    def __init__(self, browser: Browser, stack: ExitStack) -> None:
        self._browser, self._stack = browser, stack
        self.complaints: list[str] = []

    def __call__(self, address: str, width: int = 1280, **options: Any) -> Page:
        """Open an address in a window of its own.

        Args:
            address: of the page.
            width: of the window.
            options: of the browser's context, such as `color_scheme`.
        """
        context = self._browser.new_context(viewport={"width": width, "height": 900}, **options)
        self._stack.enter_context(context)
        page = context.new_page()
        page.set_default_timeout(_PATIENCE_MS)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("requestfailed", self._on_failure)
        page.on("dialog", self._on_dialog)
        page.goto(address)
        return page

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":  # what the page's policy forbids is one too
            self.complaints.append(f"console: {message.text}")

    def _on_failure(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # whoever goes on does not wait for what the last page asked for
            self.complaints.append(f"request: {request.url} {request.failure}")

    def _on_dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    with ExitStack() as stack:
        visit = Visit(browser, stack)
        yield visit
        assert visit.complaints == []
