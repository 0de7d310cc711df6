"""The scores that there are, and all that their numbers depend on but words, features and models. Free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, final, get_args

from seesay.errors import InvalidSetting, check_choice
from seesay.images.options import Overlay

Score = str
"""The name of what is measured together: one of `SCORES`, or of a user's own, of which runs keep what they measure; see
[seesay.scorers.measures][]."""

KnownScore = Literal[
    "iou",
    "clip",
    "auroc",
    "detection",
    "fuzzing",
    "faithfulness",
    "ground_truth",
    "counterfactual",
    "people",
    "monosemanticity",
    "distinctness",
]
"""The scores that seesay has; see [seesay.scorers.config.SCORES][]."""

Need = Literal["segmenter", "embedder", "synthesiser", "judge", "subject", "explainer", "images", "world", "people"]
"""What a score cannot do without: an instrument, the subject's encoder and SAE, the explainer, a pass over the images,
the embedded world's records, or people. What people say is kept as they said it, and never as a number."""

Holding = Literal["held-out", "shared"]
"""Which images scores are computed on: those of the scoring half, which no explainer was shown; or, as the paper did,
five of the ten most activating ones, five of which its explainer was shown."""

LEAST, MOST = 2, 1000

AID = "aid"
"""Under this name the facts of a scoring tell which words it put in the place of a feature's own."""


@final
@dataclass(frozen=True)
class Measure:
    """What is measured together.

    Args:
        value: name of the number that stands for it; a score of a user's own bears the same.
        others: names of what comes with it.
        needs: what it cannot do without.
        chance: what words that say nothing get; None where that is what an empty text gets by itself.
        of_words: it measures explanations; otherwise it measures features, whatever is said of them.
        what: in a line.
    """

    value: str
    others: tuple[str, ...] = ()
    needs: frozenset[Need] = frozenset()
    chance: float | None = None
    what: str = ""
    of_words: bool = True


def _needs(*names: Need) -> frozenset[Need]:
    return frozenset(names)


SCORES: Mapping[KnownScore, Measure] = MappingProxyType({
    "iou": Measure(
        "iou",
        ("precision", "recall", "found"),
        _needs("segmenter"),
        0.0,
        "do the words, segmented in exemplars, cover the heatmap?",
    ),
    "clip": Measure(
        "clip",
        ("clip_others", "clip_difference"),
        _needs("embedder"),
        None,
        "how near are the words to exemplars, masked to the active patches?",
    ),
    "auroc": Measure(
        "auroc",
        ("mean_activation", "mad"),
        _needs("synthesiser", "subject"),
        0.5,
        "do images made from the words activate the feature more than others do?",
    ),
    "detection": Measure(
        "detection",
        ("detection_auc", "unanswered"),
        _needs("judge", "subject"),
        0.5,
        "can a judge tell by the words which images activate the feature?",
    ),
    "fuzzing": Measure(
        "fuzzing",
        ("fuzzing_auc", "unanswered"),
        _needs("judge", "subject"),
        0.5,
        "can a judge tell by the words which highlight is the feature's?",
    ),
    "faithfulness": Measure(
        "faithfulness",
        ("coefficient",),
        _needs("explainer", "subject"),
        0.0,
        "do the words become more probable when the feature is pushed? (circular for steering)",
    ),
    "ground_truth": Measure(
        "ground_truth",
        ("f1", "category", "live_hit", "named", "low_level"),
        _needs("subject", "world"),
        0.0,
        "does the first thing that is named hold for the feature, by the scenes' records?",
    ),
    "counterfactual": Measure(
        "counterfactual",
        (),
        _needs("subject", "world"),
        0.5,
        "does the feature answer to what is named, all else being equal?",
    ),
    "people": Measure(
        "people",
        (),
        _needs("people"),
        None,
        "do people say that the words are right?",
    ),
    "monosemanticity": Measure(
        "monosemanticity",
        (),
        _needs("embedder", "subject", "images"),
        None,
        "how alike are the images that activate the feature, weighed by activation?",
        of_words=False,
    ),
    "distinctness": Measure(
        "clarity",
        ("redundancy", "polysemanticity"),
        _needs("embedder"),
        None,
        "how alike are its exemplars, how like another feature's, and do they fall in two?",
        of_words=False,
    ),
})  # fmt: skip
"""Every score, by name; each is a file of [seesay.scorers][], the world's two of [seesay.world.scorers][]; what people
say is read by [seesay.comparison.people][]."""


@final
@dataclass(frozen=True)
class Scoring:
    """How scores are computed.

    Args:
        holding: on which images.
        n_exemplars: held-out exemplars that words are held against (iou, clip, distinctness, faithfulness).
        n_images: images made from each explanation, and control images.
        n_positives: images that a judge is shown with the feature, and as many without it.
        overlay: how a highlight is shown to a judge.
        first_mask: take the first mask alone instead of the union of all, as the paper did.
        seed: of whatever is drawn.

    Raises:
        UnknownChoice: another word where one of a few is meant.
        InvalidSetting: a number that cannot be.
    """

    holding: Holding = "held-out"
    n_exemplars: int = 10
    n_images: int = 20
    n_positives: int = 10
    overlay: Overlay = "mask"
    first_mask: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice(self.holding, get_args(Holding), "holding")
        check_choice(self.overlay, ("mask", "heatmap"), "overlay")
        for name in ("n_exemplars", "n_images", "n_positives"):
            if not LEAST <= getattr(self, name) <= MOST:
                raise InvalidSetting(f"{name} {getattr(self, name)}", expected=f"{LEAST} to {MOST}")
        if not 0 <= self.seed < 1 << 63:
            raise InvalidSetting(f"seed {self.seed}", expected="0 or more, below 2 to the 63rd")


PAPER = Scoring(holding="shared", n_exemplars=5, n_images=3, first_mask=True)
"""The published protocol (arXiv 2603.22593)."""
