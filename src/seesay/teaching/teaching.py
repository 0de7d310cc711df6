"""A lens is taught: phrases are collected, pupils are asked about, a map is fitted and held against features."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from seesay.errors import InvalidSetting, UnknownPhrase
from seesay.explainers.config import Setting
from seesay.explainers.explainer import Explainer
from seesay.explainers.gallery import NoImages
from seesay.explainers.lens import Expected, Lens, encoder_rows
from seesay.records import Decoding, Strength
from seesay.sae import SAE
from seesay.teaching.config import Teaching
from seesay.teaching.fitting import fit, meanings
from seesay.teaching.pupils import Patches, Pupil, find_pupils
from seesay.vlm import VLM, ImageTokens
from seesay.vlm.likelihood import phrase_likelihoods

_ALGORITHM = 1
"""Raised when the same images and models would give another lens."""

_PUPILS_AT_ONCE = 16

N_SAYING = 500
"""Pupils, at most, of which the model says something by itself, for phrases."""

Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Makes a progress bar of what is being done and how much there is of it."""


def teach(
    vlm: VLM,
    sae: SAE,
    layer: int,
    images: Sequence[Image.Image],
    feature_ids: Sequence[int],
    strength: Strength,
    *,
    teaching: Teaching = Teaching(),  # noqa: B008 (frozen)
    decoding: Decoding = Decoding(max_new_tokens=24),  # noqa: B008 (frozen)
    progress: Progress,
) -> Lens:
    """Teach a lens.

    Args:
        vlm: the model that explains.
        sae: of its vision encoder.
        layer: the block that it reads.
        images: natural ones, which no score is to look at.
        feature_ids: features that none is judged by: phrases are taken from what is said of them, and the lens is held
            against them.
        strength: by which features are steered.
        teaching: how it is taught.
        decoding: how the phrases are said.
        progress: shows how far it is.

    Raises:
        InvalidSetting: too few images or features.
        UnknownPhrase: steering makes the model say nothing.
        SeesayError: what cannot be steered or asked.
    """
    if len(images) < 2 or len(set(feature_ids)) < 2:
        raise InvalidSetting(
            f"a lens from {len(images)} images and {len(set(feature_ids))} features", expected="at least two of each"
        )
    references = _drawn(feature_ids, teaching.n_references, teaching.seed)
    pictures = list(images[: teaching.n_looked_at])
    steered = Setting(method="steering", strength=strength, decoding=decoding)
    said = _said_of_features(vlm, sae, layer, references, steered, teaching, progress)
    with progress("images", len(pictures)) as advance:
        patches = Patches.of(vlm, layer, pictures, advance)
    pupils = find_pupils(patches, teaching)
    with progress("phrases of pupils", min(len(pupils), N_SAYING)) as advance:
        said += _said_of_pupils(vlm, pupils[:N_SAYING], patches, pictures, decoding, advance)
    # what it says of the empty image itself means nothing
    nothing = Explainer(vlm, replace(steered, control="none"), NoImages(references), sae=sae, layer=layer)
    ((unsteered,),) = nothing.explain(references[:1])
    del said[_spelt(unsteered.raw_text)]
    # and what has come to no end is no phrase
    for phrase in [each for each in said if len(vlm.tokenize(each)) >= decoding.max_new_tokens]:
        del said[phrase]
    phrases = _most_common(said, teaching.n_phrases)
    with progress("pupils", len(pupils)) as advance:
        asked = list(_asked(vlm, pupils, patches, pictures, phrases, advance))
    of_pupils = torch.cat(asked)
    weights = fit(torch.stack([each.offset for each in pupils]), meanings(of_pupils, teaching), teaching)
    rows = normalize(encoder_rows(sae, references).float().cpu(), dim=-1)
    centre = rows.mean(0)
    of_steered = _steered_likelihoods(vlm, sae, layer, references, steered, phrases, progress)
    return Lens(
        phrases=tuple(phrases),
        weights=weights,
        centre=centre,
        spread=((rows - centre) @ weights.T).std().clamp_min(1e-12).item(),
        of_steered=Expected.of(of_steered),
        of_pupils=Expected.of(of_pupils),
        strength=strength,
        facts={
            "algorithm": _ALGORITHM,
            "layer": layer,
            "n_images": len(pictures),
            "references": references,
            **asdict(teaching),
            "max_new_tokens": decoding.max_new_tokens,
        },
    )


def _drawn(feature_ids: Sequence[int], n: int, seed: int) -> list[int]:
    """Some features, in ascending order."""
    distinct = sorted(set(feature_ids))
    order = torch.randperm(len(distinct), generator=torch.Generator().manual_seed(seed))
    return sorted(distinct[each] for each in order[:n].tolist())


def _said_of_features(
    vlm: VLM,
    sae: SAE,
    layer: int,
    references: Sequence[int],
    steered: Setting,
    teaching: Teaching,
    progress: Progress,
) -> Counter[str]:
    """What the model says where features are steered, as it says it, opening included."""
    assert steered.strength is not None
    said = Counter[str]()
    with progress("phrases of features", len(teaching.proposing) * len(references)) as advance:
        for times in teaching.proposing:
            strength = replace(steered.strength, value=times * steered.strength.value)
            explainer = Explainer(vlm, replace(steered, strength=strength), NoImages(references), sae=sae, layer=layer)
            for batch in explainer.explain(references):
                said.update(_spelt(each.raw_text) for each in batch if each.status == "ok")
                advance(len(batch))
    return said


def _said_of_pupils(
    vlm: VLM,
    pupils: Sequence[Pupil],
    patches: Patches,
    pictures: Sequence[Image.Image],
    decoding: Decoding,
    advance: Callable[[int], None],
) -> Counter[str]:
    """What the model says of pupils."""
    prompt = vlm.prompts.filled_in("topk")
    said = Counter[str]()
    for start in range(0, len(pupils), _PUPILS_AT_ONCE):
        rows = _seen(vlm, pupils[start : start + _PUPILS_AT_ONCE], patches, pictures)
        answers = vlm.say(prompt, rows, decoding, batch_size=len(rows))
        said.update(spelt for each in answers if any(map(str.isalnum, spelt := _spelt(each.text))))
        advance(len(rows))
    return said


def _most_common(said: Counter[str], n: int) -> list[str]:
    """The phrases that are said most often, those first."""
    if len(said) < 2:
        raise UnknownPhrase(
            f"{len(said)} phrases are all that the model says", expected="several", remedy="try another strength"
        )
    return [phrase for phrase, _count in said.most_common(n)]


def _spelt(text: str) -> str:
    return " ".join(text.split())


def _seen(
    vlm: VLM, pupils: Sequence[Pupil], patches: Patches, pictures: Sequence[Image.Image]
) -> list[list[ImageTokens]]:
    """Pupils as the language model reads them: shown as exemplars are."""
    shown = [each.drawn(pictures, patches, vlm.prompts.mask_fill) for each in pupils]
    flat = [picture for row in shown for picture in row]
    tokens = iter(vlm.encode(flat, batch_size=len(flat)))
    return [[next(tokens) for _ in row] for row in shown]


def _asked(
    vlm: VLM,
    pupils: Sequence[Pupil],
    patches: Patches,
    pictures: Sequence[Image.Image],
    phrases: Sequence[str],
    advance: Callable[[int], None],
) -> Iterator[Float[Tensor, "pupil phrase"]]:
    """How probable the model finds each phrase for pupils, who are shown as exemplars are."""
    prompt = vlm.prompts.filled_in("topk")
    for start in range(0, len(pupils), _PUPILS_AT_ONCE):
        rows = _seen(vlm, pupils[start : start + _PUPILS_AT_ONCE], patches, pictures)
        yield phrase_likelihoods(vlm, prompt, rows, [phrases] * len(rows), at_once=len(rows))
        advance(len(rows))


def _steered_likelihoods(
    vlm: VLM,
    sae: SAE,
    layer: int,
    references: Sequence[int],
    steered: Setting,
    phrases: Sequence[str],
    progress: Progress,
) -> Float[Tensor, "reference phrase"]:
    """How probable the model finds each phrase where features are steered on the empty image."""
    explainer = Explainer(vlm, steered, NoImages(references), sae=sae, layer=layer)
    prompt = vlm.prompts.filled_in("steering")
    found: list[Tensor] = []
    with progress("references", len(references)) as advance:
        for start in range(0, len(references), _PUPILS_AT_ONCE):
            rows = explainer.see(references[start : start + _PUPILS_AT_ONCE])
            found.append(phrase_likelihoods(vlm, prompt, rows, [phrases] * len(rows), at_once=len(rows)))
            advance(len(rows))
    return torch.cat(found)
