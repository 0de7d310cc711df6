from pathlib import Path

import pytest

import seesay
from seesay.errors import UnreadablePrompt
from seesay.explainers.config import METHODS
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
    with pytest.raises(UnreadablePrompt, match="no folder"):
        read_prompts(tmp_path / "nowhere")


def test_a_placeholder_without_its_words_is_refused(tmp_path: Path) -> None:
    (tmp_path / "steering.txt").write_text("begin with {opening}")
    with pytest.raises(UnreadablePrompt, match=r"opening\.txt"):
        read_prompts(tmp_path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "steering.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UnreadablePrompt, match="UTF-8"):
        read_prompts(tmp_path)


def folder_with(folder: Path, **texts: str) -> Path:
    for name, text in {"steering": "what ?", **texts}.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("texts", "start"),
    [({}, ""), ({"opening": "It is"}, "It is a"), ({"start": "a\n"}, "a"), ({"opening": "It is", "start": ""}, "")],
)
def test_an_answer_starts_with_its_own_file_or_the_opening(tmp_path: Path, texts: dict[str, str], start: str) -> None:
    prompts = read_prompts(folder_with(tmp_path, **texts))
    assert prompts.start == start
    assert prompts.opening == texts.get("opening", "")
    assert prompts.texts == {"steering": "what ?"}, "it is no prompt itself"


@pytest.mark.parametrize(
    ("text", "colour"),
    [("#ff00ff\n", (255, 0, 255)), ("black", (0, 0, 0)), ("#ff00ff80", (255, 0, 255)), ("rgb(1, 2, 3)", (1, 2, 3))],
)
def test_what_a_mask_hides_is_painted_as_the_folder_says(
    tmp_path: Path, text: str, colour: tuple[int, int, int]
) -> None:
    prompts = read_prompts(folder_with(tmp_path, mask_fill=text))
    assert prompts.mask_fill == colour
    assert prompts.texts == {"steering": "what ?"}


def test_what_a_mask_hides_is_black_by_default(tmp_path: Path) -> None:
    assert read_prompts(folder_with(tmp_path)).mask_fill == (0, 0, 0)
    assert read_prompts(PACKAGED).mask_fill == (0, 0, 0), "of which the prompts speak"


@pytest.mark.parametrize("text", ["pinkish", "#ff00f", "", "255, 0, 255"])
def test_a_colour_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UnreadablePrompt, match=r"mask_fill\.txt: .* is no colour; expected one such as #ff00ff"):
        read_prompts(folder_with(tmp_path, mask_fill=text))


def test_a_folder_of_nothing_but_settings_holds_no_prompt(tmp_path: Path) -> None:
    for name, text in {"opening": "It is", "start": "a", "mask_fill": "black"}.items():
        (tmp_path / f"{name}.txt").write_text(text)
    with pytest.raises(UnreadablePrompt, match="no prompt"):
        read_prompts(tmp_path)


@pytest.mark.parametrize("folder", [PACKAGED, *sorted(seesay.world.DATA.glob("vlm/*/prompts"))], ids=str)
def test_what_comes_with_seesay_has_a_question_for_every_method(folder: Path) -> None:
    prompts = read_prompts(folder)
    for way in METHODS.values():
        assert way.prompt is None or prompts[way.prompt]
    assert prompts.start
    assert not any("{" in prompts[way.prompt] for way in METHODS.values() if way.prompt)


def test_a_phrase_stands_in_a_prompt_as_one_line_and_means_nothing_else() -> None:
    prompts = Prompts({"detect": "is {phrase} here, is {phrase} ?", "level": "what level ?"})
    assert prompts.about("detect", " a red\n\n circle ") == "is a red circle here, is a red circle ?"
    assert prompts.about("detect", "{phrase} {0} %s") == "is {phrase} {0} %s here, is {phrase} {0} %s ?"
    with pytest.raises(UnreadablePrompt, match=r"the prompt level has no place .* expected \{phrase\} in level\.txt"):
        prompts.about("level", "a circle")
    with pytest.raises(UnreadablePrompt, match=r"no prompt named 'fuzz'.*fuzz\.txt"):
        prompts.about("fuzz", "a circle")


@pytest.mark.parametrize("folder", [PACKAGED, *sorted(seesay.world.DATA.glob("vlm/*/prompts"))], ids=str)
@pytest.mark.parametrize("name", ["detect", "fuzz", "level"])
def test_what_comes_with_seesay_asks_about_a_phrase(folder: Path, name: str) -> None:
    asked = read_prompts(folder).about(name, "a red circle")
    assert "a red circle" in asked
    assert "{" not in asked
