"""A scorer of a user's own: code of which nothing is known, held to what a scorer promises.

It is what [seesay.scorers.scorer][] asks for, with a `measure`: a `Measure` whose `value` is the score's name. Its
`facts` tell what its numbers depend on that seesay cannot know. Whatever it does wrong is told in a line that names the
scorer, the feature and what was expected, before anything of it is written.
"""

import importlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, final

from seesay.errors import SeesayError, UnusableScorer
from seesay.scorers.config import Measure, Scoring
from seesay.scorers.measures import MEASURE, as_fact, checked_own
from seesay.scorers.own_results import checked_result
from seesay.scorers.scorer import Item, Measured
from seesay.texts import one_line, shortened, shown

if TYPE_CHECKING:
    from seesay.scorers.gallery import HeldOut

SOURCE, VERSION = "source", "version"
"""Facts that tell one state of a scorer's code from another: a hash of its file, or what its own facts say instead."""

_MOST_BYTES = 1 << 16
_LONGEST = 200
_PACKAGE = Path(__file__).parents[1]


@final
class Own:
    """A scorer of a user's own as all others are.

    Args:
        scorer: made by a user's class.
        source: the text of the file that it was made of; None for that of its class's file.
        given: what is known of what it was given, which goes into its facts.

    Raises:
        UnusableScorer: its measure or its facts will not do, or the state of its code cannot be told.
    """

    def __init__(self, scorer: Any, source: str | None = None, given: Mapping[str, Any] | None = None) -> None:
        self._scorer = scorer
        self._class = type(scorer).__name__
        self.measure = checked_measure(scorer, self._class)
        self._facts = self._checked_facts(source, given or {})

    @classmethod
    def made(
        cls,
        of: Callable[..., Any],
        held_out: "HeldOut",
        scoring: Scoring,
        *,
        source: str | None = None,
        **needed: Any,
    ) -> "Own":
        """Make a scorer of a user's class: `Class(held_out, scoring, **needed)`.

        Args:
            of: the class.
            held_out: exemplars that no explainer was shown.
            scoring: says, among other things, at how many of them a score looks.
            source: as for `Own`.
            **needed: what its measure needs besides, by the names of [seesay.scorers.measures.GIVEN][].

        Raises:
            UnusableScorer: it cannot be made, or as for `Own`.
        """
        try:
            scorer = of(held_out, scoring, **needed)
        except SeesayError:
            raise
        except (Exception, SystemExit) as error:  # of code of which nothing is known
            raise UnusableScorer(
                f"{getattr(of, '__name__', of)} cannot be made: {told_of(error)}",
                expected=f"a class that takes {', '.join(('held_out', 'scoring', *needed))}",
            ) from error
        given = {"holding": scoring.holding, "n_exemplars": scoring.n_exemplars}
        return cls(scorer, source, given | {name: dict(each.facts) for name, each in needed.items()})

    @property
    def facts(self) -> Mapping[str, Any]:
        """All that its numbers depend on but words, feature and run, with what it measures and its code's state."""
        return self._facts

    def score(self, items: Sequence[Item]) -> list[Measured]:
        """Measure some items.

        Raises:
            UnusableScorer: it fails, or gives what is no result.
            SeesayError: what it asks for cannot be had.
        """
        try:
            found: Any = self._scorer.score(items)
        except SeesayError:
            raise
        except (Exception, SystemExit) as error:  # of code of which nothing is known
            if _is_out_of_memory(error):
                raise
            raise self._failed(items, error) from error
        if not isinstance(found, Sequence) or len(found) != len(items):
            n = f"{len(found)} results" if isinstance(found, Sequence) else type(found).__name__
            raise UnusableScorer(
                f"{self._class} gave {n} for {_told(items)}", expected="one Measured for each item, in their order"
            )
        return [self._checked(item, each) for item, each in zip(items, found, strict=True)]

    def _failed(self, items: Sequence[Item], error: BaseException) -> UnusableScorer:
        """Say of which feature: items do not depend on one another, so that each may be asked for alone."""
        what, told = _told(items), error
        for item in items if len(items) > 1 else ():
            try:
                self._scorer.score([item])
            except (Exception, SystemExit) as alone:  # as above
                what, told = _told([item]), alone
                break
        return UnusableScorer(
            f"{self._class} failed on {what}: {told_of(told)}",
            expected="a result for every item",
            remedy="mend it, and run the same again",
        )

    def _checked_facts(self, source: str | None, given: Mapping[str, Any]) -> Mapping[str, Any]:
        facts = _part(self._scorer, "facts", self._class)
        if not isinstance(facts, Mapping):
            raise UnusableScorer(
                f"{self._class} with facts {shown(facts)}",
                expected="a dict of all that its numbers depend on, as plain data, empty if that is nothing",
            )
        try:
            plain = json.loads(json.dumps(dict(facts), allow_nan=False, ensure_ascii=False).encode())
        except Exception as error:  # no plain data, or a dict of the user's own that fails
            raise UnusableScorer(
                f"the facts of {self._class}: {_said_by(error)}",
                expected="plain data: texts, finite numbers, lists, dicts",
            ) from error
        if len(json.dumps(plain)) > _MOST_BYTES:
            raise UnusableScorer(
                f"the facts of {self._class}, longer than {_MOST_BYTES} bytes",
                expected="less",
                remedy="put a hash of what is large into them",
            )
        code = {} if plain.get(VERSION) is not None else {SOURCE: self._hash(source)}
        # Last, so that a fact of the same name takes nothing away from what seesay knows.
        return {**plain, **given, **code, MEASURE: as_fact(self.measure)}

    def _hash(self, source: str | None) -> str:
        try:
            text = Path(inspect.getfile(type(self._scorer))).read_text("utf-8") if source is None else source
        except (TypeError, OSError, ValueError) as error:  # of a notebook, or no text
            raise UnusableScorer(
                f"{self._class}, whose source cannot be read",
                expected=f"a class of a file, or facts with a {VERSION!r} that you change whenever its numbers change",
            ) from error
        return sha256(text.encode()).hexdigest()[:16]

    def _checked(self, item: Item, found: Any) -> Measured:
        try:
            return checked_result(found, self.measure)
        except UnusableScorer as error:
            raise UnusableScorer(
                f"{self._class} gave {error.what} for {_told([item])}", expected=error.expected
            ) from error
        except Exception as error:  # of a dict of the user's own, say
            raise self._failed([item], error) from error


def checked_measure(scorer: object, name: str) -> Measure:
    """What a scorer of a user's own measures, or its class.

    Args:
        scorer: of which nothing is known.
        name: what it is called, for people.

    Raises:
        UnusableScorer: it has no measure, or one that will not do, or measures nothing.
    """
    measure = _part(scorer, "measure", name)
    if not isinstance(measure, Measure) or not callable(_part(scorer, "score", name)):
        raise UnusableScorer(
            f"{name}, which is no scorer",
            expected="a class with `measure = Measure(...)`, `facts` and `score(items)`",
        )
    try:
        return checked_own(measure)
    except UnusableScorer as error:
        raise UnusableScorer(
            f"the measure of {name}: {error.what}", expected=error.expected, remedy=error.remedy
        ) from error


def told_of(error: BaseException) -> str:
    """What went wrong in a user's code, in a line, with the place: never one of seesay's own, which nobody can mend.

    Args:
        error: that was raised there.
    """
    # Of a file that was not run yet no frame tells.
    if isinstance(error, SyntaxError) and error.lineno and Path(error.filename or "").is_file():
        said, place = one_line(error.msg), (str(error.filename), error.lineno)
    else:
        frames = [(frame.filename, frame.lineno) for frame in extract_tb(error.__traceback__)]
        said, place = _said_by(error), next((each for each in reversed(frames) if not _is_ours(each[0])), None)
    what = shortened(f"{type(error).__name__}: {said}".removesuffix(": "), _LONGEST)
    return what if place is None else f"{what} ({one_line(Path(place[0]).name)}, line {place[1]})"


def _is_ours(file: str) -> bool:
    """Whether it is seesay that stands there, or what Python itself does to import."""
    return file.startswith("<frozen") or file == importlib.__file__ or Path(file).is_relative_to(_PACKAGE)


def _said_by(error: BaseException) -> str:
    try:
        return shortened(one_line(str(error)), _LONGEST)
    except Exception:  # of an error of the user's own
        return ""


def _part(scorer: object, name: str, of: str) -> Any:
    """What a scorer has by a name, which may be code of its own; None if it has nothing."""
    try:
        return getattr(scorer, name, None)
    except SeesayError:
        raise
    except (Exception, SystemExit) as error:  # of code of which nothing is known
        raise UnusableScorer(f"{of}.{name} fails: {told_of(error)}", expected=f"a {name} that can be read") from error


def _told(items: Sequence[Item]) -> str:
    ids = list(dict.fromkeys(item.feature_id for item in items))
    return f"feature {ids[0]}" if len(ids) == 1 else f"{len(items)} items, of features {ids[0]} to {ids[-1]}"


def _is_out_of_memory(error: BaseException) -> bool:
    from seesay.vlm.batches import is_out_of_memory  # which needs torch

    return is_out_of_memory(error)
