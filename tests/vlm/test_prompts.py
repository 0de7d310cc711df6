from pathlib import Path

import pytest

from seesay.errors import UnreadablePrompt
from seesay.vlm.prompts import PACKAGED, Prompts, clean, read_prompts

OPENING = "The highlighted element in the image is"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("The highlighted element in the image is a red circle.", "red circle."),
        ("The highlighted element in the image is an edge.\n", "edge."),
        ("The highlighted element in the image is the sky", "sky"),
        ("the highlighted element in the image is: a cat", "cat"),
        ("The highlighted element in the image is aeroplane wings", "aeroplane wings"),
        ("**The highlighted element** in the image is a **Dog**.  ", "Dog."),
        ("A red circle", "A red circle"),
        (
            "A dog. The highlighted element in the image is a dog",
            "A dog. The highlighted element in the image is a dog",
        ),
        ("The highlighted element in the image is", ""),
        ("", ""),
    ],
)
def test_cleaning_strips_the_opening_and_its_article(answer: str, words: str) -> None:
    assert clean(answer, OPENING) == words


def test_without_an_opening_only_white_space_and_stars_go() -> None:
    assert clean(" a *red*\n circle ") == "a red circle"


def test_the_packaged_steering_prompt_asks_for_the_opening_that_is_stripped() -> None:
    prompts = read_prompts(PACKAGED)
    assert prompts.opening == OPENING
    assert f"{OPENING} a" in prompts["steering"]
    assert prompts.clean(f"{OPENING} a cat") == "cat"


def test_a_folder_needs_no_opening(tmp_path: Path) -> None:
    (tmp_path / "steering.txt").write_text("what is it ?\n")
    assert read_prompts(tmp_path) == Prompts({"steering": "what is it ?"})


def test_a_missing_prompt_is_named() -> None:
    with pytest.raises(UnreadablePrompt, match="'topk'.*steering"):
        Prompts({"steering": "what ?"})["topk"]


def test_a_folder_without_prompts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadablePrompt, match="no prompt"):
        read_prompts(tmp_path / "nowhere")


def test_a_placeholder_without_its_words_is_refused(tmp_path: Path) -> None:
    (tmp_path / "steering.txt").write_text("begin with {opening}")
    with pytest.raises(UnreadablePrompt, match=r"opening\.txt"):
        read_prompts(tmp_path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "steering.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UnreadablePrompt, match="UTF-8"):
        read_prompts(tmp_path)
