"""What a rater of a blind study sees: pictures and words, item after item, and nothing of where they come from.

Whoever has the key of a rater opens that rater's pages and nothing else. Items are named by their places in the
rater's own order, as numbers in the study, features and settings might tell something.
"""

from collections import OrderedDict
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Annotated, final, get_args

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, BeforeValidator, Field

from seesay.comparison.blind import order_for
from seesay.errors import FeatureNotFound, UnusablePath
from seesay.records import Verdict
from seesay.report.pictures import Shown, thumbnail
from seesay.report.templating import templates_of
from seesay.store import exemplars as shelf
from seesay.store.run import Run
from seesay.store.studies import Rater, Rating, StudyItem, rate, rater_of, ratings, study_items
from seesay.store.verdicts import LONGEST_NOTE
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.forms import conflicts, form_of
from seesay.viewer.guard import RATING
from seesay.viewer.interface import FOR_EVER, none_if_empty

_SIDE = 512
_MOST_ITEMS = 1_000_000
_MOST_KEPT = 100_000
"""Items that are remembered, of all raters together."""

_LONGEST_S = 3600.0
"""Whoever takes longer went away."""

_TOLD = {
    404: "This link opens nothing. Look whether all of it is there, or ask whoever sent it to you.",
    422: "That was not understood. Go back, and try it again.",
}
_OTHERWISE = "This cannot be had or kept at the moment. Tell whoever sent you the link."

_Place = Annotated[int, Path(ge=1, le=_MOST_ITEMS)]


class Rated(BaseModel):
    """What a rater's form says of an item."""

    item: Annotated[int, Field(ge=1, le=_MOST_ITEMS)]
    verdict: Verdict
    note: Annotated[str, Field(max_length=LONGEST_NOTE)] = ""
    seconds: Annotated[Annotated[float, Field(allow_inf_nan=False)] | None, BeforeValidator(none_if_empty)] = None


@final
class Desk:
    """Where raters judge.

    Args:
        catalogue: of the runs.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._templates = templates_of("seesay.viewer")
        self._orders: OrderedDict[str, Sequence[StudyItem]] = OrderedDict()
        self._keeping = Lock()

    def page(self, key: str, place: int | None) -> str:
        """An item, or thanks when all are judged.

        Args:
            key: the rater's, from outside.
            place: of the item, from 1; None for the first that is not judged.

        Raises:
            FeatureNotFound: it opens nothing, or there is no such item.
            UnusablePath: what the run says is damaged.
        """
        with self._opened(key) as (run, rater, items):
            said = {each.item: each for each in ratings(run, rater.study_id, rater.name)}
            shown = {"key": key, "rater": rater.name, "n": len(items), "n_said": _n_said(items, said)}
            place = place or next((at for at, each in enumerate(items, 1) if each.number not in said), None)
            if place is None:
                return self._rendered("rated.html", **shown)
            item = _at(items, place)
            before = said.get(item.number)
            pictures = _pictures(run, item)
        return self._rendered(
            "rate.html",
            verdicts=get_args(Verdict),
            **shown,
            place=place,
            text=item.text,
            before=before,
            pictures=pictures,
        )

    def keep(self, key: str, rated: Rated) -> None:
        """Write down what is said of an item.

        Args:
            key: the rater's, from outside.
            rated: what is said.

        Raises:
            FeatureNotFound: it opens nothing, or there is no such item.
            HTTPException: the run cannot be written.
        """
        with self._opened(key) as (run, rater, items):
            item, folder = _at(items, rated.item), run.folder
        seconds = None if rated.seconds is None else min(rated.seconds, _LONGEST_S)
        with conflicts(self._catalogue), Run.noting(folder) as run:
            rate(run, rater, Rating(item.number, rater.name, rated.verdict, rated.note, seconds))

    def picture(self, key: str, place: int, pixel_hash: str) -> bytes:
        """A picture of an item.

        Args:
            key: the rater's, from outside.
            place: of the item.
            pixel_hash: of the picture.

        Raises:
            FeatureNotFound: there is no such item, or the picture is none of it.
            UnreadableImage: it is not there, or damaged.
        """
        with self._opened(key) as (run, _, items):
            if pixel_hash not in {each.pixel_hash for each in _pictures(run, _at(items, place))}:
                raise FeatureNotFound("a picture", expected="one of the item's")
            return thumbnail(run, pixel_hash, _SIDE)

    def refusal(self, status: int) -> str:
        """What went wrong, without a word of the runs.

        Args:
            status: of HTTP.
        """
        return self._rendered("unrated.html", status=status, told=_TOLD.get(status, _OTHERWISE))

    @contextmanager
    def _opened(self, key: str) -> Generator[tuple[Run, Rater, Sequence[StudyItem]]]:
        """The run in which there is a rater with the key, and the items in that rater's order."""
        for folder in self._catalogue.folders:
            try:
                run = Run.open(folder)
            except UnusablePath:  # of another run, which keeps no rater of this one from judging
                continue
            with run:
                rater = _found(run, key)
                if rater is not None:
                    yield run, rater, self._ordered(run, rater)
                    return
        raise FeatureNotFound("a key of nobody", expected="one of a rater's")

    def _ordered(self, run: Run, rater: Rater) -> Sequence[StudyItem]:
        """Remembered by the rater's key, as each page and each of its pictures asks for it, and no study changes."""
        with self._keeping:
            if rater.key in self._orders:
                self._orders.move_to_end(rater.key)
                return self._orders[rater.key]
        found = order_for(study_items(run, rater.study_id), rater.name)
        with self._keeping:
            self._orders[rater.key] = found
            while len(self._orders) > 1 and sum(map(len, self._orders.values())) > _MOST_KEPT:
                self._orders.popitem(last=False)
        return found

    def _rendered(self, name: str, **values: object) -> str:
        return self._templates.get_template(name).render(**values)


def rating_of(desk: Desk) -> APIRouter:
    """Make the addresses.

    Args:
        desk: where raters judge.
    """
    router = APIRouter(prefix=RATING.rstrip("/"), include_in_schema=False)

    @router.get("/{key}")
    def page(key: str, item: Annotated[int | None, Query(ge=1, le=_MOST_ITEMS)] = None) -> HTMLResponse:
        return HTMLResponse(desk.page(key, item))

    @router.post("/{key}")
    def keep(key: str, rated: Annotated[Rated, Depends(form_of(Rated))]) -> RedirectResponse:
        desk.keep(key, rated)
        return RedirectResponse(f"{RATING}{key}", 303)

    @router.get("/{key}/{place}/{pixel_hash}.webp")
    def picture(key: str, place: _Place, pixel_hash: str) -> Response:
        data = desk.picture(key, place, pixel_hash)
        return Response(data, media_type="image/webp", headers={"cache-control": FOR_EVER})

    return router


def _found(run: Run, key: str) -> Rater | None:
    try:
        return rater_of(run, key)
    except UnusablePath:
        return None


def _at(items: Sequence[StudyItem], place: int) -> StudyItem:
    if place > len(items):
        raise FeatureNotFound(f"item {place}", expected=f"1 to {len(items)}")
    return items[place - 1]


def _n_said(items: Sequence[StudyItem], said: Collection[int]) -> int:
    return sum(each.number in said for each in items)


def _pictures(run: Run, item: StudyItem) -> list[Shown]:
    """What is shown of an item, in its order, of those pictures that no explainer was shown."""
    found = {each.image.image_id: each for each in shelf.exemplars(run, item.feature_id, "scoring", "top")}
    return [Shown.of(found[each]) for each in item.image_ids if each in found]
