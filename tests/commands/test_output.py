import json
import logging
from pathlib import Path

import pytest

from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.errors import UnusablePath


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


def test_without_a_terminal_progress_is_told_in_lines_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr("seesay.commands.output.time.monotonic", lambda: now)
    with Output(Options()).progress("reading", total=9) as advance:
        for now in (10.0, 29.0, 31.0, 32.0, 61.5):  # noqa: B007 (what the clock says)
            advance(1)
    assert capsys.readouterr().err == "reading: 3 of 9\nreading: 5 of 9\n"
    with Output(Options(), is_silent=True).progress("reading", total=None) as advance:
        now = 100.0
        advance(1)
    assert capsys.readouterr().err == ""


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
