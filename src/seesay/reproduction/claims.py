"""The paper's three claims, each with the rule by which it is judged. Pure functions of numbers.

The rules were written before the numbers were looked at, and know nothing of any model. The claims are those of the
abstract of arXiv 2603.22593.

Throughout, a feature's number is its mean over explainers, where a claim is not about them; features of all blocks
count alike, near-duplicates are drawn as one cluster, and intervals are of 95 %.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal, final

import numpy as np
from jaxtyping import Bool, Float64, Int64

from seesay.records import Level, Method
from seesay.scorers.config import KnownScore
from seesay.statistics import Estimate, contrast, holm, paired

Verdict = Literal["supported", "not supported", "undecided", "not tested"]
"""What a claim comes to: *not supported* is what the numbers speak against, *undecided* what they cannot tell, *not
tested* what was not measured."""

MIN_FEATURES = 300
"""Test features of each block without which a claim stays undecided."""

MAX_TIME = 1.1
"""As many times as long as Top-k the hybrid may take at "no extra cost"."""

MIN_OF_LEVEL = 30
"""Test features of each level without which the first claim stays undecided."""

SURE = 0.05
"""Of p values, corrected by Holm."""

ALL = "all"
"""Where a figure is of all blocks, or of all explainers."""

Values = Float64[np.ndarray, " feature"]


@final
@dataclass(frozen=True, eq=False)
class Numbers:
    """What a score gave to the same features, for every method and explainer.

    Args:
        score: its name.
        values: of each feature, by method, size and seed of the explainer.
        blocks: of each feature, the name of the block.
        levels: of each feature, what it stands for; an empty text where nobody knows.
        clusters: of each feature, the number of its cluster.
        is_informative: whether any way's words are above all that stands beside them, feature by feature.
        all_blocks: names of the blocks that there should be; those of the features if nobody says more.
    """

    score: KnownScore
    values: Mapping[tuple[Method, str, int], Values]
    blocks: Sequence[str]
    levels: Sequence[Level | Literal[""]]
    clusters: Int64[np.ndarray, " feature"]
    is_informative: bool = True
    all_blocks: tuple[str, ...] = ()

    @property
    def sizes(self) -> tuple[str, ...]:
        """Of the explainers, in their order."""
        return tuple(dict.fromkeys(size for _, size, _ in self.values))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the explainers."""
        return tuple(dict.fromkeys(seed for _, _, seed in self.values))

    def of(self, method: Method, *, size: str | None = None, seed: int | None = None) -> Values:
        """Each feature's mean over explainers.

        Args:
            method: how it was explained.
            size: of the explainers; None for all.
            seed: of the explainers; None for all.
        """
        found = [
            values
            for (name, of_size, of_seed), values in self.values.items()
            if name == method and size in (None, of_size) and seed in (None, of_seed)
        ]
        return np.mean(found, axis=0)

    def within(self, block: str) -> Bool[np.ndarray, " feature"]:
        """Which features are of a block.

        Args:
            block: its name, or `ALL`.
        """
        return np.array([block in (ALL, each) for each in self.blocks])

    @property
    def parts(self) -> tuple[str, ...]:
        """All blocks together, and each by itself."""
        return (ALL, *dict.fromkeys((*self.all_blocks, *self.blocks)))


@final
@dataclass(frozen=True)
class Figure:
    """A difference that was measured.

    Args:
        what: is compared.
        score: by which number.
        block: of which features: a block's name, or `ALL`.
        explainer: by whose words: a size, or `ALL`.
        difference: with its interval; None where there are no such features.
        p_value: of Wilcoxon's signed-rank test, by Holm where the rule says so; None where two groups are compared.
        decides: whether the rule looks at it.
        level: of the features, if it is of one level alone.
    """

    what: str
    score: KnownScore
    block: str
    explainer: str
    difference: Estimate | None
    p_value: float | None
    decides: bool
    level: Level | Literal[""] = ""


@final
@dataclass(frozen=True)
class Claim:
    """A claim and what came of it.

    Args:
        number: in the abstract.
        claim: in words.
        rule: by which it is judged.
        verdict: what it comes to.
        reasons: why.
        figures: that were measured.
        ratios: of time, the hybrid's to Top-k's, by explainer: the least, the middle and the largest of some rounds;
            empty for claims that are not about it.
    """

    number: int
    claim: str
    rule: str
    verdict: Verdict
    reasons: tuple[str, ...]
    figures: tuple[Figure, ...]
    ratios: Mapping[str, tuple[float, float, float]]


Times = Mapping[str, Sequence[tuple[float, float]]]
"""Seconds that Top-k and the hybrid took for the same features, one after the other: by explainer, in each round."""


def judge(numbers: Sequence[Numbers], times: Times, *, seed: int = 0) -> tuple[Claim, Claim, Claim]:
    """Judge all three claims.

    Args:
        numbers: of the scores that the claims are judged by; the first is the one by which a claim is judged that asks
            for one.
        times: of the hybrid and Top-k.
        seed: of resampling.
    """
    first = numbers[0]
    return complement(first, seed=seed), growth(first, seed=seed), best_of_both(numbers, times, seed=seed)


def complement(numbers: Numbers, *, seed: int = 0) -> Claim:
    """The first claim: steering complements explanations from inputs.

    Args:
        numbers: by which it is judged.
        seed: of resampling.
    """
    figures: list[Figure] = []
    for block, size in product(numbers.parts, (None, *numbers.sizes)):
        figures += _by_level(numbers, block, size, seed)
    interaction, low, high = (each.difference for each in figures[:3])
    reasons, few = list(_obstacles(numbers)), _few_of_level(numbers)
    if interaction is None or low is None or high is None or few:
        verdict, reasons = "undecided", [*reasons, *few]
    else:
        hopes = ((interaction, 1, "interaction"), (low, 1, "low-level"), (high, -1, "high-level"))
        verdict, told = _verdict([(name, *_signs(each, sign)) for each, sign, name in hopes])
        reasons += told
    return Claim(
        1,
        "Steering complements explanations from inputs: it is better on low-level features, Top-k on high-level ones.",
        f"Steering minus Top-k by {numbers.score}, mean over explainers. Supported: above 0 on low-level features,"
        " below 0 on high-level ones, and higher on the former than on the latter, all three intervals without 0. Not"
        f" supported: one of the three reversed, its interval without 0. {_LEAST} So it is with fewer than"
        f" {MIN_OF_LEVEL} features of a level.",
        "undecided" if _obstacles(numbers) else verdict,
        tuple(reasons),
        tuple(figures),
        {},
    )


def growth(numbers: Numbers, *, seed: int = 0) -> Claim:
    """The second claim: quality rises with the size of the language model.

    Args:
        numbers: by which it is judged.
        seed: of resampling.
    """
    text = "Explanations get better with the size of the language model."
    sizes, seeds = numbers.sizes, numbers.seeds
    rule = (
        f"The largest explainer minus the smallest one by {numbers.score}, mean over seeds. Supported: above 0 for"
        " every method, intervals without 0, and for each seed above 0. Not supported: below 0 for a method, its"
        f" interval without 0. {_LEAST}"
    )
    if len(sizes) < 2:
        return Claim(2, text, rule, "not tested", ("there is one explainer",), (), {})
    figures: list[Figure] = []
    steps = [(sizes[-1], sizes[0]), *(zip(sizes[1:], sizes, strict=False) if len(sizes) > 2 else ())]
    for block, (larger, smaller), method in product(numbers.parts, steps, _methods(numbers)):
        pair = numbers.of(method, size=larger), numbers.of(method, size=smaller)
        decides = block == ALL and (larger, smaller) == steps[0]
        of = _Of(f"{method}: {larger} - {smaller}", numbers, block, "", decides=decides)
        figures.append(of.paired(*pair, numbers.within(block), seed))
    outcomes: list[tuple[str, bool, bool]] = []
    for method, figure in zip(_methods(numbers), (each for each in figures if each.decides), strict=True):
        assert figure.difference is not None
        by_seed = [
            float((numbers.of(method, size=sizes[-1], seed=each) - numbers.of(method, size=sizes[0], seed=each)).mean())
            for each in seeds
        ]
        rises, falls = _signs(figure.difference, 1)
        outcomes.append((method, rises and min(by_seed) > 0, falls))
        if len(seeds) > 1:
            figures += [
                Figure(figure.what, numbers.score, ALL, f"seed {each}", Estimate(mean, mean, mean, 0), None, False)
                for each, mean in zip(seeds, by_seed, strict=True)
            ]
    verdict, reasons = _verdict(outcomes)
    few = _obstacles(numbers)
    return Claim(2, text, rule, "undecided" if few else verdict, (*few, *reasons), tuple(figures), {})


def best_of_both(numbers: Sequence[Numbers], times: Times, *, seed: int = 0) -> Claim:
    """The third claim: Steering-informed Top-k is the best of all, at no extra cost.

    Args:
        numbers: of all scores by which it is judged.
        times: of the hybrid and Top-k.
        seed: of resampling.
    """
    figures, first = list[Figure](), numbers[0]
    others: tuple[Method, ...] = ("topk", "steering")
    for each, other in product(numbers, others):
        for block, size in product(each.parts, (None, *each.sizes)):
            pair = each.of("hybrid", size=size), each.of(other, size=size)
            of = _Of(f"hybrid - {other}", each, block, size or ALL, decides=block == ALL and size is None)
            figures.append(of.paired(*pair, each.within(block), seed))
    places = [place for place, figure in enumerate(figures) if figure.decides]
    adjusted = holm([figures[place].p_value or 0.0 for place in places])
    outcomes: list[tuple[str, bool, bool]] = []
    for place, p_value in zip(places, adjusted, strict=True):
        figure = figures[place] = replace(figures[place], p_value=p_value)
        assert figure.difference is not None
        is_above, is_below = _signs(figure.difference, 1)
        name = f"{figure.what} by {figure.score}"
        outcomes.append((name, is_above and p_value < SURE, is_below and p_value < SURE))
    ratios = _ratios(times)
    if ratios and len(times) == len(first.sizes) * len(first.seeds):
        least, _, most = ratios[ALL]
        told = f"time, {least:.2f} to {most:.2f} times Top-k's"
        outcomes.append((told, most <= MAX_TIME, least > MAX_TIME))
    else:
        outcomes.append(("time, which was not measured", False, False))
    verdict, reasons = _verdict(outcomes)
    few = tuple(each for of_score in numbers for each in _obstacles(of_score))
    by = " and ".join(each.score for each in numbers)
    return Claim(
        3,
        "Steering-informed Top-k gives the best explanations of all, at no extra cost over Top-k.",
        f"The hybrid minus Top-k and minus Steering by {by}, mean over explainers. Supported: all above 0, intervals"
        f" without 0, p below {SURE} by Holm over all of them, and explaining takes at most {MAX_TIME} times as long as"
        " Top-k in every round of a measurement. Not supported: one below 0 in the same sense, or it takes longer in"
        f" every round. {_LEAST}",
        "undecided" if few else verdict,
        (*few, *reasons),
        tuple(figures),
        ratios,
    )


_LEAST = (
    f"Undecided otherwise, wherever a block has fewer than {MIN_FEATURES} test features with this number, and where it"
    " does not tell any method's words from all that stands beside them."
)


def _by_level(numbers: Numbers, block: str, size: str | None, seed: int) -> list[Figure]:
    """Steering minus Top-k: on low-level features less on high-level ones, on the former, and on the latter."""
    is_low, is_high = (np.array([each == level for each in numbers.levels]) for level in ("low-level", "high-level"))
    is_in, decides = numbers.within(block), block == ALL and size is None
    steering, topk = numbers.of("steering", size=size), numbers.of("topk", size=size)
    either, what, who = is_in & (is_low | is_high), "steering - topk", size or ALL
    interaction = None
    if (is_in & is_low).any() and (is_in & is_high).any():
        difference = (steering - topk)[either]
        interaction = contrast(difference, is_low[either], numbers.clusters[either], seed=seed)
    found = [Figure(f"{what}: low-level - high-level", numbers.score, block, who, interaction, None, decides)]
    for level, of_level in (("low-level", is_low), ("high-level", is_high)):
        of = _Of(f"{what}: {level}", numbers, block, who, decides=decides)
        found.append(replace(of.paired(steering, topk, is_in & of_level, seed), level=level))
    return found


@final
@dataclass(frozen=True, eq=False)
class _Of:
    """What a figure is of."""

    what: str
    numbers: Numbers
    block: str
    explainer: str
    decides: bool

    def paired(self, first: Values, second: Values, is_in: Bool[np.ndarray, " feature"], seed: int) -> Figure:
        """Compare two methods, or two explainers, on some of the features."""
        score, clusters = self.numbers.score, self.numbers.clusters
        if not is_in.any():
            return Figure(self.what, score, self.block, self.explainer, None, None, self.decides)
        found = paired(first[is_in], second[is_in], clusters[is_in], seed=seed)
        return Figure(self.what, score, self.block, self.explainer, found.difference, found.p_value, self.decides)


def _signs(found: Estimate, sign: int) -> tuple[bool, bool]:
    """Whether it is surely as hoped, and whether it is surely reversed."""
    # an interval without width is of features that are all alike, or one cluster: it tells nothing
    has_width = found.low < found.high
    above, below = has_width and found.low > 0, has_width and found.high < 0
    return (above, below) if sign > 0 else (below, above)


def _verdict(outcomes: Sequence[tuple[str, bool, bool]]) -> tuple[Verdict, list[str]]:
    """What it comes to that each thing is as hoped, reversed, or neither."""
    reversed_ = [name for name, _, is_reversed in outcomes if is_reversed]
    open_ = [name for name, as_hoped, is_reversed in outcomes if not as_hoped and not is_reversed]
    reasons = [f"against it: {name}" for name in reversed_] + [f"cannot be told: {name}" for name in open_]
    if reversed_:
        return "not supported", reasons
    return ("undecided" if open_ else "supported"), reasons


def _obstacles(numbers: Numbers) -> tuple[str, ...]:
    """Why a score can decide nothing."""
    counts = {block: int(numbers.within(block).sum()) for block in numbers.parts if block != ALL}
    few = [
        f"block {block} has {n} test features with {numbers.score}, fewer than {MIN_FEATURES}"
        for block, n in counts.items()
        if n < MIN_FEATURES
    ]
    dull = [] if numbers.is_informative else [f"{numbers.score} does not tell words from what stands beside them"]
    return (*few, *dull)


def _few_of_level(numbers: Numbers) -> tuple[str, ...]:
    counts = {level: sum(each == level for each in numbers.levels) for level in ("low-level", "high-level")}
    return tuple(
        f"{n} features are {level}, fewer than {MIN_OF_LEVEL}" for level, n in counts.items() if n < MIN_OF_LEVEL
    )


def _methods(numbers: Numbers) -> tuple[Method, ...]:
    return tuple(dict.fromkeys(method for method, _, _ in numbers.values))


def _ratios(times: Times) -> dict[str, tuple[float, float, float]]:
    """How many times as long as Top-k the hybrid took, all explainers together and each: least, middle, largest."""
    if not times:
        return {}
    together = [tuple(map(sum, zip(*rounds, strict=True))) for rounds in zip(*times.values(), strict=False)]
    found: dict[str, tuple[float, float, float]] = {}
    for name, rounds in ((ALL, together), *times.items()):
        ratios = [hybrid / topk for topk, hybrid in rounds]
        found[name] = (min(ratios), float(np.median(ratios)), max(ratios))
    return found
