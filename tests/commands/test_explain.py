"""`seesay explain`, from the command line to what it writes."""

import json
import re
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from seesay import cli, world
from seesay.commands.explain import Explain
from seesay.errors import InvalidSetting
from seesay.explainers.config import METHODS, Setting
from seesay.instruments.embedders import ImageTextEmbedder
from seesay.records import Strength
from seesay.split import split_of
from seesay.store import run as store
from seesay.store.calibrations import Calibration, add_calibration
from seesay.store.database import open_to_write
from seesay.store.explanations import explanations, settings
from seesay.store.gallery import explainable
from seesay.store.run import Run
from seesay.world.concepts import CONCEPTS
from seesay.world.grammar import phrase
from tests.instruments.test_embedders import saved

STEERING = ("--method", "steering", "--strength", "2", "--strength-unit", "residual_norm")
HYBRID = ("--method", "hybrid", *STEERING[2:])
TOPK = ("--method", "topk")


def explain(run: Path, *more: str) -> int:
    return cli.main(["explain", str(run), "--device", "cpu", "--max-new-tokens", "12", *more])


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "x"
    arguments = f"collect --images world:60 --subject world:M --out {out} --device cpu"
    assert cli.main(arguments.split()) == 0
    return out


@pytest.fixture
def run(collected: Path, tmp_path: Path) -> Path:
    return shutil.copytree(collected, tmp_path / "run")


def result(run: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    capsys.readouterr()
    assert explain(run, *more, "--json", "-") == 0
    return json.loads(capsys.readouterr().out)


def refusal(arguments: Sequence[str], run: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command ends with."""
    capsys.readouterr()
    assert explain(run, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("seesay: error: ")
    assert error.count("\n") == 1
    return error


def test_a_run_is_explained_and_told_to_people_and_to_scripts(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "e.json"
    assert explain(run, *HYBRID, "--limit", "3", "--json", str(file)) == 0
    words = capsys.readouterr().out
    assert "hybrid by world:M; in the run, asked this way: 3 ok" in words
    assert "\nNext:\n" in words
    said = json.loads(file.read_text())
    assert (said["method"], said["control"], said["explainer"]) == ("hybrid", None, "world:M")
    assert said["strength"] == {"value": 2.0, "unit": "residual_norm"}
    assert said["facts"]["overlay"] == "mask"
    with Run.open(run) as opened:
        assert [each["feature_id"] for each in said["explanations"]] == explainable(opened)[:3]
        (stored,) = settings(opened)
        found = [each.text for samples in explanations(opened, stored).values() for each in samples]
    assert [each["text"] for each in said["explanations"]] == found
    assert all(each["image_ids"] for each in said["explanations"])


def test_features_are_chosen_by_their_ids_their_split_and_a_limit(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def ids(*more: str) -> list[int]:
        return [each["feature_id"] for each in result(run, capsys, *STEERING, *more)["explanations"]]

    with Run.open(run) as opened:
        known = explainable(opened)
    assert ids("--features", "9,0-3") == [0, 1, 2, 3, 9]
    for split in ("validation", "test"):
        of_split = [each for each in known if split_of(each) == split]
        assert ids("--split", split, "--limit", "4") == of_split[:4]
    assert (
        ids("--features", "0-30", "--split", "test", "--limit", "3")
        == [each for each in range(31) if split_of(each) == "test"][:3]
    )
    with Run.open(run) as opened:
        assert len(settings(opened)) == 1


def test_without_a_choice_all_that_an_image_activates_is_explained(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(run / "run.db")) as connection:
        connection.execute("DELETE FROM exemplars WHERE feature_id > 9")
        connection.commit()
    with Run.open(run) as opened:
        known = explainable(opened)
    found = result(run, capsys, *TOPK)["explanations"]
    assert [each["feature_id"] for each in found] == known


def test_the_same_command_asks_nothing_again_and_says_the_same(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = result(run, capsys, *STEERING, "--limit", "4")
    assert result(run, capsys, *STEERING, "--limit", "4", "--batch-size", "1") == first


@pytest.mark.parametrize(
    "control",
    "random permuted none random-direction permuted-direction random-images permuted-images".split(),  # noqa: SIM905
)
def test_every_control_of_a_hybrid_is_one(control: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = result(run, capsys, *HYBRID, "--control", control, "--limit", "2", "--shown", "2")
    assert said["control"] == control
    for each in said["explanations"]:
        assert (each["control"], each["status"]) == (control, "ok")
        assert ("permuted" in control) == (each["donor_id"] is not None)
        assert (control == "none") == (each["coefficient"] is None)


def test_the_strength_is_the_one_that_was_given_calibrated_or_comes_with_the_world(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = world.strength("world:late", "world:M", "steering")
    default = result(run, capsys, "--limit", "1")
    assert default["strength"] == {"value": shipped.value, "unit": shipped.unit}
    assert result(run, capsys, "--limit", "1", "--strength", "7")["strength"] == {"value": 7.0, "unit": "coefficient"}
    with Run.writing(run) as writing:
        key = _calibration_key(writing)
        add_calibration(writing, Calibration(key, "steering", "world:M", "truth", Strength(1.25, "kl"), []))
    assert result(run, capsys, "--limit", "1")["strength"] == {"value": 1.25, "unit": "kl"}
    assert result(run, capsys, "--limit", "1", "--method", "vocabulary")["strength"]["value"] == 1.25


def _calibration_key(run: Run) -> str:
    """For steering in the words that these tests ask for, as `seesay calibrate` would note it."""
    from seesay.pipeline.explaining import Speaker
    from seesay.records import Decoding
    from seesay.vlm import load_vlm

    vlm = load_vlm(world.checkpoint("world:M"), device="cpu")
    return Speaker.of(vlm, "world:M").calibration_key(Setting(decoding=Decoding(max_new_tokens=12)))


def test_an_explainer_with_the_same_eyes_may_be_another(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = result(run, capsys, *STEERING, "--limit", "2")
    other = result(run, capsys, *STEERING, "--limit", "2", "--explainer", "world:S")
    assert other["explainer"] == "world:S"
    assert other["explainer_hash"] != one["explainer_hash"]
    assert other["facts"]["encoder_differs_in"] == ""
    with Run.open(run) as opened:
        assert [each.explainer for each in settings(opened)] == ["world:M", "world:S"]


def test_a_run_is_begun_without_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "new"
    given = ("--subject", "world:M", "--sae", "world:late", "--features", "0-2")
    begun = result(new, capsys, *STEERING, *given)
    assert [each["feature_id"] for each in begun["explanations"]] == [0, 1, 2]
    again = result(new, capsys, *STEERING, "--features", "1-3")
    assert again["explanations"][:2] == begun["explanations"][1:]
    for arguments, message in (
        ((*TOPK, "--features", "0"), "has no images yet; expected a run of which `collect` is done"),
        ((*HYBRID, "--features", "0"), "has no images yet"),
        (STEERING, "no features to explain"),
        (("--strength", "1", "--strength-unit", "max_activation", "--features", "0"), "max_activation"),
        ((*STEERING, "--empty", "mean", "--features", "0"), "mean of the images"),
        ((*STEERING, "--features", "99999"), "99999"),
    ):
        assert message in refusal(arguments, new, capsys)
    collect = f"collect --images world:30 --subject world:M --out {new} --device cpu"
    assert cli.main(collect.split()) == 0, "it may be collected later on"
    assert result(new, capsys, *STEERING, "--features", "1-3") == {**again, "run": str(new)}
    assert result(new, capsys, *TOPK, "--limit", "1")["explanations"][0]["status"] == "ok"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*STEERING, "--sae", "world:early"), "sae world:late, and sae world:early was asked for"),
        ((*STEERING, "--layer", "3"), "layer 5, and layer 3 was asked for"),
        ((*STEERING, "--subject", "world:judge"), "residuals of width 128; expected width 96"),
        ((*STEERING, "--explainer", "world:judge"), "vision encoder differs from the subject's"),
        ((*STEERING, "--layer", "99"), "99"),
        ((*STEERING, "--features", "99999"), "feature"),
        ((*STEERING, "--features", "3-1"), "counts downwards"),
        ((*STEERING, "--prompts", "{tmp}/none"), "none"),
        ((*TOPK, "--prompts", "{prompts}"), "no prompt named 'topk'"),
        ((*TOPK, "--control", "none"), "steers nothing"),
        ((*TOPK, "--control", "random-direction"), "does not join images and steering"),
        ((*STEERING, "--control", "random-images"), "does not join images and steering"),
        ((*TOPK, "--strength", "1"), "steers nothing"),
        (("--strength", "nan"), "finite number"),
        (("--strength", "1e9"), "at most 1e+06"),
        (("--strength-unit", "kl"), "without a strength"),
        (("--strength", "0", "--strength-unit", "kl"), "above 0"),
        ((*TOPK, "--shown", "1000"), "expected 1 to 100"),
    ],
)
def test_bad_input_is_one_line_and_leaves_the_run_as_it_is(
    arguments: tuple[str, ...], message: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    (prompts / "steering.txt").write_text("What is it?")
    given = [each.format(tmp=tmp_path, prompts=prompts) for each in arguments]
    assert message in refusal(given, run, capsys)
    with Run.open(run) as opened:
        assert all(explanations(opened, each) == {} for each in settings(opened))


def test_a_run_of_another_model_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = shutil.copytree(world.checkpoint("world:M"), tmp_path / "other")
    assert explain(run, *STEERING, "--limit", "1", "--subject", str(other)) == 0, "by its weights, not by its name"
    weights = load_file(other / "model.safetensors")
    name = next(name for name in weights if "vision_tower" in name and "layers.2.mlp.fc1.weight" in name)
    save_file({**weights, name: weights[name] * 1.5}, other / "model.safetensors", {"format": "pt"})
    message = refusal((*STEERING, "--limit", "2", "--subject", str(other)), run, capsys)
    assert f"{run} holds a run of" in message
    assert "was asked for; expected the same as before" in message
    with Run.open(run) as opened:
        assert [len(explanations(opened, each)) for each in settings(opened)] == [1]


@pytest.mark.parametrize(
    ("place", "message"), [("none", "no run"), ("", "no run"), ("run/run.db", "run.db"), ("full", "not empty, and no")]
)
def test_where_there_is_no_run_that_is_said(
    place: str, message: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    assert message in refusal(STEERING, tmp_path / place, capsys) or place == "full"
    if place == "full":
        given = (*STEERING, "--sae", "world:late", "--subject", "world:M", "--features", "0")
        assert message in refusal(given, tmp_path / place, capsys)
    assert not (tmp_path / "none").exists()
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["notes.txt"]


def test_a_run_has_one_explainer_at_a_time(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Run.writing(run):
        assert "another process is writing" in refusal((*STEERING, "--limit", "1"), run, capsys)
    assert explain(run, *STEERING, "--limit", "1") == 0


def test_a_full_disk_is_one_line(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Path) -> sqlite3.Connection:
        connection = open_to_write(file)
        connection.execute("VACUUM")
        (n_pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {n_pages}")
        return connection

    asked = (*STEERING, "--features", "0-99", "--batch-size", "5")
    with monkeypatch.context() as patch:
        patch.setattr(store, "open_to_write", full)
        assert "full; expected room on the disk; make some and run the same again" in refusal(asked, run, capsys)
    with Run.open(run) as opened:
        (stored,) = settings(opened)
        before = explanations(opened, stored)
    assert 0 < len(before) < 100
    assert len(result(run, capsys, *asked)["explanations"]) == 100
    with Run.open(run) as opened:
        assert before.items() <= explanations(opened, stored).items()


@pytest.mark.parametrize(
    "value",
    [
        {"sae_options": "x"},
        {"sae_options": [1]},
        {"sae_options": {"sae_k": "many"}},
        {"sae_options": {"sae_subfolder": 5}},
        {"layer": "5"},
        {"layer": [5]},
        {"layer": 1e999},
        {"subject": 7},
        {"sae": None},
        {"subject": "world:none"},
        {"sae": "world:none"},
        {"subject": "\x00"},
    ],
    ids=str,
)
def test_a_strangers_run_that_says_something_odd_of_itself_is_refused_in_one_line(
    value: dict[str, Any], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ((name, odd),) = value.items()
    with closing(sqlite3.connect(run / "run.db")) as connection:
        connection.execute("UPDATE run SET value = ? WHERE name = ?", (json.dumps(odd), name))
        connection.commit()
    refusal((*STEERING, "--limit", "1"), run, capsys)


def setting_for(flags: str) -> Setting:
    command = cli.parse(["explain", "x", *flags.split()])
    assert isinstance(command, Explain)
    return command._setting()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--method topk --empty black", "--empty for topk, which shows exemplars"),
        ("--method hybrid --positions patches", "--positions for hybrid"),
        ("--method topk --mode clamp", "--mode for topk, which steers nothing"),
        ("--method steering --overlay crop", "--overlay for steering, which shows no exemplars"),
        ("--method steering --words 3", "--words for steering, which lets a model speak"),
        ("--method vocabulary --samples 2 --temperature 1", "--samples for vocabulary, which lets no model speak"),
        ("--method steering --top-k 3", "draws no words without --temperature"),
    ],
)
def test_what_a_method_has_no_use_for_is_refused(flags: str, said: str) -> None:
    with pytest.raises(InvalidSetting, match=said):
        setting_for(flags)


def test_every_flag_of_an_empty_image_and_of_the_vocabulary_reaches_the_setting() -> None:
    setting = setting_for("--method vocabulary --empty noise --positions patches --words 6")
    assert (setting.empty, setting.positions, setting.n_words) == ("noise", "patches", 6)


def test_every_flag_reaches_the_setting() -> None:
    flags = (
        "--method hybrid --strength 2 --strength-unit kl --control random-images --mode clamp --shown 3 --overlay crop "
        "--exemplars quantile --samples 4 --temperature 0.5 --top-p 0.9 --top-k 7 --max-new-tokens 9 --seed 8"
    )
    setting = setting_for(flags)
    assert (setting.method, setting.strength, setting.control) == ("hybrid", Strength(2.0, "kl"), "random-images")
    assert setting.mode == "clamp"
    assert (setting.n_images, setting.overlay, setting.selection) == (3, "crop", "quantile")
    assert setting.seed == 8
    decoding = setting.decoding
    assert (decoding.n_samples, decoding.temperature, decoding.top_p, decoding.top_k) == (4, 0.5, 0.9, 7)
    assert (decoding.max_new_tokens, decoding.seed) == (9, 8)


DISSECT = ("--method", "dissect")
FROGS = ("a frog", "a red square", "stripes", "the top left")


@pytest.fixture
def world_run(collected_world: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(collected_world, tmp_path / "run"))


def test_dissect_says_what_the_world_has_words_for(world_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = result(world_run, capsys, *DISSECT)
    assert (said["method"], said["control"], said["strength"], said["explainer"]) == ("dissect", None, None, "world")
    with Run.open(world_run) as opened:
        known = explainable(opened)
        (stored,) = settings(opened)
        found = [each.text for samples in explanations(opened, stored).values() for each in samples]
    assert [each["feature_id"] for each in said["explanations"]] == known
    texts = [each["text"] for each in said["explanations"]]
    assert texts == found
    assert set(texts) <= {phrase(concept) for concept in CONCEPTS}
    assert len(set(texts)) > len(texts) / 4, "features differ"
    for each in said["explanations"]:
        assert each["status"] == "ok"
        assert each["image_ids"]
        assert each["mean_log_probability"] is None
    assert said["facts"]["overlay"] == "plain"


def test_dissecting_again_adds_nothing_and_embeds_no_image(
    world_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Run.open(world_run) as opened:
        known = explainable(opened)
    first = result(world_run, capsys, *DISSECT, "--features", f"{known[0]},{known[2]}")
    again = result(world_run, capsys, *DISSECT, "--features", ",".join(map(str, known[:4])))
    of = {each["feature_id"]: each for each in again["explanations"]}
    assert [of[each["feature_id"]] for each in first["explanations"]] == first["explanations"]
    monkeypatch.setattr(ImageTextEmbedder, "embed_images", lambda *_: pytest.fail("embedded again"))
    assert result(world_run, capsys, *DISSECT, "--features", ",".join(map(str, known[:4]))) == again
    with Run.open(world_run) as opened:
        assert len(settings(opened)) == 1


def test_dissect_says_nothing_but_what_a_file_holds(
    world_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "words.txt"
    file.write_text("\ufeff" + "\n\n".join([*FROGS, FROGS[0]]) + "\n", "utf-8")
    said = result(world_run, capsys, *DISSECT, "--vocabulary", str(file))
    texts = {each["text"] for each in said["explanations"]}
    assert texts <= set(FROGS)
    assert len(texts) > 1
    other = result(world_run, capsys, *DISSECT, "--limit", "1")
    assert other["identity"] != said["identity"], "another vocabulary is another way of asking"
    with Run.open(world_run) as opened:
        assert len(settings(opened)) == 2


@pytest.mark.slow
def test_controls_of_dissect_are_shown_other_images(world_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = result(world_run, capsys, *DISSECT, "--limit", "6")["explanations"]
    for control in ("random", "permuted"):
        said = result(world_run, capsys, *DISSECT, "--limit", "6", "--control", control)
        assert said["control"] == control
        rows = said["explanations"]
        assert [each["feature_id"] for each in rows] == [each["feature_id"] for each in own]
        assert all(each["image_ids"] != mine["image_ids"] for each, mine in zip(rows, own, strict=True))
        assert all((each["donor_id"] is not None) == (control == "permuted") for each in rows)
    other = result(world_run, capsys, *DISSECT, "--limit", "6", "--control", "random", "--seed", "1")
    assert other["identity"] != said["identity"]


def test_dissect_looks_with_whatever_embedder_is_named(
    world_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    eye = saved("clip", tmp_path / "clip")
    own = result(world_run, capsys, *DISSECT, "--limit", "3")
    said = result(world_run, capsys, *DISSECT, "--limit", "3", "--embedder", str(eye))
    assert said["explainer"] == str(eye)
    assert said["explainer_hash"] != own["explainer_hash"]
    with Run.open(world_run) as opened:
        assert [each.explainer for each in settings(opened)] == ["world", str(eye)]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--strength 1", "a strength for dissect, which steers nothing"),
        ("--strength-unit kl", "without a strength"),
        ("--shown 3", "--shown for dissect, which looks at up to 100 whole images"),
        ("--overlay crop", "--overlay for dissect"),
        ("--exemplars quantile", "--exemplars for dissect"),
        ("--words 3", "--words for dissect, which tells one phrase"),
        ("--samples 2 --temperature 1", "--samples for dissect, which lets no model speak"),
        ("--mode clamp", "--mode for dissect, which steers nothing"),
        ("--empty black", "--empty for dissect"),
        ("--control none", "steers nothing"),
        ("--control random-images", "does not join images and steering"),
        ("--explainer world:S", "--explainer for dissect, which asks no language model"),
        ("--prompts .", "--prompts for dissect, which asks no language model"),
        ("--quantize 4bit", "--quantize for dissect"),
        ("--subject world:S", "subject world:M, and world:S was asked for"),
        ("--sae world:early", "sae world:late, and world:early was asked for"),
        ("--layer 2", "layer 5, and 2 was asked for"),
        ("--features 99999", "feature 99999"),
        ("--vocabulary {tmp}/none.txt", "cannot read {tmp}/none.txt: No such file"),
        ("--vocabulary {tmp}", "cannot read {tmp}: Is a directory"),
        ("--vocabulary {tmp}/empty.txt", "{tmp}/empty.txt holds no phrase; expected a text file in UTF-8"),
        ("--vocabulary {tmp}/odd.txt", "cannot read {tmp}/odd.txt"),
        ("--embedder ./nowhere", "nowhere"),
    ],
)
def test_what_dissect_has_no_use_for_is_one_line_and_leaves_the_run_as_it_is(
    flags: str, message: str, world_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.txt").write_text(" \n\n")
    (tmp_path / "odd.txt").write_bytes(b"a frog\n\xff\xfe\n")
    asked = (*DISSECT, *flags.format(tmp=tmp_path).split())
    assert message.format(tmp=tmp_path) in refusal(asked, world_run, capsys)
    with Run.open(world_run) as opened:
        assert all(explanations(opened, each) == {} for each in settings(opened))


@pytest.mark.parametrize("method", [each for each, way in METHODS.items() if way.finds and each != "dissect"])
def test_a_vocabulary_and_an_embedder_are_for_dissect_alone(method: str) -> None:
    for flags in ("--vocabulary words.txt", "--embedder world"):
        with pytest.raises(InvalidSetting, match=rf"for {re.escape(method)}, which finds its words by itself"):
            setting_for(f"--method {method} {flags}")


def test_words_that_are_made_elsewhere_are_not_asked_for(world_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(("--method", "imported"), world_run, capsys)
    assert "method imported: its words are made elsewhere" in said
    assert "seesay import RUN FILE" in said
    assert cli.main(["explain", "--help"]) == 0
    assert "imported" not in capsys.readouterr().out


def test_dissect_of_anything_but_the_world_needs_a_vocabulary(
    world_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(world_run / "run.db")) as connection:
        connection.execute("UPDATE run SET value = '\"someone/elses\"' WHERE name = 'subject'")
        connection.commit()
    assert "expected --vocabulary FILE, one phrase a line" in refusal(DISSECT, world_run, capsys)


def test_dissect_needs_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "new"
    assert explain(new, *STEERING, "--subject", "world:M", "--sae", "world:late", "--features", "0") == 0
    assert "has no images yet; expected a run of which `collect` is done" in refusal(DISSECT, new, capsys)
    assert "no run" in refusal(DISSECT, tmp_path / "none", capsys)


def test_what_dissect_says_stands_beside_other_methods_wherever_these_do(
    world_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Run.open(world_run) as opened:
        feature_ids = [each for each in explainable(opened) if split_of(each) == "test"][:6]
    ids = ("--features", ",".join(map(str, feature_ids)))
    result(world_run, capsys, *TOPK, *ids)
    said = result(world_run, capsys, *DISSECT, *ids)["explanations"]
    assert cli.main(["score", str(world_run), "--scores", "iou", "--words-alone", "--device", "cpu"]) == 0
    assert "dissect by world " in capsys.readouterr().out
    assert cli.main(["compare", str(world_run)]) == 0
    told = capsys.readouterr().out
    assert re.search(r"^dissect.* \d\.\d{3} ", told, re.MULTILINE)
    assert re.search(r"^topk.* \d\.\d{3} ", told, re.MULTILINE)
    assert cli.main(["show", str(world_run), str(feature_ids[0])]) == 0
    assert re.search(rf"^dissect +world +{said[0]['text']}", capsys.readouterr().out, re.MULTILINE)
