"""What Neuronpedia is told of each feature: a line for it, one for each image, one for each explanation."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, final

from seesay.exemplars.exemplar import Exemplar
from seesay.exemplars.histogram import bin_edge
from seesay.export.features import walk_exemplars
from seesay.export.names import public
from seesay.export.source import Source
from seesay.records import Explanation, FeatureStats
from seesay.store.exemplars import features
from seesay.store.explanations import StoredSetting, explanations
from seesay.store.pages import has_test_features

Line = dict[str, Any]
"""One JSON object, by the columns of Neuronpedia's tables."""

CREATOR = "clkht01d40000jv08hvalcvly"
"""The user that a new Neuronpedia's database begins with, to whom its own exports, too, ascribe everything."""

_TOP = -1.0  # how an activation says that it stands for no interval but is among the highest


@final
@dataclass(frozen=True)
class Place:
    """Where a run's features stand in Neuronpedia: /model/source/index.

    Args:
        model: id of the model.
        source_set: name of the SAEs of its blocks.
        source: id of the SAE: the block, and the set's name.
    """

    model: str
    source_set: str
    source: str

    @property
    def of_feature(self) -> Line:
        """What every line of a feature, an activation or an explanation begins with, but for the index."""
        return {"modelId": self.model, "layer": self.source}


def feature_lines(source: Source, place: Place) -> Iterator[Line]:
    """The features, which must be there before anything may refer to them.

    Args:
        source: the run.
        place: of it.
    """
    if source.run.finished("collect") is None:  # nothing is known of features but what is said of them
        for _within, wanted in source.walk("explanations"):
            for feature_id in wanted:
                yield {**place.of_feature, "index": str(feature_id), "creatorId": CREATOR, **_of_set(place)}
        return
    for within, wanted in source.walk("features"):
        for each in features(source.run, within):
            if each.feature_id in wanted:
                index = str(each.feature_id)
                yield {**place.of_feature, "index": index, "creatorId": CREATOR, **_of_set(place), **_statistics(each)}


def _of_set(place: Place) -> Line:
    return {"sourceSetName": place.source_set, "hasVector": False}


def _statistics(stats: FeatureStats) -> Line:
    filled = [number for number, n in enumerate(stats.histogram) if n]
    bins = range(filled[0], filled[-1] + 1) if filled else range(0)
    return {
        "maxActApprox": stats.max_activation,
        "frac_nonzero": stats.frequency,
        "freq_hist_data_bar_values": [(bin_edge(each) * bin_edge(each + 1)) ** 0.5 for each in bins],
        "freq_hist_data_bar_heights": [stats.histogram[each] for each in bins],
        "topkCosSimIndices": [other for other, _cosine in stats.nearest],
        "topkCosSimValues": [cosine for _other, cosine in stats.nearest],
    }


def activation_lines(source: Source, place: Place) -> Iterator[Line]:
    """The images that activate each feature most, of both halves: a token a patch, row by row.

    Args:
        source: the run.
        place: of it.
    """
    images = source.run.configured("collect").get("images")
    named = public(images) if isinstance(images, str) else None
    for _split, _part, exemplar in walk_exemplars(source, ["top"]):
        yield {**place.of_feature, **_activation(place, exemplar), "dataSource": named}


def _activation(place: Place, exemplar: Exemplar) -> Line:
    grid = exemplar.image.grid
    values = exemplar.dense().reshape(-1).tolist()
    largest = max(values)
    return {
        "id": _id(place, "activation", exemplar.feature_id, exemplar.image.pixel_hash),
        "index": str(exemplar.feature_id),
        "tokens": [f"r{row}c{column}" for row in range(grid[0]) for column in range(grid[1])],
        "values": values,
        "maxValue": largest,
        "maxValueTokenIndex": values.index(largest),
        "minValue": min(values),
        "dataIndex": exemplar.image.pixel_hash,
        "creatorId": CREATOR,
        "binMin": _TOP,
        "binMax": _TOP,
        "binContains": _TOP,
    }


def explanation_lines(source: Source, place: Place) -> Iterator[Line]:
    """What was said, where there are words; see `told_settings`.

    Args:
        source: the run.
        place: of it.
    """
    told = told_settings(source)
    for within, wanted in source.walk("explanations"):
        for setting in told:
            for feature_id, said in explanations(source.run, setting, within).items():
                for each in said if feature_id in wanted else ():
                    if each.status == "ok":
                        yield {**place.of_feature, **_explanation(place, setting, each)}


def _explanation(place: Place, setting: StoredSetting, said: Explanation) -> Line:
    strength = "" if setting.strength is None else f", strength {setting.strength.value:g} {setting.strength.unit}"
    return {
        "id": _id(place, "explanation", setting.identity, said.feature_id, said.sample),
        "index": str(said.feature_id),
        "description": said.text,
        "authorId": CREATOR,
        # The database must know names of types and models before anything may refer to them: they stand in the notes.
        "typeName": None,
        "explanationModelName": None,
        "notes": f"seesay: {setting.title} by {public(setting.explainer)}{strength}, setting {setting.identity}",
    }


def _id(place: Place, *parts: object) -> str:
    """The same each time, so that what is imported twice is there once."""
    return "c" + sha256(repr((place.model, place.source, *parts)).encode()).hexdigest()[:24]


def told_settings(source: Source) -> list[StoredSetting]:
    """The settings whose words are told there: no controls, which the page of a feature could not tell from its words.

    Strengths that were only tried on validation features are left out, unless nothing else was done.

    Args:
        source: the run.
    """
    own = [each for each in source.chosen.values() if each.control is None]
    return [each for each in own if has_test_features(source.run, each.setting_id)] or own
