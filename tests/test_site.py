"""The documentation site: whatever `make docs`, which builds it, does not look at itself."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from tools.check_site import loaded_from_elsewhere
from tools.make_pages import commands_page

from seesay import cli

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if "generated" not in page.parts)
PICTURES = sorted((DOCS / "images").iterdir())
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
TELL_OF_MACHINES = re.compile(r"(?<![\w.])/(home|root|tmp|var|usr|work|Users)/|site-packages")


def nav(entry: Any) -> Iterator[str]:
    """The pages of the site's navigation, at any depth."""
    if isinstance(entry, str):
        yield entry
    else:
        for below in entry.values() if isinstance(entry, dict) else entry:
            yield from nav(below)


def links(page: Path) -> list[str]:
    """What a page's links and pictures point at, code left out."""
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"\]\(([^()\s]+)\)", text)


def test_the_navigation_lists_every_page_once() -> None:
    listed = list(nav(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))
    made = ["generated/commands.md", *(f"generated/{notebook.stem}.md" for notebook in NOTEBOOKS)]
    assert sorted(listed) == sorted([*(str(page.relative_to(DOCS)) for page in PAGES), *made])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_a_link_to_another_site_is_https_and_well_formed(page: Path) -> None:
    for link in links(page):
        if "://" in link or link.startswith("//"):
            parts = urlsplit(link)
            assert parts.scheme == "https", link
            assert re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.netloc), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_what_a_page_points_at_is_there_for_readers_of_the_repository_as_well(page: Path) -> None:
    own = [link.partition("#")[0] for link in links(page) if "://" not in link]
    assert [target for target in own if target and not (page.parent / target).exists()] == []
    assert not any("generated" in target for target in own), "only the site has these pages"


def test_pictures_are_small_and_shown() -> None:
    assert {picture.name: picture.stat().st_size for picture in PICTURES if picture.stat().st_size > 200_000} == {}
    assert sum(picture.stat().st_size for picture in PICTURES) < 1_000_000
    shown = {Path(link).name for page in [ROOT / "README.md", *PAGES] for link in links(page)}
    assert {picture.name for picture in PICTURES} <= shown


def test_every_command_says_on_the_site_what_it_says_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    page = commands_page()
    assert re.findall(r"^## seesay ?(.*)$", page, re.MULTILINE) == ["", *cli.COMMANDS]
    assert "--strength-unit" in page
    assert not TELL_OF_MACHINES.search(page)
    monkeypatch.setenv("COLUMNS", "40")
    assert commands_page() == page, "it depends on the window"


def test_whatever_a_page_loads_from_elsewhere_is_found(tmp_path: Path) -> None:
    head = '<link rel="stylesheet" href="https://fonts.example.com/a.css"><link rel="canonical" href="https://here.example">'
    body = '<a href="https://arxiv.org">a link</a><img src="own.png"><img src="//cdn.example.com/a.png">'
    (tmp_path / "page.html").write_text(
        f"<html><head>{head}<style>a {{ b: c }}</style></head><body>{body}</body></html>"
    )
    (tmp_path / "site.css").write_text("@font-face { src: url('https://fonts.example.com/a.woff2') }")
    assert list(loaded_from_elsewhere(tmp_path)) == [
        "page.html: <link> https://fonts.example.com/a.css",
        "page.html: <img> //cdn.example.com/a.png",
        "site.css: https://fonts.example.com/a.woff2",
    ]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_was_run_from_top_to_bottom_and_tells_nothing_of_the_machine(notebook: Path) -> None:
    text = notebook.read_text(encoding="utf-8")
    assert len(text) < 400_000
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert not TELL_OF_MACHINES.search(re.sub(r'"image/png": ".*?"', "", text))


@pytest.mark.slow(seconds=60)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_runs(notebook: Path, tmp_path: Path) -> None:
    from tools.run_notebooks import run

    def kinds(cells: Any) -> list[list[str]]:
        return [[each["output_type"] for each in cell["outputs"]] for cell in cells if cell["cell_type"] == "code"]

    stored = json.loads(notebook.read_text(encoding="utf-8"))
    assert kinds(run(notebook, tmp_path)["cells"]) == kinds(stored["cells"])


@pytest.mark.slow(seconds=60)
@pytest.mark.usefixtures("unchecked")
def test_a_folder_of_photos_goes_all_the_way_that_its_page_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (DOCS / "own-images.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (making,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    exec(compile(making, "own-images.md", "exec"), {})
    told = [
        line
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        for line in block.splitlines()
    ]
    # what is downloaded, or waits for a browser, is left out
    lines = [line for line in told if "--segmenter" not in line and not line.startswith("seesay serve")]
    assert [shlex.split(line)[1] for line in lines] == [
        "collect",
        *["explain"] * 4,
        "show",
        "score",
        "compare",
    ]
    for line in lines:
        assert cli.main([*shlex.split(line.replace("--limit 40", "--limit 8"))[1:], "--device", "cpu"]) == 0, line
    assert "detection" in capsys.readouterr().out
