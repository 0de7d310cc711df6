"""From a scene to its pixels, and to the record of which object owns each of them."""

import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from seesay.world.concepts import COLOURS, SHAPES, THINGS
from seesay.world.palette import PAINT
from seesay.world.scenes import IMAGE_SIZE, Item, Scene

CELL = 64
"""Side of one picture in the atlas, in pixels."""

_HALF = CELL // 2
_JITTER = 14  # of a paint's channels, of 255
_GAP = 0.5  # how far a fill's gaps are from the paint, on the way to black or white
_NOISE = 4.0  # standard deviation of the pixel noise, of 255


@dataclass(frozen=True)
class Rendering:
    """A drawn scene.

    Args:
        scene: what was drawn.
        pixels: sRGB, uint8 `[height width 3]`.
        owner: uint8 `[height width]`; 0 for the background, `n` for the scene's n-th object (from 1) where it is seen.
    """

    scene: Scene
    pixels: NDArray[np.uint8]
    owner: NDArray[np.uint8]

    @property
    def image(self) -> Image.Image:
        """The picture, RGB."""
        return Image.fromarray(self.pixels)


def render(scene: Scene) -> Rendering:
    """Draw a scene; the same scene gives the same pixels."""
    rng = np.random.default_rng((scene.seed, 1))
    noise = _noise(rng)  # drawn first, so that scenes that differ in one attribute share it
    canvas = _background(scene.background, rng)
    owner = Image.new("L", (IMAGE_SIZE, IMAGE_SIZE))
    jitter = np.random.default_rng((scene.seed, 2))
    stamps: dict[tuple[object, ...], _Stamp] = {}  # the copies in a pattern are drawn once
    for number, item in enumerate(scene.items, start=1):
        key = (item.noun, item.colour, item.fill, item.size, item.angle)
        if key not in stamps:
            shift = jitter.integers(-_JITTER, _JITTER + 1, 3)
            stamps[key] = _stamp(item, _shifted(PAINT[item.colour], shift) if item.colour else None)
        picture, silhouette = stamps[key]
        corner = (round(item.centre[0] - picture.width / 2), round(item.centre[1] - picture.height / 2))
        canvas.paste(picture, corner, picture)
        owner.paste(number, corner, silhouette)
    pixels = np.add(np.asarray(canvas), noise, dtype=np.int16)
    np.clip(pixels, 0, 255, out=pixels)
    return Rendering(scene, pixels.astype(np.uint8), np.asarray(owner))


def _shifted(rgb: tuple[int, int, int], shift: NDArray[np.integer]) -> tuple[int, int, int]:
    red, green, blue = (np.asarray(rgb) + shift).clip(0, 255).tolist()
    return red, green, blue


@cache
def _noise_bank() -> NDArray[np.int16]:
    side = IMAGE_SIZE * 4
    return np.random.default_rng(0).normal(0, _NOISE, (side, side, 3)).round().astype(np.int16)


def _noise(rng: np.random.Generator) -> NDArray[np.int16]:
    """A window on a fixed sheet of noise: drawing 12 288 normals for each image would cost more than the image."""
    top, left = rng.integers(0, IMAGE_SIZE * 3, 2)
    return _noise_bank()[top : top + IMAGE_SIZE, left : left + IMAGE_SIZE]


# ---- objects -------------------------------------------------------------------------------------------------------


_Stamp = tuple[Image.Image, Image.Image]


def _stamp(item: Item, paint: tuple[int, int, int] | None) -> _Stamp:
    """The object at its size and angle: an RGBA picture just large enough, and a mask of the pixels that it owns."""
    sprite = _thing(item.noun) if paint is None else _shape(item.noun, item.fill or "solid", paint)
    cos, sin = math.cos(item.angle), math.sin(item.angle)
    side = math.ceil(item.size * (abs(cos) + abs(sin)))
    level = sprite[0] if item.size > _HALF * 1.25 else sprite[1]
    zoom = level.width / item.size
    middle = level.width / 2
    a, b = cos * zoom, sin * zoom
    half = side / 2
    matrix = (a, b, middle - (a + b) * half, -b, a, middle - (a - b) * half)
    turned = level.transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR).convert("RGBA")
    # Mode "1" keeps what is at least half covered.
    return turned, turned.getchannel("A").convert("1", dither=Image.Dither.NONE)


_Sprite = tuple[Image.Image, Image.Image]  # full and half size with premultiplied alpha, so that edges do not darken


def _levels(picture: Image.Image) -> _Sprite:
    half = picture.resize((_HALF, _HALF), Image.Resampling.BOX)
    return picture.convert("RGBa"), half.convert("RGBa")


@cache
def _atlas() -> Image.Image:
    with (files("seesay.world") / "data" / "atlas.png").open("rb") as file:
        return Image.open(file).convert("RGBA")


@cache
def _thing(name: str) -> _Sprite:
    return _levels(thing_picture(name))


def thing_picture(name: str) -> Image.Image:
    """A thing's picture in the atlas, RGBA."""
    for row, things in enumerate(THINGS.values()):
        if name in things:
            left, top = things.index(name) * CELL, row * CELL
            return _atlas().crop((left, top, left + CELL, top + CELL))
    raise KeyError(name)


def _shape(name: str, fill: str, paint: tuple[int, int, int]) -> _Sprite:
    # A shade of the paint, so that the outline stands out from any background and the colour stays what it is.
    shade = 0 if sum(paint) > 3 * 100 else 255
    gap = tuple(round(channel + (shade - channel) * _GAP) for channel in paint)
    levels: list[Image.Image] = []
    for outline, marks in zip(_outline(name), _marks(fill), strict=True):
        picture = Image.new("RGB", outline.size, paint)
        picture.paste(gap, (0, 0), marks)
        picture.putalpha(outline)
        levels.append(picture.convert("RGBa"))
    return levels[0], levels[1]


@cache
def _marks(fill: str) -> tuple[Image.Image, Image.Image]:
    """Where a fill shows the gap colour instead of the paint, as masks at full and half size."""
    x, y = np.meshgrid(np.arange(CELL), np.arange(CELL))
    period = 16
    u, v = x % period - period / 2 + 0.5, y % period - period / 2 + 0.5
    on = {
        "solid": np.zeros_like(x, dtype=bool),
        "striped": x % period < period * 0.45,
        "dotted": u**2 + v**2 < (period * 0.32) ** 2,
        "checkered": (x // 8 + y // 8) % 2 == 0,
    }[fill]
    full = Image.fromarray((on * 255).astype(np.uint8))
    return full, full.resize((_HALF, _HALF), Image.Resampling.BOX)


@cache
def _outline(name: str) -> tuple[Image.Image, Image.Image]:
    scale = 8
    canvas = Image.new("L", (CELL * scale, CELL * scale))
    draw = ImageDraw.Draw(canvas)

    def at(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [((x + 1) / 2 * CELL * scale, (y + 1) / 2 * CELL * scale) for x, y in points]

    def polygon(n: int, inner: float = 1.0, turn: float = -math.pi / 2) -> list[tuple[float, float]]:
        radii = (0.96, 0.96 * inner)
        step = math.pi / n
        return at(
            [
                (radii[i % 2] * math.cos(turn + i * step), radii[i % 2] * math.sin(turn + i * step))
                for i in range(2 * n)
                if i % 2 == 0 or inner < 1
            ]
        )

    disc = at([(-0.92, -0.92), (0.92, 0.92)])
    holes = {"ring": at([(-0.48, -0.48), (0.48, 0.48)]), "crescent": at([(-0.3, -0.76), (1.22, 0.76)])}
    bar, arm = 0.32, 0.92
    outlines = {
        "square": at([(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]),
        "triangle": at([(0, -0.9), (0.95, 0.8), (-0.95, 0.8)]),
        "star": polygon(5, inner=0.42),
        "diamond": at([(0, -0.96), (0.6, 0), (0, 0.96), (-0.6, 0)]),
        "arrow": at([(-0.95, -0.28), (0.1, -0.28), (0.1, -0.75), (0.95, 0), (0.1, 0.75), (0.1, 0.28), (-0.95, 0.28)]),
        "cross": at([
            (-bar, -arm), (bar, -arm), (bar, -bar), (arm, -bar), (arm, bar), (bar, bar),
            (bar, arm), (-bar, arm), (-bar, bar), (-arm, bar), (-arm, -bar), (-bar, -bar),
        ]),
        "heart": at([_heart(2 * math.pi * i / 60) for i in range(60)]),
    }  # fmt: skip
    if name in outlines:
        draw.polygon(outlines[name], fill=255)
    else:
        assert name in ("circle", "ring", "crescent"), f"no outline for {name} of {SHAPES}"
        draw.ellipse([*disc[0], *disc[1]], fill=255)
        if name != "circle":
            hole = holes[name]
            draw.ellipse([*hole[0], *hole[1]], fill=0)
    full = canvas.resize((CELL, CELL), Image.Resampling.BOX)
    return full, full.resize((_HALF, _HALF), Image.Resampling.BOX)


def _heart(t: float) -> tuple[float, float]:
    x = 16 * math.sin(t) ** 3
    y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
    return x / 17.5, -(y + 2) / 15.5


# ---- backgrounds ---------------------------------------------------------------------------------------------------


def _background(name: str, rng: np.random.Generator) -> Image.Image:
    shift = rng.integers(-_JITTER, _JITTER + 1, 3)
    if name in COLOURS:
        return _plain(_shifted(PAINT[name], shift), rng)
    return _scenery(name, rng)


def _plain(paint: tuple[int, int, int], rng: np.random.Generator) -> Image.Image:
    """One colour: flat, or shaded from one side to the other, or mottled."""
    style, angle = rng.random(2)
    if style < 0.4:
        return Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE), paint)
    if style < 0.7:
        shade = (_ramp(angle * 2 * math.pi) - 0.5) * 28
    else:
        shade = (_smooth(rng, cells=int(rng.integers(4, 12))) - 0.5) * 40
    return Image.fromarray((np.asarray(paint) + shade[..., None]).clip(0, 255).astype(np.uint8))


@cache
def _axis() -> NDArray[np.float32]:
    return np.linspace(-1, 1, IMAGE_SIZE, dtype=np.float32)


def _ramp(angle: float) -> NDArray[np.floating]:
    return (1 + (math.cos(angle) * _axis()[None, :] + math.sin(angle) * _axis()[:, None]) / math.sqrt(2)) / 2


def _smooth(rng: np.random.Generator, cells: int) -> NDArray[np.floating]:
    """Smooth noise in 0 to 1: a few random values, stretched over the picture."""
    coarse = Image.fromarray(rng.integers(0, 256, (cells, cells), dtype=np.uint8))
    stretched = coarse.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)
    return np.asarray(stretched, dtype=np.float32) / 255


_LANDSCAPES = {
    # sky at the top, sky at the horizon, land at the horizon, land at the bottom
    "meadow": ((95, 165, 240), (190, 222, 246), (120, 190, 80), (55, 130, 50)),
    "sea": ((120, 185, 245), (205, 230, 248), (40, 120, 190), (20, 60, 130)),
    "desert": ((130, 190, 240), (235, 225, 200), (235, 200, 130), (200, 150, 85)),
    "night": ((8, 10, 30), (30, 32, 75), (22, 26, 32), (12, 14, 18)),
}
_STARS = 26


def _scenery(name: str, rng: np.random.Generator) -> Image.Image:
    horizon = int(rng.integers(24, 44))
    sky_top, sky_low, land_high, land_low = (np.asarray(c, dtype=np.float32) for c in _LANDSCAPES[name])
    rows = np.empty((IMAGE_SIZE, 1, 3), dtype=np.float32)
    depth = np.arange(IMAGE_SIZE, dtype=np.float32)[:, None]
    rows[:horizon, 0] = sky_top + (sky_low - sky_top) * (depth[:horizon] / horizon)
    rows[horizon:, 0] = land_high + (land_low - land_high) * (depth[: IMAGE_SIZE - horizon] / (IMAGE_SIZE - horizon))
    pixels = np.repeat(rows, IMAGE_SIZE, axis=1)
    if name == "night":
        across, down = rng.integers(0, IMAGE_SIZE, _STARS), rng.integers(0, horizon, _STARS)
        pixels[down, across] = 235
    else:
        grain = _smooth(rng, cells=16)
        if name == "sea":  # waves lie flat
            grain = grain.mean(axis=1, keepdims=True) * 0.6 + grain * 0.4
        pixels[horizon:] += (grain[horizon:, :, None] - 0.5) * 70
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
