"""Reading a run a page at a time tells the same as reading it at once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from seesay.errors import UnusablePath
from seesay.explainers.config import Setting
from seesay.split import split_of
from seesay.store.exemplars import features
from seesay.store.explanations import explanations, settings
from seesay.store.pages import has_test_features, n_features_in, pages, splits
from seesay.store.run import Run
from seesay.store.scores import scores, scorings
from seesay.store.trust import Trusted, set_trust, trusts
from tests.comparison.making import making, said, scored

N = 30
SPARSE = (0, 3, 4, 29, 2**40, 2**63 - 1)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with making(tmp_path / "run", N) as made:
        words = dict.fromkeys(SPARSE, "a car")
        setting = said(made, words)
        scored(made, "iou", setting, dict.fromkeys(SPARSE, 0.5), "a car")
        set_trust(made, {}, [Trusted(setting.setting_id, each, 0, "a car", 0.5) for each in SPARSE])
        yield made


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_pages_hold_every_feature_once_and_in_order(run: Run, size: int) -> None:
    for table, there in (("features", range(N)), ("explanations", SPARSE), ("scores", SPARSE), ("exemplars", ())):
        found = list(pages(run, table, size))
        assert [feature_id for page in found for feature_id in page] == list(there)
        assert all(0 < len(page) <= size for page in found)
        assert n_features_in(run, table) == len(there)


def test_what_lies_between_two_ids_is_read_as_it_is_otherwise(run: Run) -> None:
    (setting,), (scoring,) = settings(run), scorings(run)
    for within in (range(3, 30), range(5, 6), range(29, 2**63)):
        assert features(run, within) == [each for each in features(run) if each.feature_id in within]
        for found, whole in (
            (explanations(run, setting, within), explanations(run, setting)),
            (scores(run, scoring, within), scores(run, scoring)),
        ):
            assert found == {feature_id: each for feature_id, each in whole.items() if feature_id in within}
        assert trusts(run, within) == [each for each in trusts(run) if each.feature_id in within]
        assert splits(run, within) == {each: split_of(each) for each in range(N) if each in within}


def test_a_setting_of_validation_features_alone_is_known(run: Run) -> None:
    tried = [each for each in range(N) if split_of(each) == "validation"]
    setting = said(run, dict.fromkeys(tried, "x"), Setting("topk", control="random"))
    assert not has_test_features(run, setting.setting_id)
    assert has_test_features(run, settings(run)[0].setting_id)


@pytest.mark.parametrize("damage", ["feature_id = 'x' WHERE feature_id = 3", "split = 'none' WHERE feature_id = 3"])
def test_a_strangers_numbers_are_checked(tmp_path: Path, damage: str) -> None:
    with making(tmp_path / "run", N) as run:
        run.rows("CREATE TABLE copied AS SELECT * FROM features")
        run.rows("DROP TABLE features")
        run.rows("ALTER TABLE copied RENAME TO features")
        run.rows(f"UPDATE features SET {damage}")
        with pytest.raises(UnusablePath, match="is damaged"):
            for page in pages(run, "features", 100):
                splits(run, range(page[0], page[-1] + 1))
