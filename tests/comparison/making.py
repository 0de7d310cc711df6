"""Runs made by hand, without any model: features, what is said of them, and numbers."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from seesay.exemplars.histogram import N_BINS
from seesay.explainers.config import Setting
from seesay.records import Aid, Explanation
from seesay.scorers.config import Score
from seesay.scorers.scorer import Item, Measured
from seesay.split import split_of
from seesay.store.database import transaction
from seesay.store.explanations import StoredSetting, add, add_setting
from seesay.store.run import Run
from seesay.store.scores import add_scores, add_scoring

FACTS: dict[str, Any] = {"holding": "held-out", "n_images": 20, "algorithm": 1}


@contextmanager
def making(
    folder: Path,
    n_features: int = 60,
    *,
    layer: int = 1,
    identity: str = "abc",
    images: str = "photographs",
    sae: str = "x",
    frequencies: Sequence[float] | None = None,
    nearest: Mapping[int, Sequence[tuple[int, float]]] | None = None,
) -> Iterator[Run]:
    """A run that is collected, open to be written."""
    subject = {"subject": "tiny", "layer": layer, "sae": sae, "identity": identity}
    histogram = np.zeros(N_BINS, "<i8").tobytes()
    with Run.writing(folder, subject) as run:
        run.begin("collect", images, {"images": images})
        rows = [
            (
                feature_id,
                split_of(feature_id),
                1,
                1,
                frequencies[feature_id] if frequencies else (feature_id + 1) / (2 * n_features),
                0.5,
                1.0,
                2.0,
                histogram,
                "[]",
                json.dumps((nearest or {}).get(feature_id, [])),
            )
            for feature_id in range(n_features)
        ]
        with transaction(run.connection):
            run.connection.executemany("INSERT OR REPLACE INTO features VALUES (?,?,?,?,?,?,?,?,?,?,?)", rows)
            run.finish("collect", {"n_images": 9})
        yield run


def said(
    run: Run,
    words: Mapping[int, str | None | Sequence[str | None]],
    setting: Setting | None = None,
    explainer: str = "world:M",
    **facts: Any,
) -> StoredSetting:
    """Write what is said of features: words, an empty text for silence, None for a failure; several are samples."""
    setting = setting or Setting("topk")
    models = {
        "explainer": explainer.encode().hex(),
        "encoder": "f" * 64,
        "dtype": "torch.float32",
        "encoder_differs_in": "",
    }
    stored = add_setting(run, {**models, **setting.facts, "prompt": "What is it?", **facts}, explainer)
    rows = [
        Explanation(
            feature_id,
            setting.method,
            setting.control,
            text=text or "",
            raw_text=text or "",
            status="failed" if text is None else "ok" if text else "empty",
            strength=setting.strength,
            coefficient=None,
            sample=sample,
        )
        for feature_id, samples in words.items()
        for sample, text in enumerate([samples] if samples is None or isinstance(samples, str) else samples)
    ]
    add(run, stored, rows)
    return stored


def scored(
    run: Run,
    score: Score,
    setting: StoredSetting | None,
    values: Mapping[int, float | None | Sequence[float | None]],
    words: Mapping[int, str | None | Sequence[str | None]] | str = "a red car",
    *,
    aid: Aid | None = None,
    facts: Mapping[str, Any] = FACTS,
    others: Mapping[int, Mapping[str, float]] | None = None,
    details: Mapping[int, Mapping[str, Sequence[float]]] | None = None,
) -> None:
    """Write numbers of what was said; several of one feature are of its samples."""
    found: list[tuple[Item, Measured]] = []
    for feature_id, several in values.items():
        told = words if isinstance(words, str) else words[feature_id]
        texts = [told] if told is None or isinstance(told, str) else list(told)
        for sample, value in enumerate(several if isinstance(several, Sequence) else [several]):
            item = Item(feature_id, texts[sample % len(texts)] or "", sample)
            found.append(
                (item, Measured(value, (others or {}).get(feature_id, {}), (details or {}).get(feature_id, {})))
            )
    setting_id = None if setting is None else setting.setting_id
    add_scores(run, add_scoring(run, score, facts, setting_id, aid), found)


def judged(n_features: int = 60) -> list[int]:
    """The test features."""
    return [feature_id for feature_id in range(n_features) if split_of(feature_id) == "test"]


def drawn(seed: int, ids: Sequence[int], mean: float = 0.5, spread: float = 0.1) -> dict[int, float]:
    """A number for each feature."""
    values = np.random.default_rng(seed).normal(mean, spread, len(ids))
    return dict(zip(ids, values.tolist(), strict=True))
