"""How a lens is taught. Free of torch."""

import math
from dataclasses import dataclass, fields
from typing import final

from seesay.errors import InvalidSetting

MOST = 1 << 20
"""Of whatever is counted here."""


@final
@dataclass(frozen=True)
class Teaching:
    """How a lens is taught; the numbers were chosen on validation features of the embedded world.

    Args:
        n_pupils: patches, each with its likes, that the model is asked about.
        n_images: images that a pupil's patches come from.
        n_looked_at: images that pupils are found in, at most.
        likeness: a patch belongs to a pupil if it is at least this share as like it as the likest of its image.
        n_references: features that phrases are taken from and the lens is held against, at most.
        n_phrases: phrases that it knows, at most: those that are said most often.
        proposing: the strengths at which features are steered for phrases, in strengths of the lens.
        temperature: by which log-probabilities are divided before they are taken for what a pupil means.
        common_share: how much of what the model says of all pupils is taken away before that.
        decay: weight decay of the map.
        levelling: the power of its norm by which a phrase's weights are divided: 0 leaves common phrases the loudest, 1
            makes all equally loud.
        seed: of what is drawn.

    Raises:
        InvalidSetting: numbers that nothing can be taught by.
    """

    n_pupils: int = 3000
    n_images: int = 5
    n_looked_at: int = 2000
    likeness: float = 0.75
    n_references: int = 250
    n_phrases: int = 256
    proposing: tuple[float, ...] = (0.5, 0.7, 1.0, 1.4, 2.0)
    temperature: float = 1.0
    common_share: float = 0.75
    decay: float = 3e-4
    levelling: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.startswith("n_") and not 2 <= value <= MOST and not (field.name == "n_images" and value == 1):
                raise InvalidSetting(f"{field.name} {value}", expected=f"2 to {MOST}")
        for name, holds, expected in (
            ("likeness", 0 < self.likeness <= 1, "above 0, at most 1"),
            ("proposing", bool(self.proposing) and all(map(math.isfinite, self.proposing)), "finite numbers"),
            ("temperature", 0 < self.temperature < math.inf, "a finite number above 0"),
            ("common_share", 0 <= self.common_share <= 1, "0 to 1"),
            ("decay", 0 < self.decay < math.inf, "a finite number above 0"),
            ("levelling", 0 <= self.levelling <= 1, "0 to 1"),
            ("seed", 0 <= self.seed < 1 << 63, "0 or more, below 2 to the 63rd"),
        ):
            if not holds:
                raise InvalidSetting(f"{name} {getattr(self, name)}", expected=expected)


@final
@dataclass(frozen=True)
class Adapting:
    """How an adapter is taught.

    Args:
        n_epochs: times that all features are gone through, at most.
        batch_size: features of which it learns at a time.
        scale_rate: learning rate of the scale.
        bias_rate: of the bias.
        decay: weight decay of the bias.
        held_back: share of the features by which it is told when to stop.
        patience: times that words of those may become less probable before it does.
        seed: of what is drawn.

    Raises:
        InvalidSetting: numbers that nothing can be taught by.
    """

    n_epochs: int = 40
    batch_size: int = 32
    scale_rate: float = 0.03
    bias_rate: float = 0.003
    decay: float = 0.01
    held_back: float = 0.25
    patience: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for name, holds, expected in (
            ("n_epochs", 1 <= self.n_epochs <= MOST, f"1 to {MOST}"),
            ("batch_size", 1 <= self.batch_size <= MOST, f"1 to {MOST}"),
            ("scale_rate", 0 < self.scale_rate < math.inf, "a finite number above 0"),
            ("bias_rate", 0 < self.bias_rate < math.inf, "a finite number above 0"),
            ("decay", 0 <= self.decay < math.inf, "a finite number"),
            ("held_back", 0 < self.held_back < 1, "between 0 and 1"),
            ("patience", 0 <= self.patience <= MOST, f"0 to {MOST}"),
            ("seed", 0 <= self.seed < 1 << 63, "0 or more, below 2 to the 63rd"),
        ):
            if not holds:
                raise InvalidSetting(f"{name} {getattr(self, name)}", expected=expected)
