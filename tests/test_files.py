"""What is written is there whole, or what was there before is."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.errors import UnusablePath
from seesay.files import replaced_folder, write_json

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_a_result_reads_back_as_itself(tmp_path_factory: pytest.TempPathFactory, result: dict[str, object]) -> None:
    path = tmp_path_factory.getbasetemp() / "result.json"
    write_json(path, result)
    assert json.loads(path.read_text(encoding="utf-8")) == result


def test_a_failed_write_leaves_the_old_result_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"n": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"n": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8")) == {"n": 1}
    assert os.listdir(tmp_path) == ["result.json"]


def test_the_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_json(tmp_path / "result.json", {})
    assert (tmp_path / "result.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_link_keeps_pointing_at_what_is_written(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "target.json")
    write_json(tmp_path / "link.json", {"n": 1})
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "target.json").read_text(encoding="utf-8")) == {"n": 1}


def test_a_device_is_written_to_and_not_replaced() -> None:
    write_json(Path("/dev/null"), {"n": 1})
    assert Path("/dev/null").is_char_device()


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "old").touch()
    with replaced_folder(tmp_path / "made") as folder:
        (folder / "new").touch()
        assert os.listdir(tmp_path / "made") == ["old"]
    assert os.listdir(tmp_path / "made") == ["new"]
    assert os.listdir(tmp_path) == ["made"]


def test_a_folder_whose_filling_fails_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "old").touch()
    with pytest.raises(OSError, match="full"), replaced_folder(tmp_path / "made"):
        raise OSError("the disk is full")
    assert os.listdir(tmp_path / "made") == ["old"]


def test_what_a_killed_replacement_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    for name in (".made.partial", ".made.before"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").touch()
    with replaced_folder(tmp_path / "made") as folder:
        (folder / "new").touch()
    assert os.listdir(tmp_path / "made") == ["new"]
    assert os.listdir(tmp_path) == ["made"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnusablePath, match="made"), replaced_folder(tmp_path / "file" / "made"):
        pass


def test_a_place_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").touch()
    (tmp_path / ".made.partial").symlink_to(tmp_path / "mine")
    with pytest.raises(UnusablePath, match="made"), replaced_folder(tmp_path / "made"):
        pass
    assert os.listdir(tmp_path / "mine") == ["thesis"]


def test_two_fillings_of_one_place_do_not_mix(tmp_path: Path) -> None:
    with replaced_folder(tmp_path / "made") as folder:
        (folder / "first").touch()
        with pytest.raises(UnusablePath, match="another process"), replaced_folder(tmp_path / "made"):
            pass
    assert os.listdir(tmp_path / "made") == ["first"]
    with replaced_folder(tmp_path / "made") as folder:
        (folder / "second").touch()
    assert os.listdir(tmp_path / "made") == ["second"]
    assert os.listdir(tmp_path) == ["made"]
