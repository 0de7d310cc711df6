import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seesay.errors import UnreadableImage, UnreadableImages
from seesay.images.decoding import pixel_hash
from seesay.images.loading import Batch, batches
from seesay.images.sources import Entry
from seesay.vlm.encoder import Encoder
from tests.images.making import picture, pixels_of

WORKERS = pytest.mark.parametrize("n_workers", [0, 1, 4])


@dataclass(frozen=True)
class Numbered:
    number: int
    is_readable: bool = True
    takes_s: float = 0.0

    def image(self, name: str) -> Image.Image:
        time.sleep(self.takes_s)
        if not self.is_readable:
            raise UnreadableImage(f"{name}: broken")
        return picture(self.number)


class Given:
    """A source of numbered images, some of which cannot be read."""

    name, fingerprint = "given", ""

    def __init__(self, readable: Sequence[bool], breaks_at: int | None = None, takes_s: float = 0.0) -> None:
        self._readable, self._breaks_at, self._takes_s = readable, breaks_at, takes_s
        self.n_images = len(readable)
        self.n_begun = 0

    def entries(self, start: int = 0) -> Iterator[Entry]:
        for position in range(start, self.n_images):
            if position == self._breaks_at:
                raise UnreadableImages("given broke off")
            self.n_begun += 1
            yield Entry(position, f"i{position}", Numbered(position, self._readable[position], self._takes_s))

    def shuffled(self, seed: int) -> "Given":
        raise NotImplementedError


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("seesay-images")}


@pytest.fixture(autouse=True)
def no_thread_is_left_behind() -> Iterator[None]:
    assert not threads()
    yield
    assert not threads()


def seen(found: Sequence[Batch]) -> list[tuple[object, ...]]:
    return [
        (batch.ids, batch.positions, batch.next_position, [pixels_of(image) for image in batch.images], batch.prepared)
        for batch in found
    ]


@WORKERS
def test_batches_hold_all_images_in_order(n_workers: int) -> None:
    found = list(batches(Given([True] * 7), batch_size=3, n_workers=n_workers))
    assert [batch.ids for batch in found] == [("i0", "i1", "i2"), ("i3", "i4", "i5"), ("i6",)]
    assert [batch.positions for batch in found] == [(0, 1, 2), (3, 4, 5), (6,)]
    assert [batch.next_position for batch in found] == [3, 6, 7]
    assert [len(batch) for batch in found] == [3, 3, 1]
    assert pixels_of(found[1].images[2]) == pixels_of(picture(5))
    assert found[0].prepared is None
    assert found[1].pixel_hashes == tuple(pixel_hash(picture(number)) for number in (3, 4, 5))


@WORKERS
def test_batches_keep_their_size_across_unreadable_images(n_workers: int) -> None:
    source = Given([True, False, True, True, False, False, True, False])
    found = list(batches(source, batch_size=2, n_workers=n_workers, max_unreadable_share=1))
    assert [batch.positions for batch in found] == [(0, 2), (3, 6)]
    assert [batch.next_position for batch in found] == [3, 8]


@settings(max_examples=30)
@given(
    readable=st.lists(st.booleans(), max_size=30),
    start=st.integers(0, 31),
    batch_size=st.integers(1, 5),
    n_workers=st.integers(1, 4),
    prefetch=st.integers(1, 3),
)
def test_the_number_of_workers_changes_nothing(
    readable: list[bool], start: int, batch_size: int, n_workers: int, prefetch: int
) -> None:
    def all_batches(n_workers: int) -> list[tuple[object, ...]]:
        return seen(
            list(
                batches(
                    Given([*readable, True]),  # of a source without any there are no batches
                    start=start,
                    batch_size=batch_size,
                    n_workers=n_workers,
                    prefetch=prefetch,
                    max_unreadable_share=1,
                    prepare=lambda images: [image.getpixel((0, 0)) for image in images],
                )
            )
        )

    assert all_batches(n_workers) == all_batches(0)


@settings(max_examples=30)
@given(readable=st.lists(st.booleans(), max_size=30), batch_size=st.integers(1, 5))
def test_a_run_that_was_killed_goes_on_as_if_it_had_not_been(readable: list[bool], batch_size: int) -> None:
    def from_position(start: int) -> list[tuple[object, ...]]:
        found = batches(Given([*readable, True]), start=start, batch_size=batch_size, max_unreadable_share=1)
        return seen(list(found))

    whole = from_position(0)
    for n_done, batch in enumerate(whole, start=1):
        assert from_position(batch[2]) == whole[n_done:]


@WORKERS
def test_a_batch_is_prepared_where_it_is_decoded(n_workers: int) -> None:
    where: set[str] = set()

    def prepare(images: Sequence[Image.Image]) -> int:
        where.add(threading.current_thread().name)
        return len(images)

    found = list(batches(Given([True] * 5), batch_size=2, n_workers=n_workers, prepare=prepare))
    assert [batch.prepared for batch in found] == [2, 2, 1]
    assert (threading.current_thread().name in where) == (n_workers == 0)


def test_images_are_decoded_at_the_same_time() -> None:
    began = time.monotonic()
    list(batches(Given([True] * 16, takes_s=0.05), batch_size=4, n_workers=8))
    assert time.monotonic() - began < 0.5  # 0.8 s one after another


@pytest.mark.parametrize("prefetch", [1, 3])
def test_no_more_is_read_ahead_than_asked_for(prefetch: int) -> None:
    source = Given([True] * 500)
    found = batches(source, batch_size=5, n_workers=2, prefetch=prefetch)
    next(found)
    settled = -1
    while settled != source.n_begun:
        settled = source.n_begun
        time.sleep(0.1)
    # the batch that was taken, those that wait, one image beyond, and what the workers hold
    assert 5 * (1 + prefetch) <= settled <= 5 * (1 + prefetch) + 1 + 2 * 2 + 1
    found.close()


@WORKERS
def test_nothing_is_read_before_the_first_batch_is_asked_for(n_workers: int) -> None:
    source = Given([True] * 5)
    found = batches(source, batch_size=2, n_workers=n_workers)
    time.sleep(0.02)
    assert source.n_begun == 0
    found.close()


@WORKERS
def test_an_empty_rest_has_no_batches(n_workers: int) -> None:
    assert list(batches(Given([True] * 3), start=3, batch_size=2, n_workers=n_workers)) == []


# ---- what cannot be read -------------------------------------------------------------------------------------------


@WORKERS
def test_unreadable_images_are_named_up_to_twenty_and_then_counted(
    n_workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    source = Given(([True] * 9 + [False]) * 30)
    with caplog.at_level(logging.WARNING):
        list(batches(source, batch_size=8, n_workers=n_workers, max_unreadable_share=0.1))
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 21
    assert lines[0] == "given: skipped i9: broken"
    assert "further ones are counted, not named" in lines[19]
    assert lines[20] == "given: 30 of 300 images skipped"
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_readable_images_leave_the_log_empty(caplog: pytest.LogCaptureFixture) -> None:
    list(batches(Given([True] * 5), batch_size=2))
    assert not caplog.records


@WORKERS
@pytest.mark.parametrize(
    ("readable", "share", "n_seen", "n_batches"),
    [
        ([False] + [True] * 9, 0.05, 10, 0),  # all of a small source are judged at its end
        ([False] * 2 + [True] * 998, 0.01, 100, 9),  # a large one from the hundredth image on
        ([True] * 200 + [False] * 4, 0.01, 203, 19),
        ([False] * 3, 0.5, 3, 0),
    ],
)
def test_too_many_unreadable_images_are_an_error_that_names_the_first(
    n_workers: int, readable: list[bool], share: float, n_seen: int, n_batches: int
) -> None:
    first = readable.index(False)
    message = (
        f"{readable[:n_seen].count(False)} of {n_seen} images of given cannot be read, the first: i{first}: broken"
    )
    found = batches(Given(readable), batch_size=10, n_workers=n_workers, max_unreadable_share=share)
    for _ in range(n_batches):
        next(found)
    with pytest.raises(UnreadableImages, match=message) as caught:
        next(found)
    assert "\n" not in str(caught.value)


@WORKERS
def test_as_many_unreadable_images_as_allowed_are_no_error(n_workers: int) -> None:
    source = Given([False] * 2 + [True] * 198)
    assert sum(map(len, batches(source, batch_size=10, n_workers=n_workers, max_unreadable_share=0.02))) == 198


def test_the_few_images_that_a_run_goes_on_with_are_not_judged_alone() -> None:
    source = Given([True] * 95 + [False] * 2 + [True] * 3)
    assert [batch.positions for batch in batches(source, start=95, batch_size=3)] == [(97, 98, 99)]


@WORKERS
@pytest.mark.parametrize(
    ("readable", "message"),
    [([], "no image of given can be read: there is none"), ([False] * 3, "no image of given .* the first: i0: broken")],
)
def test_a_source_of_which_nothing_can_be_read_is_an_error(n_workers: int, readable: list[bool], message: str) -> None:
    with pytest.raises(UnreadableImages, match=message):
        list(batches(Given(readable), batch_size=2, n_workers=n_workers, max_unreadable_share=1))
    assert list(batches(Given(readable), start=1, batch_size=2, n_workers=n_workers, max_unreadable_share=1)) == []


# ---- what is refused while it is prepared --------------------------------------------------------------------------


def takes_all_but(*numbers: int) -> Callable[[Sequence[Image.Image]], list[object]]:
    """What an encoder's processing does with images that it cannot process."""
    refused = [pixels_of(picture(number)) for number in numbers]

    def prepare(images: Sequence[Image.Image]) -> list[object]:
        if any(pixels_of(image) in refused for image in images):
            raise UnreadableImage("an image of 7x5 pixels: too flat", remedy="resize it")
        return [pixels_of(image) for image in images]

    return prepare


@WORKERS
def test_images_that_are_refused_while_prepared_are_skipped_and_named(
    n_workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    prepare = takes_all_but(1, 3, 4, 5, 7)
    source = Given([True] * 6 + [False] + [True] * 4)
    found = list(batches(source, batch_size=3, n_workers=n_workers, max_unreadable_share=1, prepare=prepare))
    # i3, i4 and i5 are a batch of which nothing is left
    assert [batch.ids for batch in found] == [("i0", "i2"), ("i8", "i9"), ("i10",)]
    assert [batch.positions for batch in found] == [(0, 2), (8, 9), (10,)]
    assert [batch.next_position for batch in found] == [3, 10, 11]
    assert [batch.prepared for batch in found] == [list(map(pixels_of, batch.images)) for batch in found]
    lines = sorted(record.getMessage() for record in caplog.records)
    assert lines == sorted(
        ["given: skipped i6: broken"]
        + [f"given: skipped i{n}: an image of 7x5 pixels: too flat; resize it" for n in (1, 3, 4, 5, 7)]
    )


@WORKERS
def test_a_run_goes_on_across_a_batch_of_which_nothing_is_left(n_workers: int) -> None:
    def from_position(start: int) -> list[tuple[object, ...]]:
        prepare = takes_all_but(1, 2, 3, 6, 7)
        found = batches(
            Given([True] * 8), start=start, batch_size=2, n_workers=n_workers, max_unreadable_share=1, prepare=prepare
        )
        return seen(list(found))

    whole = from_position(0)
    assert [batch[2] for batch in whole] == [2, 6]
    for n_done, batch in enumerate(whole, start=1):
        assert from_position(batch[2]) == whole[n_done:]


@WORKERS
@pytest.mark.parametrize(("n", "n_seen"), [(20, 20), (2000, "[0-9]{3}")])
def test_too_many_refused_images_are_an_error(n_workers: int, n: int, n_seen: object) -> None:
    found = batches(Given([True] * n), batch_size=4, n_workers=n_workers, prepare=takes_all_but(*range(0, n, 5)))
    with pytest.raises(
        UnreadableImages, match=f"of {n_seen} images of given cannot be read, the first: i[0-9]+: an image"
    ):
        list(found)
    assert not threads()


@WORKERS
def test_a_source_of_which_everything_is_refused_is_an_error(n_workers: int) -> None:
    found = batches(
        Given([True] * 3), batch_size=2, n_workers=n_workers, max_unreadable_share=1, prepare=takes_all_but(0, 1, 2)
    )
    with pytest.raises(UnreadableImages, match="no image of given can be read, the first: i[0-9]: an image"):
        list(found)


@WORKERS
def test_images_that_are_only_refused_together_are_an_error(n_workers: int) -> None:
    def prepare(images: Sequence[Image.Image]) -> None:
        if len(images) > 1:
            raise UnreadableImage("not together")

    with pytest.raises(UnreadableImage, match="not together"):
        list(batches(Given([True] * 3), batch_size=2, n_workers=n_workers, prepare=prepare))


@pytest.mark.parametrize("raised", [ValueError("too flat"), ZeroDivisionError(), IndexError("too flat")])
def test_what_an_encoder_s_processor_raises_makes_an_unreadable_image(raised: Exception) -> None:
    """As Gemma 4's does on 300x1 pixels: IndexError."""

    def process(*_: object) -> None:
        raise raised

    encoder = SimpleNamespace(_family=SimpleNamespace(process=process), _image_processor=None, _model_config=None)
    with pytest.raises(UnreadableImage, match="an image of 300x1 pixels"):
        Encoder._processed(encoder, [Image.new("RGB", (300, 1))])


# ---- ends ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_taken", [0, 1, 3])
def test_closing_early_stops_all_threads(n_taken: int) -> None:
    found = batches(Given([True] * 1000), batch_size=4, n_workers=3)
    for _ in range(n_taken):
        next(found)
    found.close()
    assert not threads()
    assert list(found) == []


def test_losing_the_iterator_stops_all_threads() -> None:
    for batch in batches(Given([True] * 1000), batch_size=4, n_workers=3):
        assert threads()
        if batch.next_position > 8:
            break
    assert not threads()


def test_closing_does_not_wait_for_images_that_were_not_begun() -> None:
    found = batches(Given([True] * 1000, takes_s=0.05), batch_size=1, n_workers=2, prefetch=50)
    next(found)
    began = time.monotonic()
    found.close()
    assert time.monotonic() - began < 0.5


@WORKERS
@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt])
def test_an_error_while_preparing_arrives_where_batches_are_taken(n_workers: int, raised: type[BaseException]) -> None:
    def prepare(images: Sequence[Image.Image]) -> int:
        if pixels_of(images[0]) == pixels_of(picture(4)):
            raise raised("third batch")
        return len(images)

    found = batches(Given([True] * 100), batch_size=2, n_workers=n_workers, prepare=prepare)
    assert [next(found).prepared, next(found).prepared] == [2, 2]
    with pytest.raises(raised, match="third batch"):
        next(found)
    assert not threads()


@WORKERS
def test_a_source_that_breaks_off_is_an_error_after_what_was_whole(n_workers: int) -> None:
    found = batches(Given([True] * 9, breaks_at=5), batch_size=2, n_workers=n_workers)
    with pytest.raises(UnreadableImages, match="given broke off"):
        assert [batch.positions for batch in (next(found), next(found))] == [(0, 1), (2, 3)] and next(found)
    assert not threads()


@WORKERS
@pytest.mark.parametrize("raised", [RuntimeError, KeyboardInterrupt])
def test_an_error_where_batches_are_used_stops_all_threads(n_workers: int, raised: type[BaseException]) -> None:
    def use() -> None:
        for _ in batches(Given([True] * 100), batch_size=2, n_workers=n_workers):
            raise raised

    with pytest.raises(raised):
        use()
    assert not threads()


PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a process started in the background ignores it
import sys, time
from PIL import Image
from seesay.images.loading import batches
from seesay.images.sources import Entry

class White:
    def image(self, name):
        time.sleep(0.01)
        return Image.new("RGB", (2, 2), "white")

class Endless:
    name, fingerprint, n_images = "endless", "", None
    def entries(self, start=0):
        while True:
            yield Entry(start, str(start), White())
            start += 1

found = batches(Endless(), batch_size=4, n_workers=3)
print(len(next(found)), flush=True)
"""


def run(program: str, then: Callable[[subprocess.Popen[str]], None] = lambda _: None) -> tuple[int, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "4\n"
        then(process)
        _, errors = process.communicate(timeout=10)
        return process.returncode, errors
    finally:
        process.kill()
        process.wait()


def test_a_program_may_end_without_closing() -> None:
    assert run(PROGRAM) == (0, "")


@pytest.mark.parametrize("waiting", ["time.sleep(60)", "[time.sleep(0) for _ in found]"])
def test_ctrl_c_ends_a_program_at_once(waiting: str) -> None:
    def interrupt(process: subprocess.Popen[str]) -> None:
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)

    code, errors = run(PROGRAM + waiting, interrupt)
    assert code == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "Exception ignored" not in errors
