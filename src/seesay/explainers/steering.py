"""Steering features without a run: nothing is collected, nothing is stored.

Source: "Language Models Can Explain Visual Features via Steering", arXiv 2603.22593.
"""

import operator
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from PIL import Image

from seesay.errors import FeatureNotFound, InvalidSetting, UnreadablePrompt
from seesay.explainers.config import Empty, Positions, Setting
from seesay.explainers.explainer import Explainer
from seesay.explainers.gallery import NoImages
from seesay.explainers.sights import NO_OTHER, Ground
from seesay.images.decoding import decode
from seesay.records import Ablation, Control, Decoding, Explanation, Method, Mode, Strength
from seesay.sae import SAE
from seesay.vlm import VLM, Encoder
from seesay.vlm.identity import encoder_difference
from seesay.vlm.model import GREEDY, Watch

_NOTHING: Mapping[int, float] = MappingProxyType({})


def steer(
    vlm: VLM,
    sae: SAE,
    features: int | Sequence[int],
    strength: float | Strength,
    *,
    layer: int | None = None,
    method: Method = "steering",
    control: Control | Ablation | None = None,
    mode: Mode | None = None,
    empty: Empty = "white",
    positions: Positions = "all",
    coarse: int = 1,
    decoding: Decoding = GREEDY,
    seed: int = 0,
    batch_size: int = 64,
    image: Image.Image | Path | str | None = None,
    along: Mapping[int, float] = _NOTHING,
    prompt: str | None = None,
    subject: VLM | Encoder | None = None,
    allow_different_encoder: bool = False,
) -> list[Explanation]:
    """Put features into words by steering them on an empty image, or on one's own.

    Args:
        vlm: the model that sees and says.
        sae: a sparse autoencoder of its vision encoder.
        features: one feature id or several.
        strength: a raw coefficient, or a strength with a unit.
        layer: the block to steer; None takes the one that the SAE was trained on.
        method: `steering`, or another one that shows no exemplars.
        control: steer something else in each feature's place.
        mode: how to push; None for the method's own way.
        empty: the image to steer on.
        positions: where to steer it.
        coarse: patches a side that go through the rest of the encoder as one; above 1 an approximation.
        decoding: how words are chosen.
        seed: of the control and of a noise image.
        batch_size: features at a time; halved when memory runs out, without changing the words.
        image: one's own to steer on, of any size and mode, or a file; None for the empty one.
        along: features that are pushed along with each of the others, and how hard, in the strength's unit.
        prompt: what to ask instead.
        subject: the model whose encoder the SAE was trained on, if that is not `vlm`: the encoders are then compared.
        allow_different_encoder: steer even if they are not the same; the explanations then name the first difference.

    Returns:
        All samples of the first feature, then those of the second. A feature for which memory does not suffice is
        `failed`, one that the model finds no word for `empty`.

    Raises:
        UnreadableImage: no image.
        MismatchedEncoder: a `vlm` whose encoder is not the subject's.
        FeatureNotFound: an id that the SAE does not have, or a permuted control of a single feature.
        InvalidStrength: a strength that is no finite number, or in a unit that cannot be had without images.
        InvalidSetting: a method that shows exemplars, or a mean image, of which there are none here; others pushed
            along where nothing is added; another question for a method that asks none.
        LayerNotFound: a block that the encoder does not have, or none given where the SAE names none.
        MismatchedSAE: an SAE for residuals of another width.
        UnreadablePrompt: prompts without one for the method.
    """
    feature_ids = [operator.index(each) for each in (features if isinstance(features, Iterable) else [features])]
    setting = Setting(
        method=method,
        strength=strength if isinstance(strength, Strength) else Strength(strength),
        control=control,
        mode=mode,
        empty=empty,
        positions=positions,
        coarse=coarse,
        decoding=decoding,
        seed=seed,
    )
    explainer = image_free(
        vlm,
        sae,
        feature_ids,
        setting,
        layer=sae.provenance.layer if layer is None else layer,
        encoder_differs_in=_difference(subject, vlm, allowed=allow_different_encoder),
        ground=Ground(decode(Path(image)) if isinstance(image, str | Path) else image, tuple(along.items())),
        prompt=prompt,
    )
    return [explanation for batch in explainer.explain(feature_ids, batch_size) for explanation in batch]


def image_free(
    vlm: VLM,
    sae: SAE,
    feature_ids: Sequence[int],
    setting: Setting,
    *,
    layer: int | None,
    encoder_differs_in: str = "",
    ground: Ground = NO_OTHER,
    prompt: str | None = None,
    watch: Watch | None = None,
) -> Explainer:
    """An explainer that needs no images.

    Args:
        vlm: the model that sees and says.
        sae: a sparse autoencoder of its vision encoder.
        feature_ids: those that may stand in for each other in a permuted control.
        setting: of a method that shows none.
        layer: the block to steer.
        encoder_differs_in: for the record.
        ground: what to steer on, if not on an empty image alone.
        prompt: what to ask instead.
        watch: listens while the model speaks.

    Raises:
        SeesayError: as `steer` does, before anything is generated.
    """
    if setting.way.shows:
        raise InvalidSetting(f"{setting.method} without a run", expected="exemplars", remedy="seesay collect first")
    if "permuted" in (setting.control or "") and len(set(feature_ids)) < 2:
        raise FeatureNotFound(
            f"a permuted control over the features {sorted(set(feature_ids))}",
            expected="at least two",
            remedy="explain more features at once",
        )
    if prompt is not None:
        vlm = _asked(vlm, setting, prompt)
    # refuses unknown features before the model runs
    sae.directions([*feature_ids, *(feature_id for feature_id, _value in ground.along)])
    return Explainer(
        vlm,
        setting,
        NoImages(feature_ids),
        sae=sae,
        layer=layer,
        encoder_differs_in=encoder_differs_in,
        ground=ground,
        watch=watch,
    )


def _asked(vlm: VLM, setting: Setting, prompt: str) -> VLM:
    name = setting.way.prompt
    if name is None:
        raise InvalidSetting(f"a question for {setting.method}, which asks none", expected="none")
    if not prompt.strip():
        raise UnreadablePrompt("an empty question", expected="words")
    return vlm.asked(name, prompt)


def _difference(subject: VLM | Encoder | None, vlm: VLM, *, allowed: bool) -> str:
    eyes = subject.encoder if isinstance(subject, VLM) else subject
    return "" if eyes is None else encoder_difference(eyes, vlm.encoder, allowed=allowed)
