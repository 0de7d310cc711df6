"""Reading a run of any size a page at a time: which features there are, so many together."""

from collections.abc import Iterator
from typing import Literal, get_args

from seesay.records import Split
from seesay.split import split_of
from seesay.store.checks import checked_id
from seesay.store.run import DAMAGE, Run

Table = Literal["features", "explanations", "scores", "exemplars"]
"""The tables of `run.db` that hold something of features, each with an index by feature."""


def pages(run: Run, table: Table, size: int) -> Iterator[list[int]]:
    """The features that a table holds something of, some at a time.

    Args:
        run: may be a stranger's.
        table: which.
        size: at most so many ids a page.

    Yields:
        Ids in order, each once; never none.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    query = f"SELECT DISTINCT feature_id FROM {_checked(table)} WHERE feature_id > ? ORDER BY feature_id LIMIT ?"
    last = -1
    while rows := run.rows(query, (last, size)):
        try:
            page = [checked_id(feature_id) for (feature_id,) in rows]
        except DAMAGE as error:
            raise run.damaged("a feature's number", error) from error
        yield page
        last = page[-1]


def n_features_in(run: Run, table: Table) -> int:
    """How many features a table holds something of.

    Args:
        run: may be a stranger's.
        table: which.
    """
    ((n,),) = run.rows(f"SELECT count(DISTINCT feature_id) FROM {_checked(table)}")
    return int(n)


def splits(run: Run, within: range) -> dict[int, Split]:
    """Which features are of which part.

    Args:
        run: may be a stranger's.
        within: the ids that are looked at.

    Returns:
        By feature, of those alone that the run has statistics of: others are told by [seesay.split.split_of][].

    Raises:
        UnusablePath: what the run says is damaged.
    """
    query = "SELECT feature_id, split FROM features WHERE feature_id BETWEEN ? AND ?"
    found: dict[int, Split] = {}
    for feature_id, split in run.rows(query, (within.start, within.stop - 1)):
        if split not in get_args(Split):
            raise run.damaged(f"feature {feature_id!r}", ValueError(f"split {split!r}"))
        found[feature_id] = split
    return found


def has_test_features(run: Run, setting_id: int) -> bool:
    """Whether anything was said of a test feature in a setting.

    Args:
        run: may be a stranger's.
        setting_id: which.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    query = "SELECT DISTINCT feature_id FROM explanations WHERE setting_id = ? AND feature_id > ? LIMIT 1000"
    last = -1
    while rows := run.rows(query, (setting_id, last)):
        try:
            if any(split_of(checked_id(feature_id)) == "test" for (feature_id,) in rows):
                return True
        except DAMAGE as error:
            raise run.damaged("a feature's number", error) from error
        last = rows[-1][0]
    return False


def _checked(table: Table) -> str:
    assert table in get_args(Table), table
    return table
