"""Run the notebooks of examples/ and keep what they print and draw.

    python tools/run_notebooks.py

Warnings and progress bars are left out: they tell of the machine.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "examples"


def run(notebook: Path, cwd: Path, *, timeout_s: int = 600) -> Any:
    """Run a notebook from its first cell to its last.

    Args:
        notebook: an .ipynb file; it is not changed.
        cwd: where its kernel runs.
        timeout_s: for a single cell.

    Returns:
        The same with new outputs.

    Raises:
        CellExecutionError: a cell raised something.
    """
    cells: Any = nbformat.read(notebook, as_version=4)
    client = NotebookClient(
        cells, timeout=timeout_s, kernel_name="python3", record_timing=False, resources={"metadata": {"path": str(cwd)}}
    )
    client.execute()
    for cell in cells.cells:
        if cell.cell_type == "code":
            cell.outputs = _told(cell.outputs)
    # the version of whichever Python ran it is no part of it
    cells.metadata["language_info"] = {"name": "python"}
    return cells


def _told(outputs: list[Any]) -> list[Any]:
    """What a cell told, without its warnings, and what it printed in one piece: pieces depend on how busy it was."""
    found: list[Any] = []
    for each in outputs:
        if each.get("name") == "stderr":
            continue
        if found and each["output_type"] == found[-1]["output_type"] == "stream":
            found[-1]["text"] += each["text"]
        else:
            found.append(each)
    return found


def main() -> None:
    """Run those that are named, or all, and write them back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", type=Path, nargs="*", default=sorted(FOLDER.glob("*.ipynb")))
    for notebook in parser.parse_args().notebooks:
        with tempfile.TemporaryDirectory(prefix="seesay-notebook-") as cwd:
            nbformat.write(run(notebook, Path(cwd)), notebook)
        print(notebook, flush=True)


if __name__ == "__main__":
    main()
