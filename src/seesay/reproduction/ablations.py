"""What an explanation hangs on: one factor changed at a time, on one block and one explainer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import final, get_args

from seesay.explainers.config import Empty, Setting
from seesay.images.options import Overlay
from seesay.records import Ablation, Decoding, Method, Mode, Strength

_SHOWN = (1, 2, 3, 8)
_TIMES = (0.25, 0.5, 2.0, 4.0)
_SEEDS = (1, 2)
_TEMPERATURE = 0.7  # published for Gemma, with top-p 0.95 and top-k 64
_TOP_P, _TOP_K = 0.95, 64
_SHOWING: tuple[Method, ...] = ("topk", "hybrid")
_STEERED: tuple[Method, ...] = ("steering", "hybrid")


@final
@dataclass(frozen=True)
class Variation:
    """One thing done otherwise.

    Args:
        factor: what is changed.
        value: to what, in words; empty for the base, from which nothing differs.
        setting: how it is then explained.
        n_images: of a smaller set that exemplars come from; None for the whole.
    """

    factor: str
    value: str
    setting: Setting
    n_images: int | None = None


def variations(bases: Sequence[Setting], sizes: Sequence[int]) -> Iterator[Variation]:
    """All of them, the bases first.

    Args:
        bases: how each method explains, strengths included.
        sizes: of smaller sets of images.
    """
    by_method = {each.method: each for each in bases}
    for each in bases:
        yield Variation("base", "", each)
    steering, hybrid = by_method["steering"], by_method["hybrid"]
    for empty in get_args(Empty):
        if empty not in (steering.empty, "several"):  # one image at a time, as the paper
            yield Variation("empty image", empty, replace(steering, empty=empty))
    yield Variation("positions", "patches", replace(steering, positions="patches"))
    for method in _STEERED:
        own = by_method[method]
        for mode in get_args(Mode):
            if mode != own.push:
                yield Variation("mode", mode, replace(own, mode=mode))
        assert own.strength is not None
        for times in _TIMES:
            strength = Strength(own.strength.value * times, own.strength.unit)
            yield Variation("strength", f"{times:g} times", replace(own, strength=strength))
    for method in _SHOWING:
        own = by_method[method]
        for n in _SHOWN:
            yield Variation("images shown (k)", str(n), replace(own, n_images=n))
        for overlay in get_args(Overlay):
            if overlay != own.overlay:
                yield Variation("overlay", overlay, replace(own, overlay=overlay))
        yield Variation("exemplars", "quantile", replace(own, selection="quantile"))
        for n in sizes:
            yield Variation("images to choose from", str(n), own, n)
    for ablation in get_args(Ablation):
        # no strength where nothing is pushed: it would be no other way
        changed = replace(hybrid, control=ablation)
        yield Variation("hybrid swaps", ablation, changed)
    yield Variation("hybrid swaps", "no push, steering", replace(steering, control="none"))
    for method, seed in ((each, seed) for each in by_method for seed in (0, *_SEEDS)):
        drawn = Decoding(by_method[method].decoding.max_new_tokens, _TEMPERATURE, _TOP_P, _TOP_K, seed=seed)
        yield Variation("words drawn, by seed", str(seed), replace(by_method[method], decoding=drawn))
    for method, seed in ((each, seed) for each in by_method for seed in (0, *_SEEDS)):
        changed = replace(by_method[method], control="random", seed=seed)
        yield Variation("random control, by seed", str(seed), changed)


def images_of(n_images: int) -> tuple[int, ...]:
    """Sizes of smaller sets of images: sixteenths of the whole, each twice the one before.

    Args:
        n_images: of the whole.
    """
    return tuple(n_images // part for part in (16, 8, 4, 2))
