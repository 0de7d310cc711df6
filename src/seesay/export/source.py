"""A run that is exported: which of its features and words, a page at a time, in memory that does not grow with it."""

from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from typing import Any, final

from seesay.errors import FeatureNotFound, InvalidSetting
from seesay.export.config import Selection
from seesay.records import Method, Split
from seesay.split import split_of
from seesay.store.explanations import StoredSetting, settings
from seesay.store.pages import Table, n_features_in, pages, splits
from seesay.store.run import Run

Row = dict[str, Any]
"""One row by column, as [seesay.export.schema][] says."""

PAGE = 512
"""Features whose rows are read together."""

_LARGEST_ID = 2**63 - 1  # that SQLite holds


@final
class Source:
    """A run with what is exported of it.

    Args:
        run: open; may be a stranger's.
        name: what it is called in the export.
        selection: which of its features and words.
        on_features: told how many more features of a table are read.
    """

    def __init__(
        self,
        run: Run,
        name: str,
        selection: Selection | None = None,
        on_features: Callable[[int], None] = lambda _n: None,
    ) -> None:
        self.run, self.name = run, name
        self.selection = selection or Selection()
        self._on_features = on_features

    @cached_property
    def chosen(self) -> dict[int, StoredSetting]:
        """The settings whose words are exported, by their number in the run.

        Raises:
            UnusablePath: what the run says is damaged.
        """
        methods = self.selection.methods
        return {each.setting_id: each for each in settings(self.run) if methods is None or each.method in methods}

    def walk(self, table: Table) -> Iterator[tuple[range, dict[int, Split]]]:
        """Go through the selected features that a table holds something of.

        Args:
            table: which.

        Yields:
            The ids that a page lies between, and the selected ones among them, in order, with their part.

        Raises:
            UnusablePath: what the run says is damaged.
        """
        for page in pages(self.run, table, PAGE):
            within = range(page[0], page[-1] + 1)
            known = splits(self.run, within)
            parts: dict[int, Split] = {each: known.get(each) or split_of(each) for each in page}
            wanted: dict[int, Split] = {each: of for each, of in parts.items() if self.selection.has(each, of)}
            if wanted:
                yield within, wanted
            self._on_features(len(page))

    def n_features(self, *tables: Table) -> int:
        """How many features going through some tables tells of.

        Args:
            tables: which.
        """
        return sum(n_features_in(self.run, table) for table in tables)


def check_features(runs: list[Run], feature_ids: tuple[int, ...]) -> None:
    """Check that every feature that is asked for is in one of some runs.

    Args:
        runs: open; may be strangers'.
        feature_ids: those asked for.

    Raises:
        FeatureNotFound: one is in none of them.
    """
    query = (
        "SELECT EXISTS (SELECT 1 FROM features WHERE feature_id = ?1)"
        " OR EXISTS (SELECT 1 FROM explanations WHERE feature_id = ?1)"
    )
    for feature_id in feature_ids:
        is_there = feature_id <= _LARGEST_ID and any(run.rows(query, (feature_id,))[0][0] for run in runs)
        if not is_there:
            folders = ", ".join(str(run.folder) for run in runs)
            raise FeatureNotFound(f"feature {feature_id}", expected=f"features of {folders}")


def check_methods(runs: list[Run], methods: Collection[Method]) -> None:
    """Check that something was said by every method that is asked for, in one of some runs.

    Args:
        runs: open; may be strangers'.
        methods: those asked for.

    Raises:
        InvalidSetting: one said nothing in any of them.
        UnusablePath: what a run says is damaged.
    """
    if not methods:
        return
    has_words = "SELECT EXISTS (SELECT 1 FROM explanations WHERE setting_id = ?)"
    there = [each.method for run in runs for each in settings(run) if run.rows(has_words, (each.setting_id,))[0][0]]
    missing = [method for method in methods if method not in there]
    if missing:
        folders = ", ".join(str(run.folder) for run in runs)
        raise InvalidSetting(
            f"no explanations by {', '.join(missing)} in {folders}",
            expected=f"some of {', '.join(dict.fromkeys(there))}" if there else "runs that are explained",
        )
