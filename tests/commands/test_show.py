"""`seesay show`: one feature's card, in a pipe, in a terminal and as JSON."""

import json
import re
import shutil
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import seesay
from seesay.cards import Card
from seesay.cli import main
from seesay.commands.mosaic import Mosaic, can_show, side_by_side
from seesay.commands.options import Options
from seesay.commands.show import Show, one_line
from seesay.errors import FeatureNotFound, UnusablePath
from seesay.exemplars.config import CollectionConfig
from seesay.pipeline.collecting import Subject, collect
from seesay.records import Explanation, Strength
from seesay.sae import load_sae
from seesay.scorers.config import Score
from seesay.scorers.scorer import Item, Measured
from seesay.store.exemplars import exemplars, features
from seesay.store.explanations import StoredSetting, add, add_setting, of_feature
from seesay.store.gallery import explainable
from seesay.store.run import Run
from seesay.store.scores import add_scores, add_scoring
from seesay.store.trust import Trusted, set_trust
from seesay.vlm import load_encoder
from seesay.world.pictures import Pictures

ESCAPE = "\x1b"
FACTS: dict[str, Any] = {
    "method": "topk",
    "control": None,
    "explainer": "1" * 64,
    "encoder": "2" * 64,
    "prompt": "what is it ?",
    "dtype": "torch.float32",
}


def says(run: Run, feature_id: int, *answers: tuple[str, str], name: str = "world:M", **facts: Any) -> None:
    """Write answers, each a status and a text or a reason, in a setting of their own."""
    setting = add_setting(run, {**FACTS, **facts}, name)
    rows = [
        Explanation(
            feature_id,
            setting.method,
            setting.control,
            text=words if status == "ok" else "",
            raw_text=words,
            status=status,  # pyright: ignore[reportArgumentType]
            strength=setting.strength,
            coefficient=None,
            mean_log_probability=-0.25 if status == "ok" else None,
            sample=sample,
            reason="" if status == "ok" else words,
            donor_id=1144 if setting.control == "permuted" else None,
        )
        for sample, (status, words) in enumerate(answers)
    ]
    add(run, setting, rows)


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sae = load_sae(seesay.world.sae("world:late"))
    assert sae.provenance.layer is not None
    encoder = load_encoder(seesay.world.checkpoint("world:M"), device="cpu")
    subject = Subject(encoder, sae, sae.provenance.layer, {"subject": "world:M", "sae": "world:late"})
    folder = tmp_path_factory.mktemp("runs") / "x"
    with Run.writing(folder, subject.as_json()) as run:
        collect(run, subject, Pictures(60), CollectionConfig(n_top=6))
    return folder


@pytest.fixture(scope="module")
def feature_id(collected: Path) -> int:
    """One that several images activate."""
    with Run.open(collected) as run:
        return next(each for each in explainable(run) if len(exemplars(run, each, "explaining", "top")) >= 4)


@pytest.fixture
def run(collected: Path, feature_id: int, tmp_path: Path) -> Path:
    """A copy of the run, with words."""
    folder = tmp_path / "run"
    shutil.copytree(collected, folder)
    with Run.writing(folder) as opened:
        pushed = {"value": 2.0, "unit": "residual_norm"}
        says(opened, feature_id, ("ok", "another's words"), control="permuted", seed=0)
        says(opened, feature_id, ("ok", "a [red]clover[/red]"), ("ok", "grass"), overlay="mask")
        says(opened, feature_id, ("ok", "a leaf"), overlay="crop")
        says(opened, feature_id, ("failed", "out of memory"), method="hybrid", strength=pushed)
        says(opened, feature_id, ("empty", "nothing but punctuation"), method="steering", strength=pushed)
        says(opened, feature_id + 1, ("ok", "not of this one"))
    return folder


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed goes to a terminal with all colours, as far as rich can tell."""
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm-256color"), ("COLORTERM", "truecolor")):
        monkeypatch.setenv(name, value)


def test_a_card_tells_what_is_counted_and_what_is_said(
    run: Path, feature_id: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Show(run, feature_id).run() == 0
    card = capsys.readouterr().out
    with Run.open(run) as opened:
        (stats,) = features(opened, [feature_id])
        top = exemplars(opened, feature_id, "explaining", "top", 4)
    assert f"Feature {feature_id}, {stats.split} split" in card
    assert "world:M, block 5, world:late: 60 images" in card
    assert f"on {stats.frequency:.3%} of the patches, {stats.image_frequency:.2%} of the images" in card
    assert f"{stats.max_activation:.4g} at most" in card
    assert f"{stats.nearest[0][0]} (cosine {stats.nearest[0][1]:.2f})" in card
    assert f"{stats.fires_with[0][0]} (on {stats.fires_with[0][1]:.0%} of its patches)" in card
    assert re.search(r"histogram +[0-9.e-]+ [ ▁▂▃▄▅▆▇█]+ [0-9.e-]+ ", card)
    for words in ("a [red]clover[/red]", "grass", "failed: out of memory", "empty: nothing but punctuation", "-0.25"):
        assert words in card
    assert "not of this one" not in card
    for each in top:
        assert re.search(rf"{each.activation:.3g} .* {each.image.source_id} *$", card, re.MULTILINE)
    assert f"seesay features {run} --like {feature_id}" in card
    assert ESCAPE not in card


def test_methods_come_first_with_what_tells_them_apart(
    run: Path, feature_id: int, capsys: pytest.CaptureFixture[str]
) -> None:
    Show(run, feature_id).run()
    lines = capsys.readouterr().out.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("method"))
    methods = [line[:60].split("  ")[0].strip() for line in lines[start + 2 : start + 9]]
    assert methods == [
        "steering at 2 residual_norm",
        "topk",
        "",  # another sample
        "topk, overlay crop",
        "hybrid at 2 residual_norm",
        "",
        "topk, permuted, feature 1144 instead",
    ]


def test_explainers_are_told_where_there_are_several(
    run: Path, feature_id: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with Run.writing(run) as opened:
        says(opened, feature_id, ("ok", "a shamrock"), name="a larger one", explainer="3" * 64)
    Show(run, feature_id).run()
    assert re.search(r"topk +a larger one +a shamrock +-0\.25", capsys.readouterr().out)


@pytest.mark.usefixtures("terminal")
def test_a_strangers_words_cannot_steer_the_terminal(
    run: Path, feature_id: int, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b[2Jgone\x1b]0;title\x07 \x9b31m \u202eback\r\nnext\tline"
    with Run.writing(run) as opened:
        says(opened, feature_id, ("ok", evil), ("failed", evil), name=evil, mask_fill=evil, mode=evil)
        opened.connection.execute("UPDATE images SET source_id = ?", (evil,))
        opened.connection.execute("UPDATE run SET value = ? WHERE name = 'subject'", (json.dumps(evil),))
        opened.connection.commit()
    Show(run, feature_id).run()
    card = capsys.readouterr().out
    assert "gone" in card
    ours = re.sub(r"\x1b\[[0-9;]*m", "", card)
    assert all(each.isprintable() or each == "\n" for each in ours)
    assert "[2Jgone]0;title 31m back next line" in ours


def test_one_line_keeps_what_words_are_made_of() -> None:
    assert one_line("a\u00a0cat,\n\nein Kätzchen, 猫, 👩\u200d🌾") == "a cat, ein Kätzchen, 猫, 👩\u200d🌾"
    assert one_line("\x00\x1b\x7f\x85\u2028\ud800") == ""


@pytest.mark.usefixtures("terminal")
def test_a_terminal_shows_the_pictures(run: Path, feature_id: int, capsys: pytest.CaptureFixture[str]) -> None:
    n_cells = {}
    for overlay in ("heatmap", "plain"):
        Show(run, feature_id, images=3, overlay=overlay).run()
        n_cells[overlay] = capsys.readouterr().out.count("▀")
    side = (120 + 2) // 3 - 2
    assert n_cells == {"plain": 3 * side * (side // 2), "heatmap": 6 * side * (side // 2)}


@pytest.mark.usefixtures("terminal")
def test_no_pictures_without_colours(
    run: Path, feature_id: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    Show(run, feature_id).run()
    assert "▀" not in capsys.readouterr().out


@pytest.mark.usefixtures("terminal")
def test_a_damaged_picture_is_left_out(run: Path, feature_id: int, capsys: pytest.CaptureFixture[str]) -> None:
    with Run.open(run) as opened:
        first, second, *_ = exemplars(opened, feature_id, "explaining", "top", 3)
        opened.thumbnails.path(first.image.pixel_hash).write_bytes(b"RIFF____WEBP")
        opened.thumbnails.path(second.image.pixel_hash).unlink()
    assert Show(run, feature_id, images=3).run() == 0
    card = " ".join(capsys.readouterr().out.split())
    assert card.count("A picture is left out") == 2
    assert "No such file" in card
    assert "▀" in card


@pytest.mark.parametrize("width", [1, 10, 40, 80, 200])
def test_pictures_stay_within_the_terminal(width: int) -> None:
    pictures = [Image.new("RGB", size, "red") for size in ((64, 64), (500, 1), (1, 500), (7, 5))]
    console = Console(force_terminal=True, color_system="truecolor", file=StringIO(), width=width)
    assert can_show(console)
    for band in side_by_side([("caption", [each, each]) for each in pictures * 2], width):
        console.print(band)
    printed = re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())  # pyright: ignore[reportAttributeAccessIssue]
    assert "▀" in printed
    assert max(map(len, printed.splitlines())) <= width


def test_a_mosaic_has_two_pixels_to_a_character() -> None:
    pixels = np.arange(3 * 2 * 3, dtype=np.uint8).reshape(3, 2, 3)
    console = Console(force_terminal=True, color_system="truecolor", file=StringIO(), width=20)
    console.print(Mosaic(pixels))
    lines = console.file.getvalue().splitlines()  # pyright: ignore[reportAttributeAccessIssue]
    assert lines[0].startswith("\x1b[38;2;0;1;2;48;2;6;7;8m▀\x1b[0m\x1b[38;2;3;4;5;48;2;9;10;11m▀")
    assert lines[1].startswith("\x1b[38;2;12;13;14m▀"), "nothing behind the last row of an odd number"


def test_everything_is_plain_data(run: Path, feature_id: int, tmp_path: Path) -> None:
    Show(run, feature_id, images=2, common=Options(json=tmp_path / "card.json")).run()
    said = json.loads((tmp_path / "card.json").read_text())
    with Run.open(run) as opened:
        (stats,) = features(opened, [feature_id])
        top = exemplars(opened, feature_id, "explaining", "top", 2)
    assert said["statistics"]["histogram"] == list(stats.histogram)
    assert [(each["image_id"], each["activation"]) for each in said["exemplars"]] == [
        (each.image.image_id, each.activation) for each in top
    ]
    assert [each["method"] for each in said["settings"]] == ["steering", "topk", "topk", "hybrid", "topk"]
    assert [each["text"] for each in said["settings"][1]["explanations"]] == ["a [red]clover[/red]", "grass"]
    assert said["settings"][0]["explanations"][0]["reason"] == "nothing but punctuation"
    assert said["settings"][0]["strength"] == {"value": 2.0, "unit": "residual_norm"}


def test_a_feature_without_words_can_be_explained_next(
    collected: Path, feature_id: int, capsys: pytest.CaptureFixture[str]
) -> None:
    Show(collected, feature_id).run()
    card = capsys.readouterr().out
    assert "Not explained yet." in card
    assert f"seesay explain {collected} --features {feature_id} --method hybrid" in card


def test_a_feature_that_is_never_active_has_a_card(collected: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Run.open(collected) as opened:
        dead = next(each.feature_id for each in features(opened) if not each.frequency)
    Show(collected, dead).run()
    card = capsys.readouterr().out
    assert "on no image" in card
    assert f"--features {dead} --method steering" in card


def test_a_run_without_images_tells_what_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    with Run.writing(folder, {"subject": "world:L", "layer": 5, "sae": "world:late", "identity": "x"}) as opened:
        strength = {"value": 4.0, "unit": "kl"}
        says(opened, 7, ("ok", "a ring"), method="steering", strength=strength)
    Show(folder, 7).run()
    card = capsys.readouterr().out
    assert "No images were collected" in card
    assert re.search("steering at 4 kl +a ring", card)
    assert "--like" not in card
    assert f"seesay explain {folder} --features 7 --method steering --strength 4 --strength-unit kl --control" in card
    with pytest.raises(FeatureNotFound, match="nothing is known of feature 8 .* seesay explain .* --features 8"):
        Show(folder, 8).run()


def test_a_run_without_images_tells_what_words_are_worth_and_how_sure_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    with Run.writing(folder, {"subject": "world:L", "layer": 5, "sae": "world:late", "identity": "x"}) as opened:
        says(opened, 7, ("ok", "a ring"), method="steering", strength={"value": 4.0, "unit": "kl"})
        measure(opened, 7, "ground_truth", [1.0], method="steering", facts={"n_scenes": 9})
        ((setting, _),) = of_feature(opened, 7)
        set_trust(opened, {}, [Trusted(setting.setting_id, 7, 0, "a ring", 0.875)])
    Show(folder, 7, common=Options(json=tmp_path / "card.json")).run()
    card = capsys.readouterr().out
    assert worth(card) == [["method", "ground truth"], ["steering", "1.00"]]
    assert re.search(r"^steering at 4 kl +a ring .* 88% *$", card, re.MULTILINE)
    told = json.loads((tmp_path / "card.json").read_text())
    assert [each["value"] for each in told["scores"]] == [1.0]
    assert told["settings"][0]["explanations"][0]["sure"] == 0.875


def test_a_run_whose_collection_was_stopped_leads_back_to_collecting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    goes_on = "collecting has not been finished: the same seesay collect command goes on"
    folder = tmp_path / "run"
    with Run.writing(folder, {"subject": "world:M", "layer": 5, "sae": "world:late", "identity": "x"}) as opened:
        opened.begin("collect", "1", {"images": "world:60"})
    with pytest.raises(FeatureNotFound, match=goes_on) as caught:
        Show(folder, 7).run()
    assert "seesay explain" not in str(caught.value)
    for method in ("steering", "topk"):
        assert main(["explain", str(folder), "--method", method]) == 2
        assert goes_on in capsys.readouterr().err
    with Run.writing(folder) as opened:
        says(opened, 7, ("ok", "a ring"), method="steering", strength={"value": 4.0, "unit": "kl"})
    Show(folder, 7).run()
    assert f"Next:\n  {goes_on}" in capsys.readouterr().out


@pytest.mark.parametrize("unknown", [-1, 1536, 2**63, 10**30])
def test_a_feature_that_is_not_there_is_refused(collected: Path, unknown: int) -> None:
    with pytest.raises(FeatureNotFound, match=f"feature {unknown}; expected 0 to 1535"):
        Show(collected, unknown).run()


@pytest.mark.parametrize("facts", ['{"mode": NaN}', r'{"mode": "\ud800"}'])
def test_facts_that_cannot_be_written_are_refused(run: Path, feature_id: int, facts: str) -> None:
    with Run.writing(run) as opened:
        opened.connection.execute("UPDATE settings SET facts = ?", (facts,))
        opened.connection.commit()
    with pytest.raises(UnusablePath, match="is damaged"):
        Show(run, feature_id).run()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusablePath, match="no run"):
        Show(tmp_path / "none", 0).run()


def test_strength_is_told_in_its_unit(run: Path, feature_id: int, capsys: pytest.CaptureFixture[str]) -> None:
    with Run.writing(run) as opened:
        says(opened, feature_id, ("ok", "x"), method="vocabulary", strength=vars(Strength(-0.125, "max_activation")))
    Show(run, feature_id).run()
    assert "vocabulary at -0.125 max_activation" in capsys.readouterr().out


def test_of_many_strengths_that_were_tried_the_chosen_one_is_told() -> None:
    def stored(number: int, value: float) -> StoredSetting:
        strength = Strength(value, "residual_norm")
        facts = {"method": "steering", "strength": {"value": value}, "seed": 0}
        return StoredSetting(number, str(number), "steering", None, strength, 0, "m", "", "", "", "", facts)

    def card(n: int, *chosen: float) -> Card:
        said = [(stored(number, float(number)), []) for number in range(n)]
        picked = frozenset(("steering", "m", Strength(value, "residual_norm")) for value in chosen)
        return Card({}, None, None, said, [], picked)

    def told(of: Card) -> list[tuple[float, int]]:
        return [(setting.strength.value, n_others) for setting, _, n_others in of.told if setting.strength is not None]

    assert told(card(3)) == [(0.0, 0), (1.0, 0), (2.0, 0)]
    assert told(card(8, 5.0)) == [(5.0, 7)]
    assert told(card(8)) == [(7.0, 7)], "the last one where none was chosen"


HELD_OUT = {"holding": "held-out", "n_exemplars": 10}


def measure(run: Run, feature_id: int, name: Score, values: Sequence[float | None], **named: Any) -> None:
    """Score what a method said of a feature, sample by sample, or the feature itself."""
    method, control = named.get("method"), named.get("control")
    others, reason, facts = named.get("others", {}), named.get("reason", ""), named.get("facts", HELD_OUT)
    setting_id, texts = None, [""]
    if method is not None:
        of = next(
            each for each in of_feature(run, feature_id) if (each[0].method, each[0].control) == (method, control)
        )
        setting_id, texts = of[0].setting_id, [each.text for each in of[1]]
    scoring = add_scoring(run, name, facts, setting_id, named.get("aid"))
    found = [
        (Item(feature_id, text, sample), Measured(value, others, reason=reason))
        for sample, (text, value) in enumerate(zip(texts, values, strict=True))
    ]
    add_scores(run, scoring, found)


def worth(card: str) -> list[list[str]]:
    """The table of what words are worth, cell by cell."""
    lines = card.split("What words are worth\n")[1].split("\n\n")[0].splitlines()
    return [re.split(r" {2,}", line.strip()) for line in lines if "─" not in line]


def test_a_card_tells_what_words_are_worth(run: Path, feature_id: int, capsys: pytest.CaptureFixture[str]) -> None:
    with Run.writing(run) as opened:
        measure(opened, feature_id, "clip", [0.25, 0.75], method="topk")
        measure(opened, feature_id, "auroc", [0.9, 0.7], method="topk", others={"mad": 3.0})
        measure(opened, feature_id, "auroc", [None], method="topk", control="permuted", reason="no exemplar")
        measure(opened, feature_id, "auroc", [0.5], method="steering", reason="the explanation is empty")
        measure(opened, feature_id, "auroc", [0.1, 0.1], method="topk", aid="permuted")
        measure(opened, feature_id + 1, "auroc", [0.3], method="topk")
    Show(run, feature_id).run()
    assert worth(capsys.readouterr().out) == [
        ["method", "clip", "auroc"],
        ["steering", "0.50"],
        ["topk", "0.50", "0.80"],
        ["topk, permuted", "-"],
        ["words that say nothing", "0.5"],
    ], "the mean of several samples; nothing of what stands in the words' place"


def test_of_several_ways_to_compute_a_score_the_last_is_told(
    run: Path, feature_id: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with Run.writing(run) as opened:
        measure(opened, feature_id, "iou", [0.1, 0.1], method="topk")
        measure(opened, feature_id, "iou", [0.4, 0.4], method="topk", facts={**HELD_OUT, "n_exemplars": 5})
    Show(run, feature_id).run()
    assert worth(capsys.readouterr().out) == [["method", "iou"], ["topk", "0.40"]]


def test_numbers_from_images_that_were_shared_are_marked(
    run: Path, feature_id: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with Run.writing(run) as opened:
        measure(opened, feature_id, "iou", [0.4, 0.4], method="topk", facts={"holding": "shared"})
        measure(opened, feature_id, "clip", [0.2, 0.2], method="topk")
    Show(run, feature_id).run()
    card = capsys.readouterr().out
    assert worth(card)[:2] == [["method", "iou", "clip"], ["topk", "0.40*", "0.20"]]
    assert "\n* on images that the explainer was shown, the paper's habit\n" in card


@pytest.mark.parametrize("order", [("held-out", "shared"), ("shared", "held-out")])
def test_numbers_from_held_out_images_go_first_whatever_was_scored_last(
    order: tuple[str, str], run: Path, feature_id: int, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {"held-out": [0.25, 0.75], "shared": [0.9, 0.9]}
    with Run.writing(run) as opened:
        for holding in order:
            measure(opened, feature_id, "iou", values[holding], method="topk", facts={"holding": holding})
    Show(run, feature_id).run()
    card = capsys.readouterr().out
    assert worth(card) == [["method", "iou"], ["topk", "0.50"]]
    assert "* on images" not in card, "no number that is shown comes from them"


def test_the_footnote_on_shared_images_stands_where_any_of_the_methods_has_no_other_number(
    run: Path, feature_id: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with Run.writing(run) as opened:
        measure(opened, feature_id, "iou", [0.5, 0.5], method="topk")
        measure(opened, feature_id, "iou", [0.9, 0.9], method="topk", facts={"holding": "shared"})
        measure(opened, feature_id, "iou", [0.8], method="steering", facts={"holding": "shared"})
    Show(run, feature_id).run()
    card = capsys.readouterr().out
    assert worth(card)[1:3] == [["steering", "0.80*"], ["topk", "0.50"]]
    assert "\n* on images that the explainer was shown, the paper's habit\n" in card


def test_a_number_of_words_that_were_replaced_is_not_told_of_others(
    run: Path, feature_id: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Run.writing(run) as opened:
        measure(opened, feature_id, "auroc", [0.9, 0.7], method="topk")
        measure(opened, feature_id, "auroc", [0.1, 0.1], method="topk", aid="constant")
        opened.rows("UPDATE explanations SET text = 'another word' WHERE text = 'grass'")
    Show(run, feature_id, common=Options(json=tmp_path / "card.json")).run()
    assert worth(capsys.readouterr().out)[1] == ["topk", "0.90"]
    told = json.loads((tmp_path / "card.json").read_text())["scores"]
    assert [(each["text"], each["value"]) for each in told if each["aid"] is None] == [("a [red]clover[/red]", 0.9)]
    assert [each["value"] for each in told if each["aid"] == "constant"] == [0.1, 0.1]


def test_scores_of_the_feature_itself_are_told_with_what_comes_with_them(
    run: Path, feature_id: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with Run.writing(run) as opened:
        measure(opened, feature_id, "monosemanticity", [0.625])
        measure(opened, feature_id, "distinctness", [0.5], others={"redundancy": 0.25, "polysemanticity": 0.125})
    Show(run, feature_id).run()
    card = capsys.readouterr().out
    assert "The feature itself: monosemanticity 0.62, clarity 0.50, redundancy 0.25, polysemanticity 0.12" in card
    assert "What words are worth" not in card


def test_a_card_without_scores_says_nothing_of_them(
    run: Path, feature_id: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Show(run, feature_id, common=Options(json=tmp_path / "card.json")).run()
    card = capsys.readouterr().out
    assert "What words are worth" not in card
    assert "The feature itself" not in card
    assert json.loads((tmp_path / "card.json").read_text())["scores"] == []


def test_scores_and_how_sure_words_are_are_plain_data(
    run: Path, feature_id: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Run.writing(run) as opened:
        measure(opened, feature_id, "detection", [0.75, 0.5], method="topk", others={"unanswered": 0.25})
        measure(opened, feature_id, "monosemanticity", [None], reason="one image")
        topk = next(each for each, _ in of_feature(opened, feature_id) if each.title == "topk")
        words = "a [red]clover[/red]"
        set_trust(opened, {"algorithm": 1}, [Trusted(topk.setting_id, feature_id, 0, words, 0.875)])
    Show(run, feature_id, common=Options(json=tmp_path / "card.json")).run()
    card = json.loads((tmp_path / "card.json").read_text())
    common = {"score": "detection", "setting": topk.identity, "aid": None, "holding": "held-out", "reason": ""}
    assert card["scores"] == [
        {**common, "sample": 0, "text": words, "value": 0.75, "unanswered": 0.25},
        {**common, "sample": 1, "text": "grass", "value": 0.5, "unanswered": 0.25},
        {
            "score": "monosemanticity",
            "setting": None,
            "aid": None,
            "holding": "held-out",
            "sample": 0,
            "text": "",
            "value": None,
            "reason": "one image",
        },
    ]
    sure = [each["sure"] for setting in card["settings"] for each in setting["explanations"]]
    assert [each for each in sure if each is not None] == [0.875]
    told = capsys.readouterr().out
    assert re.search(r"^topk +a \[red\]clover\[/red\] +-0\.25 +88% *$", told, re.MULTILINE)
    assert re.search(r"^ +grass +-0\.25 *$", told, re.MULTILINE)


def test_a_strangers_scores_cannot_pose_as_anything_else(
    run: Path, feature_id: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b[2J\x07"
    posing = {"text": 1.0, "reason": 2.0, "value": 3.0, "score": 4.0, evil: 5.0}
    with Run.writing(run) as opened:
        measure(opened, feature_id, "distinctness", [0.5], others=posing)
        measure(opened, feature_id, "clip", [0.5, 0.5], method="topk", others=posing)
    Show(run, feature_id, common=Options(json=tmp_path / "card.json")).run()
    assert ESCAPE not in capsys.readouterr().out
    for each in json.loads((tmp_path / "card.json").read_text())["scores"]:
        assert each["score"] in ("distinctness", "clip")
        assert (each["value"], each["reason"]) == (0.5, "")
        assert isinstance(each["text"], str)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE scores SET value = 'much'",
        "UPDATE scores SET others = '{\"mad\": Infinity}'",
        "UPDATE scores SET text = x'ff'",
        "UPDATE scorings SET facts = '[[['",
        "UPDATE scorings SET score = 'beauty'",
        "UPDATE trusts SET probability = 1.5",
        "UPDATE trusts SET probability = 'sure'",
    ],
)
def test_damaged_scores_are_refused(run: Path, feature_id: int, statement: str) -> None:
    with Run.writing(run) as opened:
        measure(opened, feature_id, "iou", [0.4, 0.4], method="topk")
        set_trust(opened, {}, [Trusted(1, feature_id, 0, "x", 0.5)])
        opened.rows(statement)
    with pytest.raises(UnusablePath, match="is damaged"):
        Show(run, feature_id).run()
