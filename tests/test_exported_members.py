import importlib
import re
from pathlib import Path

import pytest

import seesay
from seesay.records import Explanation

ROOT = Path(__file__).parents[1]
PUBLIC = ("seesay", "seesay.vlm", "seesay.sae", "seesay.world")


@pytest.mark.parametrize("name", PUBLIC)
def test_every_exported_name_is_there(name: str) -> None:
    module = importlib.import_module(name)
    assert all(hasattr(module, member) for member in module.__all__)


def test_dir_lists_what_is_found_on_first_use() -> None:
    assert set(seesay.__all__) <= set(dir(seesay))


def test_a_lazy_name_is_the_very_object_of_its_home() -> None:
    assert seesay.Explanation is Explanation


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'stear'"):
        seesay.stear  # noqa: B018


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(seesay.__file__).parent / "py.typed").is_file()


def test_the_version_is_the_same_wherever_it_is_written() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {seesay.__version__}\n" in citation
    released = re.search(r"^## \[?([0-9.]+)\]?", changelog, re.MULTILINE)
    assert released is not None
    assert released[1] == seesay.__version__
