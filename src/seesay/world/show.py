"""The contact sheet: pictures of the world, what they show, and what the world's model says of them."""

import textwrap
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from seesay import world
from seesay.errors import UnusablePath
from seesay.world.examination import answers
from seesay.world.grammar import caption
from seesay.world.questions import ask
from seesay.world.rendering import Rendering, render
from seesay.world.scenes import IMAGE_SIZE, sample
from seesay.world.streams import seeds

MAX_SCENES = 600
_SEEDS_APART = 10_000
_COLUMNS = 6
_ZOOM = 3
_SIDE = IMAGE_SIZE * _ZOOM
_MARGIN = 14
_FONT_SIZE = 14
_LINE = 18
_N_LINES = 5
_WRAP = 27
_INK, _SAID, _PAPER = (30, 32, 36), (0, 95, 115), (252, 252, 250)


def show(out: Path, *, n: int, seed: int, device: str = "auto", dtype: str = "auto") -> dict[str, Any]:
    """Write a contact sheet of scenes that no model has seen.

    Args:
        out: the picture to write; its ending chooses the format.
        n: how many scenes.
        seed: another seed, other scenes.
        device: where the model that describes them computes.
        dtype: number format of its weights.

    Returns:
        The file, and each scene's seed, caption and what the model says.

    Raises:
        UnusablePath: if the file cannot be written, or would be too large.
    """
    if n > MAX_SCENES:
        raise UnusablePath(f"{n} scenes on one sheet", expected=f"at most {MAX_SCENES}", remedy="make several sheets")
    chosen = seeds("show", seed % 1_000_000 * _SEEDS_APART, n)
    renderings = [render(sample(s)) for s in chosen]
    vlm = world.load_vlm(device=device, dtype=dtype)
    said = answers(vlm, ask("describe"), [(rendering.pixels,) for rendering in renderings])
    sheet = contact_sheet(renderings, said)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(out)
    except (OSError, ValueError) as error:
        raise UnusablePath(f"cannot write {out}: {error}", expected="a file such as contact-sheet.png") from error
    scenes = [
        {"seed": scene_seed, "caption": caption(rendering.scene), "says": text}
        for scene_seed, rendering, text in zip(chosen, renderings, said, strict=True)
    ]
    return {"file": str(out), "scenes": scenes}


def contact_sheet(renderings: list[Rendering], said: list[str]) -> Image.Image:
    """Lay pictures out in rows, each above its caption (dark) and what a model says of it (teal)."""
    columns = min(_COLUMNS, len(renderings))
    rows = -(-len(renderings) // columns)
    cell_width, cell_height = _SIDE + _MARGIN, _SIDE + 2 * _N_LINES * _LINE + 2 * _MARGIN
    sheet = Image.new("RGB", (columns * cell_width + _MARGIN, rows * cell_height + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_FONT_SIZE)
    for place, (rendering, words) in enumerate(zip(renderings, said, strict=True)):
        left = _MARGIN + place % columns * cell_width
        top = _MARGIN + place // columns * cell_height
        sheet.paste(rendering.image.resize((_SIDE, _SIDE), Image.Resampling.NEAREST), (left, top))
        below = top + _SIDE + 4
        for text, colour in ((caption(rendering.scene), _INK), (f"says: {words}", _SAID)):
            for line in textwrap.wrap(text, _WRAP)[:_N_LINES]:
                draw.text((left, below), line, fill=colour, font=font)
                below += _LINE
            below += 4
    return sheet
