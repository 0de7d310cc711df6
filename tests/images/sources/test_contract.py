"""What every source of images owes, whatever it is made of."""

import pickle
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seesay.images.decoding import pixel_hash
from seesay.images.sources import First, ImageSource, open_source
from seesay.images.sources.shuffling import Buffered
from seesay.world.pictures import pictures
from tests.images.making import picture, png, write_files, write_tar
from tests.images.sources.tables import rows_of, write_parquet

N = 7
Make = Callable[[Path, list[int]], ImageSource]


def folder(path: Path, seeds: list[int]) -> ImageSource:
    return open_source(write_files(path, {f"{n % 2}/{n}.png": png(seed) for n, seed in enumerate(seeds)}))


def shards(path: Path, seeds: list[int]) -> ImageSource:
    for n, seed in enumerate(seeds):
        write_tar(path / f"{n}.tar", {f"{n}.json": b"{}", f"{n}.png": png(seed)})
    return open_source(path)


def parquet(path: Path, seeds: list[int]) -> ImageSource:
    return open_source(write_parquet(path, train=rows_of(seeds)))


def streamed(path: Path, seeds: list[int]) -> ImageSource:
    return open_source(write_parquet(path, train=rows_of(seeds)), streaming=True)


def named_rows(path: Path, seeds: list[int]) -> ImageSource:
    return open_source(write_parquet(path, train=rows_of(seeds)), id_column="name")


def saved(path: Path, seeds: list[int]) -> ImageSource:
    rows_of(seeds).save_to_disk(str(path))
    return open_source(path)


def saved_splits(path: Path, seeds: list[int]) -> ImageSource:
    datasets.DatasetDict(val=rows_of(seeds), test=rows_of(seeds[::-1])).save_to_disk(str(path))
    return open_source(path, split="val")


def shuffled(path: Path, seeds: list[int]) -> ImageSource:
    return folder(path, seeds).shuffled(5)


def shuffled_again(path: Path, seeds: list[int]) -> ImageSource:
    return shuffled(path, seeds).shuffled(6)


def shuffled_shards(path: Path, seeds: list[int]) -> ImageSource:
    return shards(path, seeds).shuffled(5)


def buffered(path: Path, seeds: list[int]) -> ImageSource:
    return Buffered(shards(path, seeds), 5, buffer_size=3)


def first(path: Path, seeds: list[int]) -> ImageSource:
    return First(parquet(path, [*seeds, 100, 101]), len(seeds))


def first_streamed(path: Path, seeds: list[int]) -> ImageSource:
    return First(streamed(path, [*seeds, 100, 101]), len(seeds))


def first_of_all(path: Path, seeds: list[int]) -> ImageSource:
    return First(folder(path, seeds), len(seeds) + 5)


def world(_path: Path, seeds: list[int]) -> ImageSource:
    return pictures(f"world:{len(seeds)}@{seeds[0]}")


MAKERS = [
    folder,
    shards,
    parquet,
    streamed,
    named_rows,
    saved,
    saved_splits,
    shuffled,
    shuffled_again,
    shuffled_shards,
    buffered,
    first,
    first_streamed,
    first_of_all,
    world,
]
COUNTED = [make for make in MAKERS if make not in (shards, streamed, shuffled_shards, buffered, first_streamed)]


@pytest.fixture(scope="module", params=MAKERS, ids=lambda make: make.__name__)
def make(request: pytest.FixtureRequest) -> Make:
    return request.param


@pytest.fixture(scope="module")
def source(make: Make, tmp_path_factory: pytest.TempPathFactory) -> ImageSource:
    return make(tmp_path_factory.mktemp("images") / "a", list(range(N)))


def test_it_has_all_images_in_a_fixed_order(source: ImageSource) -> None:
    entries = list(source.entries())
    assert [entry.position for entry in entries] == list(range(N))
    assert len({entry.id for entry in entries}) == N
    assert entries == list(source.entries())


def test_its_images_are_rgb(make: Make, source: ImageSource) -> None:
    images = [entry.read() for entry in source.entries()]
    assert {image.mode for image in images} == {"RGB"}
    if make is not world:
        assert sorted(map(pixel_hash, images)) == sorted(pixel_hash(picture(seed)) for seed in range(N))


def test_it_knows_its_length_or_says_that_it_does_not(make: Make, source: ImageSource) -> None:
    assert source.n_images == (N if make in COUNTED else None)


def test_it_starts_anywhere(source: ImageSource) -> None:
    entries = list(source.entries())
    for start in range(N + 3):
        assert list(source.entries(start)) == entries[start:]


def test_its_entries_travel_between_processes(source: ImageSource) -> None:
    for entry in source.entries():
        there = pickle.loads(pickle.dumps(entry))
        assert there == entry
        assert pixel_hash(there.read()) == pixel_hash(entry.read())
        assert len(pickle.dumps(entry)) < 4000


@settings(max_examples=5)
@given(seed=st.integers(0, 2**32))
def test_shuffled_it_has_the_same_images(source: ImageSource, seed: int) -> None:
    held = {entry.id: pixel_hash(entry.read()) for entry in source.entries()}
    mixed = list(source.shuffled(seed).entries())
    assert [entry.position for entry in mixed] == list(range(N))
    assert {entry.id: pixel_hash(entry.read()) for entry in mixed} == held
    assert list(source.shuffled(seed).entries(3)) == mixed[3:]
    assert source.shuffled(seed).n_images == source.n_images


def test_seeds_give_different_orders(source: ImageSource) -> None:
    orders = {tuple(entry.id for entry in source.shuffled(seed).entries()) for seed in range(8)}
    assert len(orders) > 4
    assert len({source.shuffled(seed).fingerprint for seed in range(8)} | {source.fingerprint}) == 9


def test_the_same_images_elsewhere_have_the_same_fingerprint(make: Make, source: ImageSource, tmp_path: Path) -> None:
    assert make(tmp_path / "other" / "b", list(range(N))).fingerprint == source.fingerprint


def test_other_images_have_another_fingerprint(make: Make, source: ImageSource, tmp_path: Path) -> None:
    others = [list(range(1, N + 1)), list(range(N - 1)), [*range(N - 1), 99], [1, 0, *range(2, N)]]
    fingerprints = {
        make(tmp_path / f"{n}" / "a", seeds).fingerprint for n, seeds in enumerate(others[: 2 if make is world else 4])
    }
    assert source.fingerprint not in fingerprints
    assert len(fingerprints) == (2 if make is world else 4)
