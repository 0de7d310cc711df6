"""Names as they go to others: where something lies on a disk is nobody's business."""

import re
from collections.abc import Mapping
from typing import Any

from seesay.scorers.config import AID
from seesay.scorers.measures import MEASURE

_LOCAL = re.compile(r"[/\\~]|\.{1,2}(?:[/\\]|$)|[A-Za-z]:[/\\]|file:")
_BEGINS_A_PATH = re.compile(r"(?:~[\w.-]*|[A-Za-z]:|\.{1,2}|file:)?[/\\]+\S")  # "~50 cats/dogs" are words
_SEPARATORS = re.compile(r"[/\\]+")
_NO_NAMES = frozenset({"", ".", "..", "~", "file:"})
_MOST_PARTS = 2  # of a name on the hub, owner/name
_ON_THE_HUB = re.compile(r"[\w.-]+(?:/[\w.-]+)?", re.ASCII)  # never with a plus, unlike folders

_PATH = re.compile(r"(?<![\w.])(?:~|[A-Za-z]:)?(?:[/\\][^\s/\\:;,'\"`()<>]+){2,}")
_WORDS = frozenset({"prompt", "opening", "start", "questions", AID, MEASURE})
"""Facts that are said to a model or to people, and all that is in them: words and no names."""

_NAMES = frozenset({
    "checkpoint", "dataset", "detector", "embedder", "encoder", "explainer", "file", "files", "folder", "images",
    "judge", "masker", "model", "models", "name", "path", "paths", "sae", "sae_revision", "sae_subfolder", "segmenter",
    "subject", "synthesiser", "tokenizer", "vlm", "vocabulary", "weights",
})  # fmt: skip
"""Facts that are names of models, images and files: the parts of a path may have blanks in them, as words have."""


def public(name: str) -> str:
    """What a model, an SAE or a source of images is called.

    Args:
        name: as it was given: a part of the embedded world, a name on the hub, a path, or two of them with a plus
            between them.

    Returns:
        The last part of a path; any other name as it is. A path of two parts that begins with neither a slash nor a dot
        cannot be told from a name on the hub.
    """
    return "+".join(map(_public_one, _pair(name)))


def _pair(name: str) -> list[str]:
    """The two names that stand in one; a folder may have a plus in its own, and words may have one, too."""
    pieces = name.split("+") if _SEPARATORS.search(name) else [name]
    for n in range(1, len(pieces)):
        pair = ["+".join(pieces[:n]).strip(), "+".join(pieces[n:]).strip()]
        if all(_LOCAL.match(each) or _ON_THE_HUB.fullmatch(each) for each in pair):
            return pair
    return [name]


def _public_one(name: str) -> str:
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

    What a fact is called says whether it is a name or words, in which a slash is only a slash. A text of which nothing
    says what it is, as a scorer of one's own may have, is a name if it has no blank or begins as a path does; in any
    other the paths are replaced.

    Args:
        facts: plain data.
    """
    return _public_fact(facts, "")


def _public_fact(fact: Any, called: str) -> Any:
    match fact:
        case _ if called in _WORDS:
            return fact
        case Mapping():
            return {name: _public_fact(each, name) for name, each in fact.items()}
        case list():
            return [_public_fact(each, called) for each in fact]
        case str():
            is_name = called in _NAMES or _BEGINS_A_PATH.match(fact) or not any(each.isspace() for each in fact)
            return public(fact) if is_name else without_paths(fact)
        case _:
            return fact


def slug(name: str) -> str:
    """A name of small letters, digits and dashes alone.

    Args:
        name: from anyone.
    """
    return re.sub(r"[^a-z0-9]+", "-", public(name).lower()).strip("-")[:_LONGEST_SLUG].strip("-")


_LONGEST_SLUG = 80


def _parts(name: str) -> list[str]:
    return [part for part in _SEPARATORS.split(name) if part not in _NO_NAMES]
