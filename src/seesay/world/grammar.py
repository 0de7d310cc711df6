"""The world's English: concepts to words, scenes to captions, and words back to concepts.

Phrases are parsed whole, by longest match over words, so that a `car` is never found in a `carrot` nor a `tree` that
the world does not have in a `pine tree`.
"""

import re
from collections.abc import Iterable
from functools import cache

from seesay.errors import UnknownPhrase
from seesay.world.concepts import CONCEPTS, Concept
from seesay.world.scenes import Item, Scene

NOTHING = "nothing"
"""What is said of a picture that holds no object, or of a highlight that shows nothing."""


def article(words: str) -> str:
    """The words with their indefinite article; plural names and substances go without."""
    if words in _NO_ARTICLE:
        return words
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


_NO_ARTICLE = frozenset({"grapes", "corn", "bread", "cherries", "wheat", "scissors", "lightning", "cheese", "santa"})


def phrase(concept: Concept) -> str:
    """The words for one concept, such as `a frog`, `the colour red`, `a striped pattern` or `the top left`."""
    match concept.kind:
        case "colour":
            return f"the colour {concept.name}"
        case "fill":
            return article(f"{concept.name} pattern")
        case "position":
            return f"the {concept.name}"
        case _:
            return article(_words(concept))


def _words(concept: Concept) -> str:
    """The words that stand for a concept wherever they are met, without article or `pattern`."""
    match concept.kind:
        case "category":
            return "sky object" if concept.name == "sky" else concept.name
        case "background" | "edge":
            return f"{concept.name} {concept.kind}"
        case "boundary":
            return "object boundary"
        case "brightness":
            return f"{concept.name} area"
        case "size":
            return f"{concept.name} object"
        case _:
            return concept.name


def describe_item(item: Item) -> str:
    """One object in words, such as `a red striped star` or `a frog`."""
    if item.colour is None or item.fill is None:
        return article(item.noun)
    return article(f"{item.colour} {item.fill} {item.noun}")


def caption(scene: Scene) -> str:
    """A whole scene in words: its objects from left to right, then the background.

    A pattern is said in one go: `many copies of` the one object.
    """
    where = f"on {article(f'{scene.background} background')}"
    if not scene.items:
        return f"{NOTHING} {where}"
    if scene.layout == "pattern":
        return f"many copies of {describe_item(scene.items[0])} {where}"
    items = sorted(scene.items, key=lambda item: item.centre)
    return f"{' and '.join(map(describe_item, items))} {where}"


_WORD = re.compile(r"[a-z]+")


@cache
def _lexicon() -> dict[tuple[str, ...], Concept]:
    """Whole phrases by their words. Where a shorter phrase begins a longer one, the longest match wins."""
    return {tuple(_words(concept).split()): concept for concept in CONCEPTS}


def parse_groups(text: str) -> tuple[tuple[Concept, ...], ...]:
    """The concepts that a text names, in order, grouped by the noun phrase that they stand in.

    `a red striped star on a blue background` gives `((red, striped, star), (blue background,))`. Words that the world
    does not know are passed over.
    """
    lexicon = _lexicon()
    groups: list[tuple[Concept, ...]] = []
    for part in re.split(r"\band\b|\bon\b|\bof\b|[.,;:!?]", text.lower()):
        words = tuple(_WORD.findall(part))
        found: list[Concept] = []
        place = 0
        while place < len(words):
            for length in (2, 1):
                concept = lexicon.get(words[place : place + length])
                if concept is not None:
                    found.append(concept)
                    place += length
                    break
            else:
                place += 1
        if found:
            groups.append(tuple(found))
    return tuple(groups)


def parse(text: str) -> tuple[Concept, ...]:
    """The concepts that a text names, in order; empty if it names none."""
    return tuple(concept for group in parse_groups(text) for concept in group)


def parse_strictly(text: str) -> tuple[tuple[Concept, ...], ...]:
    """Like [parse_groups][seesay.world.grammar.parse_groups], for text that must name something.

    Raises:
        UnknownPhrase: if nothing in it is of the world.
    """
    groups = parse_groups(text)
    if not groups:
        raise UnknownPhrase(
            f"the phrase {text!r} names nothing of the world",
            expected="words such as 'a frog', 'a red striped star' or 'a blue background'",
        )
    return groups


def vocabulary(texts: Iterable[str] = ()) -> tuple[str, ...]:
    """Every word that the grammar can say, and those of some more texts, sorted."""
    spoken = [phrase(concept) for concept in CONCEPTS]
    spoken += [NOTHING, "many copies of", "and", "on", "an", "a", "the", *texts]
    return tuple(sorted({word for text in spoken for word in text.split()}))
