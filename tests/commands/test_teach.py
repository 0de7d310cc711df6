"""`seesay teach`, and explaining through what it teaches."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seesay import cli
from seesay.explainers.lens import Lens
from seesay.split import split_of
from seesay.store.explanations import explanations, settings
from seesay.store.run import Run
from seesay.store.taught import taught_path
from tests.commands.test_explain import refusal, result

FEW = ("--pupils", "20", "--references", "6", "--device", "cpu")
PLUS = ("--method", "steering+")


@pytest.fixture(scope="module")
def taught(collected_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(collected_world, tmp_path_factory.mktemp("taught") / "run"))
    assert cli.main(["teach", str(folder), *FEW]) == 0
    return folder


@pytest.fixture(scope="module")
def taught_at_2(taught: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(taught, tmp_path_factory.mktemp("taught") / "at-2"))
    assert cli.main(["teach", str(folder), *FEW, "--strength", "2", "--strength-unit", "residual_norm", "--anew"]) == 0
    return folder


def told(run: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    few = FEW if "--adapter" not in more else FEW[-2:]
    assert cli.main(["teach", str(run), *few, "--json", "-", *more]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_lens_is_taught_once_and_anew_when_that_is_asked_for(
    taught: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(taught, tmp_path / "run"))
    before = told(run, capsys)
    assert before["phrases"]
    assert {split_of(each) for each in before["facts"]["references"]} == {"validation"}
    assert told(run, capsys, "--pupils", "30") == before
    assert cli.main(["teach", str(run), *FEW, "--pupils", "30"]) == 0
    assert "It is taught already, by pupils 20, not 30: --anew" in " ".join(capsys.readouterr().out.split())
    after = told(run, capsys, "--pupils", "30", "--anew", "--strength", "1", "--strength-unit", "residual_norm")
    assert after["facts"]["n_pupils"] == 30
    assert after["strength"] == {"value": 1.0, "unit": "residual_norm"}
    assert after["identity"] != before["identity"]


def test_words_come_from_the_lens_and_stay_when_it_is_taught_anew(
    taught: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(taught, tmp_path / "run"))
    phrases = told(run, capsys)["phrases"]
    first = result(run, capsys, *PLUS)
    assert {each["text"] for each in first["explanations"]} <= set(phrases)
    assert len({each["text"] for each in first["explanations"]}) > 3
    assert result(run, capsys, *PLUS)["explanations"] == first["explanations"]
    told(run, capsys, "--anew", "--seed", "1")
    result(run, capsys, *PLUS)
    with Run.open(run) as opened:
        assert [each.method for each in settings(opened)] == ["steering+", "steering+"]
        assert len({each.identity for each in settings(opened)}) == 2
        assert all(len(explanations(opened, each)) == len(first["explanations"]) for each in settings(opened))


@pytest.mark.parametrize(
    ("method", "control"),
    [
        ("steering+", "random"),
        ("steering+", "permuted"),
        ("steering+", "none"),
        ("topk+", "random"),
        ("topk+", "permuted"),
        ("hybrid+", "random"),
        ("hybrid+", "permuted"),
        ("hybrid+", "none"),
    ],
)
def test_controls_go_through_the_same_lens(
    method: str, control: str, taught: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(taught, tmp_path / "run"))
    # a permuted control has another feature's words, which may be any
    way = ("--method", method, *(() if control == "permuted" else ("--limit", "16")))
    own = {each["feature_id"]: each for each in result(run, capsys, *way)["explanations"]}
    other = {each["feature_id"]: each for each in result(run, capsys, *way, "--control", control)["explanations"]}
    assert all(bool(each["image_ids"]) == (method != "steering+") for each in own.values())
    assert own.keys() == other.keys()
    words = {each: own[each]["text"] == other[each]["text"] for each in own}
    if control == "permuted":
        assert all(own[other[each]["donor_id"]]["text"] == other[each]["text"] for each in own)
    elif control == "random":
        assert sum(words.values()) < len(words) / 2
    else:
        assert all(each["strength"] is None for each in other.values())


def test_a_run_is_scored_shown_and_reported_with_these_words(
    taught: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(taught, tmp_path / "run"))
    said = result(run, capsys, *PLUS)["explanations"]
    test = next(each for each in said if split_of(each["feature_id"]) == "test")
    assert cli.main(["score", str(run), "--scores", "iou", "--words-alone", "--device", "cpu"]) == 0
    assert cli.main(["compare", str(run)]) == 0
    assert re.search(r"^steering\+.* \d\.\d{3} ", capsys.readouterr().out, re.MULTILINE)
    assert cli.main(["show", str(run), str(test["feature_id"])]) == 0
    assert re.search(rf"^steering\+ .*{test['text']}", capsys.readouterr().out, re.MULTILINE)
    assert cli.main(["report", str(run)]) == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--strength 3", "strength 3 (coefficient) for steering+; expected 2 (residual_norm), by which the lens was"),
        ("--empty noise", "--empty for steering+, which steers as its lens was taught"),
        ("--mode clamp", "--mode for steering+, which steers as its lens was taught"),
        ("--coarse 2", "--coarse for steering+, which steers as its lens was taught"),
        ("--temperature 1", "--temperature for steering+, which lets no model speak"),
        ("--words 3", "--words for steering+, which tells one phrase"),
        ("--shown 3", "--shown for steering+, which shows no exemplars"),
        ("--control random-images", "random-images for steering+, which does not join images and steering"),
        ("--explainer world:L", "has no lens of world:L, asked this way; expected one that was taught"),
        ("--plan", "a plan for steering+; expected a method that generates; plan for steering"),
    ],
)
def test_what_steering_plus_has_no_use_for_is_one_line(
    flags: str, message: str, taught_at_2: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refusal((*PLUS, *flags.split()), taught_at_2, capsys)


@pytest.mark.parametrize("content", [b"", b"odd"])
def test_a_damaged_lens_is_one_line(
    content: bytes, taught: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(taught, tmp_path / "run"))
    with Run.open(run) as opened:
        (path,) = taught_path(opened, "x", Lens).parent.iterdir()
    path.write_bytes(content)
    assert "holds no lens" in refusal(PLUS, run, capsys)


def test_what_needs_a_lens_begins_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "new"
    assert cli.main(["explain", str(run), *PLUS, "--features", "3"]) == 2
    assert "seesay collect first, then seesay teach" in capsys.readouterr().err
    assert not run.exists()


def test_a_lens_needs_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["teach", str(tmp_path / "none"), *FEW]) == 2
    assert "no run" in capsys.readouterr().err


def test_an_adapter_is_learnt_from_what_is_said_of_images_and_steers(
    collected_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(collected_world, tmp_path / "run"))
    way = ("--method", "steering", "--adapter")
    assert "has no adapter of world:M, asked this way; expected one that was taught" in refusal(way, run, capsys)
    adapter = told(run, capsys, "--adapter")
    assert {split_of(each) for each in adapter["facts"]["features"]} == {"validation"}
    assert told(run, capsys, "--adapter") == adapter
    assert told(run, capsys, "--adapter", "--anew", "--seed", "1")["identity"] != adapter["identity"]
    adapted = result(run, capsys, *way)
    plain = result(run, capsys, "--method", "steering")
    assert len(adapted["explanations"]) == len(plain["explanations"])
    assert all(each["strength"] == adapter["strength"] for each in adapted["explanations"])
    assert result(run, capsys, *way, "--control", "random")["explanations"]
    with Run.open(run) as opened:
        assert len({each.identity for each in settings(opened) if each.method == "steering"}) == 3


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--method", "hybrid", "--adapter"), "--adapter for hybrid, which is not the method steering"),
        (("--method", "topk", "--swept"), "--swept for topk, which steers nothing"),
        (("--method", "vocabulary", "--swept"), "--swept for vocabulary, which lets no model speak"),
        (("--method", "steering", "--swept", "--contrast", "0.5"), "several strengths for steering"),
    ],
)
def test_what_an_adapter_and_several_strengths_are_not_for_is_one_line(
    flags: tuple[str, ...], message: str, taught: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refusal(flags, taught, capsys)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--adapter", "--pupils", "30"], "--pupils beside --adapter, where it changes nothing; expected none"),
        (["--teacher-strength", "2"], "--teacher-strength without --adapter, where it changes nothing"),
        (["--features", "x"], "x"),
        (["--features", "99999", "--device", "cpu"], "feature 99999; expected 0 to 1535"),
    ],
)
def test_what_teaching_has_no_use_for_is_refused(
    flags: list[str], message: str, taught: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["teach", str(taught), *flags]) == 2
    assert message in capsys.readouterr().err


def test_a_strangers_phrases_steer_no_terminal(
    taught: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(taught, tmp_path / "run"))
    with Run.open(run) as opened:
        (path,) = taught_path(opened, "x", Lens).parent.iterdir()
    lens = Lens.read_from(path)
    path.write_bytes(replace(lens, phrases=("\x1b]0;pwn\x07a cat", *lens.phrases[1:])).content())
    assert cli.main(["teach", str(run), "--device", "cpu"]) == 0
    told = capsys.readouterr().out
    assert "a cat" in told
    assert "\x1b" not in told
    assert "\x07" not in told


def test_test_features_that_teach_are_told(taught: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Path(shutil.copytree(taught, tmp_path / "run"))
    test = [each for each in range(200) if split_of(each) == "test"][:4]
    ids = ",".join(map(str, test))
    assert cli.main(["teach", str(run), *FEW, "--anew", "--features", ids]) == 0
    assert "no figure may come from these" in capsys.readouterr().out


def test_words_that_are_decoded_otherwise_take_the_strength_that_was_chosen(
    collected_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(collected_world, tmp_path / "run"))
    assert cli.main(["calibrate", str(run), "--grid", "2,8", "--by", "kl", "--device", "cpu"]) == 0
    for flags in ([], ["--contrast", "0.5"], ["--swept"]):
        told = result(run, capsys, "--method", "steering", *flags)
        assert {each["strength"]["value"] for each in told["explanations"]} <= {2.0, 8.0}, flags


@pytest.mark.parametrize("flags", [["--adapter"], ["--swept"], ["--contrast", "0.5"]])
def test_what_cannot_be_planned_is_said(
    flags: list[str], collected_world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["explain", str(collected_world), "--plan", *flags]) == 2
    assert "plan" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["steer", "--features", "1"], ["calibrate", "x"]])
def test_an_adapter_is_for_a_run_that_has_one(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*command, "--adapter"]) == 2
    assert f"--adapter for {command[0]}; expected explain" in capsys.readouterr().err
