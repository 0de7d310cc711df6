"""Rows of the tables `settings`, `explanations`, `scorings` and `scores`: what is said, and how good it is."""

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, get_args

from seesay.export.names import public, public_facts, without_paths
from seesay.export.source import Row, Source
from seesay.records import Explanation
from seesay.scorers.config import Holding
from seesay.store.checks import checked_text
from seesay.store.explanations import StoredSetting, explanations
from seesay.store.run import DAMAGE, Run
from seesay.store.scores import StoredScore, StoredScoring, scores, scorings
from seesay.store.trust import trusts

_REMEMBERED = 4096  # images' hashes: most are shown for many features
_TOO_LARGE = 2**63


def setting_rows(source: Source) -> Iterator[Row]:
    """The ways in which features were put into words.

    Args:
        source: the run.

    Raises:
        UnusablePath: what it says is damaged.
    """
    for each in source.chosen.values():
        prompt = each.facts.get("prompt")
        yield {
            **_way(source, each),
            "seed": each.seed,
            "explainer_hash": each.explainer_hash,
            "encoder_hash": each.encoder_hash,
            "dtype": each.dtype,
            "prompt": prompt if isinstance(prompt, str) else None,
            "coarse": each.coarse,
            "facts": _as_json(each.facts),
        }


def explanation_rows(source: Source) -> Iterator[Row]:
    """What was said, controls and failures too.

    Args:
        source: the run.

    Raises:
        UnusablePath: what it says is damaged.
    """
    hash_of_image = _image_hashes(source.run)
    for within, wanted in source.walk("explanations"):
        sure = {(each.setting_id, each.feature_id, each.sample): each for each in trusts(source.run, within)}
        for number, setting in source.chosen.items():
            way = _way(source, setting)
            for feature_id, said in explanations(source.run, setting, within).items():
                for each in said if feature_id in wanted else ():
                    told = sure.get((number, feature_id, each.sample))
                    # what is sure is sure of the words that it was told of: they may have been asked for again since
                    trust = told.probability if told and told.text == each.text else None
                    images = [hash_of_image(image_id) for image_id in each.image_ids]
                    yield {**way, "split": wanted[feature_id], "trust": trust, "images": images, **_said(each)}


def scoring_rows(source: Source) -> Iterator[Row]:
    """The ways in which something was scored.

    Args:
        source: the run.

    Raises:
        UnusablePath: what it says is damaged.
    """
    for each in _chosen_scorings(source):
        yield {**_measured_by(source, each), "facts": _as_json(each.facts)}


def score_rows(source: Source) -> Iterator[Row]:
    """All numbers, those of controls and of what stands in the words' place too.

    Args:
        source: the run.

    Raises:
        UnusablePath: what it says is damaged.
    """
    found = _chosen_scorings(source)
    for within, wanted in source.walk("scores"):
        for scoring in found:
            words = _words(source, scoring, within)
            way = _measured_by(source, scoring)
            for feature_id, several in scores(source.run, scoring, within).items():
                for each in several if feature_id in wanted else ():
                    if words is None or words.get((feature_id, each.item.sample)) == each.item.text:
                        yield from _numbers({**way, "split": wanted[feature_id]}, scoring, each)


def _way(source: Source, setting: StoredSetting) -> Row:
    """What a setting's own row and those of its words have in common."""
    return {
        "run": source.name,
        "setting": setting.identity,
        "method": setting.method,
        "control": setting.control,
        "strength": None if setting.strength is None else setting.strength.value,
        "strength_unit": None if setting.strength is None else setting.strength.unit,
        "explainer": public(setting.explainer),
    }


def _said(explanation: Explanation) -> Row:
    return {
        "feature_id": explanation.feature_id,
        "text": explanation.text,
        "sample": explanation.sample,
        "status": explanation.status,
        "raw_text": explanation.raw_text,
        "reason": without_paths(explanation.reason),
        "coefficient": explanation.coefficient,
        "mean_log_probability": explanation.mean_log_probability,
        "donor_id": explanation.donor_id,
    }


def _chosen_scorings(source: Source) -> list[StoredScoring]:
    """Those of the words that are exported, and of features, whatever is said of them."""
    return [each for each in scorings(source.run) if each.setting_id is None or each.setting_id in source.chosen]


def _measured_by(source: Source, scoring: StoredScoring) -> Row:
    """What a scoring's own row and those of its numbers have in common."""
    setting = None if scoring.setting_id is None else source.chosen[scoring.setting_id]
    holding = scoring.facts.get("holding")
    return {
        "run": source.name,
        "scoring": scoring.identity,
        "score": scoring.score,
        "aid": scoring.aid,
        "holding": holding if holding in get_args(Holding) else None,
        "setting": None if setting is None else setting.identity,
        "method": None if setting is None else setting.method,
        "control": None if setting is None else setting.control,
        "explainer": None if setting is None else public(setting.explainer),
    }


def _words(source: Source, scoring: StoredScoring, within: range) -> dict[tuple[int, int], str] | None:
    """The words as they are now, by feature and sample: numbers of words that were asked for again are of no use.

    None where what was scored has words of its own, or none.
    """
    if scoring.setting_id is None or scoring.aid is not None:
        return None
    said = explanations(source.run, source.chosen[scoring.setting_id], within)
    return {(feature_id, each.sample): each.text for feature_id, several in said.items() for each in several}


def _numbers(way: Row, scoring: StoredScoring, score: StoredScore) -> Iterator[Row]:
    item, measured = score.item, score.measured
    of = {**way, "feature_id": item.feature_id, "sample": item.sample, "text": item.text}
    reason = without_paths(measured.reason)
    yield {**of, "name": scoring.measure.value, "is_primary": True, "value": measured.value, "reason": reason}
    for name, value in measured.others.items():
        yield {**of, "name": name, "is_primary": False, "value": value, "reason": ""}


def _image_hashes(run: Run) -> Callable[[int], str]:
    def read(image_id: int) -> str:
        try:
            if not 0 <= image_id < _TOO_LARGE:
                raise ValueError("no such number")
            rows = run.rows("SELECT pixel_hash FROM images WHERE image_id = ?", (image_id,))
            if not rows:
                raise ValueError("there is no such image")
            return checked_text(rows[0][0])
        except DAMAGE as error:
            raise run.damaged(f"image {image_id} that an explainer was shown", error) from error

    return lru_cache(_REMEMBERED)(read)


def _as_json(facts: Any) -> str:
    return json.dumps(public_facts(facts), ensure_ascii=False)
