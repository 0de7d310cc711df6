"""Pictures in a terminal: each character is two pixels, the upper one in its own colour and the lower one behind it."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from rich.color import Color
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

_UPPER_HALF = "▀"
_GAP = 2
_NARROWEST, _WIDEST = 18, 40
"""Columns of a picture: below, nothing can be made out; above, few fit onto a screen."""


@final
@dataclass(frozen=True, eq=False)
class Mosaic:
    """A picture that a terminal can print.

    Args:
        pixels: two rows of them to a line, one column to a character.
    """

    pixels: UInt8[np.ndarray, "height width 3"]

    @classmethod
    def of(cls, picture: Image.Image, side: int) -> "Mosaic":
        """Make one that is as large as fits into a square, in the picture's own proportions.

        Args:
            picture: RGB.
            side: of the square, in columns.
        """
        scale = side / max(picture.size)
        width, height = (max(1, round(length * scale)) for length in picture.size)
        return cls(np.asarray(picture.resize((width, height), Image.Resampling.BOX)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Generator[Segment]:
        for upper in range(0, len(self.pixels), 2):
            pair = self.pixels[upper : upper + 2].tolist()
            for column, above in enumerate(pair[0]):
                behind = Color.from_rgb(*pair[1][column]) if len(pair) > 1 else None
                yield Segment(_UPPER_HALF, Style(color=Color.from_rgb(*above), bgcolor=behind))
            yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        width = self.pixels.shape[1]
        return Measurement(width, width)


def can_show(console: Console) -> bool:
    """Whether a console is a terminal with the colours and the characters that a mosaic needs.

    Args:
        console: where it would be printed.
    """
    is_plain = console.color_system is None or console.no_color or console.legacy_windows
    return console.is_terminal and not is_plain and not console.options.ascii_only


def side_by_side(columns: Sequence[tuple[str, Sequence[Image.Image]]], width: int) -> Generator[Table]:
    """Lay pictures out in bands as wide as a terminal.

    Args:
        columns: a caption, and the pictures that stand below each other under it, all RGB; no control characters.
        width: of the terminal, in columns.

    Yields:
        One band after another.
    """
    fitting = max(1, (width + _GAP) // (_NARROWEST + _GAP))
    in_a_band = min(len(columns), fitting)
    side = max(1, min(_WIDEST, (width + _GAP) // max(1, in_a_band) - _GAP))
    for first in range(0, len(columns), fitting):
        band = columns[first : first + fitting]
        table = Table.grid(padding=(0, _GAP, 0, 0), pad_edge=False)
        for _ in band:
            table.add_column(width=side)
        table.add_row(*(Text(caption, overflow="fold") for caption, _ in band))
        for row in zip(*(pictures for _, pictures in band), strict=True):
            table.add_row(*(Mosaic.of(picture, side) for picture in row))
            table.add_row()
        yield table
