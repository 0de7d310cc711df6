"""Whether words become more probable when the feature that they are said of is pushed.

It asks the explainer itself, and pushes as steering does: an explanation that steering found is one that the push made
probable, which is what is measured here. So it is circular for steering, and never compares methods; it tells whether
the words of one method, of random directions or of other features are what the model sees in the feature.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, final

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from seesay.errors import InvalidSetting
from seesay.exemplars.exemplar import Exemplar, KeptImage
from seesay.explainers.answering import divergence
from seesay.explainers.cases import Case, Cases
from seesay.explainers.config import Selection, Setting
from seesay.explainers.kl_strength import stepping_up
from seesay.explainers.sights import ExemplarSight, encoded_empty
from seesay.records import Strength
from seesay.sae import SAE
from seesay.scorers.config import SCORES, Scoring
from seesay.scorers.gallery import HeldOut
from seesay.scorers.scorer import Item, Measured
from seesay.vlm import VLM, ImageTokens
from seesay.vlm.identity import model_digest
from seesay.vlm.likelihood import log_likelihoods

_ALGORITHM = 1
"""Raised when the same models, images and words would give other numbers."""

NATS = 1.0
"""How far each feature is pushed: until the distribution of the answer's first word has moved by so much."""

MOST_IMAGES = 3

_ASKED = "topk"


@final
class Faithfulness:
    """Forces words upon the explainer as its answer, with the feature pushed and without.

    The explainer sees a feature's best held-out exemplars, plain and all at once, and is asked what they share. Its
    feature is pushed at their active patches, as `hybrid` does, by the least coefficient that moves the first word of
    the answer by one nat: equally far for all features. One that no push moves so far gets the push that moves it
    farthest; how far that is, is told in `details` as `nats`. The number is by how much the mean log-probability of the
    words' tokens rises. Words that say nothing rise by nothing.

    It is circular for steering; see [seesay.scorers.faithfulness][].

    Args:
        held_out: the features' exemplars.
        vlm: the explainer.
        sae: whose features are pushed.
        layer: the block at which.
        scoring: how many exemplars, of which it takes three at most.

    Raises:
        LayerNotFound: no such block, or one that the language model does not see.
        MismatchedSAE: an SAE for residuals of another width.
        UnreadablePrompt: no prompt to ask what images share.
    """

    def __init__(self, held_out: HeldOut, vlm: VLM, sae: SAE, layer: int, scoring: Scoring) -> None:
        self._vlm, self._scoring = vlm, scoring
        self._sae, self._layer = sae.to(vlm.encoder.device), layer
        sae.check_fits(vlm.encoder.d_model)
        vlm.encoder.check_layer(layer, steered=True)
        self._prompt = vlm.prompts.filled_in(_ASKED)
        n_images = min(MOST_IMAGES, scoring.n_exemplars)
        self._setting = Setting("hybrid", Strength(NATS, "kl"), n_images=n_images, overlay="plain")
        self._gallery = _Showing(held_out)
        self._cases = Cases(self._setting, self._gallery, self._sae, lambda _largest: 0.0)
        self._sight = ExemplarSight(vlm, self._sae, layer, self._setting, self._gallery)
        self._pushes: dict[int, _Push] = {}

    @property
    def facts(self) -> Mapping[str, Any]:
        """The explainer, what it is asked, and how far features are pushed."""
        prompts = self._vlm.prompts
        return {
            "algorithm": _ALGORITHM,
            "explainer": self._digest,
            "dtype": str(self._vlm.model.dtype),
            "layer": self._layer,
            "prompt": self._prompt,
            "opening": prompts.opening,
            "start": prompts.start_of(_ASKED),
            "nats": NATS,
            "n_images": self._setting.n_images,
            "holding": self._scoring.holding,
        }

    @cached_property
    def _digest(self) -> str:
        return model_digest(self._vlm.model)

    @torch.no_grad()
    def score(self, items: Sequence[Item]) -> list[Measured]:
        """Measure some items; how hard each feature is pushed is found once.

        Args:
            items: of features of the SAE.
        """
        cases = {each: self._cases.of(each) for each in dict.fromkeys(item.feature_id for item in items)}
        asked = [item for item in items if item.text and not cases[item.feature_id].reason]
        pushed = self._pushed([cases[each] for each in dict.fromkeys(item.feature_id for item in asked)])
        before = self._log_likelihoods(asked, [replace(case, direction=None) for case in pushed])
        after = self._log_likelihoods(asked, pushed)
        found = {
            item: _rise(self._pushes[item.feature_id], unsteered, steered)
            for item, unsteered, steered in zip(asked, before, after, strict=True)
        }
        return [found[item] if item in found else _nothing(cases[item.feature_id]) for item in items]

    def _log_likelihoods(self, items: Sequence[Item], cases: Sequence[Case]) -> list[float | None]:
        """How probable the words of each item are, where the cases of all their features are seen."""
        seen = self._seen(cases)
        rows = [seen[item.feature_id] for item in items]
        prompts = self._vlm.prompts
        # What an answer was asked to begin with was taken off the words, together with its article.
        start = prompts.start_of(_ASKED) if prompts.opening else ""
        return log_likelihoods(self._vlm, self._prompt, rows, [item.text for item in items], start)

    def _pushed(self, cases: Sequence[Case]) -> list[Case]:
        """The cases, each with the coefficient that moves its first word far enough."""
        new = [case for case in cases if case.feature_id not in self._pushes]
        if new:
            before = self._next_word([replace(case, direction=None) for case in new])

            def moved(tried: Sequence[Case]) -> Float[Tensor, " case"]:
                return divergence(self._next_word(tried), before)

            found = stepping_up(new, NATS, self._residual_norm, moved)
            for case, nats in zip(found, moved(found).tolist(), strict=True):
                self._pushes[case.feature_id] = _Push(case.coefficient, nats)
        return [replace(case, coefficient=self._pushes[case.feature_id].coefficient) for case in cases]

    def _next_word(self, cases: Sequence[Case]) -> Float[Tensor, "row vocabulary"]:
        return self._vlm.next_word(self._prompt, self._sight.see(cases), self._vlm.prompts.start_of(_ASKED))

    def _seen(self, cases: Sequence[Case]) -> dict[int, list[ImageTokens]]:
        if not cases:
            return {}
        return {case.feature_id: row for case, row in zip(cases, self._sight.see(cases), strict=True)}

    @cached_property
    def _residual_norm(self) -> float:
        """Of a white image, in units of activations: what coefficients are counted in while they are looked for."""
        blank = encoded_empty(self._vlm, self._layer, "white", 0, self._gallery)
        return blank.residual_norm / self._sae.activation_scale(blank.residual).mean().item()


@final
@dataclass(frozen=True)
class _Push:
    """How hard a feature is pushed, and how far that moves the first word."""

    coefficient: float
    nats: float


@final
class _Showing:
    """Held-out exemplars in the place of those that an explainer is shown."""

    def __init__(self, held_out: HeldOut) -> None:
        self._held_out = held_out

    def groups(self) -> Sequence[Sequence[int]]:
        return ()

    def exemplars(self, feature_id: int, selection: Selection, n: int) -> list[Exemplar]:
        assert selection == "top", selection
        return self._held_out.exemplars(feature_id, "top", n)

    def picture(self, image: KeptImage) -> Image.Image:
        return self._held_out.picture(image)

    def max_activation(self, feature_id: int) -> float | None:
        return None

    def mean_image(self, size: int) -> Image.Image:
        raise InvalidSetting("a mean image of held-out ones", expected="another empty image")


def _rise(push: _Push, before: float | None, after: float | None) -> Measured:
    if before is None or after is None:
        return Measured(SCORES["faithfulness"].chance, reason="it holds no word that the model has")
    rise = after - before
    if not (math.isfinite(rise) and math.isfinite(push.nats)):
        return Measured(None, reason="the numbers overflowed on the way to the words")
    return Measured(rise, {"coefficient": push.coefficient}, {"nats": [push.nats]})


def _nothing(case: Case) -> Measured:
    if case.reason:
        return Measured(None, reason="no held-out image activates it")
    return Measured(SCORES["faithfulness"].chance, reason="nothing was said")
