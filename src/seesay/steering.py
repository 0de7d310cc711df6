"""The arithmetic of an intervention: pure functions on tensors, no models and no hooks."""

import hashlib
import math
import random
from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from seesay.errors import FeatureNotFound, InvalidStrength
from seesay.records import Mode, Strength, StrengthUnit

MAX_COEFFICIENT = 1e6
"""Far above the norm of any residual; larger numbers only overflow on the way to the language model."""


def intervene(
    residual: Float[Tensor, "image position d_model"],
    directions: Float[Tensor, "row d_model"],
    coefficients: Float[Tensor, " row"],
    mode: Mode = "add",
    *,
    positions: Bool[Tensor, "#image position"] | None = None,
    scale: Float[Tensor, "#image position"] | None = None,
    activations: Float[Tensor, "row position"] | None = None,
) -> Float[Tensor, "row position d_model"]:
    """Push residuals along directions, each in a copy of its own.

    Args:
        residual: images' residual streams after the steered block, prefix tokens (CLS) included: one for each
            direction, or one for all of them.
        directions: unit-norm directions.
        coefficients: alpha of each direction.
        mode: `add`: `h <- h + alpha * d`; `replace`: `h <- alpha * d`; `clamp`: `h <- h + (alpha - a) * d`, which sets
            the feature's activation to alpha as far as its direction goes.
        positions: where to push; everywhere if None. All others stay as they are.
        scale: what an activation of 1 comes to at each position, 1 if None; see `SAE.activation_scale`.
        activations: what each feature's activation is by now; for `clamp` alone.

    Returns:
        One residual per direction, in the number format of `residual`.

    Raises:
        ValueError: `clamp` without activations, or images that are neither one nor one for each direction.

    Source: arXiv 2603.22593; Steering adds (or replaces) at every position, CLS included, the hybrid at the active
    patches only. Clamping is Pach et al., arXiv 2504.02821.
    """
    if len(residual) not in (1, len(directions)):
        raise ValueError(f"{len(residual)} images for {len(directions)} directions")
    amounts_rp = coefficients[:, None]
    if mode == "clamp":
        if activations is None:
            raise ValueError("to clamp a feature, its activations have to be known")
        amounts_rp = amounts_rp - activations
    shift_rpd = (amounts_rp[:, :, None] * directions[:, None, :]).to(residual.dtype)
    if scale is not None:
        shift_rpd = shift_rpd * scale[:, :, None].to(residual.dtype)
    whole_rpd = residual.expand(len(directions), *residual.shape[1:])
    steered_rpd = shift_rpd.expand_as(whole_rpd) if mode == "replace" else whole_rpd + shift_rpd
    return steered_rpd if positions is None else steered_rpd.where(positions[:, :, None], whole_rpd)


def coefficient(
    strength: Strength, *, residual_norm: float | None = None, max_activation: float | None = None
) -> float:
    """Turn a strength into alpha, the raw coefficient of a unit-norm direction.

    Args:
        strength: the value and its unit.
        residual_norm: mean L2 norm of the empty image's residual at the steered block.
        max_activation: the feature's largest activation over the images it was collected on.

    Raises:
        InvalidStrength: the value is not a finite number, its unit is unknown or its unit's statistic missing or not
            finite, or the coefficient is larger than any residual stream.
    """
    if not math.isfinite(strength.value):
        raise InvalidStrength(
            f"strength {strength.value}", expected="a finite number", remedy="give a number such as 200"
        )
    statistics: Mapping[StrengthUnit, float | None] = {
        "coefficient": 1.0,
        "residual_norm": residual_norm,
        "max_activation": max_activation,
        "kl": None,  # which is no multiple of anything
    }
    if strength.unit not in statistics:
        raise InvalidStrength(f"strength in units of {strength.unit!r}", expected=f"one of {', '.join(statistics)}")
    scale = statistics[strength.unit]
    if scale is None or not math.isfinite(scale):
        raise InvalidStrength(
            f"strength {strength.value} in units of {strength.unit}",
            expected="a unit whose size is known here",
            remedy="give a coefficient, or collect the features' activations first"
            if strength.unit == "max_activation"
            else "give a coefficient",
        )
    alpha = strength.value * scale
    if abs(alpha) > MAX_COEFFICIENT:
        raise InvalidStrength(
            f"strength {strength.value:g} ({strength.unit}) comes to a coefficient of {alpha:g}",
            expected=f"at most {MAX_COEFFICIENT:g} either way",
            remedy="residuals are tens to hundreds long: beyond a few times that, every feature gets the same words",
        )
    return alpha


def random_direction(feature_id: int, d_model: int, seed: int) -> Float[Tensor, " d_model"]:
    """Draw the direction that takes a feature's place in the random control.

    Seeded by the feature, so that it depends neither on the batch nor on the order in which features are explained,
    and drawn on the CPU, so that it does not depend on the device.

    Args:
        feature_id: the feature it stands in for.
        d_model: width of the residual stream.
        seed: of the whole control.

    Returns:
        A direction of unit norm, uniform on the sphere.
    """
    digest = hashlib.sha256(f"{seed}:{feature_id}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    direction = torch.randn(d_model, generator=generator)
    return direction / direction.norm()


def permuted(feature_ids: Iterable[int], seed: int) -> dict[int, int]:
    """Give every feature a donor, another feature of the same set, each a donor once (a derangement).

    The features are shuffled into a ring and each takes its neighbour's direction: no feature can meet itself, and
    neither the order nor the repetition of the ids matters.

    Args:
        feature_ids: the features to permute, at least two different ones.
        seed: of the shuffle.

    Returns:
        Feature id to donor's feature id.

    Raises:
        FeatureNotFound: fewer than two features, so that none has a donor.
    """
    ring = sorted(set(feature_ids))
    if len(ring) < 2:
        raise FeatureNotFound(
            f"a permuted control over the features {ring}",
            expected="at least two",
            remedy="explain more features at once",
        )
    random.Random(seed).shuffle(ring)
    return dict(zip(ring, ring[1:] + ring[:1], strict=True))
