"""Collecting: images go once through the encoder and the SAE, and what they tell of every feature is kept."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from PIL import Image

from seesay.exemplars.activity import activity
from seesay.exemplars.choosing import choose, fires_together
from seesay.exemplars.collection import N_TOGETHER, Collection
from seesay.exemplars.config import PARTS, CollectionConfig
from seesay.exemplars.exemplar import KeptImage
from seesay.exemplars.hashing import image_id_of, parts_of
from seesay.images.loading import Batch, batches
from seesay.images.sources import ImageSource
from seesay.interruption import gently_interrupted
from seesay.pipeline.checkpoint import Checkpoint
from seesay.sae import SAE
from seesay.sae.identity import identity_of
from seesay.sae.nearest import nearest
from seesay.store.collected import add_exemplars, add_features, add_images
from seesay.store.database import refusing, transaction
from seesay.store.run import Run
from seesay.store.thumbnails import LARGEST_SIDE
from seesay.vlm.encoder import Encoder

STAGE = "collect"
_ALGORITHM = 1
"""Raised when the same images would give other rows."""

_WRITERS = 4
"""Threads that write thumbnails; Pillow lets go of Python's lock while it encodes one."""


@final
@dataclass(frozen=True, eq=False)
class Subject:
    """What a run is of.

    Args:
        encoder: whose features are looked at.
        sae: on the encoder's device.
        layer: the block, 0-based.
        names: what the model and the SAE are called, and how they are found again, as plain data.
    """

    encoder: Encoder
    sae: SAE
    layer: int
    names: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The same as plain data, with a hash of what counts: weights and block, not names."""
        identity = identity_of(self.encoder, self.sae, self.layer)
        return {**self.names, "layer": self.layer, "identity": identity}


def collect(
    run: Run,
    subject: Subject,
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
        subject: whose features.
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
    encoder, sae = subject.encoder, subject.sae
    sae.check_fits(encoder.d_model)
    encoder.check_layer(subject.layer)
    facts = {
        **asdict(config),
        "dtype": str(encoder.dtype),
        "thumbnails": LARGEST_SIDE,
        "algorithm": _ALGORITHM,
        "fingerprint": source.fingerprint,
    }
    checkpoint = Checkpoint(run)
    # The source's name is for people: the same images may have come to lie elsewhere.
    identity = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    run.begin(STAGE, identity, {"images": source.name, **facts}, anew=not checkpoint.exists())
    summary = run.finished(STAGE)
    if summary is None:
        collection = Collection(config, sae.n_features, sae.W_dec.device)
        with gently_interrupted() as is_interrupted:
            walk = _Walk(run, subject, collection, checkpoint, is_interrupted, on_batch)
            walk.go_through(source, images_at_once, checkpoint_seconds)
            summary = _write(run, subject, collection)
    run.thumbnails.keep_only([pixel_hash for (pixel_hash,) in run.rows("SELECT pixel_hash FROM images")])
    checkpoint.remove()
    return summary


@final
@dataclass(frozen=True, eq=False)
class _Walk:
    """One way through the images, or the rest of one."""

    run: Run
    subject: Subject
    collection: Collection
    checkpoint: Checkpoint
    is_interrupted: Callable[[], bool]
    on_batch: Callable[[int], None]

    def go_through(self, source: ImageSource, images_at_once: int, checkpoint_seconds: float) -> None:
        """Take in all images; a checkpoint is saved before an interruption."""
        encoder, thumbnails = self.subject.encoder, self.run.thumbnails
        position = self.checkpoint.restore(self.collection)
        self.on_batch(position)
        waiting: list[KeptImage] = []
        written: list[Future[None]] = []
        saved_at = time.monotonic()
        with ThreadPoolExecutor(_WRITERS) as writers:
            for batch in batches(
                source, start=position, batch_size=images_at_once, n_workers=encoder.n_workers, prepare=encoder.prepare
            ):
                images = self._take_in(batch)
                _wait_for(written)
                # while the next batch is encoded
                written = [writers.submit(thumbnails.write, image.pixel_hash, picture) for image, picture in images]
                waiting += [image for image, _picture in images]
                self.on_batch(batch.next_position - position)
                position = batch.next_position
                is_interrupted = self.is_interrupted()
                if is_interrupted or time.monotonic() - saved_at >= checkpoint_seconds:
                    _wait_for(written)
                    self.checkpoint.save(self.collection, position, waiting)
                    waiting, saved_at = [], time.monotonic()
                if is_interrupted:
                    raise KeyboardInterrupt
            _wait_for(written)
        with refusing(self.run.folder), transaction(self.run.connection):
            add_images(self.run.connection, waiting)

    def _take_in(self, batch: Batch) -> list[tuple[KeptImage, Image.Image]]:
        """Add a batch to the collection, and tell which of its images are kept."""
        encoded = self.subject.encoder.encode_prepared(batch.prepared, self.subject.layer)
        image_ids = [image_id_of(each) for each in batch.pixel_hashes]  # while an accelerator encodes
        is_kept = self.collection.update(activity(self.subject.sae, encoded, N_TOGETHER), image_ids)
        parts = parts_of(torch.tensor(image_ids)).tolist()
        found: list[tuple[KeptImage, Image.Image]] = []
        for number, geometry in enumerate(encoded.geometries):
            if is_kept[number]:
                image = KeptImage(
                    image_id=image_ids[number],
                    pixel_hash=batch.pixel_hashes[number],
                    source_id=batch.ids[number],
                    part=PARTS[parts[number]],
                    size=geometry.image_size,
                    grid=geometry.grid,
                    box=geometry.box,
                )
                found.append((image, batch.images[number]))
        return found


def _wait_for(written: Sequence[Future[None]]) -> None:
    for each in written:
        each.result()


def _write(run: Run, subject: Subject, collection: Collection) -> dict[str, Any]:
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
    n_nearest = collection.config.n_nearest
    os.sync()  # the thumbnails, before anything says that they are there
    with refusing(run.folder), transaction(run.connection):
        add_features(run.connection, statistics, fires_together(collection), nearest(subject.sae, n_nearest))
        summary["n_kept_images"] = add_exemplars(run.connection, choose(collection))
        run.finish(STAGE, summary)
    return summary
