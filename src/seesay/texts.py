"""Texts from anyone, made fit to be shown."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

_JOINERS = "\u200c\u200d"  # invisible, but they belong to words and to emoji
_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def one_line(text: str) -> str:
    """A text as one line that can neither end a line nor steer a terminal; rich lets escape sequences through.

    Args:
        text: anything, from anyone.
    """
    if text.isprintable():  # as nearly all are, and much faster to tell
        return " ".join(text.split())
    kept = (each if each.isprintable() or each in _JOINERS else " " if each.isspace() else "" for each in text)
    return " ".join("".join(kept).split())


def cell(text: str) -> str:
    """A text that a spreadsheet takes for nothing but a text: no formula, and one line.

    Args:
        text: anything, from anyone.
    """
    guarded = text.startswith(_STARTS_A_FORMULA)
    line = one_line(text)
    return f"'{line}" if guarded or line.startswith(_STARTS_A_FORMULA) else line


def shortened(text: str, longest: int = 60) -> str:
    """The beginning of a text, where all of it would be too much to be told.

    Args:
        text: anything, from anyone.
        longest: characters, with the dots that stand for the rest.
    """
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def shown(value: object, longest: int = 60) -> str:
    """What somebody gave, in a line, whatever it is.

    Args:
        value: anything, from anyone, even what cannot be shown.
        longest: characters.
    """
    try:
        told = repr(value)
    except Exception:  # of code of which nothing is known
        told = f"a {type(value).__name__}"
    return shortened(one_line(told), longest)


def same_words(text: str) -> str:
    """What is equal for words that nobody tells apart.

    Args:
        text: somebody's words.
    """
    return " ".join(text.casefold().split())


def each_once(folders: Iterable[Path]) -> list[Path]:
    """Folders of runs without those that were named before, be it otherwise: relative, absolute, by a link.

    Args:
        folders: as they were given.

    Returns:
        The first name of each, in order.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        found.setdefault(os.path.realpath(folder), folder)
    return list(found.values())


def short_names(folders: Sequence[Path]) -> list[str]:
    """What runs are called where their place on the disk is nobody's business.

    Args:
        folders: of the runs, each once; see `each_once`.

    Returns:
        The last part of each path, with as many before it as tell them apart, but never where the path begins; of a
        folder that is there twice its last part, and a number.
    """
    parts = [folder.resolve().parts[1:] for folder in folders]  # without the root
    for n in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(each[-n:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{'/'.join(each[-1:])}-{number}" for number, each in enumerate(parts, 1)]


def without_folders(text: str, folders: Sequence[Path], names: Sequence[str]) -> str:
    """A text that goes to others, with the names of runs in the place of their folders.

    Args:
        text: that may tell where runs lie.
        folders: of the runs.
        names: what they are called, in the same order.
    """
    for folder, name in sorted(zip(folders, names, strict=True), key=lambda each: -len(str(each[0]))):
        if len(folder.parts) > 1:  # a bare name tells nothing, and may be part of any word
            text = text.replace(str(folder), name)
    return text


def exact(number: float) -> str:
    """A number as one types it to have the very same.

    Args:
        number: finite.
    """
    return repr(number).removesuffix(".0")
