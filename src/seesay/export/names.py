"""Names as they go to others: where something lies on a disk is nobody's business."""

import re
from collections.abc import Mapping
from typing import Any

_LOCAL = re.compile(r"[/\\~]|\.{1,2}(?:[/\\]|$)|[A-Za-z]:[/\\]|file:")
_SEPARATORS = re.compile(r"[/\\]+")
_NO_NAMES = frozenset({"", ".", "..", "~", "file:"})
_MOST_PARTS = 2  # of a name on the hub, owner/name

_PATH = re.compile(r"(?<![\w.])(?:~|[A-Za-z]:)?(?:[/\\][^\s/\\:;,'\"`()<>]+){2,}")
_WORDS = frozenset({"prompt", "opening", "start"})
"""Facts that are said to a model, and so are words and no names."""


def public(name: str) -> str:
    """What a model, an SAE or a source of images is called.

    Args:
        name: as it was given: a part of the embedded world, a name on the hub, or a path.

    Returns:
        The last part of a path; any other name as it is. A path of two parts that begins with neither a slash nor a dot
        cannot be told from a name on the hub.
    """
    parts = _parts(name)
    if _LOCAL.match(name) or len(parts) > _MOST_PARTS or ".." in _SEPARATORS.split(name):
        return parts[-1] if parts else ""
    return name


def within_source(name: str) -> str:
    """What an image is called in the source that it came from.

    Args:
        name: a path within a folder, a row of a dataset, or whatever a stranger's run says.

    Returns:
        The last part, if it leads out of its source.
    """
    if _LOCAL.match(name) or ".." in _SEPARATORS.split(name):
        return public(name)
    return name


def without_paths(text: str) -> str:
    """A message with the last part of each path that it names in the path's place.

    Args:
        text: what a machine complained of.
    """
    return _PATH.sub(lambda found: _parts(found[0])[-1], text)


def public_facts(facts: Any) -> Any:
    """Facts with names instead of paths.

    Args:
        facts: plain data.
    """
    match facts:
        case Mapping():
            return {name: fact if name in _WORDS else public_facts(fact) for name, fact in facts.items()}
        case list():
            return [public_facts(fact) for fact in facts]
        case str() if not any(each.isspace() for each in facts):
            return public(facts)
        case _:
            return facts


def slug(name: str) -> str:
    """A name of small letters, digits and dashes alone.

    Args:
        name: from anyone.
    """
    return re.sub(r"[^a-z0-9]+", "-", public(name).lower()).strip("-")[:_LONGEST_SLUG].strip("-")


_LONGEST_SLUG = 80


def _parts(name: str) -> list[str]:
    return [part for part in _SEPARATORS.split(name) if part not in _NO_NAMES]
