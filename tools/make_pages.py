"""Write the pages of the documentation that are made of something else: what commands say of themselves, notebooks.

They go into docs/generated, which git does not keep. `make docs` runs this first. A step of its own rather than a
plugin: so the site does not depend on which generator builds it.
"""

import argparse
import contextlib
import io
import os
import re
import shutil
import sys
from pathlib import Path
from unittest import mock

from seesay import cli

ROOT = Path(__file__).parents[1]
_COMMANDS_INTRODUCTION = """\
# Commands

What every command says with `--help`; `seesay` alone tells in which order they are used.
"""
_WIDTH = 110
_HTML = re.compile(r"^<div.*?^</div>$", re.MULTILINE | re.DOTALL)


def commands_page() -> str:
    """Every command's own help, as Markdown."""
    parts = [_COMMANDS_INTRODUCTION, _section("seesay", help_of())]
    parts += [_section(f"seesay {name}", help_of(*name.split())) for name in cli.COMMANDS]
    return "\n".join(parts)


def help_of(*words: str) -> str:
    """What a command says of itself.

    Args:
        words: that call it; none for the overview.
    """
    # A width of its own, or the page would depend on the window in which it is made; and no colours.
    surroundings = {"COLUMNS": str(_WIDTH), "NO_COLOR": "1", "TERM": "dumb"}
    said = io.StringIO()
    with mock.patch.dict(os.environ, surroundings), contextlib.redirect_stdout(said):
        code = cli.main([*words, "--help"])
    assert code == 0, f"seesay {' '.join(words)} --help ended with {code}"
    return "\n".join(line.rstrip() for line in said.getvalue().strip().splitlines())


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n```text\n{text}\n```\n"


def notebook_page(notebook: Path, out: Path) -> None:
    """Write an executed notebook as Markdown, its pictures beside it.

    Args:
        notebook: an .ipynb file with its outputs.
        out: folder for the page.
    """
    from nbconvert import MarkdownExporter
    from nbconvert.preprocessors import ExtractOutputPreprocessor

    pictures = ExtractOutputPreprocessor(
        output_filename_template=f"{notebook.stem}_{{cell_index}}_{{index}}{{extension}}"
    )
    exporter = MarkdownExporter()
    exporter.register_preprocessor(pictures, enabled=True)
    body, resources = exporter.from_filename(str(notebook))
    for name, content in resources["outputs"].items():
        # it keeps each of them under two names
        if f"({name})" in body:
            (out / name).write_bytes(content)
    # A blank line would end a block of HTML in Markdown.
    body = _HTML.sub(lambda found: re.sub(r"\n\s*\n", "\n", found[0]), body)
    where = f"This page is `examples/{notebook.name}`, as it was run.\n"
    title, rest = body.lstrip().split("\n", 1)
    (out / f"{notebook.stem}.md").write_text(f"{title}\n\n{where}{rest}", encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Write all of them.

    Args:
        arguments: as typed.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "generated")
    out: Path = parser.parse_args(arguments).out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / "commands.md").write_text(commands_page(), encoding="utf-8")
    for notebook in sorted((ROOT / "examples").glob("*.ipynb")):
        notebook_page(notebook, out)


if __name__ == "__main__":
    main(sys.argv[1:])
