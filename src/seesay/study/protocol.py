"""What the study does, fixed before any test feature was scored. Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import final

from seesay.explainers.config import DEFAULT_GRIDS, Setting
from seesay.records import Control, Decoding, Method, Strength, StrengthUnit
from seesay.reproduction.protocol import WORLD, Block, Explainer
from seesay.scorers.config import SCORES, KnownScore

TESTED: tuple[Method, ...] = ("steering", "topk", "hybrid", "steering+", "topk+", "hybrid+")
"""What is looked at on test features: the paper's methods, and what a lens makes of the same three sights."""

OURS: Method = "steering+"
"""What is held against the others."""

RIVALS: tuple[Method, ...] = tuple(method for method in TESTED if method != OURS)

ADAPTED = "adapter"
"""The candidate that is taught by explanations."""

CONTROLS: tuple[Control, ...] = ("random", "permuted")

JUDGED_BY: tuple[KnownScore, ...] = ("ground_truth", "counterfactual")
"""What the target is set in."""

MANY = 2000
"""Test features with which the bound is the narrower one."""

CHOSEN_BY: KnownScore = "ground_truth"
"""What every choice looks at, on validation features alone."""


TARGET_SIZES = ("M", "L")
"""The explainers that the target is set for."""

MOST_ABOVE_CHANCE = 0.05
"""What controls may get by a score, above what words get that say nothing."""


def bound_of(n_features: int) -> float:
    """What the interval of the lead over the hybrid must lie above.

    Args:
        n_features: on which it is measured.
    """
    return -0.02 if n_features >= MANY else -0.05


def most_by_controls(score: KnownScore) -> float:
    """What random directions and other features' words may get.

    Args:
        score: by which.
    """
    return (SCORES[score].chance or 0.0) + MOST_ABOVE_CHANCE


@final
@dataclass(frozen=True)
class Grid:
    """Strengths of which one is chosen.

    Args:
        unit: what a strength of 1 means.
        values: the strengths, the weakest first.
    """

    unit: StrengthUnit
    values: tuple[float, ...]


@final
@dataclass(frozen=True)
class Candidate:
    """A way to better words without an image set, and its like for methods that have one.

    Args:
        name: of it.
        setting: how it explains; without a strength it pushes as hard as its method does.
    """

    name: str
    setting: Setting


@final
@dataclass(frozen=True)
class Study:
    """A protocol.

    Args:
        subject: name of the model whose encoder is looked into.
        blocks: where features are read.
        explainers: the smallest first.
        images: that runs are collected from.
        n_images: how many.
        n_seeds: lenses of each block and explainer.
        n_linked_by: images by which it is told which features of different blocks are active together.
        max_cosine: of directions of one block, above which two features are in one cluster.
        max_correlation: of activations of features of different blocks, the same.
        max_share: of all features, above which a cluster is taken for a part by itself, which is test.
        teaching_share: of the other clusters.
        validation_share: the same.
        held_out_share: of concepts, whose features are test features.
        grids: of the methods whose strength is chosen.
        tried_on: the explainer that candidates are tried with.
        candidates: that are tried on validation features.
        n_controls: test features of each block beside which controls are explained.
        scores: of all that is said of test features.
        at_most: test features of each block that a score looks at, at most; all that are not named here.
        max_new_tokens: of an answer.
    """

    subject: str
    blocks: tuple[Block, ...]
    explainers: tuple[Explainer, ...]
    images: str
    n_images: int
    n_seeds: int
    n_linked_by: int
    max_cosine: float
    max_correlation: float
    max_share: float
    teaching_share: float
    validation_share: float
    held_out_share: float
    grids: Mapping[Method, Grid]
    tried_on: Explainer
    candidates: tuple[Candidate, ...]
    n_controls: int
    scores: tuple[KnownScore, ...]
    at_most: Mapping[KnownScore, int]
    max_new_tokens: int


def setting_of(study: Study, method: Method, strength: Strength | None, control: Control | None = None) -> Setting:
    """How a method explains in a study.

    Args:
        study: says so.
        method: which.
        strength: that was chosen; None where the method pushes nothing, or as its lens was taught.
        control: what takes the place of the feature.
    """
    return Setting(method, strength, control, decoding=Decoding(study.max_new_tokens))


def _tried(n_tokens: int) -> tuple[Candidate, ...]:
    decoding = Decoding(n_tokens)

    def steering(**changed: object) -> Setting:
        return Setting("steering", decoding=decoding, **changed)  # pyright: ignore[reportArgumentType] (fields)

    found = [Candidate("as published", steering())]
    found += [Candidate(f"contrast {share:g}", steering(contrast=share)) for share in (0.5, 1.0)]
    found += [Candidate("several strengths, one answer", steering(swept=True))]
    found += [Candidate(f"{nats:g} nats for each feature", steering(strength=Strength(nats, "kl"))) for nats in (1, 4)]
    found += [Candidate(f"on {empty}", steering(empty=empty)) for empty in ("black", "grey", "noise", "mean", "zeros")]
    found += [Candidate("on white, grey and black at once", steering(empty="several"))]
    found += [Candidate(f"at {where}", steering(positions=where)) for where in ("patches", "disc", "half")]
    found += [Candidate(ADAPTED, steering(adapter="that was taught"))]
    found += [Candidate("lens", Setting(OURS, decoding=decoding))]
    found += [Candidate("lens, nothing pushed", Setting(OURS, control="none", decoding=decoding))]
    return tuple(found)


STEERING_PLUS = Study(
    subject=WORLD.subject,
    blocks=WORLD.blocks,
    explainers=WORLD.explainers,
    images=WORLD.images,
    n_images=WORLD.n_images,
    n_seeds=3,
    n_linked_by=1500,
    max_cosine=0.5,
    max_correlation=0.5,
    max_share=0.05,
    teaching_share=0.25,
    validation_share=0.45,
    held_out_share=0.2,
    grids=MappingProxyType({
        "steering": Grid("residual_norm", DEFAULT_GRIDS["residual_norm"]),
        "hybrid": Grid("max_activation", DEFAULT_GRIDS["max_activation"]),
    }),
    tried_on=WORLD.explainers[1],
    candidates=_tried(WORLD.max_new_tokens),
    n_controls=150,
    scores=(*JUDGED_BY, "auroc", "detection"),
    at_most=MappingProxyType({"auroc": 100, "detection": 40}),
    max_new_tokens=WORLD.max_new_tokens,
)  # fmt: skip
"""In the embedded world."""
