"""Collecting: images go once through the encoder and the SAE, and what they tell of every feature is kept."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from seesay.errors import UnusablePath
from seesay.exemplars.activity import activity
from seesay.exemplars.choosing import choose, fires_together
from seesay.exemplars.collection import N_TOGETHER, Collection
from seesay.exemplars.config import CollectionConfig
from seesay.exemplars.exemplar import KeptImage
from seesay.exemplars.hashing import PARTS, image_id_of, parts_of
from seesay.files import replaced_folder, unwritable, write_json
from seesay.images.loading import Batch, batches
from seesay.images.sources import ImageSource
from seesay.interruption import gently_interrupted
from seesay.sae import SAE
from seesay.sae.identity import digest as sae_digest
from seesay.sae.nearest import nearest
from seesay.store.database import refusing, transaction
from seesay.store.exemplars import add_exemplars, add_features, add_images
from seesay.store.run import Run
from seesay.store.thumbnails import LARGEST_SIDE
from seesay.vlm.encoder import Encoder
from seesay.vlm.geometry import Geometry
from seesay.vlm.identity import digest, fingerprint

STAGE = "collect"
_ALGORITHM = 1
"""Raised when the same images would give other rows."""

_WRITERS = 4
"""Threads that write thumbnails; Pillow lets go of Python's lock while it encodes one."""

_STATE, _PLACE = "state.safetensors", "place.json"


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
        parts = [digest(fingerprint(self.encoder, self.layer)), str(self.layer), sae_digest(self.sae)]
        return {**self.names, "layer": self.layer, "identity": _hash(parts)}


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
    first Ctrl-C ends it after the batch.

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
        "fingerprint of the images": source.fingerprint,
    }
    # The source's name is for people: the same images may have come to lie elsewhere.
    run.begin(STAGE, _hash([json.dumps(facts, sort_keys=True)]), {**facts, "images": source.name})
    checkpoint = _Checkpoint(run)
    summary = run.finished(STAGE)
    if summary is None:
        collection = Collection(config, sae.n_features, sae.W_dec.device)
        _go_through(run, subject, source, collection, checkpoint, images_at_once, checkpoint_seconds, on_batch)
        summary = _write(run, subject, collection)
    checkpoint.remove()
    return summary


def _go_through(
    run: Run,
    subject: Subject,
    source: ImageSource,
    collection: Collection,
    checkpoint: "_Checkpoint",
    images_at_once: int,
    checkpoint_seconds: float,
    on_batch: Callable[[int], None],
) -> None:
    encoder = subject.encoder
    position = checkpoint.restore(collection)
    on_batch(position)
    waiting: list[KeptImage] = []
    saved_at = time.monotonic()

    written: list[Future[None]] = []
    with gently_interrupted() as is_interrupted, ThreadPoolExecutor(_WRITERS) as writers:
        for batch in batches(
            source, start=position, batch_size=images_at_once, n_workers=encoder.n_workers, prepare=encoder.prepare
        ):
            encoded = encoder.encode_prepared(batch.prepared, subject.layer)
            image_ids = [image_id_of(each) for each in batch.pixel_hashes]  # while an accelerator encodes
            is_kept = collection.update(activity(subject.sae, encoded, N_TOGETHER), image_ids)
            kept = [number for number, stays in enumerate(is_kept) if stays]
            _wait_for(written)
            # while the next batch is encoded
            written = [writers.submit(run.thumbnails.write, batch.pixel_hashes[n], batch.images[n]) for n in kept]
            waiting += _kept_images(batch, image_ids, encoded.geometries, kept)
            on_batch(batch.next_position - position)
            position = batch.next_position
            if is_interrupted() or time.monotonic() - saved_at >= checkpoint_seconds:
                _wait_for(written)
                checkpoint.save(collection, position, waiting)
                waiting, saved_at = [], time.monotonic()
            if is_interrupted():
                raise KeyboardInterrupt
        _wait_for(written)
    with refusing(run.folder), transaction(run.connection):
        add_images(run.connection, waiting)


def _wait_for(written: Sequence[Future[None]]) -> None:
    for each in written:
        each.result()


def _kept_images(
    batch: Batch, image_ids: Sequence[int], geometries: Sequence[Geometry], kept: Sequence[int]
) -> list[KeptImage]:
    parts = parts_of(torch.tensor(image_ids)).tolist()
    return [
        KeptImage(
            image_id=image_ids[number],
            pixel_hash=batch.pixel_hashes[number],
            source_id=batch.ids[number],
            part=PARTS[parts[number]],
            size=geometries[number].image_size,
            grid=geometries[number].grid,
            box=geometries[number].box,
        )
        for number in kept
    ]


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
    with refusing(run.folder), transaction(run.connection):
        add_features(run.connection, statistics, fires_together(collection), nearest(subject.sae, n_nearest))
        summary["n_kept_images"] = add_exemplars(run.connection, choose(collection))
        run.finish(STAGE, summary)
    return summary


@final
class _Checkpoint:
    """How far a collection has come.

    Args:
        run: open to be written.
    """

    def __init__(self, run: Run) -> None:
        self._run, self._folder = run, run.folder / "collecting"

    def save(self, collection: Collection, position: int, waiting: Sequence[KeptImage]) -> None:
        """Write it: images first, so that whatever it refers to is there."""
        with refusing(self._run.folder), transaction(self._run.connection):
            add_images(self._run.connection, waiting)
        os.sync()
        with replaced_folder(self._folder) as aside:
            tensors = {name: tensor.cpu().contiguous() for name, tensor in collection.state_dict().items()}
            try:
                save_file(tensors, aside / _STATE)
            except (OSError, SafetensorError) as error:
                raise unwritable(self._folder, str(error)) from error
            write_json(aside / _PLACE, {"position": position})

    def restore(self, collection: Collection) -> int:
        """Put a collection back to where it was.

        Returns:
            The position of the image that comes next; 0 if nothing was done yet.
        """
        if not self._folder.exists():
            return 0
        try:
            position = json.loads((self._folder / _PLACE).read_text("utf-8"))["position"]
            collection.load_state_dict(load_file(self._folder / _STATE))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise UnusablePath(
                f"cannot go on from {self._folder}: {error}",
                expected="what seesay collect left there",
                remedy="remove that folder, which begins anew",
            ) from error
        return position

    def remove(self) -> None:
        """Remove it and the images that are no exemplars, once the collection is written."""
        self._run.thumbnails.keep_only(
            {pixel_hash for (pixel_hash,) in self._run.rows("SELECT pixel_hash FROM images")}
        )
        shutil.rmtree(self._folder, ignore_errors=True)


def _hash(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
