import json
import logging
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.commands.options import Options
from seesay.commands.output import Output, write_json
from seesay.errors import UnusablePath

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


def test_a_folder_that_is_not_there_is_made_before_the_work(tmp_path: Path) -> None:
    Output(Options(json=tmp_path / "new" / "result.json"))
    assert (tmp_path / "new").is_dir()


def test_a_target_that_is_a_folder_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(UnusablePath, match="it is a folder"):
        Output(Options(json=tmp_path))


def test_a_target_below_a_file_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnusablePath, match="cannot write"):
        Output(Options(json=tmp_path / "file" / "result.json"))


def test_json_on_the_standard_output_leaves_the_words_to_the_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = Output(Options(json=Path("-")))
    output.console.print("words")
    output.finish({"n": 1}, next_steps=["seesay demo"])
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"n": 1}
    assert captured.err == "words\n\nNext:\n  seesay demo\n"


def test_paths_and_steps_are_no_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "[bold]x.json"
    Output(Options(json=path)).finish({}, next_steps=["seesay steer --features [red]"])
    shown = capsys.readouterr().out.replace("\n", "")
    assert "[bold]x.json" in shown
    assert "[red]" in shown


def test_verbose_lets_our_own_log_through(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("seesay")
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    Output(Options(verbose=True))
    assert logger.isEnabledFor(logging.INFO)
    logger.setLevel(logging.NOTSET)
