"""What a feature truly stands for, from the scenes' records, and whether an explanation says so.

Source: `ground_truth` in the definitions of scores: a concept holds for a feature if, on held-out scenes, its
activation-weighted precision over the feature's active patches exceeds 0.6 and is at least three times the concept's
base rate.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seesay.sae import SAE
from seesay.vlm import VLM, Encoder
from seesay.world.concepts import CONCEPTS, INDEX, Concept
from seesay.world.grammar import parse
from seesay.world.masks import PRESENT, coverage
from seesay.world.rendering import render
from seesay.world.scenes import sample
from seesay.world.streams import Stream, seeds

MIN_PRECISION = 0.6
MIN_LIFT = 3.0
MIN_IMAGES = 5
"""A feature that fires in fewer of the held-out scenes counts as dead: its precision would be chance."""

N_SCENES = 3000
MAX_NEW_TOKENS = 24
"""Room for one object of a caption and its background: only the first concept decides."""

_N_AT_ONCE = 60


@final
@dataclass(frozen=True, eq=False)
class Truth:
    """How well every concept fits every feature.

    Args:
        precision: share of the feature's activation that falls on patches where the concept is present; NaN for a
            feature that never fires.
        base_rate: share of all patches where the concept is present.
        n_images: in how many scenes the feature fires.
        recall: share of the patches where the concept is present on which the feature fires; NaN for a concept that is
            nowhere.
        stream: of the scenes that it was measured on.
        n_scenes: how many these were.
        dtype: number format of the encoder's weights.
    """

    precision: Float[Tensor, "feature concept"]
    base_rate: Float[Tensor, " concept"]
    n_images: Int[Tensor, " feature"]
    recall: Float[Tensor, "feature concept"]
    stream: Stream = "truth"
    n_scenes: int = N_SCENES
    dtype: str = "torch.float32"

    @property
    def live(self) -> list[int]:
        """Features that fire in enough scenes to be judged."""
        return torch.nonzero(self.n_images >= MIN_IMAGES).flatten().tolist()

    def concepts(self, feature_id: int) -> tuple[Concept, ...]:
        """The concepts that hold for a live feature, the best fitting first; empty if none does."""
        if self.n_images[feature_id] < MIN_IMAGES:
            return ()
        precision = self.precision[feature_id]
        holds = (precision > MIN_PRECISION) & (precision >= MIN_LIFT * self.base_rate) & (self.base_rate > 0)
        rows = torch.nonzero(holds).flatten().tolist()
        # Among equally precise ones the rarer says more: a frog is an animal, too.
        rows.sort(key=lambda row: (-round(float(precision[row]), 2), float(self.base_rate[row])))
        return tuple(CONCEPTS[row] for row in rows)

    def f1(self, feature_id: int, concept: Concept) -> float:
        """Harmonic mean of a concept's precision and recall on a feature; 0 where one of them is 0 or cannot be told.

        Precision weighs patches by activation, as it does for what holds; recall counts patches.
        """
        column = INDEX[concept]
        precision, recall = float(self.precision[feature_id, column]), float(self.recall[feature_id, column])
        # Written so that NaN, which no comparison holds for, ends as 0.
        return 2 * precision * recall / (precision + recall) if precision * recall > 0 else 0.0


@torch.no_grad()
def measure(
    subject: VLM | Encoder,
    sae: SAE,
    layer: int,
    *,
    stream: Stream = "truth",
    n_scenes: int = N_SCENES,
    on_batch: Callable[[int], None] | None = None,
) -> Truth:
    """Hold every feature's activations against the records of held-out scenes.

    Args:
        subject: whose encoder is looked through.
        sae: whose features are meant.
        layer: the block that the SAE reads.
        stream: which scenes.
        n_scenes: how many.
        on_batch: told how many more scenes are done.

    Raises:
        MismatchedSAE: if the SAE is of another width.
        LayerNotFound: if there is no such block.
    """
    encoder = subject.encoder if isinstance(subject, VLM) else subject
    sae.check_fits(encoder.d_model)
    weighted = torch.zeros(sae.n_features, len(CONCEPTS), dtype=torch.float64)
    hit_count = torch.zeros_like(weighted)
    total = torch.zeros(sae.n_features, dtype=torch.float64)
    present_count = torch.zeros(len(CONCEPTS), dtype=torch.float64)
    n_images = torch.zeros(sae.n_features, dtype=torch.long)
    n_patches = 0
    for start in range(0, n_scenes, _N_AT_ONCE):
        renderings = [render(sample(s)) for s in seeds(stream, start, min(_N_AT_ONCE, n_scenes - start))]
        residual_ipd = encoder.encode_to([r.image for r in renderings], layer, batch_size=_N_AT_ONCE).residual
        codes_ipf = sae.encode(residual_ipd).dense(sae.n_features).cpu()
        present_ipc = torch.from_numpy(np.stack([coverage(r).T >= PRESENT for r in renderings])).float()
        weighted += (codes_ipf.flatten(0, 1).T @ present_ipc.flatten(0, 1)).double()
        hit_count += ((codes_ipf > 0).float().flatten(0, 1).T @ present_ipc.flatten(0, 1)).double()
        total += codes_ipf.sum((0, 1)).double()
        present_count += present_ipc.sum((0, 1)).double()
        n_images += (codes_ipf > 0).any(1).sum(0)
        n_patches += present_ipc.shape[0] * present_ipc.shape[1]
        if on_batch is not None:
            on_batch(len(renderings))
    return Truth(
        precision=(weighted / total[:, None]).float(),
        base_rate=(present_count / n_patches).float(),
        n_images=n_images,
        recall=(hit_count / present_count).float(),
        stream=stream,
        n_scenes=n_scenes,
        dtype=str(encoder.dtype),
    )


def first_named(text: str, unsteered: Collection[Concept]) -> Concept | None:
    """The first concept that an explanation names.

    Args:
        text: the explanation.
        unsteered: concepts that the same method names with no intervention; these do not count.
    """
    return next((concept for concept in parse(text) if concept not in unsteered), None)


def names_any(text: str, concepts: Collection[Concept], unsteered: Collection[Concept]) -> bool:
    """Whether any concept that an explanation names holds for the feature: kinder than a hit, to long answers most."""
    return any(concept in concepts for concept in parse(text) if concept not in unsteered)


def is_hit(text: str, concepts: Collection[Concept], unsteered: Collection[Concept]) -> bool:
    """Whether the first concept that an explanation names is one that holds for the feature."""
    return first_named(text, unsteered) in concepts
