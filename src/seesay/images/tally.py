"""How many images of a source could not be read, and when that is too many."""

import logging
from threading import RLock
from typing import final

from seesay.errors import UnreadableImage, UnreadableImages

_LOG = logging.getLogger(__name__)
MAX_SHARE = 0.01
"""How many of a source's images may be unreadable, where nobody says otherwise."""

_N_NAMED = 20
_JUDGED_FROM = 100  # images: among fewer, one may be a large share by chance


@final
class Tally:
    """Counts images, names the first 20 unreadable ones in the log, and at its end says how many there were.

    Several threads may count at once.

    Args:
        source_name: whose images they are.
        max_share: how many of them may be unreadable, from 0 to 1.
        is_whole: whether they are all of the source's from its start, so that however few there are, they are judged.
    """

    def __init__(self, source_name: str, max_share: float, *, is_whole: bool) -> None:
        self._source_name, self._max_share, self._is_whole = source_name, max_share, is_whole
        self._n_seen = self._n_unreadable = 0
        self._first: UnreadableImage | None = None
        self._lock = RLock()

    def __enter__(self) -> "Tally":
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._n_unreadable > _N_NAMED:
            _LOG.warning("%s: %d of %d images skipped", self._source_name, self._n_unreadable, self._n_seen)

    def count(self) -> None:
        """Count an image that was read.

        Raises:
            UnreadableImages: too many were not.
        """
        with self._lock:
            self._n_seen += 1
            self._judge_so_far()

    def skip(self, error: UnreadableImage, *, is_counted: bool = False) -> None:
        """Count an image that could not be read.

        Args:
            error: why not.
            is_counted: it was counted when it was read, and refused later.

        Raises:
            UnreadableImages: that is one too many.
        """
        with self._lock:
            self._n_seen += not is_counted
            self._n_unreadable += 1
            self._first = self._first or error
            if self._n_unreadable <= _N_NAMED:
                more = "; further ones are counted, not named" if self._n_unreadable == _N_NAMED else ""
                _LOG.warning("%s: skipped %s%s", self._source_name, error, more)
            self._judge_so_far()

    def judge_whole(self) -> None:
        """Judge when no image is left.

        Raises:
            UnreadableImages: too many could not be read, or of a whole source none.
        """
        with self._lock:
            if self._is_whole or self._n_seen >= _JUDGED_FROM:
                self._judge()
            if self._is_whole and self._n_unreadable == self._n_seen:
                first = f", the first: {self._first.what}" if self._first is not None else ": there is none"
                raise UnreadableImages(
                    f"no image of {self._source_name} can be read{first}", expected="at least one"
                ) from self._first

    def _judge_so_far(self) -> None:
        if self._n_seen >= _JUDGED_FROM:
            self._judge()

    def _judge(self) -> None:
        if self._first is not None and self._n_unreadable > self._max_share * self._n_seen:
            raise UnreadableImages(
                f"{self._n_unreadable} of {self._n_seen} images of {self._source_name} cannot be read, the first: "
                f"{self._first.what}",
                expected=f"at most {self._max_share:.2%}",
                remedy="repair or remove them",
            ) from self._first


@final
class Noting:
    """Takes the place of a tally where only a part of the images is seen: it notes what is skipped, and judges nothing.

    Several threads may note at once.
    """

    def __init__(self) -> None:
        self._skipped: list[UnreadableImage] = []
        self._lock = RLock()

    def __enter__(self) -> "Noting":
        return self

    def __exit__(self, *_exception: object) -> None:
        pass

    def count(self) -> None:
        """Nothing: whoever gets the images counts them."""

    def skip(self, error: UnreadableImage, *, is_counted: bool = False) -> None:
        """Note an image that could not be read.

        Args:
            error: why not.
            is_counted: no matter here.
        """
        with self._lock:
            self._skipped.append(error)

    def judge_whole(self) -> None:
        """Nothing: nobody here knows the whole."""

    def taken(self) -> tuple[UnreadableImage, ...]:
        """What was skipped since this was last asked."""
        with self._lock:
            taken, self._skipped = self._skipped, []
        return tuple(taken)
