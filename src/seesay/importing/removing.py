"""Imported words out of a run again, with all that hangs on them."""

from dataclasses import dataclass
from typing import final

from seesay.errors import UnknownChoice, UnusablePath
from seesay.explainers.config import IMPORTED
from seesay.importing.rows import checked_name
from seesay.records import Control
from seesay.store.database import refusing, transaction
from seesay.store.explanations import StoredSetting, settings
from seesay.store.run import Run
from seesay.texts import one_line

_GIVEN = "the name to remove"


@final
@dataclass(frozen=True)
class Removed:
    """What was removed.

    Args:
        n_explanations: of that name, those that say nothing among them.
        n_scores: of these words, and of what was scored in their place.
        n_verdicts: that people gave on them, outside blind studies.
        n_labels: levels of texts that nobody else says.
    """

    n_explanations: int
    n_scores: int
    n_verdicts: int
    n_labels: int


def remove(run: Run, name: str, control: Control | None = None) -> Removed:
    """Remove what was imported under a name, with scores, verdicts and all else that is of these words; all or nothing.

    The setting itself stays, without words, so that its number is never another's: blind studies say by this number
    whose words were judged. Ratings in studies stay, too, and count for nobody, as those of words that were replaced.

    Args:
        run: open to be written.
        name: of whoever said them.
        control: only the words that were found with this in the features' place; None for all of that name.

    Raises:
        UnreadableWords: a name that nobody can have.
        UnknownChoice: nothing was imported under that name.
        UnusablePath: the run holds no imported words, is damaged, or cannot be written.
    """
    name = checked_name(name, _GIVEN)
    with refusing(run.folder), transaction(run.connection):
        there = _imported(run)
        meant = [each for each in there if each.explainer == name and control in (None, each.control)]
        if not there:
            raise UnusablePath(
                f"nothing was imported into {run.folder}", expected="imported words, which alone can be removed"
            )
        if not meant:
            raise UnknownChoice(
                f"no imported words by {name!r}" + (f" with the control {control}" if control else ""),
                expected=f"one of {', '.join(dict.fromkeys(_told(each, control) for each in there))}",
            )
        ids = ", ".join(str(each.setting_id) for each in meant)

        def deleted(what: str) -> int:
            return run.connection.execute(f"DELETE FROM {what}").rowcount

        # labels first, and scores before the ways in which they were computed: what is left tells which they are
        n_labels = deleted(
            f"labels WHERE text IN (SELECT text FROM explanations WHERE setting_id IN ({ids})) "
            f"AND text NOT IN (SELECT text FROM explanations WHERE setting_id NOT IN ({ids}))"
        )
        n_scores = deleted(f"scores WHERE scoring_id IN (SELECT scoring_id FROM scorings WHERE setting_id IN ({ids}))")
        deleted(f"scorings WHERE setting_id IN ({ids})")
        deleted(f"trusts WHERE setting_id IN ({ids})")
        n_verdicts = deleted(f"verdicts WHERE setting_id IN ({ids})")
        n_explanations = deleted(f"explanations WHERE setting_id IN ({ids})")
    return Removed(n_explanations, n_scores, n_verdicts, n_labels)


def _imported(run: Run) -> list[StoredSetting]:
    """The settings under which imported words are in a run."""
    with_words = {setting_id for (setting_id,) in run.rows("SELECT DISTINCT setting_id FROM explanations")}
    return [each for each in settings(run) if each.method == IMPORTED and each.setting_id in with_words]


def _told(setting: StoredSetting, control: Control | None) -> str:
    """Its name, with the control where one was asked for."""
    return one_line(setting.explainer) + (f" ({setting.control})" if control and setting.control else "")
