"""The card of a dataset on the Hub: what is in it, where it comes from, and what to keep in mind.

What a run says is a stranger's: in the card it stands in code spans, where nothing is markup, and in YAML that a
library writes.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final, get_args

from huggingface_hub import DatasetCardData

from seesay import __version__
from seesay.export.schema import TABLES
from seesay.export.source import Row
from seesay.records import Split, Status
from seesay.texts import one_line, shortened

_LONGEST = 80
_TAGS = ("seesay", "interpretability", "sparse-autoencoder", "vision-language-model")


@final
@dataclass(frozen=True)
class Tally:
    """What is counted while tables are written.

    Args:
        runs: their rows.
        said: explanations by run, method, control, explainer, strength, its unit and status.
        numbers: primary scores by run, score, holding, method, control and aid.
        splits: features by run and part.
    """

    runs: list[Row] = field(default_factory=list[Row])
    said: Counter[tuple[Any, ...]] = field(default_factory=Counter[tuple[Any, ...]])
    numbers: Counter[tuple[Any, ...]] = field(default_factory=Counter[tuple[Any, ...]])
    splits: Counter[tuple[Any, ...]] = field(default_factory=Counter[tuple[Any, ...]])

    def count(self, table: str, rows: Sequence[Row]) -> None:
        """Take in rows that are written.

        Args:
            table: that they are of.
            rows: some of its rows.
        """
        match table:
            case "runs":
                self.runs.extend(rows)
            case "features":
                self.splits.update((row["run"], row["split"]) for row in rows)
            case "explanations":
                names = ("run", "method", "control", "explainer", "strength", "strength_unit", "status")
                self.said.update(tuple(row[name] for name in names) for row in rows)
            case "scores":
                names = ("run", "score", "holding", "method", "control", "aid")
                is_number = (row for row in rows if row["is_primary"] and row["value"] is not None)
                self.numbers.update(tuple(row[name] for name in names) for row in is_number)
            case _:
                pass


def card(tally: Tally, n_rows: Mapping[str, int], licence: str | None) -> str:
    """The whole of README.md.

    Args:
        tally: of what is written.
        n_rows: of each table.
        licence: as the Hub names it; None leaves it open.
    """
    titles = [str(row["run"]) for row in tally.runs]
    head = DatasetCardData(
        license=licence,
        pretty_name=shortened(one_line(f"Features in words: {', '.join(titles)}"), _LONGEST),
        tags=list(_TAGS),
        configs=[
            {"config_name": table, "data_files": f"{table}.parquet"} | ({"default": True} if table == _FIRST else {})
            for table in n_rows
        ],
    )
    parts = [
        f"---\n{head.to_yaml()}\n---",
        "# Features of a vision encoder in words",
        f"Exported by [seesay](https://arxiv.org/abs/2603.22593) {__version__}. {_WHAT}",
        "## What it is of",
        _of(tally),
        "## Who says what",
        _said(tally),
        _CONTROLS,
        "## Scores",
        _scores(tally),
        _CAVEATS,
        "## Tables",
        _table(("table", "rows", "what"), ([f"`{name}`", str(n), _what(name)] for name, n in n_rows.items())),
        "What every column means, and in which unit, stands in the files, as metadata of their fields.",
        "## Images",
        _WITH_IMAGES if "images" in n_rows else _WITHOUT_IMAGES,
        "## Licence",
        f"{_code(licence)}, as whoever exported it says." if licence else _NO_LICENCE,
    ]
    return "\n\n".join(parts) + "\n"


_FIRST = "explanations"

_WHAT = (
    "Features of a sparse autoencoder, directions in a vision encoder's residual stream; what vision-language models "
    "say of them; and how good these words are."
)
_CONTROLS = (
    "Rows with a control are not words of the feature: a random direction, another feature's direction or images, or "
    "nothing at all was in its place. They tell what the others are worth, and belong in no list of explanations."
)
_CAVEATS = (
    "`holding` says which images a score was computed on: `held-out` ones, which no explainer was shown, or `shared` "
    "ones, which flatter methods that are shown images. `aid` says what stood in the words' place: `permuted`, "
    "another feature's words, or `constant`, the same for all; a method that is not above these says nothing. "
    "Not every feature has words, nor every explanation a score: compare methods on features that all of them have, of "
    "the part `test`, as strengths are chosen on `validation`. A feature that is never active has no exemplars."
)
_WITH_IMAGES = (
    "The table `images` holds thumbnails of the images that were kept. They are their owners', under whatever terms "
    "these gave: the licence below is not about them unless whoever exported it says so."
)
_WITHOUT_IMAGES = (
    "The images themselves are not in it, as they may not be anyone's to share: `image` is the hash of an image's "
    "pixels, and `source_id` its name in the source that it came from."
)
_NO_LICENCE = "None was named: ask whoever exported it before you use it for more than reading."


def _of(tally: Tally) -> str:
    named, counted = ("run", "subject", "layer", "sae", "images"), ("n_images", "n_features", "n_live_features")
    rows = (
        [
            *(_code(row[name]) for name in named),
            *(_number(row[name]) for name in counted),
            *(_number(tally.splits[row["run"], split]) for split in get_args(Split)),
        ]
        for row in tally.runs
    )
    heads = (
        "run",
        "subject",
        "block",
        "SAE",
        "images",
        "looked at",
        "features",
        "active",
        "validation here",
        "test here",
    )
    return _table(heads, rows)


def _said(tally: Tally) -> str:
    ways: dict[tuple[Any, ...], Counter[str]] = {}
    for (*way, status), n in tally.said.items():
        ways.setdefault(tuple(way), Counter())[status] += n
    rows = (
        [
            *map(_code, (run, method, control, explainer, None if strength is None else f"{strength:g} {unit}")),
            *(str(found[status]) for status in get_args(Status)),
        ]
        for (run, method, control, explainer, strength, unit), found in ways.items()
    )
    return _table(("run", "method", "control", "explainer", "strength", "with words", "without", "failed"), rows)


def _scores(tally: Tally) -> str:
    rows = ([*map(_code, way), str(n)] for way, n in tally.numbers.items())
    return _table(("run", "score", "holding", "method", "control", "aid", "numbers"), rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *lines]) if lines else "None."


def _what(table: str) -> str:
    return TABLES[table].metadata[b"what"].decode()


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _code(value: Any) -> str:
    """A text from anyone in a cell, as it is: within code nothing is a link, a tag or an image."""
    if value is None or value == "":
        return ""
    text = shortened(one_line(str(value)), _LONGEST).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if len(fence) > 1 else f"`{text}`"
