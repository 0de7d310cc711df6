"""Collections against a reference that keeps every activation and sorts at the end."""

import math
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seesay.errors import SeesayError
from seesay.exemplars.activity import Activity, _sorted
from seesay.exemplars.choosing import Chosen, choose, fires_together
from seesay.exemplars.collection import N_TOGETHER, Collection
from seesay.exemplars.config import PARTS, CollectionConfig, Reduction
from seesay.exemplars.exemplar import NO_QUANTILE
from seesay.exemplars.hashing import hashed, image_id_of, part_of
from seesay.exemplars.histogram import BINS_PER_OCTAVE, N_BINS, bin_edge
from seesay.sae.model import Codes

N_FEATURES, N_PATCHES, K = 12, 9, 3
CONFIG = CollectionConfig(
    n_top=3, n_quantiles=2, n_per_quantile=2, n_sampled=6, n_inactive=3, n_background=8, n_patches=4
)


@dataclass(frozen=True)
class Seen:
    """An image and its dense activations, patch by feature."""

    image_id: int
    dense: np.ndarray


def images(n: int, seed: int) -> list[Seen]:
    generator = np.random.default_rng(seed)
    found: list[Seen] = []
    for _ in range(n):
        dense = np.zeros((N_PATCHES, N_FEATURES), dtype=np.float32)
        for row in dense:
            # the last feature is dead, the first one is active nearly everywhere, values repeat
            chances = np.linspace(3, 0, N_FEATURES) + 1e-12
            chosen = generator.choice(N_FEATURES, K, replace=False, p=chances / chances.sum())
            row[chosen] = generator.integers(0, 6, K) / 4
        dense[:, -1] = 0
        found.append(Seen(int(generator.integers(2**63)), dense))
    return found


def activity_of(batch: Sequence[Seen]) -> Activity:
    dense = torch.from_numpy(np.concatenate([each.dense for each in batch]))
    values, feature_ids = dense.topk(K, dim=1)
    return _sorted(Codes(values, feature_ids), [N_PATCHES] * len(batch), N_FEATURES, N_TOGETHER)


def collected(seen: Sequence[Seen], config: CollectionConfig = CONFIG, batch_size: int = 5) -> Collection:
    collection = Collection(config, N_FEATURES)
    for start in range(0, len(seen), batch_size):
        batch = seen[start : start + batch_size]
        collection.update(activity_of(batch), [each.image_id for each in batch])
    return collection


def reduced(each: Seen, feature_id: int, reduction: Reduction) -> np.float32:
    column = each.dense[:, feature_id].astype(np.float64)
    return np.float32(column.mean() if reduction == "mean" else column.max())


def by_hash(seen: Sequence[Seen], *numbers: int, salt: int) -> list[Seen]:
    """Images in the order of a hash, the largest first."""
    image_ids = torch.tensor([each.image_id for each in seen], dtype=torch.long)
    hashes = hashed(*map(torch.tensor, numbers), image_ids, salt=salt).tolist()
    return [seen[place] for place in sorted(range(len(seen)), key=lambda place: hashes[place], reverse=True)]


def rows_of(selection: Chosen, part: str, feature_id: int) -> list[tuple[int, float, int, list[int], list[float]]]:
    """Image, activation, quantile and heatmap of a feature's exemplars."""
    mine = (selection.parts == PARTS.index(part)) & (selection.feature_ids == feature_id)
    found = []
    for row in mine.nonzero().flatten().tolist():
        start, length = int(selection.starts[row]), int(selection.lengths[row])
        patches = selection.patches[start : start + length].tolist()
        heat = selection.patch_activations[start : start + length].tolist()
        quantile, activation = int(selection.quantiles[row]), float(selection.activations[row])
        found.append((int(selection.image_ids[row]), activation, quantile, patches, heat))
    return found


def expected_row(each: Seen, feature_id: int, quantile: int, reduction: Reduction) -> tuple[object, ...]:
    heat = each.dense[:, feature_id]
    (patches,) = heat.nonzero()
    activation = float(reduced(each, feature_id, reduction))
    return each.image_id, activation, quantile, patches.tolist(), heat[patches].tolist()


def reference(seen: Sequence[Seen], config: CollectionConfig, part: str, feature_id: int) -> dict[str, list[Seen]]:
    """The exemplars of a feature, from all activations."""
    mine = [each for each in seen if part_of(each.image_id) == part]
    active = [each for each in mine if reduced(each, feature_id, "max") > 0]

    def activation(each: Seen) -> tuple[float, int]:
        return -float(reduced(each, feature_id, config.reduction)), each.image_id

    sample = by_hash(active, feature_id, salt=2)[: config.n_sampled]
    ascending = sorted(sample, key=lambda each: (-activation(each)[0], each.image_id))
    quantile_of = {each.image_id: place * config.n_quantiles // len(ascending) for place, each in enumerate(ascending)}
    chosen: list[Seen] = []
    for quantile in reversed(range(config.n_quantiles)):
        chosen += [each for each in sample if quantile_of[each.image_id] == quantile][: config.n_per_quantile]
    background = by_hash(mine, salt=3)[: config.n_background]
    inactive = [each for each in background if reduced(each, feature_id, "max") == 0]
    is_live = any(reduced(each, feature_id, "max") > 0 for each in seen)
    return {
        "top": sorted(active, key=activation)[: config.n_top],
        "quantile": chosen,
        "inactive": by_hash(inactive, feature_id, salt=5)[: config.n_inactive] if is_live else [],
    }


@pytest.mark.parametrize("reduction", ["mean", "max"])
@pytest.mark.parametrize("n", [1, 40, 130])
def test_exemplars_are_those_of_a_reference_that_keeps_everything(n: int, reduction: Reduction) -> None:
    config = CollectionConfig(**{**vars(CONFIG), "reduction": reduction})
    seen = images(n, seed=n)
    selections = choose(collected(seen, config))
    assert [selection.kind for selection in selections] == ["top", "quantile", "inactive"]
    for part in PARTS:
        for feature_id in range(N_FEATURES):
            wanted = reference(seen, config, part, feature_id)
            for selection in selections:
                found = rows_of(selection, part, feature_id)
                rows = wanted[selection.kind]
                assert [row[0] for row in found] == [each.image_id for each in rows]
                for row, each in zip(found, rows, strict=True):
                    quantile = row[2]
                    assert (quantile == NO_QUANTILE) == (selection.kind != "quantile")
                    assert row == expected_row(each, feature_id, quantile, reduction)


def test_statistics_are_those_of_all_activations() -> None:
    seen = images(60, seed=1)
    statistics = collected(seen).statistics
    dense = np.stack([each.dense for each in seen]).astype(np.float64)
    assert statistics.totals.tolist() == [60, 60 * N_PATCHES]
    assert statistics.n_active_patches.tolist() == (dense > 0).sum((0, 1)).tolist()
    assert statistics.n_active_images.tolist() == (dense > 0).any(1).sum(0).tolist()
    np.testing.assert_allclose(statistics.sums.numpy(), dense.sum((0, 1)), rtol=1e-12)
    assert statistics.maxima.tolist() == dense.max((0, 1)).tolist()
    for feature_id in range(N_FEATURES):
        values = dense[..., feature_id]
        places = Counter(math.floor(math.log2(value) * BINS_PER_OCTAVE) + N_BINS // 2 for value in values[values > 0])
        histogram = statistics.histograms[feature_id]
        assert {place: int(histogram[place]) for place in histogram.nonzero().flatten().tolist()} == places
        for place in places:
            assert ((values >= bin_edge(place)) & (values < bin_edge(place + 1))).sum() == places[place]


def test_an_activation_on_an_edge_falls_into_the_bin_that_begins_there() -> None:
    edges = np.array([bin_edge(place) for place in range(1, N_BINS)], dtype=np.float32)
    values = np.concatenate([edges, np.nextafter(edges, np.float32(0)), np.nextafter(edges, np.float32(np.inf))])
    dense = np.zeros((len(values), N_FEATURES), dtype=np.float32)
    dense[:, 0] = values
    collection = Collection(CONFIG, N_FEATURES)
    codes = Codes(*torch.from_numpy(dense).topk(K, dim=1))
    collection.update(_sorted(codes, [len(values)], N_FEATURES, N_TOGETHER), [1])
    bounds = np.array([0, *(bin_edge(place) for place in range(1, N_BINS)), np.inf])
    wanted = np.histogram(values.astype(np.float64), bounds)[0]
    assert collection.statistics.histograms[0].tolist() == wanted.tolist()


@pytest.mark.parametrize("options", [{"n_top": 0}, {"n_inactive": 1001}, {"n_quantiles": 9, "n_per_quantile": 5}])
def test_what_cannot_be_kept_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(SeesayError, match="expected"):
        CollectionConfig(**options)


def test_features_that_fire_together_are_counted_on_a_sample_of_patches() -> None:
    seen = images(60, seed=2)
    ids, shares = fires_together(collected(seen))
    image_ids, patches = torch.tensor([[each.image_id] for each in seen]), torch.arange(N_PATCHES)

    def keys_of(feature_id: int) -> list[list[int]]:
        return hashed(torch.tensor(feature_id), image_ids, patches, salt=4).tolist()

    for feature_id in range(N_FEATURES):
        active = [
            (key, each.dense[patch])
            for each, keys_p in zip(seen, keys_of(feature_id), strict=True)
            for patch, key in enumerate(keys_p)
            if each.dense[patch, feature_id] > 0
        ]
        sample = [row for _, row in sorted(active, key=lambda pair: -pair[0])[: CONFIG.n_patches]]
        counts = Counter(other for row in sample for other in row.nonzero()[0].tolist() if other != feature_id)
        wanted = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: CONFIG.n_together]
        both = zip(ids[feature_id].tolist(), shares[feature_id].tolist(), strict=True)
        found = [(other, share) for other, share in both if other >= 0]
        assert found == [(other, pytest.approx(count / len(sample))) for other, count in wanted]


def same(left: Collection, right: Collection) -> None:
    for ours, theirs in zip(choose(left), choose(right), strict=True):
        for part in PARTS:
            for feature_id in range(N_FEATURES):
                assert rows_of(ours, part, feature_id) == rows_of(theirs, part, feature_id)
    for ours, theirs in zip(fires_together(left), fires_together(right), strict=True):
        assert torch.equal(ours, theirs)
    for name, ours in left.statistics.state_dict().items():
        torch.testing.assert_close(ours, right.statistics.state_dict()[name], rtol=1e-9, atol=0)
    assert left.kept_images() == right.kept_images()
    assert left.n_distinct == right.n_distinct


@settings(max_examples=25)
@given(
    n=st.integers(0, 60),
    cuts=st.lists(st.integers(0, 60), min_size=2, max_size=2),
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 100),
    repeats=st.booleans(),
)
def test_merging_is_associative_and_commutative_and_the_same_as_one_pass(
    n: int, cuts: list[int], batch_size: int, seed: int, repeats: bool
) -> None:
    seen = images(n, seed)
    if repeats:
        seen = [*seen, *seen[: n // 2]]  # the same pixels again, in another shard perhaps
    first, second = sorted(min(cut, len(seen)) for cut in cuts)
    shards = (seen[:first], seen[first:second], seen[second:])
    whole = collected(seen, batch_size=batch_size)

    def shard(place: int) -> Collection:
        return collected(shards[place], batch_size=batch_size + place)

    shards_made = [shard(place) for place in range(3)]
    left, middle, end = deepcopy(shards_made)
    left.merge(middle)
    left.merge(end)
    right, tail, end = deepcopy(shards_made)
    tail.merge(end)
    right.merge(tail)
    start, middle, backwards = deepcopy(shards_made)
    backwards.merge(middle)
    backwards.merge(start)
    for other in (left, right, backwards):
        same(whole, other)


@pytest.mark.parametrize("n_before", [0, 5, 35])
def test_a_collection_that_is_saved_and_loaded_goes_on_as_if_it_had_not_been(n_before: int) -> None:
    seen = images(60, seed=3)
    begun = collected(seen[:n_before])
    resumed = Collection(CONFIG, N_FEATURES)
    resumed.load_state_dict({name: tensor.clone() for name, tensor in begun.state_dict().items()})
    for start in range(n_before, 60, 5):
        batch = seen[start : start + 5]
        resumed.update(activity_of(batch), [each.image_id for each in batch])
    same(collected(seen), resumed)


def test_state_of_another_configuration_is_refused() -> None:
    state = collected(images(20, 0)).state_dict()
    with pytest.raises(ValueError, match="keys"):
        Collection(CollectionConfig(), N_FEATURES).load_state_dict(state)


def test_an_image_says_whether_it_is_kept() -> None:
    seen = images(200, seed=4)
    collection = Collection(CONFIG, N_FEATURES)
    kept = dict[int, bool]()
    for each in seen:
        (kept[each.image_id],) = collection.update(activity_of([each]), [each.image_id])
    assert all(kept[image_id] for image_id in collection.kept_images())
    assert not all(kept.values())
    (again,) = collection.update(activity_of(seen[:1]), [seen[0].image_id])
    assert not again, "it is there already"


def test_the_parts_are_of_about_the_same_size_and_hang_on_pixels_alone() -> None:
    ids = [image_id_of(f"{number:064x}"[::-1]) for number in range(4000)]
    share = sum(part_of(image_id) == "scoring" for image_id in ids) / len(ids)
    assert share == pytest.approx(0.5, abs=0.03)
    assert [part_of(image_id) for image_id in ids[:20]] == [part_of(image_id) for image_id in ids[:20]]


def test_hashes_are_spread_evenly_and_differ_by_every_number() -> None:
    numbers = torch.arange(20_000)
    hashes = hashed(numbers, torch.tensor(7), salt=1)
    assert hashes.min() >= 0
    counts = (hashes >> 59).bincount(minlength=16)
    assert counts.min() > 1100 and counts.max() < 1400
    assert not torch.equal(hashes, hashed(numbers, torch.tensor(8), salt=1))
    assert not torch.equal(hashes, hashed(numbers, torch.tensor(7), salt=2))
    assert len(hashed(numbers[:, None], numbers[:50], salt=1).unique()) == 20_000 * 50
