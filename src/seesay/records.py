"""The records that every layer speaks: plain frozen data, free of torch and of files."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "empty", "failed"]
"""How an explanation came out: words, no words, or a machine failure (out of memory, say)."""

StrengthUnit = Literal["coefficient", "residual_norm", "max_activation"]
"""What a strength of 1 means; see [seesay.steering.coefficient][]."""


@dataclass(frozen=True)
class Strength:
    """How hard a feature is pushed.

    Args:
        value: any finite number; negative suppresses the feature, 0 leaves the image alone.
        unit: `coefficient` is the raw alpha of the paper on a unit-norm direction; `residual_norm` counts in mean
            residual norms of the empty image at the steered block; `max_activation` in the feature's own largest
            activation.
    """

    value: float
    unit: StrengthUnit = "coefficient"


@dataclass(frozen=True)
class Explanation:
    """What the explainer said of one feature.

    Args:
        feature_id: row of the SAE's decoder.
        method: how it was found, `steering` for example.
        control: what took the feature's place, `random` or `permuted`; None for the feature itself.
        text: the cleaned words; empty unless `status` is `ok`.
        raw_text: the model's own words, untouched.
        status: `ok`, `empty` or `failed`; a failure is never a text.
        strength: the strength asked for.
        coefficient: what it came to, in units of the residual stream.
        mean_log_probability: mean natural log-probability per generated token; None if nothing was generated.
        donor_id: for a permuted control, the feature whose direction was used.
        reason: why there are no words; empty if there are.
    """

    feature_id: int
    method: str
    control: Literal["random", "permuted"] | None
    text: str
    raw_text: str
    status: Status
    strength: Strength
    coefficient: float
    mean_log_probability: float | None = None
    donor_id: int | None = None
    reason: str = ""
