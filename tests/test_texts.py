"""What runs are called tells them apart, and not where they lie."""

from pathlib import Path

import pytest

from seesay.texts import each_once, short_names


def test_a_folder_is_there_once_under_its_first_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "early").mkdir()
    (tmp_path / "late").mkdir()
    (tmp_path / "link").symlink_to("early")
    monkeypatch.chdir(tmp_path)
    given = ["early", str(tmp_path / "early"), "late/../early", "link", "late", "nowhere", "./nowhere"]
    assert each_once(map(Path, given)) == [Path("early"), Path("late"), Path("nowhere")]


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["/a/b/early", "/a/b/late"], ["early", "late"]),
        (["/a/one/early", "/a/two/early"], ["one/early", "two/early"]),
        (["/early", "/x/early"], ["early", "x/early"]),
        (["/home/ann/early", "/home/ann/early"], ["early-1", "early-2"]),
        ([], []),
    ],
)
def test_no_name_says_where_a_path_begins(folders: list[str], names: list[str]) -> None:
    assert short_names([Path(each) for each in folders]) == names
