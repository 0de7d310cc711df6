"""Every command of the README does what it says, one after the other, on less of everything."""

import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from seesay import cli
from seesay.reproduction.protocol import PRESETS
from tests.commands.test_reproduce import SMALL
from tests.commands.test_study import SMALL as SMALL_STUDY
from tests.test_docs import DEMO, EVALUATE, ROOT, blocks

ELSEWHERE = ("google/", "seesay world train", "seesay trust", DEMO, EVALUATE)
"""In need of the hub, hours long, or run as they stand by tests that look at all that comes of them:
tests/test_demo.py, tests/world/test_targets.py and, on a small world, tests/world/training; trust learns nothing from
so few features, and has tests/commands/test_trust.py."""

LESS = {
    "collect": ["--top", "6"],
    "calibrate": ["--max-features", "6", "--grid", "2,4"],
    "teach": ["--pupils", "20", "--references", "8"],
    "explain": ["--limit", "60"],
    "score": ["--scores", "iou,ground_truth"],
    "study": ["--pupils", "20", "--max-features", "4", "--seeds", "1"],
    "train-sae": ["--steps", "20", "--features", "64"],
}
"""What is asked for besides, so that a command takes seconds."""


TINY = replace(SMALL, explainers=SMALL.explainers[:1])
"""What is reproduced here: tests/commands/test_reproduce.py goes further."""

TINY_STUDY = replace(
    SMALL_STUDY,
    blocks=SMALL_STUDY.blocks[:1],
    candidates=SMALL_STUDY.candidates[:1],
)
"""What is studied: tests/commands/test_study.py goes further."""


def commands() -> list[str]:
    lines = [line for text in blocks(ROOT / "README.md", "sh") for line in text.splitlines()]
    found = [shlex.join(shlex.split(line, comments=True)) for line in lines]
    return [line for line in dict.fromkeys(found) if line.startswith("seesay ")]


def shortened(line: str) -> list[str]:
    """The same on fewer images, and less of whatever takes its time."""
    words = shlex.split(re.sub(r"world:(?:2000|12000)\b", "world:120", line))[1:]
    return [*words, *LESS.get(words[0], ())]


def test_what_is_not_run_here_is_little() -> None:
    left = [line for line in commands() if any(each in line for each in ELSEWHERE)]
    assert len(left) <= 7
    assert len(commands()) > 30


@pytest.mark.slow(seconds=150)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of transformer-lens, by itself
@pytest.mark.usefixtures("unchecked", "rough_truth")
def test_the_commands_of_the_readme_go_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("seesay.commands.reproduce.PRESETS", {**PRESETS, "world": TINY})
    monkeypatch.setattr("seesay.commands.study.STEERING_PLUS", TINY_STUDY)
    Path("words.csv").write_text("feature_id,text\n42,a red car\n43,a tree\n")
    for line in commands():
        if any(each in line for each in ELSEWHERE):
            continue
        arguments = shortened(line)
        if arguments[0] == "serve":
            assert serves(arguments), line
        else:
            assert cli.main(arguments) == 0, f"{line}: {capsys.readouterr().err}"


def serves(arguments: list[str]) -> bool:
    """Whether the viewer says where it is, and ends when it is told to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "seesay", *arguments, "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        deadline = threading.Timer(120, process.kill)
        deadline.start()
        is_there = any("http://127.0.0.1" in line for line in process.stdout)
        process.send_signal(signal.SIGTERM)  # where tests run in the background, Ctrl-C is ignored
        process.wait(30)
        deadline.cancel()
    return is_there
