"""What is no export is never replaced."""

from pathlib import Path

import pytest

from seesay.errors import UnusablePath
from seesay.export.config import Format
from seesay.export.folder import MARK, exported, sizes


def export_to(out: Path, text: str, form: Format = "parquet") -> None:
    with exported(out, form) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "a.txt").write_text(text)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_earlier_export_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    export_to(out, "one")
    export_to(out, "two")
    assert (out / "inner" / "a.txt").read_text() == "two"
    assert sorted(sizes(out)) == [MARK, "inner/a.txt"]
    assert left_in(tmp_path / "new") == ["out"]


def test_whoever_comes_second_is_refused_and_disturbs_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with exported(out, "parquet") as folder:
        (folder / "a.txt").write_text("first")
        with pytest.raises(UnusablePath, match="another process is writing"), exported(out, "parquet"):
            pytest.fail("both write one folder")
        assert (folder / "a.txt").read_text() == "first"
    assert (out / "a.txt").read_text() == "first"
    assert left_in(tmp_path) == ["out"]
    export_to(out, "second")
    assert sorted(sizes(out)) == [MARK, "inner/a.txt"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export_to(tmp_path / "out", "one")
    assert (tmp_path / "out" / "inner" / "a.txt").read_text() == "one"


def test_anything_else_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years")
    with pytest.raises(UnusablePath, match="something else"):
        export_to(tmp_path / "out", "one")
    assert left_in(tmp_path / "out") == ["thesis.txt"]


@pytest.mark.parametrize("make", ["file", "link"])
def test_what_lies_beside_an_export_is_not_lost(tmp_path: Path, make: str) -> None:
    out = tmp_path / "out"
    export_to(out, "one")
    if make == "file":
        (out / "inner" / "thesis.txt").write_text("years")
    else:
        (out / "inner" / "thesis.txt").symlink_to(tmp_path)
    with pytest.raises(UnusablePath, match=r"inner/thesis\.txt"):
        export_to(out, "two")
    assert (out / "inner" / "a.txt").read_text() == "one"


def test_an_export_of_another_form_is_refused(tmp_path: Path) -> None:
    export_to(tmp_path / "out", "one", "hub")
    with pytest.raises(UnusablePath, match="of the form hub"):
        export_to(tmp_path / "out", "two")


@pytest.mark.parametrize(
    "mark", ["", "[]", '{"made_by": "seesay"}', '{"made_by": "x", "format": "parquet"}', "[" * 9999]
)
def test_a_mark_that_is_none_of_ours_marks_nothing(tmp_path: Path, mark: str) -> None:
    (tmp_path / MARK).write_text(mark)
    with pytest.raises(UnusablePath, match="something else"):
        export_to(tmp_path, "one")


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("years")
    with pytest.raises(UnusablePath, match="is a file"):
        export_to(tmp_path / "out", "one")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError])
def test_whatever_stops_it_leaves_everything_as_it_was(tmp_path: Path, error: type[BaseException]) -> None:
    out = tmp_path / "out"
    export_to(out, "one")
    with pytest.raises(UnusablePath if error is OSError else error), exported(out, "parquet") as folder:
        (folder / "b.txt").write_text("half")
        raise error
    assert (out / "inner" / "a.txt").read_text() == "one"
    assert left_in(tmp_path) == ["out"]
