"""Blind studies: what is shown, in an order that tells nothing of who said it. Free of torch."""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import chain
from typing import Any, final

from seesay.comparison.contender import family_of
from seesay.errors import InvalidSetting, UnusablePath
from seesay.records import Method, Strength
from seesay.statistics import clusters_of
from seesay.store.calibrations import calibrations
from seesay.store.exemplars import features, with_exemplars
from seesay.store.explanations import StoredSetting, explanations, settings, shown_images
from seesay.store.held_out import RunHeldOut
from seesay.store.run import Run
from seesay.store.studies import Study, StudyItem, begin_study
from seesay.texts import same_words

LEAST_IMAGES = 3
"""Nobody can say what fewer pictures have in common."""

_MOST: Mapping[str, int] = {"n_features": 500, "n_images": 30, "n_decoys": 10}


@final
@dataclass(frozen=True)
class StudyConfig:
    """What is judged in a study.

    Args:
        name: unlike that of any other study of the run.
        n_features: test features, drawn by chance.
        n_images: of each, at most; none that any explainer was shown.
        n_decoys: words of another feature, beside each feature's own.
        methods: whose words; None for all that explained test features.
        seed: of whatever is drawn.

    Raises:
        InvalidSetting: a number that cannot be.
    """

    name: str
    n_features: int = 30
    n_images: int = 6
    n_decoys: int = 1
    methods: tuple[Method, ...] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("n_features", 1), ("n_images", LEAST_IMAGES), ("n_decoys", 0)):
            if not least <= getattr(self, name) <= _MOST[name]:
                raise InvalidSetting(f"{name} {getattr(self, name)}", expected=f"{least} to {_MOST[name]}")


def begin(run: Run, config: StudyConfig) -> Study:
    """Choose what is judged, and write it down.

    Of each way of explaining, one strength takes part: the one that was chosen for it, or else the last. All of them
    are judged on the same features, those that all of them have words of.

    Args:
        run: open for a note, or to be written.
        config: what is judged.

    Raises:
        InvalidSetting: nobody explained test features, too few features have words and pictures, or a name that is
            taken.
        LeakedImage: a picture that an explainer was shown.
        UnusablePath: the run has no explanations, cannot be written, or is damaged.
    """
    ways = _ways(run, config.methods)
    images = _drawn(run, config, ways)
    own = list(chain.from_iterable(_own(feature_id, ways, images) for feature_id in images))
    lending = _Decoys(run, config, ways, images, own)
    decoys = lending.all()
    shuffled = sorted((*own, *decoys), key=lambda each: _chance(config.seed, "item", each.feature_id, each.text))
    items = [
        StudyItem(number, each.feature_id, each.text, each.said_by, each.donor_id, each.image_ids)
        for number, each in enumerate(shuffled)
    ]
    return begin_study(run, config.name, _facts(config, ways, len(decoys), lending.n_shown_twice(decoys)), items)


def order_for(items: Sequence[StudyItem], rater: str) -> list[StudyItem]:
    """The order in which a rater sees them: each rater has an order of their own, always the same.

    Two items of one feature never follow each other, unless there are too many of one feature.

    Args:
        items: of a study, in any order.
        rater: their name.
    """
    left = sorted(items, key=lambda each: _chance(rater, each.number))
    n_left = Counter(each.feature_id for each in left)
    found: list[StudyItem] = []
    last = -1
    while left:
        # A feature with more than half of what is left comes now, or it will have to follow itself in the end.
        pressing = {feature_id for feature_id, n in n_left.items() if 2 * n > len(left)} - {last}
        fitting = (
            place
            for place, each in enumerate(left)
            if each.feature_id != last and (not pressing or each.feature_id in pressing)
        )
        item = left.pop(next(fitting, 0))
        last = item.feature_id
        n_left[last] -= 1
        found.append(item)
    return found


@final
@dataclass(frozen=True, eq=False)
class _Way:
    """A way of explaining.

    Args:
        setting: that stands for it.
        words: by test feature; what a feature's first sample with words says.
    """

    setting: StoredSetting
    words: Mapping[int, str]

    def says(self, feature_id: int, text: str) -> bool:
        return same_words(self.words.get(feature_id, "")) == same_words(text)


@final
class _Decoys:
    """Words that are another feature's, so that one sees whether raters look.

    Whoever sees the same words twice knows that one of them is a decoy. So features that are in the study lend none,
    and no words are lent twice, unless there are too few others.

    Args:
        run: may be a stranger's.
        config: how many.
        ways: who says what.
        images: pictures of the features of the study.
        own: what is said of these features.
    """

    def __init__(
        self,
        run: Run,
        config: StudyConfig,
        ways: Sequence[_Way],
        images: Mapping[int, tuple[int, ...]],
        own: Sequence[StudyItem],
    ) -> None:
        self._config, self._ways, self._images = config, ways, images
        explained = {feature_id for each in ways for feature_id in each.words}
        self._donors = sorted(explained, key=lambda each: _chance(config.seed, "donor", each))
        self._n_shown = Counter(same_words(each.text) for each in own)
        nearest = {each.feature_id: each.nearest for each in features(run)}
        clusters = clusters_of(self._donors, nearest).tolist()
        self._cluster_of = dict(zip(self._donors, clusters, strict=True))
        self._nearest = {each: {other for other, _ in nearest.get(each, ())} for each in self._donors}

    def all(self) -> list[StudyItem]:
        """Those of all features; ways take turns to lend words, so that each lends as often."""
        n_ways, found = len(self._ways), list[StudyItem]()
        order = sorted(self._ways, key=lambda each: _chance(self._config.seed, "way", each.setting.identity))
        turn = 0
        for feature_id in self._images:
            taken = {same_words(each.words[feature_id]) for each in self._ways}
            for _ in range(self._config.n_decoys):
                lenders = [order[(turn + further) % n_ways] for further in range(n_ways)]
                decoy = self._lent(lenders, feature_id, taken)
                turn += 1
                if decoy is not None:
                    words = same_words(decoy.text)
                    taken.add(words)
                    self._n_shown[words] += 1
                    found.append(decoy)
        return found

    def n_shown_twice(self, decoys: Iterable[StudyItem]) -> int:
        """How many of those that were found are in words that another item is in as well."""
        return sum(self._n_shown[same_words(each.text)] > 1 for each in decoys)

    def _lent(self, lenders: Sequence[_Way], feature_id: int, taken: Collection[str]) -> StudyItem | None:
        """What the first who can said of a feature that is unlike this one: in words shown nowhere, or most rarely."""
        offered = ((each, by.words[each]) for by in lenders for each in self._donors if each in by.words)
        lent, rarest = None, math.inf
        for donor_id, text in offered:
            n_shown = self._n_shown[same_words(text)]
            if n_shown < rarest and self._fits(feature_id, donor_id, text, taken):
                lent, rarest = (donor_id, text), n_shown
                if not n_shown:
                    break
        if lent is None:
            return None
        donor_id, text = lent
        return StudyItem(0, feature_id, text, _sayers(self._ways, donor_id, text), donor_id, self._images[feature_id])

    def _fits(self, feature_id: int, donor_id: int, text: str, taken: Collection[str]) -> bool:
        """Whether features are unlike, and so is what is said of them."""
        is_near = donor_id in self._nearest[feature_id] or feature_id in self._nearest[donor_id]
        is_like = is_near or self._cluster_of[donor_id] == self._cluster_of[feature_id]
        return not is_like and not any(_is_part(same_words(text), other) for other in taken)


def _ways(run: Run, methods: Collection[Method] | None) -> list[_Way]:
    """Who takes part: of each way of explaining, with any strength, one setting stands for it."""
    there = [each for each in settings(run) if each.control is None]
    if not there:
        raise UnusablePath(
            f"no explanations in {run.folder}",
            expected="some to be judged",
            remedy=f"seesay explain {run.folder} --method steering",
        )
    is_test = {each.feature_id for each in features(run) if each.split == "test"}
    families: dict[str, list[_Way]] = defaultdict(list)
    for setting in there:
        said = {
            feature_id: next((each.text for each in samples if each.status == "ok"), "")
            for feature_id, samples in explanations(run, setting).items()
            if feature_id in is_test
        }
        words = {feature_id: text for feature_id, text in said.items() if text}
        if words and (methods is None or setting.method in methods):
            families[f"{family_of(setting)} {setting.seed}"].append(_Way(setting, words))
    chosen = {(each.method, each.explainer, each.strength) for each in calibrations(run)}
    found = [_stands_for(alike, chosen) for alike in families.values()]
    lacking = {*(methods or ())} - {each.setting.method for each in found}
    if lacking or not found:
        by = f" by {', '.join(sorted(lacking))}" if lacking else ""
        raise InvalidSetting(
            f"no test feature of {run.folder} is explained{by}",
            expected=f"words by any of {', '.join(dict.fromkeys(each.method for each in there))}",
        )
    return found


def _stands_for(alike: Sequence[_Way], chosen: Collection[tuple[str, str, Strength | None]]) -> _Way:
    """The one at the strength that was chosen, or else the last."""
    settings_chosen = [
        each for each in alike if (each.setting.method, each.setting.explainer, each.setting.strength) in chosen
    ]
    return (settings_chosen or alike)[-1]


def _drawn(run: Run, config: StudyConfig, ways: Sequence[_Way]) -> dict[int, tuple[int, ...]]:
    """Features by chance, out of those that have words of all and pictures, with these pictures."""
    held_out = RunHeldOut(run, "held-out", shown_images(run))
    explained = frozenset[int].intersection(*(frozenset(each.words) for each in ways))
    there = explained.intersection(with_exemplars(run, "scoring", "test"))
    found: dict[int, tuple[int, ...]] = {}
    for feature_id in sorted(there, key=lambda each: _chance(config.seed, "feature", each)):
        top = held_out.exemplars(feature_id, "top", config.n_images)
        if len(top) >= LEAST_IMAGES:
            found[feature_id] = tuple(each.image.image_id for each in top)
        if len(found) == config.n_features:
            return found
    raise InvalidSetting(
        f"{len(found)} test features of {run.folder} have words by each of {len(ways)} ways of explaining, and "
        f"{LEAST_IMAGES} images that no explainer was shown",
        expected=f"{config.n_features} of them",
        remedy="ask for fewer features or methods, or explain more features",
    )


def _own(feature_id: int, ways: Sequence[_Way], images: Mapping[int, tuple[int, ...]]) -> list[StudyItem]:
    """What is said of a feature: the same words once, whoever said them."""
    texts: dict[str, str] = {}
    for each in ways:
        texts.setdefault(same_words(each.words[feature_id]), each.words[feature_id])
    return [
        StudyItem(0, feature_id, text, _sayers(ways, feature_id, text), None, images[feature_id])
        for text in texts.values()
    ]


def _sayers(ways: Sequence[_Way], feature_id: int, text: str) -> tuple[int, ...]:
    return tuple(each.setting.setting_id for each in ways if each.says(feature_id, text))


def _is_part(one: str, other: str) -> bool:
    """Whether one says but a part of the other: "a car" would be half right where "a red car" is."""
    first, second = set(one.split()), set(other.split())
    return first <= second or second <= first


def _facts(config: StudyConfig, ways: Sequence[_Way], n_decoys: int, n_shown_twice: int) -> dict[str, Any]:
    return {
        "n_features": config.n_features,
        "n_images": config.n_images,
        "n_decoys": config.n_decoys,
        "n_decoys_found": n_decoys,
        "n_decoys_in_words_shown_twice": n_shown_twice,
        "least_images": LEAST_IMAGES,
        "split": "test",
        "holding": "held-out",
        "seed": config.seed,
        "methods": None if config.methods is None else list(config.methods),
        "settings": [
            {
                "setting_id": each.setting_id,
                "identity": each.identity,
                "method": each.method,
                "explainer": each.explainer,
                "strength": None if each.strength is None else asdict(each.strength),
            }
            for each in (way.setting for way in ways)
        ],
    }


def _chance(*what: object) -> bytes:
    return blake2b(repr(what).encode(), digest_size=8, person=b"seesay-blind").digest()
