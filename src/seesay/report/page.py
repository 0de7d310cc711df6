"""Runs as one self-contained page: the comparison of their methods, and cards of features, pictures and all."""

import base64
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, final

from seesay import __version__
from seesay.cards import Card, read_card
from seesay.errors import UnreadableImage
from seesay.files import write_text
from seesay.records import Split
from seesay.report.comparison_figures import figure_of
from seesay.report.comparison_sections import Told
from seesay.report.features import bars_of, best_of, columns_of, statements_of
from seesay.report.pictures import Shown, thumbnail
from seesay.report.sections import as_html
from seesay.report.templating import STATIC, templates_of
from seesay.split import split_of
from seesay.store.run import Run

_NO_PICTURE = "data:,"


@final
@dataclass(frozen=True)
class Cards:
    """A run with the features whose cards are shown.

    Args:
        run: open; may be a stranger's.
        name: what it is called.
        feature_ids: in the order of the cards.
        n_explained: of how many they were drawn; None if they were asked for.
    """

    run: Run
    name: str
    feature_ids: Sequence[int]
    n_explained: int | None = None


def write_report(
    path: Path,
    runs: Sequence[Cards],
    told: Told | None,
    problem: str = "",
    *,
    n_exemplars: int,
    side: int,
    on_feature: Callable[[int], None] = lambda _n: None,
) -> None:
    """Write the page.

    Args:
        path: the file.
        runs: whose features are shown.
        told: the comparison of their methods; None if there is nothing to be compared.
        problem: why there is not.
        n_exemplars: pictures of each feature.
        side: of a picture, in pixels.
        on_feature: told after each card.

    Raises:
        FeatureNotFound: nothing is known of a feature.
        UnusablePath: a run is damaged, or the file cannot be written.
    """
    template = templates_of().get_template("report.html")
    given = (_given(each, n_exemplars, side, on_feature) for each in runs)
    figure = None
    if told is not None:
        figure = json.loads(figure_of(told.contest, told.comparison).to_json())
    pieces = template.stream(
        title=_title(runs),
        version=__version__,
        # whatever else may come to stand in the page, no browser runs or loads anything but this
        nonce=secrets.token_urlsafe(16),
        style=(STATIC / "style.css").read_text("utf-8"),
        subjects={each.name: each.run.subject for each in runs},
        problem=problem,
        short=as_html(told.in_short()) if told else "",
        tables=as_html(told.sections(with_summary=False)) if told else "",
        n_exemplars=n_exemplars,
        figure=figure,
        plotly=_plotly() if figure else "",
        runs=given,
    )
    write_text(path, pieces)


def drawn(run: Run, n: int, split: Split = "test") -> tuple[list[int], int]:
    """Draw features that have words by chance, so that what is shown is no choice of the best; always the same ones.

    Args:
        run: may be a stranger's.
        n: how many.
        split: of which part; others only where none of it has words.

    Returns:
        Their ids in order, and of how many they were drawn.
    """
    rows = run.rows("SELECT DISTINCT feature_id FROM explanations WHERE status = 'ok' AND feature_id >= 0")
    explained = [each for (each,) in rows if isinstance(each, int)]
    of_part = [each for each in explained if split_of(each) == split] or explained
    return sorted(sorted(of_part, key=_lot)[:n]), len(of_part)


def _title(runs: Sequence[Cards]) -> str:
    """Names tell several apart; that of one may be no more than "run", and so stands with what the run is of."""
    if len(runs) > 1:
        return ", ".join(each.name for each in runs)
    of = runs[0].run.subject
    return f"{runs[0].name}: {of.get('subject')}, block {of.get('layer')}, {of.get('sae')}"


def _lot(feature_id: int) -> bytes:
    return blake2b(str(feature_id).encode(), digest_size=8, person=b"seesay-report").digest()


def _given(cards: Cards, n_exemplars: int, side: int, on_feature: Callable[[int], None]) -> Mapping[str, Any]:
    return {
        "name": cards.name,
        "n_explained": cards.n_explained,
        "n_shown": len(cards.feature_ids),
        "cards": _each(cards, n_exemplars, side, on_feature),
    }


def _each(cards: Cards, n_exemplars: int, side: int, on_feature: Callable[[int], None]) -> Iterator[Mapping[str, Any]]:
    """Card after card, so that the pictures of no more than one are in memory."""
    for feature_id in cards.feature_ids:
        card = read_card(cards.run, feature_id, n_exemplars)
        yield {"feature_id": feature_id, **_facts(cards.run, card, side)}
        on_feature(1)


def _facts(run: Run, card: Card, side: int) -> dict[str, Any]:
    statements = statements_of(card)
    return {
        "statistics": card.statistics,
        "best": best_of(statements),
        "statements": statements,
        "columns": columns_of(card, statements),
        "bars": bars_of(card),
        "pictures": [(shown, _inlined(run, shown.pixel_hash, side)) for shown in map(Shown.of, card.exemplars)],
    }


def _inlined(run: Run, pixel_hash: str, side: int) -> str:
    try:
        return f"data:image/webp;base64,{base64.b64encode(thumbnail(run, pixel_hash, side)).decode()}"
    except UnreadableImage:  # a run that was sent without its pictures still has its words
        return _NO_PICTURE


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()
