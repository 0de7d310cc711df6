"""Chance that depends on nothing but what it is about: the same for every order of images, every shard and worker.

Random samples keep what has the largest hash. All hashes are non-negative 64-bit integers.
"""

import torch
from jaxtyping import Int
from torch import Tensor

from seesay.exemplars.config import PARTS, Part

_BITS = 64
_LARGEST = 2**63 - 1


def image_id_of(pixel_hash: str) -> int:
    """A number for an image, 63 bits of the hash of its pixels: equal images have one, in whatever files they are.

    Among a million images two have the same by accident once in twenty million times.

    Args:
        pixel_hash: as [seesay.images.decoding.pixel_hash][] gives it.
    """
    return int(pixel_hash[:16], 16) >> 1


def part_of(image_id: int) -> Part:
    """What an image may be used for, for ever."""
    return PARTS[int(parts_of(torch.tensor([image_id]))[0])]


def parts_of(image_ids: Int[Tensor, " image"]) -> Int[Tensor, " image"]:
    """The same for many images: 0 or 1, a place in `PARTS`."""
    return hashed(image_ids, salt=1) & 1


def hashed(*numbers: Int[Tensor, "*#any"], salt: int) -> Int[Tensor, "*any"]:
    """Hash numbers that belong together, such as a feature and an image.

    Each is mixed in by SplitMix64's finaliser (Steele, Lea and Flood, 2014).

    Args:
        numbers: at least one; they are broadcast.
        salt: tells one use from another.
    """
    state = torch.tensor(salt)
    for number in numbers:
        state = _mixed(number + (state + 1) * _signed(0x9E3779B97F4A7C15))
    return state & _LARGEST


def _mixed(state: Tensor) -> Tensor:
    state = (state ^ _shifted(state, 30)) * _signed(0xBF58476D1CE4E5B9)
    state = (state ^ _shifted(state, 27)) * _signed(0x94D049BB133111EB)
    return state ^ _shifted(state, 31)


def _shifted(state: Tensor, n_bits: int) -> Tensor:
    """Shift right as if unsigned, which torch's 64-bit integers are not."""
    return (state >> n_bits) & (2 ** (_BITS - n_bits) - 1)


def _signed(number: int) -> int:
    return number - 2**_BITS if number >= 2 ** (_BITS - 1) else number
