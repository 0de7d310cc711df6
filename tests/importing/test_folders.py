"""The authors' folders: what their code writes, as it stands in HPAI-BSC/vision-interp at commit a62878f."""

import json
from pathlib import Path
from typing import Any

import pytest

from seesay.errors import UnreadableWords
from seesay.importing.config import Reading
from seesay.importing.folders import PLACEHOLDER
from seesay.importing.reading import format_of, placeholder_of, rows_of
from seesay.importing.rows import Row

SAE = "google_gemma-3-4b-it_AutoEncoderTopK/enc_res_out_layer_16_8192_22191080"
STEERING = "steering_google_gemma-3-4b-it_sampling-False_blank_input__COEFF-100"
TOPK = "HF_easy_masks_TOPK-5_MODEL-google_gemma-3-4b-it_RNDTOPK-False"


def write(way: Path, feature_id: int, texts: Any, **changed: Any) -> Path:
    """What `save_json_data` of their `get_steering_explanations.py` leaves of one feature."""
    folder = way / f"latent_{feature_id}" / "explanations"
    folder.mkdir(parents=True)
    content = {
        "feature_name": feature_id,
        "prompt": "You are given an image highlighting a visual or semantic element.",
        "explanation": texts,
        "raw_output": texts,
        "prompt_log_probs": [float("nan")],
        "metadata": {"timestamp": "2025-01-01T00:00:00", "model": "google_gemma-3-4b-it", "sae_id": SAE},
        **changed,
    }
    (folder / "explanation.json").write_text(json.dumps(content, indent=2))
    return folder / "explanation.json"


def read(path: Path, layer: int | None = 16, **reading: Any) -> list[Row]:
    return list(rows_of([path], [format_of(path)], Reading(**reading), layer))


def refusal(path: Path, **reading: Any) -> str:
    with pytest.raises(UnreadableWords) as error:
        read(path, **reading)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_every_feature_and_sample_is_read_in_order(tmp_path: Path) -> None:
    way = tmp_path / SAE / STEERING
    write(way, 12, ["Dog.", "Cat."])
    write(way, 7, ["Striped pattern."])
    assert [(row.feature_id, row.sample, row.text, row.name, row.control) for row in read(way)] == [
        (7, 0, "Striped pattern.", STEERING, None),
        (12, 0, "Dog.", STEERING, None),
        (12, 1, "Cat.", STEERING, None),
    ]


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("The highlighted element in the image is an apple.", "apple."),
        ("The highlighted element in the image is the sky.", "sky."),
        ("The highlighted element in the image is stripes.", "stripes."),
        ("Dog with a collar.", "Dog with a collar."),
        ("Island in the sea.", "Island in the sea."),
    ],
)
def test_what_their_code_leaves_of_the_opening_is_taken_out_and_kept_as_raw(
    tmp_path: Path, written: str, words: str
) -> None:
    write(tmp_path / STEERING, 1, [written])
    (row,) = read(tmp_path / STEERING)
    assert (row.text, row.raw) == (words, written)


def test_their_own_code_leaves_these_openings(tmp_path: Path) -> None:
    """Their list of what is taken out, and how it is taken out, word for word."""
    to_replace = ["The highlighted element in the image is a ", "*", "Summary:"]
    left: list[str] = []
    for completion in (
        "The highlighted element in the image is a dog.",
        "The highlighted element in the image is an Apple.",
    ):
        for each in to_replace:
            completion = completion.replace(each, "").strip().capitalize()
        left.append(completion)
    assert left == ["Dog.", "The highlighted element in the image is an apple."]
    write(tmp_path / STEERING, 1, left)
    assert [row.text for row in read(tmp_path / STEERING)] == ["Dog.", "apple."]


def test_a_folder_of_several_ways_gives_each_its_name_and_controls_that_of_what_they_control(tmp_path: Path) -> None:
    for way in (STEERING, TOPK, f"{STEERING}_DIRTYPE-random_norm_matched", f"{TOPK}_DIRTYPE-permuted_SIZE-1000"):
        write(tmp_path / SAE / way, 1, ["Dog."])
    (tmp_path / SAE / "labels").mkdir()
    assert {(row.name, row.control) for row in read(tmp_path / SAE)} == {
        (STEERING, None),
        (TOPK, None),
        (STEERING, "random"),
        (f"{TOPK}_SIZE-1000", "permuted"),
    }
    assert "words of" in refusal(tmp_path / SAE, name="theirs")


def test_a_feature_without_a_file_and_their_placeholder_say_nothing(tmp_path: Path) -> None:
    way = tmp_path / STEERING
    (way / "latent_3" / "segmentation_results").mkdir(parents=True)
    write(way, 4, ["Generic object."])
    write(way, 5, ["A generic object of wood."])
    placeholder = placeholder_of(["folders"], Reading())
    assert placeholder == PLACEHOLDER == "generic object"
    assert placeholder_of(["csv"], Reading()) is None
    assert [row.outcome(placeholder) for row in read(way)] == [
        ("empty", "", "there is no explanation.json"),
        ("empty", "", "'generic object' stands for no explanation"),
        ("ok", "A generic object of wood.", ""),
    ]


def test_another_block_than_the_runs_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / STEERING, 1, ["Dog."])
    assert read(tmp_path / STEERING, layer=None)
    with pytest.raises(UnreadableWords, match="is of block 16; expected the run's block 6"):
        read(tmp_path / STEERING, layer=6)
    assert file.exists()


@pytest.mark.parametrize(
    ("texts", "changed", "said"),
    [
        ([], {}, "no list of explanations"),
        (None, {}, "no list of explanations"),
        ([3], {}, "'3' where words should be"),
        (["a" * 3000], {}, "a text of more than 2000 characters"),
        (["\ud800"], {}, "a text that is no Unicode"),
        (["Dog."], {"feature_name": 9}, "is of feature 9; expected 1, as its folder says"),
    ],
)
def test_a_file_that_cannot_be_taken_is_named(tmp_path: Path, texts: Any, changed: dict[str, Any], said: str) -> None:
    file = write(tmp_path / STEERING, 1, texts, **changed)
    assert str(file) in (told := refusal(tmp_path / STEERING))
    assert said in told


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[1]", b"[" * 100_000, b" " * (5 << 20)], ids=len)
def test_damage_is_one_line(tmp_path: Path, content: bytes) -> None:
    file = write(tmp_path / STEERING, 1, ["Dog."])
    file.write_bytes(content)
    assert str(file) in refusal(tmp_path / STEERING)


def test_links_to_elsewhere_are_not_followed(tmp_path: Path) -> None:
    secret = write(tmp_path / "elsewhere", 1, ["A secret."])
    way = tmp_path / STEERING
    file = write(way, 1, ["Dog."])
    file.unlink()
    file.symlink_to(secret)
    assert "is no file of this folder; expected no links to elsewhere" in refusal(way)
    file.unlink()
    file.parent.rmdir()
    file.parent.symlink_to(secret.parent)
    assert "is no file of this folder" in refusal(way)
    file.parent.unlink()
    file.parent.parent.rmdir()
    file.parent.parent.symlink_to(secret.parents[1])
    assert "no folder latent_0, latent_1 ... in" in refusal(way)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    assert "no folder latent_0, latent_1 ... in" in refusal(tmp_path)
