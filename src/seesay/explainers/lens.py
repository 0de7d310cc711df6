"""Lenses: how well each of many phrases fits what a feature reads, taught beforehand by a model's own words.

A feature writes its direction and reads along its encoder's row. Steering hears of the one; a lens looks at the other,
without any image. How it is taught: [seesay.teaching][].
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from seesay.errors import MismatchedSAE
from seesay.explainers.taught_files import content_of, reading
from seesay.records import Strength
from seesay.sae import SAE

_COMMON_SHARE = 0.5
"""How much of what a model says of other features, too, is taken away. Less leaves what it says of everything; all of
it prefers what it never says."""

_TENSORS = ("weights", "centre", "of_steered", "of_pupils")
_MOST_PHRASES = 1 << 16
_LEAST_SPREAD = 1e-12


@final
@dataclass(frozen=True, eq=False)
class Expected:
    """How probable a model finds phrases of any feature, so that one sees what it says of one alone.

    Args:
        mean: natural log-probability of each phrase, summed over its tokens, on average.
        spread: standard deviation, over features and phrases, of what is left when a share of it is taken away.
    """

    mean: Float[Tensor, " phrase"]
    spread: float

    @classmethod
    def of(cls, likelihoods: Float[Tensor, "feature phrase"]) -> "Expected":
        """What likelihoods come to.

        Args:
            likelihoods: of each phrase where different features are looked at.
        """
        mean = likelihoods.mean(0)
        return cls(mean, max((likelihoods - _COMMON_SHARE * mean).std().item(), _LEAST_SPREAD))

    def surprise(
        self, likelihoods: Float[Tensor, "case chosen"], chosen: Int[Tensor, "case chosen"]
    ) -> Float[Tensor, "case chosen"]:
        """How much more probable answers are than of other features, in standard deviations.

        Args:
            likelihoods: natural log-probabilities of phrases, summed over their tokens.
            chosen: which phrases these are.
        """
        return (likelihoods - _COMMON_SHARE * self.mean[chosen]) / self.spread


@final
@dataclass(frozen=True, eq=False)
class Lens:
    """Phrases, and how to tell which of them fit a feature.

    Args:
        phrases: that it knows, as the model said them.
        weights: what a residual has to look like for each of them; see [seesay.teaching.fitting.fit][].
        centre: the mean of the encoder rows, of unit norm, of the features that it was held against.
        spread: standard deviation of those features' readings before they are divided by it.
        of_steered: what the model says when one of those features is steered on the empty image.
        of_pupils: what it says of the pupils, who are shown as exemplars are.
        strength: by which features were steered.
        facts: all that it depends on, as plain data.
    """

    phrases: tuple[str, ...]
    weights: Float[Tensor, "phrase d_model"]
    centre: Float[Tensor, " d_model"]
    spread: float
    of_steered: Expected
    of_pupils: Expected
    strength: Strength
    facts: Mapping[str, Any]

    @property
    def d_model(self) -> int:
        """Width of the residual stream that it was taught on."""
        return self.weights.shape[1]

    @cached_property
    def identity(self) -> str:
        """Hash of all that it says."""
        return hashlib.sha256(self.content()).hexdigest()

    def read(self, rows: Float[Tensor, "case d_model"]) -> Float[Tensor, "case phrase"]:
        """How well each phrase fits what features read, in standard deviations over features and phrases.

        Args:
            rows: of the SAE's encoder, of any norm; see [seesay.explainers.lens.encoder_rows][].
        """
        return (normalize(rows.float().cpu(), dim=-1) - self.centre) @ self.weights.T / self.spread

    def content(self) -> bytes:
        """As a file holds it: safetensors, with the rest as JSON in its header."""
        own = (self.weights, self.centre, self.of_steered.mean, self.of_pupils.mean)
        return content_of(
            "lens",
            dict(zip(_TENSORS, own, strict=True)),
            self.strength,
            self.facts,
            phrases=list(self.phrases),
            spread=self.spread,
            of_steered=self.of_steered.spread,
            of_pupils=self.of_pupils.spread,
        )

    @classmethod
    def read_from(cls, path: Path) -> "Lens":
        """Read a file, which may be a stranger's.

        Args:
            path: of the file.

        Raises:
            UnusablePath: it is no lens, or a damaged one.
        """
        with reading(path, "lens", "seesay teach --anew") as kept:
            weights, centre, steered, pupils = map(kept.tensor, _TENSORS)
            header = kept.header
            found = cls(
                phrases=tuple(header["phrases"]),
                weights=weights,
                centre=centre,
                spread=float(header["spread"]),
                of_steered=Expected(steered, float(header["of_steered"])),
                of_pupils=Expected(pupils, float(header["of_pupils"])),
                strength=kept.strength(),
                facts=dict(header["facts"]),
            )
            found._check()
            return found

    def _check(self) -> None:
        """Refuse what would go wrong later; whoever wrote the file may have written anything."""
        n = len(self.phrases)
        if not 1 <= n <= _MOST_PHRASES or not all(isinstance(each, str) and each.strip() for each in self.phrases):  # pyright: ignore[reportUnnecessaryIsInstance] (JSON may hold anything)
            raise ValueError(f"{n} phrases, or some without words")
        for each in self.phrases:
            each.encode()  # half of a surrogate pair is no word
        expected = (self.of_steered, self.of_pupils)
        if (
            self.weights.dim() != 2
            or not self.weights.shape[1]
            or any(each.shape != (n,) for each in (self.weights[:, 0], *(e.mean for e in expected)))
        ):
            raise ValueError(f"weights of shape {list(self.weights.shape)} for {n} phrases")
        if self.centre.shape != (self.d_model,):
            raise ValueError(f"a centre of shape {list(self.centre.shape)}, expected {self.d_model} numbers")
        spreads = (self.spread, *(each.spread for each in expected))
        tensors = (self.weights, self.centre, *(each.mean for each in expected))
        if not all(map(math.isfinite, (*spreads, *(each.sum().item() for each in tensors)))) or min(spreads) <= 0:
            raise ValueError("numbers that are none")

    def check_fits(self, sae: SAE) -> None:
        """Check that it was taught on residuals as wide as an SAE's.

        Args:
            sae: whose features are to be read.

        Raises:
            MismatchedSAE: it was not.
        """
        if sae.d_model != self.d_model:
            raise MismatchedSAE(f"a lens for residuals of width {self.d_model}", expected=f"{sae.d_model}, the SAE's")


def encoder_rows(sae: SAE, feature_ids: list[int]) -> Float[Tensor, "chosen d_model"]:
    """What features read: the rows of the encoder; the directions where there is no encoder.

    Args:
        sae: whose features.
        feature_ids: which.

    Raises:
        FeatureNotFound: an id that the SAE does not have.
    """
    directions = sae.directions(feature_ids)
    return directions if sae.W_enc is None else sae.W_enc[:, feature_ids].T
