"""CLIP-Dissect as an explainer: the phrase of a vocabulary that fits a feature's most activating images best."""

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from seesay.explainers.cases import Case, Cases
from seesay.explainers.config import Setting
from seesay.explainers.dissect import N_TOP, soft_wpmi
from seesay.facts import hash_of
from seesay.instruments.instrument import Embedder
from seesay.records import Ablation, Control, Explanation
from seesay.store.explanations import StoredSetting, add, add_setting, missing
from seesay.store.gallery import RunGallery, explainable
from seesay.store.run import Run

_ALGORITHM = 1
_AT_ONCE = 64


def dissecting(control: Control | Ablation | None, seed: int = 0) -> Setting:
    """The setting in which it explains: up to 100 whole images a feature, one phrase.

    Args:
        control: whose images take the place of the feature's.
        seed: of random controls.

    Raises:
        InvalidSetting: a control of what it does not have.
    """
    return Setting("dissect", control=control, n_images=N_TOP, overlay="plain", n_words=1, seed=seed)


def dissect(
    run: Run,
    embedder: Embedder,
    name: str,
    vocabulary: list[str],
    setting: Setting,
    feature_ids: Sequence[int],
    *,
    on_batch: Callable[[int], None] = lambda _n: None,
) -> StoredSetting:
    """Put features into words, and write them into the run.

    Which phrase is too common to say anything is judged over all features that have images, whichever are asked for.
    It takes seconds once the images are embedded, so all is written at once.

    Args:
        run: open to be written.
        embedder: puts images and phrases into one space.
        name: what it is called, for people.
        vocabulary: the phrases, at least one.
        setting: as `dissecting` makes it.
        feature_ids: which features.
        on_batch: told how many more images are embedded.

    Returns:
        The setting, under which [seesay.store.explanations.explanations][] finds the words.

    Raises:
        SeesayError: what the setting asks for cannot be had, or the run cannot be written.
    """
    facts = _facts(embedder, vocabulary, setting)
    stored = add_setting(run, facts, name)
    left = missing(run, stored, feature_ids)
    if not left:
        return stored
    started = time.monotonic()
    gallery = RunGallery(run)
    cases = Cases(setting, gallery, None, lambda _largest: 0.0)
    told = {feature_id: cases.of(feature_id) for feature_id in dict.fromkeys([*explainable(run), *left])}
    kept = {each.image.image_id: each.image for case in told.values() for each in case.exemplars}
    vectors: list[torch.Tensor] = []
    images = list(kept.values())
    for start in range(0, len(images), _AT_ONCE):
        some = images[start : start + _AT_ONCE]
        vectors.append(embedder.embed_images([gallery.picture(image) for image in some]))
        on_batch(len(some))
    row_of = {image_id: row for row, image_id in enumerate(kept)}
    top_images = [[row_of[each.image.image_id] for each in case.exemplars] for case in told.values()]
    phrases = embedder.embed_texts(vocabulary)
    similarity = torch.cat(vectors) @ phrases.T if vectors else torch.zeros(0, len(phrases))
    best = soft_wpmi(similarity, top_images).nan_to_num(-torch.inf).argmax(1).tolist()
    words = {feature_id: vocabulary[row] for feature_id, row in zip(told, best, strict=True)}
    seconds = (time.monotonic() - started) / len(left)
    add(run, stored, [_explanation(told[each], words[each], setting, seconds) for each in left])
    return stored


def _facts(embedder: Embedder, vocabulary: Sequence[str], setting: Setting) -> dict[str, Any]:
    weights = hash_of(dict(embedder.facts))
    return {
        **setting.facts,
        "explainer": weights,
        "encoder": weights,
        "prompt": None,
        "vocabulary": hashlib.sha256("\n".join(vocabulary).encode()).hexdigest(),
        "dtype": str(torch.float32),
        "algorithm": _ALGORITHM,
    }


def _explanation(case: Case, phrase: str, setting: Setting, seconds: float) -> Explanation:
    text = "" if case.reason else phrase
    return Explanation(
        feature_id=case.feature_id,
        method=setting.method,
        control=setting.control,
        text=text,
        raw_text=text,
        status="empty" if case.reason else "ok",
        strength=None,
        coefficient=None,
        image_ids=tuple(each.image.image_id for each in case.exemplars),
        donor_id=case.donor_id,
        seconds=round(seconds, 6),
        reason=case.reason,
    )
