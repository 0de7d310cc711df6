"""Draw the world's things once, from Noto Color Emoji, into one sheet kept in the package.

    python tools/make_atlas.py /path/to/NotoColorEmoji.ttf

The font (Debian package `fonts-noto-color-emoji`) is needed here only, never at run time.
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from seesay.world.concepts import THINGS

CELL = 64
COLUMNS = 12
FONT_SIZE = 109  # the one bitmap size the font holds
PICTURES = {
    "dog": "🐕", "cat": "🐈", "horse": "🐎", "cow": "🐄", "pig": "🐖", "elephant": "🐘", "frog": "🐸", "turtle": "🐢",
    "fish": "🐟", "octopus": "🐙", "butterfly": "🦋", "penguin": "🐧",
    "apple": "🍎", "banana": "🍌", "grapes": "🍇", "strawberry": "🍓", "carrot": "🥕", "corn": "🌽", "pizza": "🍕",
    "burger": "🍔", "donut": "🍩", "cheese": "🧀", "bread": "🍞", "cherries": "🍒",
    "car": "🚗", "bus": "🚌", "fire engine": "🚒", "tractor": "🚜", "bicycle": "🚲", "motorbike": "🏍", "train": "🚂",
    "plane": "✈", "helicopter": "🚁", "rocket": "🚀", "sailboat": "⛵", "ship": "🚢",
    "pine tree": "🌲", "oak tree": "🌳", "palm tree": "🌴", "cactus": "🌵", "sunflower": "🌻", "rose": "🌹",
    "tulip": "🌷", "maple leaf": "🍁", "mushroom": "🍄", "wheat": "🌾", "clover": "🍀", "blossom": "🌸",
    "house": "🏠", "castle": "🏰", "church": "⛪", "factory": "🏭", "hospital": "🏥", "bank": "🏦", "tower": "🗼",
    "tent": "⛺", "mosque": "🕌", "pagoda": "🏯", "statue": "🗽", "fountain": "⛲",
    "police officer": "👮", "builder": "👷", "guard": "💂", "princess": "👸", "santa": "🎅", "baby": "👶",
    "wizard": "🧙", "vampire": "🧛", "mermaid": "🧜", "dancer": "💃", "runner": "🏃", "clown": "🤡",
    "key": "🔑", "clock": "⏰", "light bulb": "💡", "camera": "📷", "telephone": "☎", "guitar": "🎸", "trumpet": "🎺",
    "umbrella": "☂", "hammer": "🔨", "scissors": "✂", "book": "📕", "gift": "🎁",
    "sun": "☀", "moon": "🌙", "cloud": "☁", "rainbow": "🌈", "lightning": "⚡", "snowflake": "❄", "planet": "🪐",
    "comet": "☄", "globe": "🌍", "balloon": "🎈", "kite": "🪁", "tornado": "🌪",
}  # fmt: skip


def picture(character: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """One character, cropped to its ink and fitted into a cell."""
    canvas = Image.new("RGBA", (160, 160))
    ImageDraw.Draw(canvas).text((8, 8), character, font=font, embedded_color=True)
    ink = canvas.crop(canvas.getbbox())
    ink.thumbnail((CELL - 2, CELL - 2), Image.Resampling.LANCZOS)
    cell = Image.new("RGBA", (CELL, CELL))
    cell.paste(ink, ((CELL - ink.width) // 2, (CELL - ink.height) // 2))
    return cell


def main(font_file: str) -> None:
    """Write the sheet, one row per category in the order of `THINGS`."""
    font = ImageFont.truetype(font_file, FONT_SIZE)
    sheet = Image.new("RGBA", (COLUMNS * CELL, len(THINGS) * CELL))
    for row, things in enumerate(THINGS.values()):
        for column, thing in enumerate(things):
            sheet.paste(picture(PICTURES[thing], font), (column * CELL, row * CELL))
    target = Path(__file__).parents[1] / "src/seesay/world/data/atlas.png"
    sheet.save(target, optimize=True)
    print(f"{target.name}: {sheet.width}x{sheet.height} px, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
