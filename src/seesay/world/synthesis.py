"""Pictures made from a phrase: the world's answer to a text-to-image model."""

from itertools import islice

from seesay.world.concepts import Concept
from seesay.world.grammar import parse_strictly
from seesay.world.rendering import Rendering, render
from seesay.world.scenes import Item, Scene, sample
from seesay.world.streams import seeds

_SEEDS_PER_IMAGE = 64
_EXTRA_SCALE = 0.75  # objects beyond the first are drawn a little smaller, so that all of them are seen


def synthesise(text: str, number: int) -> Rendering:
    """Make a picture that shows what a phrase says, all else being random.

    Args:
        text: such as `a frog`, `a red striped star and a cat` or `a blue background`.
        number: of the picture; the same text and number give the same picture, other numbers others.

    Raises:
        UnknownPhrase: if the phrase names nothing of the world, or something that cannot be.
    """
    groups = parse_strictly(text)
    background = tuple(concept for group in groups for concept in group if concept.kind == "background")
    objects = [tuple(c for c in group if c.kind != "background") for group in groups]
    objects = [group for group in objects if group]
    chosen = seeds("synthesis", number * _SEEDS_PER_IMAGE, _SEEDS_PER_IMAGE)
    if len(objects) < 2:
        return render(sample(chosen[0], (*(objects[0] if objects else ()), *background)))
    base = _open_scene(chosen, (*objects[0], *background), skip=0)
    extra = [_open_scene(chosen, group, skip=row).items[-1] for row, group in enumerate(objects[1:], start=1)]
    front = [_shrunk(item) for item in reversed(extra)]
    return render(Scene(base.seed, "objects", base.background, (*base.items[-1:], *front)))


def _open_scene(chosen: range, group: tuple[Concept, ...], skip: int) -> Scene:
    """The scene of the n-th seed that is neither close-up nor pattern."""
    open_scenes = (scene for scene in (sample(seed, group) for seed in chosen) if scene.layout == "objects")
    return next(islice(open_scenes, skip, None))


def _shrunk(item: Item) -> Item:
    return Item(item.noun, item.colour, item.fill, item.centre, item.size * _EXTRA_SCALE, item.angle)
