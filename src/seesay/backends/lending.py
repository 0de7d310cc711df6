"""What a run holds, asked for from other processes: its pictures travel as they are kept, small."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, final

from PIL import Image

from seesay.images.decoding import decode

Ask = Callable[..., Any]
"""Calls a method of what is lent: its name, then its arguments."""

_N_CACHED = 512
_PICTURE, _THUMBNAIL = "picture", "thumbnail"


@final
class Lent:
    """Stands for a gallery, or for held-out exemplars, which are elsewhere.

    Args:
        ask: asks there.
        methods: what can be asked.
    """

    def __init__(self, ask: Ask, methods: Sequence[str]) -> None:
        self._ask, self._methods = ask, methods
        for name in methods:
            setattr(self, name, partial(ask, name))
        if _PICTURE in methods:
            setattr(self, _PICTURE, lru_cache(_N_CACHED)(self._read))

    def __reduce__(self) -> tuple[Any, ...]:
        return Lent, (self._ask, self._methods)

    def _read(self, image: Any) -> Image.Image:
        return decode(self._ask(_THUMBNAIL, image), image.pixel_hash)


def methods_of(shelf: object) -> tuple[str, ...]:
    """What can be asked of something.

    Args:
        shelf: that is to be lent.
    """
    return tuple(name for name in dir(type(shelf)) if not name.startswith("_"))
