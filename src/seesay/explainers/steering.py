"""Steering: push a feature's direction on an empty image and ask what is seen.

Source: "Language Models Can Explain Visual Features via Steering", arXiv 2603.22593.
"""

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, assert_never, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from seesay.errors import LayerNotFound, check_choice
from seesay.images.blank import EmptyImage, blank_image
from seesay.records import Decoding, Explanation, Status, Strength
from seesay.sae.model import SAE
from seesay.steering import coefficient, intervene, permuted, random_direction
from seesay.vlm.answers import Answer
from seesay.vlm.batches import halving
from seesay.vlm.encoder import Encoder
from seesay.vlm.identity import encoder_difference
from seesay.vlm.model import VLM

_REASONS: dict[Status, str] = {
    "ok": "",
    "empty": "the model said no word",
    "failed": "the numbers overflowed on the way to the words",
}
METHOD = "steering"
"""Name of the method in explanations, and of its prompt."""

Control = Literal["random", "permuted"]
"""What takes a feature's place: a random direction of the same norm, or the direction of another feature."""


def steer(
    vlm: VLM,
    sae: SAE,
    features: int | Sequence[int],
    strength: float | Strength,
    *,
    layer: int | None = None,
    control: Control | None = None,
    empty: EmptyImage = "white",
    seed: int = 0,
    batch_size: int = 64,
    max_new_tokens: int = 64,
    subject: VLM | Encoder | None = None,
    allow_different_encoder: bool = False,
) -> list[Explanation]:
    """Put features into words by steering them on an empty image.

    Args:
        vlm: the model that sees and says.
        sae: a sparse autoencoder of its vision encoder.
        features: one feature id or several.
        strength: a raw coefficient, or a strength with a unit.
        layer: the block to steer; None takes the one that the SAE was trained on.
        control: steer something else in each feature's place.
        empty: the image to steer on.
        seed: of the control and of a noise image.
        batch_size: features at a time; halved when memory runs out, without changing the words.
        max_new_tokens: where an explanation is cut off.
        subject: the model whose encoder the SAE was trained on, if that is not `vlm`: the encoders are then compared.
        allow_different_encoder: steer even if they are not the same; the explanations then name the first difference.

    Returns:
        One explanation per feature, in order.

    Raises:
        MismatchedEncoder: a `vlm` whose encoder is not the subject's.
        FeatureNotFound: an id that the SAE does not have.
        InvalidStrength: a strength that is no finite number, or in a unit that cannot be had without images.
        LayerNotFound: a block that the encoder does not have, or none given where the SAE names none.
        MismatchedSAE: an SAE for residuals of another width.
        UnreadablePrompt: prompts without one for steering.
    """
    layer = sae.provenance.layer if layer is None else layer
    if layer is None:
        raise LayerNotFound("the SAE does not say which block it was trained on", remedy="give the layer")
    eyes = subject.encoder if isinstance(subject, VLM) else subject
    differs_in = "" if eyes is None else encoder_difference(eyes, vlm.encoder, allowed=allow_different_encoder)
    return explain(
        vlm,
        sae,
        [operator.index(each) for each in (features if isinstance(features, Iterable) else [features])],
        layer=layer,
        strength=strength if isinstance(strength, Strength) else Strength(strength),
        control=control,
        empty=empty,
        seed=seed,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        encoder_differs_in=differs_in,
    )


def explain(
    vlm: VLM,
    sae: SAE,
    feature_ids: Sequence[int],
    *,
    layer: int,
    strength: Strength,
    control: Control | None = None,
    empty: EmptyImage = "white",
    seed: int = 0,
    batch_size: int = 64,
    max_new_tokens: int = 64,
    encoder_differs_in: str = "",
    on_batch: Callable[[list[Explanation]], None] | None = None,
) -> list[Explanation]:
    """Explain features by steering; see [seesay.explainers.steering.steer][] for what it shares with it.

    The empty image is encoded once up to the block; each feature costs what comes after.

    Args:
        vlm: the model that sees and says.
        sae: a sparse autoencoder of its vision encoder.
        feature_ids: the features.
        layer: the block to steer.
        strength: how hard to push.
        control: steer something else in each feature's place.
        empty: the image to steer on.
        seed: of the control and of a noise image.
        batch_size: features at a time.
        max_new_tokens: where an explanation is cut off.
        encoder_differs_in: for the record; see [seesay.vlm.identity.encoder_difference][].
        on_batch: called with the explanations of each batch as soon as they are there.

    Returns:
        One explanation per feature, in order. A feature for which memory does not suffice is `failed`, one that the
        model finds no word for `empty`.

    Raises:
        SeesayError: as `steer` does, before anything is generated.
    """
    if control is not None:
        check_choice(control, get_args(Control), "control")
    sae.check_fits(vlm.encoder.d_model)
    vlm.encoder.check_layer(layer, steered=True)
    prompt = vlm.prompts[METHOD]
    donors = permuted(feature_ids, seed) if control == "permuted" else {}
    sae.directions(feature_ids)  # refuses unknown features before the model runs
    blank = vlm.encode_to([blank_image(empty, vlm.encoder.image_size, seed)], layer)
    scale_p = sae.activation_scale(blank.residual)[0]
    alpha = coefficient(strength, residual_norm=blank.residual_norm / scale_p.mean().item())
    decoding = Decoding(max_new_tokens)

    def answer(batch: Sequence[int]) -> list[Answer]:
        directions_fd = _directions(sae, batch, control, donors, seed).to(blank.residual.device)
        coefficients_f = torch.full((len(batch),), alpha, device=directions_fd.device)
        steered_fpd = intervene(blank.residual, directions_fd, coefficients_f, scale=scale_p[None])
        seen = vlm.encode_from(blank.with_residual(steered_fpd))
        return vlm.say(prompt, [[image] for image in seen], decoding, keys=batch)

    def record(feature_id: int, said: Answer | None) -> Explanation:
        text = vlm.prompts.clean(said.text) if said else ""
        status = _status(said, text)
        return Explanation(
            feature_id=feature_id,
            method=METHOD,
            control=control,
            text=text if status == "ok" else "",
            raw_text=said.text if said else "",
            status=status,
            strength=strength,
            coefficient=alpha,
            mean_log_probability=said.mean_log_probability if said else None,
            donor_id=donors.get(feature_id),
            encoder_differs_in=encoder_differs_in,
            reason=_REASONS[status] if said or status == "empty" else "memory does not suffice for one feature",
        )

    explanations: list[Explanation] = []
    for batch, answers in halving(feature_ids, batch_size, answer):
        said = [
            record(feature_id, each) for feature_id, each in zip(batch, answers or [None] * len(batch), strict=True)
        ]
        explanations += said
        if on_batch is not None:
            on_batch(said)
    return explanations


def _directions(
    sae: SAE, feature_ids: Sequence[int], control: Control | None, donors: dict[int, int], seed: int
) -> Float[Tensor, "feature d_model"]:
    match control:
        case None:
            return sae.directions(feature_ids)
        case "permuted":
            return sae.directions([donors[feature_id] for feature_id in feature_ids])
        case "random":
            return torch.stack([random_direction(feature_id, sae.d_model, seed) for feature_id in feature_ids])
        case _:
            assert_never(control)


def _status(said: Answer | None, text: str) -> Status:
    if said is None or not math.isfinite(said.mean_log_probability):
        return "failed"  # out of memory, or an overflow on the way
    # A lone full stop is no explanation.
    return "ok" if any(character.isalnum() for character in text) else "empty"
