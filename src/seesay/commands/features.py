"""`seesay features`: the features of a run, as a table."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, final

from rich.table import Table
from tyro.conf import OmitArgPrefixes, Positional, arg

from seesay.commands.counts import Count
from seesay.commands.options import Options
from seesay.commands.output import Output

if TYPE_CHECKING:
    from seesay.records import FeatureStats

Sort = Literal["id", "frequency", "images", "mean", "max"]

_MOST_TOGETHER = 3


@final
@dataclass(frozen=True)
class Features:
    """List a run's features: how often and how much they are active, and with which others.

    Examples:
      seesay features runs/x
      seesay features runs/x --sort max --rows 50
      seesay features runs/x --like 42
    """

    path: Positional[Annotated[Path, arg(metavar="RUN")]]
    """The run's folder."""

    sort: Sort = "frequency"
    """The largest first: by share of patches (frequency) or images, by mean or largest activation; or by id."""

    like: Annotated[int | None, arg(metavar="ID")] = None
    """Only this feature and those whose directions are nearest to its own."""

    rows: Count = 20
    """At most so many."""

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Read and print.

        Raises:
            SeesayError: whatever is wrong with the run or the feature.
        """
        from seesay.store.exemplars import features
        from seesay.store.run import Run

        output = Output(self.common)
        with Run.open(self.path) as run:
            run.check_finished("collect")
            if self.like is None:
                found = sorted(features(run), key=_key(self.sort))
                cosines: dict[int, float] = {}
            else:
                (first,) = features(run, [self.like])
                cosines = {self.like: 1.0, **dict(first.nearest)}
                found = features(run, list(cosines))
        shown = found[: self.rows]
        output.console.print(features_table(shown, cosines))
        if len(found) > len(shown):
            output.console.print(f"{len(shown)} of {len(found)}: --rows shows more")
        output.finish(
            {"run": str(self.path), "features": [asdict(each) for each in shown]},
            next_steps=[
                f"seesay features {self.path} --like {shown[0].feature_id}   those whose directions are nearest"
            ]
            if shown and self.like is None
            else [],
        )
        return 0


def _key(sort: Sort) -> "Callable[[FeatureStats], tuple[float, int]]":
    field_of = {
        "id": "feature_id",
        "frequency": "frequency",
        "images": "image_frequency",
        "mean": "mean_activation",
        "max": "max_activation",
    }
    sign = 1 if sort == "id" else -1
    return lambda each: (sign * getattr(each, field_of[sort]), each.feature_id)


def features_table(found: "Sequence[FeatureStats]", cosines: dict[int, float]) -> Table:
    """Features as a table for the terminal.

    Args:
        found: which ones.
        cosines: of their directions with that of one of them; empty if that is not asked for.
    """
    table = Table(header_style="bold")
    for name in ("feature", "patches", "images", "mean", "max"):
        table.add_column(name, justify="right")
    if cosines:
        table.add_column("cosine", justify="right")
    table.add_column("fires with")
    table.add_column("split")
    for each in found:
        together = ", ".join(f"{other} ({share:.0%})" for other, share in each.fires_with[:_MOST_TOGETHER])
        table.add_row(
            str(each.feature_id),
            f"{each.frequency:.3%}",
            f"{each.image_frequency:.2%}",
            f"{each.mean_activation:.4g}",
            f"{each.max_activation:.4g}",
            *([f"{cosines[each.feature_id]:.2f}"] if cosines else []),
            together,
            each.split,
        )
    return table
