"""Do images that are made from the words activate the feature more than others do?

Source: CoSy, arXiv 2405.20331; "Language Models Can Explain Visual Features via Steering", arXiv 2603.22593, pools the
activations of all features into one ROC, for which they are kept with every score.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, final

import numpy as np
from jaxtyping import Float64
from PIL import Image
from scipy.sparse import csr_array

from seesay.scorers.activations import Activations
from seesay.scorers.config import SCORES, Scoring
from seesay.scorers.gallery import HeldOut
from seesay.scorers.memory import Memory
from seesay.scorers.scorer import Item, Measured
from seesay.statistics import mad, roc_auc

_ALGORITHM = 1
"""Counts up when the same images give another number."""

_MOST_BYTES = 1 << 29
"""How much is remembered of what texts' images activate: permuted explanations ask for the same texts again."""


@final
class Auroc:
    """ROC-AUC of a feature's activation on images made from its words, against its activation on control images.

    With the mean activation on the former, and the difference of both means in standard deviations of the latter.

    Args:
        held_out: gives the control images, the same ones for every feature.
        synthesised: gives the images that were made from a text; None if nothing can be made of it.
        activations: of the subject.
        scoring: how many images, and which control images.
        facts: the synthesiser's.
    """

    def __init__(
        self,
        held_out: HeldOut,
        synthesised: Callable[[str], list[Image.Image] | None],
        activations: Activations,
        scoring: Scoring,
        facts: Mapping[str, Any],
    ) -> None:
        self._held_out, self._synthesised, self._activations = held_out, synthesised, activations
        self._n_images, self._holding = scoring.n_images, scoring.holding
        self._facts = dict(facts)
        self._seen = Memory[csr_array](_MOST_BYTES, _n_bytes)

    @property
    def facts(self) -> dict[str, Any]:
        """How many images, which control images, and the synthesiser."""
        own = {"algorithm": _ALGORITHM, "n_images": self._n_images, "holding": self._holding}
        return own | {"synthesiser": self._facts, "activations": dict(self._activations.facts)}

    def score(self, items: Sequence[Item]) -> list[Measured]:
        """Measure explanations; each text's images are encoded once, whichever features it is said of.

        Args:
            items: features and words.

        Raises:
            LeakedImage: an explainer was shown a control image.
            UnreadableImage: an image is missing or damaged.
            NotFinite: numbers overflowed on the way.
            NotEnoughMemory: a single image does not fit.
        """
        places: dict[str, list[int]] = {}
        for place, item in enumerate(items):
            places.setdefault(item.text, []).append(place)
        found: dict[int, Measured] = {}
        for text, own in places.items():
            found |= zip(own, self._of_text(text, [items[place].feature_id for place in own]), strict=True)
        return [found[place] for place in range(len(items))]

    def _of_text(self, text: str, feature_ids: Sequence[int]) -> Iterable[Measured]:
        control = self._control
        if control is None:
            return [Measured(None, reason="the run keeps no image to compare with")] * len(feature_ids)
        made = self._of_synthesised(text) if text.strip() else None
        control_if = _of(control, feature_ids)
        if made is None:
            reason = "no image can be made from the words" if text.strip() else "the explanation is empty"
            return [_chance(values, reason) for values in control_if.T]
        return map(_measured, _of(made, feature_ids).T, control_if.T)

    @cached_property
    def _control(self) -> csr_array | None:
        """What control images activate; None if there are none."""
        images = [self._held_out.picture(image) for image in self._held_out.background(self._n_images)]
        return csr_array(self._activations.of(images).numpy()) if images else None

    def _of_synthesised(self, text: str) -> csr_array | None:
        """What a text's images activate; None if there are none."""
        found = self._seen.get(text)
        if found is None:
            images = self._synthesised(text)
            if not images:
                return None
            found = csr_array(self._activations.of(images).numpy())
            self._seen.put(text, found)
        return found


def _of(active: csr_array, feature_ids: Sequence[int]) -> Float64[np.ndarray, "image feature"]:
    return active[:, list(feature_ids)].toarray().astype(np.float64)


def _n_bytes(active: csr_array) -> int:
    return active.data.nbytes + active.indices.nbytes + active.indptr.nbytes


def _measured(made: Float64[np.ndarray, " made"], control: Float64[np.ndarray, " control"]) -> Measured:
    return Measured(
        roc_auc(made, control),
        {"mean_activation": float(made.mean()), "mad": mad(made, control)},
        {"synthesised": made.tolist(), "control": control.tolist()},
    )


def _chance(control: Float64[np.ndarray, " control"], reason: str) -> Measured:
    # In a ROC of all features silence stands for images like any others, or it would be better than wrong words.
    both = {"synthesised": control.tolist(), "control": control.tolist()}
    return Measured(SCORES["auroc"].chance, {"mean_activation": float(control.mean()), "mad": 0.0}, both, reason)
