"""The documentation's tables are the code's."""

import re
from pathlib import Path

import pytest

from seesay.export.schema import TABLES, described

PAGE = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")


def section(name: str) -> str:
    found = re.search(rf"^### {name}\n\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/export.md has no section {name}"
    return found[1]


@pytest.mark.parametrize("name", TABLES)
def test_the_page_tells_every_column_with_its_type_unit_and_meaning(name: str) -> None:
    lines = [line for line in section(name).splitlines() if line.startswith("|")]
    assert lines == described(TABLES[name])


def test_the_page_tells_of_no_other_table() -> None:
    assert re.findall(r"^### (\w+)$", PAGE, re.MULTILINE) == list(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_every_column_has_a_meaning_and_says_when_it_is_empty(name: str) -> None:
    for field in TABLES[name]:
        meaning = field.metadata[b"meaning"].decode()
        assert meaning
        assert field.nullable == ("; null " in meaning)
