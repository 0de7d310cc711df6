"""Looking at images: each goes once through the encoder and the SAE, and what is active on it is told."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from seesay.errors import UnreadableImage, UnusableCluster
from seesay.exemplars.activity import Activity, activity
from seesay.exemplars.collection import N_TOGETHER
from seesay.exemplars.config import PARTS
from seesay.exemplars.exemplar import KeptImage
from seesay.exemplars.hashing import image_id_of, parts_of
from seesay.images.decoding import pixel_hash
from seesay.images.loading import Batch, batches_of
from seesay.images.sources.source import Entry
from seesay.images.tally import Noting
from seesay.sae import SAE
from seesay.sae.identity import identity_of
from seesay.sae.nearest import nearest
from seesay.vlm.encoded import Encoded
from seesay.vlm.encoder import Encoder


@final
@dataclass(frozen=True, eq=False)
class Subject:
    """What a run is of.

    Args:
        encoder: whose features are looked at.
        sae: on the encoder's device.
        layer: the block, 0-based.
        names: what the model and the SAE are called, and how they are found again, as plain data.
        remarks: what people should know of them.
    """

    encoder: Encoder
    sae: SAE
    layer: int
    names: Mapping[str, Any]
    remarks: str = ""

    def as_json(self) -> dict[str, Any]:
        """The same as plain data, with a hash of what counts: weights and block, not names."""
        identity = identity_of(self.encoder, self.sae, self.layer)
        return {**self.names, "layer": self.layer, "identity": identity}

    def check(self) -> None:
        """Check that its parts fit.

        Raises:
            MismatchedSAE: an SAE of another width.
            LayerNotFound: no such block.
        """
        self.sae.check_fits(self.encoder.d_model)
        self.encoder.check_layer(self.layer)


@final
@dataclass(frozen=True, eq=False)
class Picture:
    """An image that was looked at; sent to another process, it is read there once more.

    Args:
        entry: where it is.
        image: itself, where it was read.
    """

    entry: Entry
    image: Image.Image | None = field(repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return Picture, (self.entry, None)

    def read(self, its_hash: str) -> Image.Image:
        """The image.

        Args:
            its_hash: of its pixels, as they were seen.

        Raises:
            UnusableCluster: here it is another one, or cannot be read.
        """
        if self.image is not None:
            return self.image
        try:
            image = self.entry.read()
        except UnreadableImage as error:
            raise _unlike(error.what) from error
        if pixel_hash(image) != its_hash:
            raise _unlike(f"{self.entry.id} has other pixels")
        return image


def _unlike(what: str) -> UnusableCluster:
    return UnusableCluster(
        f"the images of a worker are not those of this machine: here, {what}",
        expected="the same images, under the same names, on all machines",
    )


@final
@dataclass(frozen=True, eq=False)
class Looked:
    """What there is to tell of some images.

    Args:
        active: what is active on them; None if none of them can be read.
        images: those that can be read.
        pictures: theirs.
        skipped: why others cannot.
        next_position: where the images begin that come after these.
    """

    active: Activity | None
    images: tuple[KeptImage, ...]
    pictures: tuple[Picture, ...]
    skipped: tuple[UnreadableImage, ...]
    next_position: int


@final
@dataclass(frozen=True)
class Looking:
    """The task of looking at images.

    Args:
        images_at_once: in one pass.
    """

    images_at_once: int

    def begin(self, subject: Subject) -> "_Looking":
        """Check the subject.

        Args:
            subject: with whose encoder and SAE to look.

        Raises:
            MismatchedSAE: an SAE of another width, or directions without an encoder.
            LayerNotFound: no such block.
        """
        subject.check()
        facts = {
            "subject": subject.as_json(),
            "dtype": str(subject.encoder.dtype),
            "n_features": subject.sae.n_features,
            "remarks": subject.remarks,
        }
        return _Looking(subject, self.images_at_once, facts)


@final
@dataclass(frozen=True, eq=False)
class _Looking:
    subject: Subject
    images_at_once: int
    facts: Mapping[str, Any]

    def do(self, entries: Iterable[Entry]) -> Iterator[Looked]:
        encoder, noting, held = self.subject.encoder, Noting(), dict[int, Entry]()
        # What is read for the next batches is noted by other threads meanwhile.
        read = batches_of(
            _held(entries, held),
            noting,
            batch_size=self.images_at_once,
            n_workers=encoder.n_workers,
            prepare=encoder.prepare,
        )
        for batch in read:
            yield self._looked(batch, held, noting)
            for position in [each for each in list(held) if each < batch.next_position]:
                del held[position]
        skipped = noting.taken()
        if skipped:  # of the last images, none of which can be read
            yield Looked(None, (), (), skipped, max(held) + 1)

    def _looked(self, batch: Batch, held: Mapping[int, Entry], noting: Noting) -> Looked:
        encoded = self.subject.encoder.encode_prepared(batch.prepared, self.subject.layer)
        images = _seen(batch, encoded)  # while an accelerator encodes
        return Looked(
            activity(self.subject.sae, encoded, N_TOGETHER),
            images,
            tuple(map(Picture, (held[each] for each in batch.positions), batch.images)),
            noting.taken(),
            batch.next_position,
        )


def _held(entries: Iterable[Entry], held: dict[int, Entry]) -> Iterator[Entry]:
    for entry in entries:
        held[entry.position] = entry
        yield entry


def _seen(batch: Batch, encoded: Encoded) -> tuple[KeptImage, ...]:
    image_ids = [image_id_of(each) for each in batch.pixel_hashes]
    parts = parts_of(torch.tensor(image_ids)).tolist()
    return tuple(
        KeptImage(
            image_id=image_ids[number],
            pixel_hash=batch.pixel_hashes[number],
            source_id=batch.ids[number],
            part=PARTS[parts[number]],
            size=geometry.image_size,
            grid=geometry.grid,
            box=geometry.box,
        )
        for number, geometry in enumerate(encoded.geometries)
    )


@final
@dataclass(frozen=True)
class Comparing:
    """The task of finding the features whose directions are alike."""

    def begin(self, subject: Subject) -> "_Comparing":
        """Begin.

        Args:
            subject: of whose SAE they are.
        """
        return _Comparing(subject.sae)


@final
@dataclass(frozen=True, eq=False)
class _Comparing:
    sae: SAE
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def do(self, numbers: Iterable[int]) -> Iterator[tuple[Int[Tensor, "feature n"], Float[Tensor, "feature n"]]]:
        for n in numbers:
            ids, cosines = nearest(self.sae, n)
            yield ids.cpu(), cosines.cpu()
