"""`seesay label`, from what a run says to what is printed and written."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from seesay.commands.label import Label, by_records
from seesay.commands.options import Options
from seesay.errors import InvalidSetting, SeesayError, UnreadableModel, UnusablePath
from seesay.explainers.config import Setting
from seesay.store.explanations import add, add_setting
from seesay.store.labels import labellers, labels
from seesay.store.run import Run
from seesay.vlm import VLM
from tests.store.test_explanations import facts_of, said
from tests.tiny import save_checkpoint

OPTIONS = Options(device="cpu")
IDENTITY = {"layer": 1, "sae": "x", "identity": "abc"}


def make(folder: Path, subject: Any = "world:S") -> Path:
    """A run of three settings, with words of every kind."""
    topk, random = Setting("topk"), Setting("topk", control="random")
    with Run.writing(folder, {"subject": subject, **IDENTITY}) as run:
        own = add_setting(run, facts_of(), "m")
        add(run, own, [said(1, "a frog"), said(2, "the colour red"), said(3, "a frog"), said(4, "")])
        add(run, add_setting(run, facts_of(topk), "m"), [said(1, "a frog", of=topk), said(2, "an umlaut", of=topk)])
        add(run, add_setting(run, facts_of(random), "m"), [said(1, "a red [b]square[/b]", of=random)])
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make(tmp_path / "run")


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")


def result(command: Label, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert command.run() == 0
    return json.loads(capsys.readouterr().out)


def refusal(command: Label) -> str:
    with pytest.raises(SeesayError) as error:
        command.run()
    assert "\n" not in str(error.value)
    return str(error.value)


JSON = Options(device="cpu", json=Path("-"))


def test_the_records_tell_the_level_of_the_first_thing_that_is_named() -> None:
    assert by_records(["a frog", "a red frog", "the top left", "", "an umlaut", "a carrot and a red car"]) == [
        ("high-level", "thing:frog"),
        ("low-level", "colour:red"),
        ("low-level", "position:top left"),
        ("other", ""),
        ("other", ""),
        ("high-level", "thing:carrot"),
    ]


def test_labels_are_written_and_counted(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Label(run, by="records", common=OPTIONS).run() == 0
    told = capsys.readouterr().out
    with Run.open(run) as opened:
        assert labellers(opened) == {"records:1": 4}
        assert {text: each.level for text, each in labels(opened, "records:1").items()} == {
            "a frog": "high-level",
            "the colour red": "low-level",
            "an umlaut": "other",
            "a red [b]square[/b]": "low-level",
        }
    assert re.search(r"^ *method +explanations +low-level +high-level +other *$", told, re.MULTILINE)
    assert re.search(r"^ *steering +3 +1 \(33%\) +2 \(67%\) +0 \(0%\) *$", told, re.MULTILINE)
    assert re.search(r"^ *topk +2 +0 \(0%\) +1 \(50%\) +1 \(50%\) *$", told, re.MULTILINE)
    assert re.search(r"^ *topk, random +1 +1 \(100%\) ", told, re.MULTILINE)
    assert "4 different explanations labelled, 4 in all, by the world's records." in told
    assert f"seesay compare {run}" in told


def test_the_result_is_json(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = result(Label(run, by="records", common=JSON), capsys)
    assert found["counts"]["steering"] == {"low-level": 1, "high-level": 2, "other": 0}
    assert found["counts"]["topk, random"] == {"low-level": 1, "high-level": 0, "other": 0}
    assert {"text": "a frog", "level": "high-level", "raw_text": "thing:frog"} in found["labels"]
    assert (found["n_new"], found["labeller"], found["by"]) == (4, "records:1", "records")
    assert result(Label(run, by="records", common=JSON), capsys) == {**found, "n_new": 0}


def test_by_default_the_runs_own_subject_is_asked(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = result(Label(run, common=JSON), capsys)
    assert (found["name"], found["by"], found["n_new"]) == ("world:S", "model", 4)
    assert found["labeller"].startswith("model:")
    level_of = {each["text"]: (each["level"], each["raw_text"]) for each in found["labels"]}
    assert level_of["a frog"] == ("high-level", "high level")
    assert level_of["the colour red"] == ("low-level", "low level")
    with Run.open(run) as opened:
        assert labellers(opened) == {found["labeller"]: 4}
    other = result(Label(run, labeller="world:judge", common=JSON), capsys)
    assert other["labeller"] != found["labeller"]
    again = result(Label(run, labeller="world:S", batch_size=1, common=JSON), capsys)
    assert again == {**found, "n_new": 0}


def test_only_new_words_are_labelled(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result(Label(run, by="records", common=JSON), capsys)
    with Run.writing(run) as opened:
        add(opened, add_setting(opened, facts_of(), "m"), [said(7, "a tower"), said(8, "a frog")])
    found = result(Label(run, by="records", common=JSON), capsys)
    assert (found["n_new"], len(found["labels"])) == (1, 5)
    assert found["counts"]["steering"] == {"low-level": 1, "high-level": 4, "other": 0}


def test_a_model_of_ones_own_labels_by_the_packaged_question(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = save_checkpoint(tmp_path / "model")
    for file in (checkpoint / "prompts").iterdir():
        file.unlink()
    (checkpoint / "prompts").rmdir()
    asked: list[str] = []
    say = VLM.say

    def noting(self: VLM, prompts: Any, *more: Any, **named: Any) -> Any:
        asked.extend(prompts)
        return say(self, prompts, *more, **named)

    monkeypatch.setattr(VLM, "say", noting)
    found = result(Label(run, labeller=str(checkpoint), common=JSON), capsys)
    assert found["n_new"] == 4
    assert any('"a red [b]square[/b]"' in prompt for prompt in asked)
    assert all(prompt.endswith("low, high or other.") for prompt in asked)


def test_what_cannot_be_done_is_said_in_a_line(run: Path, tmp_path: Path) -> None:
    assert "one of the two" in refusal(Label(run, by="records", labeller="world:S", common=OPTIONS))
    assert "no run" in refusal(Label(tmp_path / "nowhere", common=OPTIONS))
    assert "no model named 'world:XL'" in refusal(Label(run, labeller="world:XL", common=OPTIONS))
    of_others = make(tmp_path / "others", "google/gemma-3-4b-it")
    told = refusal(Label(of_others, by="records", common=OPTIONS))
    assert "--by records for a run of google/gemma-3-4b-it; expected a run of the embedded world" in told
    for odd in (None, 7, ["world"]):
        assert "does not say what it is of" in refusal(Label(make(tmp_path / f"odd{odd}", odd), common=OPTIONS))
    with Run.writing(tmp_path / "empty", {"subject": "world:S", **IDENTITY}) as opened:
        add(opened, add_setting(opened, facts_of(), "m"), [said(1, "")])
    assert "no explanations yet" in refusal(Label(tmp_path / "empty", common=OPTIONS))
    assert f"seesay explain {tmp_path / 'empty'}" in refusal(Label(tmp_path / "empty", common=OPTIONS))


def test_a_subject_without_words_asks_for_a_model_that_has_some(tmp_path: Path) -> None:
    eye = tmp_path / "eye"
    eye.mkdir()
    (eye / "config.json").write_text(json.dumps({"model_type": "siglip_vision_model"}))
    run = make(tmp_path / "run", str(eye))
    assert "--labeller MODEL" in refusal(Label(run, common=OPTIONS))
    with pytest.raises(UnreadableModel, match="has no words"):
        Label(run, labeller=str(eye), common=OPTIONS).run()


def test_a_run_without_the_question_names_the_file(run: Path, tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path / "model")
    assert "level.txt" in refusal(Label(run, labeller=str(checkpoint), common=OPTIONS))


def test_errors_are_of_the_kinds_that_end_with_exit_code_two(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting):
        Label(run, by="records", labeller="x", common=OPTIONS).run()
    with pytest.raises(UnusablePath):
        Label(tmp_path / "nowhere", common=OPTIONS).run()


def test_a_stop_says_that_nothing_is_lost(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_given: Any, **_named: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("seesay.pipeline.labelling.add_labels", stopped)
    with pytest.raises(KeyboardInterrupt):
        Label(run, by="records", common=OPTIONS).run()
    assert "the same command goes on from here" in capsys.readouterr().out
