"""Images made from words as a run keeps them: once each, named by the hash of all that they depend on."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, final

from PIL import Image

from seesay.errors import UnreadableImage
from seesay.facts import hash_of
from seesay.files import unwritable
from seesay.instruments.instrument import Synthesiser
from seesay.interruption import gently_interrupted
from seesay.store.thumbnails import Thumbnails

Wanted = tuple[str, int]
"""A text, and the number of its image."""


@final
class Synthesised:
    """The images that one synthesiser made. No text becomes part of a file's name: only hashes do.

    Args:
        folder: where they are kept, beside those of other synthesisers; made when the first one is written.
        facts: the synthesiser's: images of others are never found.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self._images = Thumbnails(folder)
        self._facts = MappingProxyType(dict(facts))

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the images depend on but words and number."""
        return self._facts

    def missing(self, texts: Sequence[str], n: int) -> list[Wanted]:
        """What is still to be made.

        Args:
            texts: what is to be seen; nothing is ever made of one without words.
            n: images of each.

        Returns:
            Text by text in the order given, each once.
        """
        return [
            (text, number)
            for text in dict.fromkeys(texts)
            if text.strip()
            for number in range(n)
            if not self._image(text, number).exists() and not self._none(text, number).exists()
        ]

    def read(self, text: str, n: int) -> list[Image.Image] | None:
        """The images of a text, fewer if some could not be made.

        Args:
            text: what is to be seen.
            n: how many were made.

        Returns:
            RGB images; None if nothing can be made of the text.

        Raises:
            UnreadableImage: one is missing or damaged.
        """
        if not text.strip():
            return None
        made = [number for number in range(n) if not self._none(text, number).exists()]
        return [self._read(text, number) for number in made] or None

    def write(self, text: str, number: int, image: Image.Image | None) -> None:
        """Keep an image; large ones are made smaller, as the run's other images are.

        Args:
            text: what is to be seen.
            number: of the image.
            image: RGB; None if nothing can be made of the text, which is remembered, too.

        Raises:
            UnusablePath: it cannot be written.
        """
        if image is not None:
            self._images.write(self._key(text, number), image)
            return
        marker = self._none(text, number)
        try:
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()  # an empty file is whole or not there
        except OSError as error:
            raise unwritable(marker, error.strerror or str(error)) from error

    def _read(self, text: str, number: int) -> Image.Image:
        try:
            return self._images.read(self._key(text, number))
        except UnreadableImage as error:
            raise UnreadableImage(
                error.what, expected="the image that was made", remedy="remove that file, and score again"
            ) from error

    def _image(self, text: str, number: int) -> Path:
        return self._images.path(self._key(text, number))

    def _none(self, text: str, number: int) -> Path:
        return self._image(text, number).with_suffix(".none")

    def _key(self, text: str, number: int) -> str:
        return hash_of({"facts": dict(self._facts), "text": text, "number": number})


def synthesise(
    kept: Synthesised,
    texts: Sequence[str],
    n: int,
    load: Callable[[], Synthesiser],
    *,
    batch_size: int = 8,
    on_batch: Callable[[int], None] = lambda _n: None,
) -> None:
    """Make the images that a run does not have yet, and keep them after every batch.

    The first Ctrl-C ends it after the batch.

    Args:
        kept: those that it has.
        texts: what is to be seen; nothing is made of one without words.
        n: images of each.
        load: gives the synthesiser, whose facts are those of `kept`; called only if something is missing.
        batch_size: images at a time.
        on_batch: told how many more images are there, those of earlier times too; one that cannot be made counts.

    Raises:
        SeesayError: the synthesiser cannot be had, or an image not be made or written.
        KeyboardInterrupt: after Ctrl-C, when the batch is written.
    """
    missing = kept.missing(texts, n)
    on_batch(n * len({text for text in texts if text.strip()}) - len(missing))
    if not missing:
        return
    with gently_interrupted() as is_interrupted:
        synthesiser = load()
        for start in range(0, len(missing), batch_size):
            batch = missing[start : start + batch_size]
            made = synthesiser.synthesise([text for text, _ in batch], [number for _, number in batch])
            for (text, number), image in zip(batch, made, strict=True):
                kept.write(text, number, image)
            on_batch(len(batch))
            if is_interrupted():
                raise KeyboardInterrupt
