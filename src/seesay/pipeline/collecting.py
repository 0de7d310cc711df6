"""Collecting: images go once through the encoder and the SAE, and what they tell of every feature is kept."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, final

import torch

from seesay.backends.crew import Crew
from seesay.backends.local import crew_of
from seesay.errors import UnusablePath
from seesay.exemplars.choosing import choose, fires_together
from seesay.exemplars.collection import Collection
from seesay.exemplars.config import CollectionConfig
from seesay.exemplars.exemplar import KeptImage
from seesay.images.sources import ImageSource
from seesay.images.tally import MAX_SHARE, Tally
from seesay.interruption import gently_interrupted
from seesay.pipeline.checkpoint import Checkpoint, n_collected
from seesay.pipeline.looking import Comparing, Looked, Looking, Picture, Subject
from seesay.store.collected import add_exemplars, add_features, add_images
from seesay.store.database import refusing, transaction
from seesay.store.run import Run
from seesay.store.thumbnails import LARGEST_SIDE

STAGE = "collect"
_ALGORITHM = 1
"""Raised when the same images would give other rows."""

_BATCHES_AT_ONCE = 2
"""That are sent off together, so that one is read while the other is encoded."""

_WRITERS = 4
"""Threads that write thumbnails; Pillow lets go of Python's lock while it encodes one."""


def collect(
    run: Run,
    subject: Subject | Crew[Subject],
    source: ImageSource,
    config: CollectionConfig,
    *,
    images_at_once: int = 32,
    checkpoint_seconds: float = 60.0,
    on_batch: Callable[[int], None] = lambda _n: None,
) -> dict[str, Any]:
    """Find every feature's exemplars and statistics, and write them into a run.

    It goes on where it was stopped, and what a kill loses is no more than what came after the last checkpoint. The
    first Ctrl-C ends it after the batch, or lets it write what it has found if that was the last one.

    Args:
        run: open to be written, of this subject.
        subject: whose features, here or wherever a crew has it.
        source: the images.
        config: what is kept.
        images_at_once: in one pass; it changes nothing but speed and memory, and the last digits.
        checkpoint_seconds: time between two checkpoints.
        on_batch: told how many more images are done, those of earlier runs too.

    Returns:
        What was found, as plain data.

    Raises:
        MismatchedSAE: an SAE of another width, or directions without an encoder.
        LayerNotFound: no such block.
        UnreadableImages: too many images cannot be read, or none can.
        UnusablePath: the run cannot be written, or holds exemplars of other images.
    """
    crew, task = crew_of(subject), Looking(images_at_once)
    known = crew.facts(task)
    facts = {
        **asdict(config),
        "dtype": known["dtype"],
        "thumbnails": LARGEST_SIDE,
        "algorithm": _ALGORITHM,
        "fingerprint": source.fingerprint,
    }
    checkpoint = Checkpoint(run)
    # The source's name is for people: the same images may have come to lie elsewhere.
    identity = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    told = {"images": source.name, "n_images": source.n_images, **facts}
    summary = run.finished(STAGE)
    if summary is not None or checkpoint.exists():
        _check_images(run, told)
    run.begin(STAGE, identity, told, anew=not checkpoint.exists())
    if summary is None:
        with gently_interrupted() as is_interrupted:
            walk = _Walk(run, partial(Collection, config, known["n_features"]), checkpoint, is_interrupted, on_batch)
            collection = walk.go_through(crew, task, source, checkpoint_seconds)
            (near,) = crew.run(Comparing(), [config.n_nearest], 1)
            summary = _write(run, collection, near)
    run.thumbnails.keep_only([pixel_hash for (pixel_hash,) in run.rows("SELECT pixel_hash FROM images")])
    checkpoint.remove()
    return summary


def _check_images(run: Run, given: Mapping[str, Any]) -> None:
    """Refuse images of the same place that are no longer those that a run was begun with."""
    before = run.configured(STAGE)
    told_alone = ("n_images", "fingerprint")
    is_same = all(before.get(name) == value for name, value in given.items() if name not in told_alone)
    if not is_same or before.get("fingerprint") == given["fingerprint"]:
        return
    # Older runs say only how many of them were read.
    then, now = before.get("n_images", (run.finished(STAGE) or {}).get("n_images")), given["n_images"]
    if then is None or now is None:
        changed = ""
    elif then == now:
        changed = f": {now} now as then, but not the same ones, or others under their names"
    else:
        changed = f": {then} then, {now} now"
    raise UnusablePath(
        f"the images of {given['images']} are not those that {run.folder} was begun with{changed}",
        expected="the same images, none added, removed or changed, and the same --n-images",
        remedy="give another --out for these images, or put those back",
    )


@final
@dataclass(frozen=True, eq=False)
class _Walk:
    """One way through the images, or the rest of one."""

    run: Run
    collection: Callable[[torch.device], Collection]
    checkpoint: Checkpoint
    is_interrupted: Callable[[], bool]
    on_batch: Callable[[int], None]

    def go_through(
        self, crew: Crew[Subject], task: Looking, source: ImageSource, checkpoint_seconds: float
    ) -> Collection:
        """Take in all images; a checkpoint is saved before an interruption."""
        position = n_collected(self.run.folder)
        self.on_batch(position)
        tally = Tally(source.name, MAX_SHARE, is_whole=position == 0)
        found = crew.run(
            task,
            source.entries(position),
            _BATCHES_AT_ONCE * task.images_at_once,
            in_order=True,
            until=self.is_interrupted,
        )
        collection: Collection | None = None
        waiting: list[KeptImage] = []
        written: list[Future[None]] = []
        saved_at = time.monotonic()
        with tally, ThreadPoolExecutor(_WRITERS) as writers:
            for looked in found:
                _judge(tally, looked)
                if collection is None and looked.active is not None:
                    collection = self._restored(looked.active.n_patches.device)
                kept = [] if collection is None else _take_in(collection, looked)
                _wait_for(written)
                # while the next batch is encoded
                written = [writers.submit(self._write_thumbnail, *each) for each in kept]
                waiting += [image for image, _picture in kept]
                self.on_batch(looked.next_position - position)
                position = looked.next_position
                if collection is not None and time.monotonic() - saved_at >= checkpoint_seconds:
                    _wait_for(written)
                    self.checkpoint.save(collection, position, waiting)
                    waiting, saved_at = [], time.monotonic()
            _wait_for(written)
        collection = collection or self._restored(torch.device("cpu"))
        if self.is_interrupted():
            self.checkpoint.save(collection, position, waiting)
            raise KeyboardInterrupt
        tally.judge_whole()
        with refusing(self.run.folder), transaction(self.run.connection):
            add_images(self.run.connection, waiting)
        return collection

    def _restored(self, device: torch.device) -> Collection:
        """The collection as the last checkpoint left it, where its images are encoded."""
        collection = self.collection(device)
        self.checkpoint.restore(collection)
        return collection

    def _write_thumbnail(self, image: KeptImage, picture: Picture) -> None:
        self.run.thumbnails.write(image.pixel_hash, picture.read(image.pixel_hash))


def _judge(tally: Tally, looked: Looked) -> None:
    for _ in looked.images:
        tally.count()
    for error in looked.skipped:
        tally.skip(error)


def _take_in(collection: Collection, looked: Looked) -> list[tuple[KeptImage, Picture]]:
    """Add a batch to the collection, and tell which of its images are kept."""
    if looked.active is None:
        return []
    is_kept = collection.update(looked.active, [image.image_id for image in looked.images])
    return [each for each, kept in zip(zip(looked.images, looked.pictures, strict=True), is_kept, strict=True) if kept]


def _wait_for(written: Sequence[Future[None]]) -> None:
    for each in written:
        each.result()


def _write(run: Run, collection: Collection, near: tuple[torch.Tensor, torch.Tensor]) -> dict[str, Any]:
    """Write all that was found, or nothing."""
    statistics = collection.statistics
    n_images, n_patches = statistics.totals.tolist()
    summary = {
        "n_images": n_images,
        "n_distinct_images": collection.n_distinct,
        "n_patches": n_patches,
        "n_features": collection.n_features,
        "n_live_features": int((statistics.n_active_patches > 0).sum()),
    }
    os.sync()  # the thumbnails, before anything says that they are there
    with refusing(run.folder), transaction(run.connection):
        add_features(run.connection, statistics, fires_together(collection), near)
        summary["n_kept_images"] = add_exemplars(run.connection, choose(collection))
        run.finish(STAGE, summary)
    return summary
