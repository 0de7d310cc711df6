"""Pictures made from a phrase: the world's answer to a text-to-image model."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from seesay.errors import UnknownPhrase
from seesay.world.concepts import Concept
from seesay.world.grammar import parse_strictly
from seesay.world.masks import OBJECT_KINDS, PATCH_SIZE, PRESENT, mask, object_mask
from seesay.world.rendering import Rendering, render
from seesay.world.scenes import Item, Scene, sample
from seesay.world.streams import seeds

_SEEDS_PER_IMAGE = 64
_EXTRA_SCALE = 0.75  # objects beyond the first are drawn a little smaller, so that all of them are seen
_MIN_PIXELS = PRESENT * PATCH_SIZE**2
_OF_OBJECTS = OBJECT_KINDS | {"colour"}

_Group = tuple[Concept, ...]


def synthesise(text: str, number: int) -> Rendering:
    """Make a picture that shows what a phrase says, all else being random.

    Args:
        text: such as `a frog`, `a red striped star and a cat` or `a blue background`.
        number: of the picture; the same text and number give the same picture, other numbers others.

    Raises:
        UnknownPhrase: if the phrase names nothing of the world, or something that cannot be.
    """
    groups = parse_strictly(text)
    objects = [own for group in groups if (own := _of_object(group))]
    around = tuple(concept for group in groups for concept in group if concept not in _of_object(group))
    chosen = seeds("synthesis", number * _SEEDS_PER_IMAGE, _SEEDS_PER_IMAGE)
    for scene in _several(chosen, objects, around) if len(objects) > 1 else _single(chosen, objects, around):
        rendering = render(scene)
        if _shows(rendering, objects, around):
            return rendering
    raise UnknownPhrase(
        f"no picture shows {text!r}", expected="fewer things at once", remedy="ask for one after the other"
    )


def _of_object(group: _Group) -> _Group:
    """What of a noun phrase is said of one object, its place included; empty if it is about none."""
    if not any(concept.kind in _OF_OBJECTS for concept in group):
        return ()
    return tuple(concept for concept in group if concept.kind in _OF_OBJECTS or concept.kind == "position")


def _askable(group: _Group) -> _Group:
    """What a scene can be asked for. The colours of things are in their pictures: one can only look for them."""
    is_thing = any(concept.kind in ("thing", "category") for concept in group)
    left_to_chance = {"position", "colour"} if is_thing else {"position"}
    return tuple(concept for concept in group if concept.kind not in left_to_chance)


def _single(chosen: range, objects: Sequence[_Group], around: _Group) -> Iterator[Scene]:
    wanted = (*(concept for group in objects for concept in _askable(group)), *around)
    return (sample(seed, wanted) for seed in chosen)


def _several(chosen: range, objects: Sequence[_Group], around: _Group) -> Iterator[Scene]:
    """Pictures made of the front objects of several scenes, one for each group; the first keeps its background."""
    for start in range(0, len(chosen) - len(objects) + 1, len(objects)):
        base = sample(chosen[start], (*_askable(objects[0]), *around), ("objects",))
        fronts = [base.items[-1]]
        for seed, group in zip(chosen[start + 1 :], objects[1:], strict=False):
            fronts.append(_extra(sample(seed, _askable(group), ("objects",)).items[-1], group))
        yield replace(base, items=tuple(fronts))


def _extra(item: Item, group: _Group) -> Item:
    of_any_size = all(concept.kind != "size" for concept in group)
    return replace(item, size=item.size * _EXTRA_SCALE) if of_any_size else item


def _shows(rendering: Rendering, objects: Sequence[_Group], around: _Group) -> bool:
    """Whether there is a quarter of a patch, at least, of all that was asked for, where it was asked for."""
    found = [object_mask(rendering, group) for group in objects] + [mask(rendering, concept) for concept in around]
    return all(pixels.sum() >= _MIN_PIXELS for pixels in found)
