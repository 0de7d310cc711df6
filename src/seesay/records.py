"""The records that every layer speaks: plain frozen data, free of torch and of files."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from seesay.errors import InvalidDecoding

Split = Literal["validation", "test"]
"""Which features choose and which are judged; see [seesay.split][]."""

Status = Literal["ok", "empty", "failed"]
"""How an explanation came out: words, no words, or a machine failure (out of memory, say)."""

StrengthUnit = Literal["coefficient", "residual_norm", "max_activation", "kl"]
"""What a strength of 1 means; see [seesay.records.Strength][]."""

Mode = Literal["add", "replace", "clamp"]
"""How a direction is pushed: onto the residual, in its place, or until the feature's activation is the strength."""

Method = Literal[
    "steering",
    "topk",
    "hybrid",
    "steering+",
    "topk+",
    "hybrid+",
    "one-word",
    "vocabulary",
    "token-change",
    "dissect",
    "imported",
]
"""How words are found, or that they were found elsewhere; see [seesay.explainers.config.METHODS][]."""

Control = Literal["random", "permuted"]
"""What takes the place of all that a feature brings, its direction and its images: a random direction of the same norm
and images drawn at random, or another feature's direction and images."""

Ablation = Literal["none", "random-direction", "permuted-direction", "random-images", "permuted-images"]
"""What is taken away: the intervention (`none`), or the feature's direction or its images alone, in whose place
something random or another feature's is put. It tells how much of the words comes from each."""


Aid = Literal["permuted", "constant"]
"""What is scored in the place of a feature's own words, so that one sees what a score is worth: those of another
feature, or the same for all."""

Verdict = Literal["right", "partly", "wrong"]
"""What a person says of an explanation."""

WORTH: Mapping[Verdict, float] = MappingProxyType({"right": 1.0, "partly": 0.5, "wrong": 0.0})
"""What a verdict counts where verdicts are averaged."""

SightingOrder = Literal["activation", "peak", "rarity"]
"""Which of the features that an image activates come first: by the image's activation, by its most active patch, or the
rarest of a run."""

MOST_SIGHTED = 200
"""Features of an image that are told at most."""

Level = Literal["low-level", "high-level", "other"]
"""What words speak of: colours, textures, edges; things and scenes; or neither."""


@dataclass(frozen=True)
class Strength:
    """How hard a feature is pushed.

    Args:
        value: any finite number; negative suppresses the feature, 0 leaves the image alone.
        unit: `coefficient` is the raw alpha of the paper on a unit-norm direction; `residual_norm` counts in mean
            residual norms of the empty image at the steered block; `max_activation` in the feature's own largest
            activation; `kl` in nats by which the push moves the distribution of the answer's first word: each feature
            is pushed as hard as that takes.
    """

    value: float
    unit: StrengthUnit = "coefficient"


@dataclass(frozen=True)
class Decoding:
    """How the explainer's words are chosen.

    Args:
        max_new_tokens: where an answer is cut off.
        temperature: 0 takes the most probable token each time (greedy); above it, tokens are drawn.
        top_p: draw from the fewest tokens that together have this probability.
        top_k: draw from so many most probable tokens; 0 from all.
        n_samples: answers to each question; they differ only if they are drawn.
        seed: of the draw.
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    n_samples: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name, holds, expected in (
            ("max_new_tokens", self.max_new_tokens >= 1, "at least 1"),
            ("temperature", 0 <= self.temperature < math.inf, "0 (greedy) or a finite number above it"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("top_k", self.top_k >= 0, "0 (all) or more"),
            ("n_samples", self.n_samples >= 1, "at least 1"),
        ):
            if not holds:
                raise InvalidDecoding(f"{name} {getattr(self, name)}", expected=expected)


@dataclass(frozen=True)
class FeatureStats:
    """What was counted of one feature on all images.

    Args:
        feature_id: row of the SAE's decoder.
        split: `validation` or `test`.
        frequency: on which share of the patches it is active.
        image_frequency: on which share of the images it is active somewhere.
        mean_activation: over the patches where it is active; 0 if there are none.
        max_activation: over all patches; 0 if it is never active.
        histogram: of its activations over patches; see [seesay.exemplars.statistics.bin_edge][].
        fires_with: the features that are most often active on the same patches, with the share of its patches (of a
            random sample) on which they are.
        nearest: the features whose directions are nearest, with the cosine.
    """

    feature_id: int
    split: Split
    frequency: float
    image_frequency: float
    mean_activation: float
    max_activation: float
    histogram: tuple[int, ...] = field(repr=False)
    fires_with: tuple[tuple[int, float], ...] = field(repr=False)
    nearest: tuple[tuple[int, float], ...] = field(repr=False)


@dataclass(frozen=True)
class Explanation:
    """What the explainer said of one feature.

    Args:
        feature_id: row of the SAE's decoder.
        method: how it was found, `steering` for example.
        control: what took the place of the feature, or of a part of what it brings; None for the feature itself.
        text: the cleaned words; empty unless `status` is `ok`.
        raw_text: the model's own words, untouched.
        status: `ok`, `empty` or `failed`; a failure is never a text.
        strength: the strength asked for; None if nothing was steered.
        coefficient: what it came to, in units of the residual stream; None if nothing was steered.
        mean_log_probability: mean natural log-probability per generated token; None if nothing was generated.
        sample: its number among the answers about that feature.
        image_ids: of the exemplars that were shown, in their order.
        donor_id: where another feature's direction or images were used, that feature.
        seconds: that it took, its share of a batch.
        encoder_differs_in: the first tensor in which the explainer's vision encoder is not the subject's, where that
            was allowed; empty if they are the same, or one.
        reason: why there are no words; empty if there are.
        coarse: 1 for the method as it is. More is an approximation: squares of so many patches a side went through the
            encoder as one.
    """

    feature_id: int
    method: str
    control: Control | Ablation | None
    text: str
    raw_text: str
    status: Status
    strength: Strength | None
    coefficient: float | None
    mean_log_probability: float | None = None
    sample: int = 0
    image_ids: tuple[int, ...] = ()
    donor_id: int | None = None
    seconds: float = field(default=0.0, compare=False)
    encoder_differs_in: str = ""
    reason: str = ""
    coarse: int = 1
