"""Batches of images out of a source, decoded ahead by threads; what cannot be read is skipped, named and counted.

Pillow lets go of Python's lock while it decodes, so threads are enough. The batches are the same with any number of
them, and the same again when a run that was killed goes on from a batch's `next_position`.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import Any, final

from PIL import Image

from seesay.errors import UnreadableImage
from seesay.images.decoding import pixel_hash
from seesay.images.sources.source import Entry, ImageSource
from seesay.images.tally import MAX_SHARE, Noting, Tally

Prepare = Callable[[Sequence[Image.Image]], Any]


@final
@dataclass(frozen=True)
class Batch:
    """Some images of a source, in its order.

    Args:
        images: at least one, RGB and upright.
        ids: theirs in the source.
        positions: theirs in the source; unreadable images, and those that `prepare` refused, leave gaps.
        next_position: where to start for what comes after this batch.
        prepared: what `prepare` made of the images; None without it.
    """

    images: tuple[Image.Image, ...] = field(repr=False)
    ids: tuple[str, ...]
    positions: tuple[int, ...]
    next_position: int
    prepared: Any = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def pixel_hashes(self) -> tuple[str, ...]:
        """Of each image, see [seesay.images.decoding.pixel_hash][]; worked out when first asked for."""
        return tuple(map(pixel_hash, self.images))


def batches(
    source: ImageSource,
    *,
    start: int = 0,
    batch_size: int,
    n_workers: int = 0,
    prefetch: int = 2,
    max_unreadable_share: float = MAX_SHARE,
    prepare: Prepare | None = None,
) -> Generator[Batch]:
    """Read a source's images in batches.

    Closing the generator (which losing it does too), an error and Ctrl-C stop all threads; the images that are being
    decoded at that moment are waited for.

    Args:
        source: has the images.
        start: the position to begin at.
        batch_size: images a batch; the last one may have fewer. Unreadable images do not count; those that `prepare`
            refuses are found too late for that, and leave their batch smaller.
        n_workers: threads that decode and prepare; 0 does both in the calling thread, nothing ahead.
        prefetch: how many batches may be waiting, ready or in the making, if there are workers.
        max_unreadable_share: how many of the images may be unreadable, of those seen from `start` on. Judged after
            each image from the hundredth on, and at the end; but a run that goes on for less than a hundred images
            is not judged by these alone.
        prepare: made of a batch's images in a worker, for several batches at once, such as an encoder's processing.
            Images that it refuses by UnreadableImage are skipped and counted like unreadable ones.

    Yields:
        The batches in the source's order; none without images.

    Raises:
        UnreadableImages: more unreadable images than that, no readable one in the whole source, or the source itself
            breaks off.
        UnreadableImage: `prepare` takes some images one by one, but not together.
    """
    assert start >= 0, "a number that no caller may give"
    tally = Tally(source.name, max_unreadable_share, is_whole=start == 0)
    return batches_of(
        source.entries(start), tally, batch_size=batch_size, n_workers=n_workers, prefetch=prefetch, prepare=prepare
    )


def batches_of(
    entries: Iterator[Entry],
    tally: Tally | Noting,
    *,
    batch_size: int,
    n_workers: int = 0,
    prefetch: int = 2,
    prepare: Prepare | None = None,
) -> Generator[Batch]:
    """Read images in batches, as `batches` does, of whatever part of a source.

    Args:
        entries: the images, in a source's order.
        tally: judges how many cannot be read, or notes them for somebody else to judge.
        batch_size: images a batch, as are the others; see `batches`.
        n_workers: threads.
        prefetch: batches ahead.
        prepare: made of a batch's images.

    Yields:
        The batches, in order.

    Raises:
        UnreadableImages: the tally judges so, or what holds the images breaks off.
        UnreadableImage: `prepare` takes some images one by one, but not together.
    """
    assert batch_size >= 1 and n_workers >= 0 and prefetch >= 1, "numbers that no caller may give"
    assemble = partial(_assembled, batch_size=batch_size, tally=tally)
    finish = partial(_finished, prepare=prepare, tally=tally)
    if n_workers == 0:
        return _tallied(_here(entries, assemble, finish), tally)
    return _tallied(_ahead(entries, assemble, finish, n_workers, prefetch), tally)


_Read = tuple[Entry, Image.Image | UnreadableImage]
_Assemble = Callable[[Iterator[_Read]], Iterator[Batch]]
_Finish = Callable[[Batch], Batch]


def _read(entry: Entry) -> _Read:
    try:
        return entry, entry.read()
    except UnreadableImage as error:
        return entry, error


def _assembled(reads: Iterator[_Read], batch_size: int, tally: Tally | Noting) -> Iterator[Batch]:
    """Put what was read into batches.

    A batch goes out when the next readable image is there, or none is left: so its `next_position` lies behind the
    unreadable ones between, and whoever goes on from there has no lone unreadable image as the whole of its source.
    """
    waiting: list[tuple[Entry, Image.Image]] = []
    position = 0
    for entry, outcome in reads:
        position = entry.position + 1
        if isinstance(outcome, UnreadableImage):
            tally.skip(outcome)
            continue
        tally.count()
        if len(waiting) == batch_size:
            yield _batch(waiting, entry.position)
            waiting = []
        waiting.append((entry, outcome))
    tally.judge_whole()
    if waiting:
        yield _batch(waiting, position)


def _batch(read: Sequence[tuple[Entry, Image.Image]], next_position: int) -> Batch:
    return Batch(
        images=tuple(image for _, image in read),
        ids=tuple(entry.id for entry, _ in read),
        positions=tuple(entry.position for entry, _ in read),
        next_position=next_position,
    )


def _finished(batch: Batch, prepare: Prepare | None, tally: Tally | Noting) -> Batch:
    """Prepare a batch, less the images that are refused: none may be left."""
    if prepare is None:
        return batch
    try:
        return replace(batch, prepared=prepare(batch.images))
    except UnreadableImage:
        rest = _taken(batch, prepare, tally)
        if len(rest) == len(batch):  # they are refused together only, which skipping one would not mend
            raise
    return replace(rest, prepared=prepare(rest.images)) if rest else rest


def _taken(batch: Batch, prepare: Prepare, tally: Tally | Noting) -> Batch:
    """The images of a batch that `prepare` takes one by one."""
    taken: list[int] = []
    for number, image in enumerate(batch.images):
        try:
            prepare([image])
        except UnreadableImage as error:
            named = UnreadableImage(f"{batch.ids[number]}: {error.what}", expected=error.expected, remedy=error.remedy)
            tally.skip(named, is_counted=True)
        else:
            taken.append(number)
    return replace(
        batch,
        images=tuple(batch.images[number] for number in taken),
        ids=tuple(batch.ids[number] for number in taken),
        positions=tuple(batch.positions[number] for number in taken),
    )


def _tallied(found: Generator[Batch], tally: Tally | Noting) -> Generator[Batch]:
    """Judge once more when all batches are finished: what was refused in the last ones was not known before."""
    with tally:
        yield from found
        tally.judge_whole()


def _here(entries: Iterator[Entry], assemble: _Assemble, finish: _Finish) -> Generator[Batch]:
    yield from filter(len, map(finish, assemble(map(_read, entries))))


def _ahead(
    entries: Iterator[Entry], assemble: _Assemble, finish: _Finish, n_workers: int, prefetch: int
) -> Generator[Batch]:
    """As `_here`, with one thread that goes through the entries and puts batches together, and workers for the rest.

    Each batch takes a slot before it is begun and gives it back when it is taken, so no more than `prefetch` are ever
    waiting.
    """
    slots, stopping = Semaphore(prefetch), Event()
    ready: SimpleQueue[Future[Batch] | BaseException | None] = SimpleQueue()
    pool = ThreadPoolExecutor(n_workers, thread_name_prefix="seesay-images")

    def produce() -> None:
        try:
            assembled = assemble(_read_ahead(entries, pool, 2 * n_workers, stopping))
            while slots.acquire() and not stopping.is_set():
                batch = next(assembled, None)
                if batch is None:
                    break
                ready.put(pool.submit(finish, batch))
        except BaseException as error:  # whatever it is, it is raised where the batches are taken
            ready.put(error)
        ready.put(None)

    # A daemon: where a program ends without closing this, Python must not wait for a thread that waits for a slot.
    producer = Thread(target=produce, name="seesay-images-producer", daemon=True)
    producer.start()
    try:
        while (item := ready.get()) is not None:
            slots.release()
            if isinstance(item, BaseException):
                raise item
            if batch := item.result():
                yield batch
    finally:
        stopping.set()
        slots.release()
        pool.shutdown(cancel_futures=True)
        producer.join()


def _read_ahead(entries: Iterator[Entry], pool: ThreadPoolExecutor, n_ahead: int, stopping: Event) -> Iterator[_Read]:
    pending: deque[Future[_Read]] = deque()
    for entry in entries:
        if stopping.is_set():
            return
        pending.append(pool.submit(_read, entry))
        if len(pending) > n_ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
