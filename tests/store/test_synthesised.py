"""Images made from words: made once, kept by what they depend on, and found again."""

import hashlib
import os
import re
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from seesay.errors import UnreadableImage, UnusablePath
from seesay.instruments.instrument import Synthesiser
from seesay.store.synthesised import Synthesised, synthesise
from seesay.store.thumbnails import LARGEST_SIDE

FACTS: dict[str, Any] = {"synthesiser": "colours", "weights": "1"}
TEXTS, N = ["a frog", "a red star", "a cat"], 3


def coloured(text: str, number: int, size: int = 8) -> Image.Image:
    return Image.new("RGB", (size, size), tuple(hashlib.sha256(f"{number} {text}".encode()).digest()[:3]))


class Colours:
    """Makes a colour of each text and number, and remembers what it was asked for.

    Args:
        impossible: what it can make nothing of.
        after: called with how many it was asked for in all, before they are made.
    """

    def __init__(
        self, impossible: Callable[[str, int], bool] = lambda _t, _n: False, after: Callable[[int], None] | None = None
    ) -> None:
        self.asked: list[tuple[str, int]] = []
        self.n_loaded = 0
        self._impossible, self._after = impossible, after

    @property
    def facts(self) -> MappingProxyType[str, Any]:
        return MappingProxyType(FACTS)

    def synthesise(self, texts: Sequence[str], numbers: Sequence[int]) -> list[Image.Image | None]:
        self.asked += zip(texts, numbers, strict=True)
        if self._after is not None:
            self._after(len(self.asked))
        pairs = zip(texts, numbers, strict=True)
        return [None if self._impossible(*each) else coloured(*each) for each in pairs]

    def load(self) -> Synthesiser:
        self.n_loaded += 1
        return self


def pixels(images: list[Image.Image] | None) -> list[bytes]:
    assert images is not None
    return [image.tobytes() for image in images]


def expected(text: str, n: int = N) -> list[bytes]:
    return [coloured(text, number).tobytes() for number in range(n)]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_each_image_is_made_once_and_found_again(tmp_path: Path) -> None:
    colours = Colours()
    kept = Synthesised(tmp_path, FACTS)
    synthesise(kept, [*TEXTS, TEXTS[0]], N, colours.load)
    assert sorted(colours.asked) == sorted((text, number) for text in TEXTS for number in range(N))
    synthesise(kept, TEXTS, N, colours.load)
    again = Synthesised(tmp_path, FACTS)
    for text in TEXTS:
        assert pixels(again.read(text, N)) == expected(text)
    assert (colours.n_loaded, len(colours.asked)) == (1, len(TEXTS) * N)


def test_only_what_is_missing_is_made(tmp_path: Path) -> None:
    kept = Synthesised(tmp_path, FACTS)
    synthesise(kept, TEXTS[:1], N, Colours().load)
    assert kept.missing(TEXTS[:2], N + 1) == [(TEXTS[0], N), *((TEXTS[1], number) for number in range(N + 1))]
    colours = Colours()
    synthesise(kept, TEXTS[:2], N + 1, colours.load, batch_size=2)
    assert colours.asked == [(TEXTS[0], N), *((TEXTS[1], number) for number in range(N + 1))]
    assert pixels(kept.read(TEXTS[0], N + 1)) == expected(TEXTS[0], N + 1)


def test_images_of_another_synthesiser_are_not_found(tmp_path: Path) -> None:
    synthesise(Synthesised(tmp_path, FACTS), TEXTS, N, Colours().load)
    other = Synthesised(tmp_path, FACTS | {"weights": "2"})
    assert len(other.missing(TEXTS, N)) == len(TEXTS) * N
    assert Synthesised(tmp_path, dict(reversed(FACTS.items()))).missing(TEXTS, N) == []


def test_a_text_that_nothing_can_be_made_of_is_remembered(tmp_path: Path) -> None:
    kept = Synthesised(tmp_path, FACTS)
    for _ in range(2):
        colours = Colours(impossible=lambda text, _number: text == "a unicorn")
        synthesise(kept, ["a unicorn", "a frog"], N, colours.load)
    assert colours.n_loaded == 0
    assert kept.read("a unicorn", N) is None
    assert pixels(kept.read("a frog", N)) == expected("a frog")


def test_a_text_of_which_some_images_can_be_made_has_these(tmp_path: Path) -> None:
    kept = Synthesised(tmp_path, FACTS)
    synthesise(kept, ["a frog"], N, Colours(impossible=lambda _text, number: number == 1).load)
    assert kept.missing(["a frog"], N) == []
    assert pixels(kept.read("a frog", N)) == [expected("a frog")[number] for number in (0, 2)]


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_nothing_is_made_of_a_text_without_words(text: str, tmp_path: Path) -> None:
    kept, colours = Synthesised(tmp_path, FACTS), Colours()
    told: list[int] = []
    synthesise(kept, [text], N, colours.load, on_batch=told.append)
    assert (colours.n_loaded, kept.missing([text], N), kept.read(text, N), sum(told)) == (0, [], None, 0)
    assert files(tmp_path) == []


@given(st.lists(st.text(st.characters(), max_size=20), max_size=5))
def test_no_text_becomes_part_of_a_files_name(texts: list[str]) -> None:
    kept = Synthesised(Path("nowhere"), FACTS)
    for text, number in kept.missing([*texts, "../../x", "/etc/passwd", "a\0b", "x" * 5000], 2):
        for path in (kept._image(text, number), kept._none(text, number)):
            assert re.fullmatch(r"nowhere/([0-9a-f]{2})/\1[0-9a-f]{62}\.(webp|none)", path.as_posix())


def test_what_was_made_before_a_crash_is_kept_and_the_rest_is_made_after_it(tmp_path: Path) -> None:
    def crash(n_asked: int) -> None:
        if n_asked > 4:
            raise RuntimeError("out of luck")

    kept = Synthesised(tmp_path, FACTS)
    with pytest.raises(RuntimeError, match="out of luck"):
        synthesise(kept, TEXTS, N, Colours(after=crash).load, batch_size=2)
    colours = Colours()
    synthesise(kept, TEXTS, N, colours.load, batch_size=2)
    assert len(colours.asked) == len(TEXTS) * N - 4
    for text in TEXTS:
        assert pixels(kept.read(text, N)) == expected(text)
    assert not [name for name in files(tmp_path) if not name.endswith(".webp")]


def test_ctrl_c_ends_it_after_the_batch(tmp_path: Path) -> None:
    colours = Colours(after=lambda _n: os.kill(os.getpid(), signal.SIGINT))
    kept = Synthesised(tmp_path, FACTS)
    with pytest.raises(KeyboardInterrupt):
        synthesise(kept, TEXTS, N, colours.load, batch_size=2)
    assert colours.asked == [(TEXTS[0], 0), (TEXTS[0], 1)]
    assert len(kept.missing(TEXTS, N)) == len(TEXTS) * N - 2


def test_how_far_it_is_counts_what_was_there(tmp_path: Path) -> None:
    kept = Synthesised(tmp_path, FACTS)
    synthesise(kept, TEXTS[:1], N, Colours().load)
    told: list[int] = []
    impossible = Colours(impossible=lambda text, _number: text == TEXTS[1])
    synthesise(kept, TEXTS, N, impossible.load, batch_size=4, on_batch=told.append)
    assert told == [N, 4, 2]


def test_large_images_are_made_smaller_and_small_ones_lose_nothing(tmp_path: Path) -> None:
    kept = Synthesised(tmp_path, FACTS)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    kept.write("a frog", 0, Image.fromarray(noise))
    kept.write("a cat", 0, coloured("a cat", 0, 2 * LARGEST_SIDE))
    for text, size in (("a frog", 64), ("a cat", LARGEST_SIDE)):
        [image] = kept.read(text, 1) or []
        assert image.size == (size, size)
    assert np.array_equal(np.asarray((kept.read("a frog", 1) or [])[0]), noise)


def test_a_damaged_or_missing_image_is_one_line(tmp_path: Path) -> None:
    kept = Synthesised(tmp_path, FACTS)
    kept.write("a frog", 0, coloured("a frog", 0))
    [path] = tmp_path.rglob("*.webp")
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(UnreadableImage, match=rf"{path.name}.*remove that file, and score again") as caught:
        kept.read("a frog", 1)
    assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(UnreadableImage, match="score again"):
        kept.read("a frog", 1)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    kept = Synthesised(tmp_path / "file", FACTS)
    for image in (coloured("a frog", 0), None):
        with pytest.raises(UnusablePath, match="cannot write"):
            kept.write("a frog", 0, image)
