"""What takes part in the explanation of each feature: its own direction and images, or what a control puts there."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never, final

import torch
from jaxtyping import Float
from torch import Tensor

from seesay.errors import InvalidSetting
from seesay.exemplars.exemplar import Exemplar
from seesay.explainers.config import Setting
from seesay.explainers.gallery import Gallery
from seesay.explainers.lens import encoder_rows
from seesay.records import Ablation, Control
from seesay.sae import SAE
from seesay.steering import permuted, random_direction

_NO_EXEMPLARS = "no image of the explaining half activates it"
_NEVER_ACTIVE = "it was never active, so that nobody knows how hard to push it"
_NO_DONOR = "no feature can stand in for it: its own was never active, or it is alone"


@final
@dataclass(frozen=True, eq=False)
class Case:
    """One feature, and what takes part in its explanation.

    Args:
        feature_id: of the feature that is explained.
        key: what draws of words are seeded by: the feature whose own words are looked for.
        activating: the feature whose activation a clamp looks at.
        coefficient: how hard to push; 0 if nothing is.
        direction: what is pushed; None if nothing is.
        reads: what the feature reads: a row of the SAE's encoder, of any norm; None where nobody asks.
        exemplars: that are shown.
        donor_id: the feature that lent its direction or its images.
        reason: why there is nothing to explain it by; empty if there is.
    """

    feature_id: int
    key: int
    activating: int
    coefficient: float = 0.0
    direction: Float[Tensor, " d_model"] | None = None
    reads: Float[Tensor, " d_model"] | None = None
    exemplars: tuple[Exemplar, ...] = ()
    donor_id: int | None = None
    reason: str = ""


@final
class Cases:
    """Makes cases as a setting says.

    Args:
        setting: with its control.
        gallery: the features' exemplars and statistics.
        sae: whose directions; None for a method that neither steers nor reads.
        coefficient_of: a feature's coefficient by its largest activation (None if unknown).

    Raises:
        InvalidSetting: a control takes something from other features, of which none are known.
    """

    def __init__(
        self, setting: Setting, gallery: Gallery, sae: SAE | None, coefficient_of: Callable[[float | None], float]
    ) -> None:
        self._setting, self._gallery, self._sae = setting, gallery, sae
        self._coefficient_of = coefficient_of
        groups = _groups(setting, gallery)
        if not any(groups) and _needs_others(setting):
            raise InvalidSetting(
                f"the control {setting.control} of {setting.method}, where nobody knows which other features there are",
                expected="a run that is collected",
                remedy="seesay collect first",
            )
        self._group_of = {feature_id: group for group in groups for feature_id in group}
        self._donors = _donors(groups, setting.seed)

    def donor_of(self, feature_id: int) -> int | None:
        """The feature that stands in for one in a permuted control; None if there is none."""
        return self._donors.get(feature_id)

    def of(self, feature_id: int) -> Case:
        """What takes part in a feature's explanation.

        Args:
            feature_id: of the SAE.

        Raises:
            FeatureNotFound: the SAE has no such feature.
            InvalidStrength: the unit of the strength needs statistics that are not there.
        """
        direction_of, images_of = _sources(self._setting.control)
        donor_id = self.donor_of(feature_id) if "permuted" in (direction_of, images_of) else None
        if "permuted" in (direction_of, images_of) and donor_id is None:
            return Case(feature_id, feature_id, feature_id, reason=_NO_DONOR)
        pushed = donor_id if direction_of == "permuted" and donor_id is not None else feature_id
        shown = donor_id if images_of == "permuted" and donor_id is not None else feature_id
        exemplars = self._exemplars(feature_id, shown, drawn=images_of == "random")
        pushes = self._setting.way.steers and direction_of != "none"
        largest = self._gallery.max_activation(pushed) if pushes and self._counts_in_activations else None
        direction, alpha = self._push(feature_id, pushed, direction_of, largest)
        reason = ""
        if self._setting.way.shows and not exemplars:
            reason = _NO_EXEMPLARS
        elif direction is not None and largest == 0:
            reason = _NEVER_ACTIVE
        return Case(
            feature_id=feature_id,
            key=pushed if self._setting.control == "permuted" else feature_id,
            activating=pushed,
            coefficient=alpha,
            direction=direction,
            reads=self._reads(feature_id, pushed, direction_of) if self._setting.way.reads else None,
            exemplars=tuple(exemplars),
            donor_id=donor_id,
            reason=reason,
        )

    def _push(self, feature_id: int, pushed: int, source: str, largest: float | None) -> tuple[Tensor | None, float]:
        if not self._setting.way.steers or source == "none":
            return None, 0.0
        assert self._sae is not None
        alpha = self._coefficient_of(largest)
        return self._random(feature_id) if source == "random" else self._sae.direction(pushed), alpha

    def _reads(self, feature_id: int, pushed: int, source: str) -> Tensor:
        """What the feature in question reads; a random direction reads along itself."""
        assert self._sae is not None
        return self._random(feature_id) if source == "random" else encoder_rows(self._sae, [pushed])[0]

    def _random(self, feature_id: int) -> Tensor:
        assert self._sae is not None
        return random_direction(feature_id, self._sae.d_model, self._setting.seed).to(self._sae.W_dec)

    @property
    def _counts_in_activations(self) -> bool:
        strength = self._setting.strength
        return strength is not None and strength.unit == "max_activation"

    def _exemplars(self, feature_id: int, shown: int, *, drawn: bool) -> list[Exemplar]:
        setting = self._setting
        if not setting.way.shows:
            return []
        if not drawn:
            return self._gallery.exemplars(shown, setting.selection, setting.n_images)
        # Each from another feature, with that one's heatmap: masks of a natural shape that have nothing in common.
        # As many as it has of its own, or the number would tell.
        n_own = len(self._gallery.exemplars(feature_id, setting.selection, setting.n_images))
        rng = random.Random(f"{setting.seed}:{feature_id}")
        others = [other for other in self._group_of.get(feature_id, []) if other != feature_id]
        found: list[Exemplar] = []
        for other in rng.sample(others, min(n_own, len(others))):
            theirs = self._gallery.exemplars(other, setting.selection, setting.n_images)
            found += [rng.choice(theirs)] if theirs else []  # none in a stranger's run that is damaged
        return found


def donors(setting: Setting, gallery: Gallery) -> dict[int, int]:
    """The feature that stands in for each one in a permuted control.

    Args:
        setting: with its control.
        gallery: tells which features may stand in for each other.
    """
    return _donors(_groups(setting, gallery), setting.seed)


def _groups(setting: Setting, gallery: Gallery) -> list[list[int]]:
    """The features that may stand in for each other, where the control takes anything from others."""
    return [sorted(set(group)) for group in gallery.groups()] if setting.control not in (None, "none") else []


def _donors(groups: Sequence[Sequence[int]], seed: int) -> dict[int, int]:
    found: dict[int, int] = {}
    for group in groups:
        if len(group) > 1:
            found |= permuted(group, seed)
    return found


def _sources(control: Control | Ablation | None) -> tuple[str, str]:
    """Whose direction, and whose images."""
    match control:
        case None:
            return "own", "own"
        case "random" | "permuted":
            return control, control
        case "none":
            return "none", "own"
        case "random-direction":
            return "random", "own"
        case "permuted-direction":
            return "permuted", "own"
        case "random-images":
            return "own", "random"
        case "permuted-images":
            return "own", "permuted"
        case _:
            assert_never(control)


def _needs_others(setting: Setting) -> bool:
    """Whether its control takes anything from other features."""
    direction_of, images_of = _sources(setting.control)
    return direction_of == "permuted" or (setting.way.shows and images_of in ("random", "permuted"))


def directions(cases: Sequence[Case]) -> Float[Tensor, "case d_model"]:
    """What is pushed in each of some cases, all of which push.

    Args:
        cases: at least one.
    """
    return torch.stack([case.direction for case in cases if case.direction is not None])
