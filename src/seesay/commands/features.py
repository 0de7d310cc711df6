"""`seesay features`: the features of a run, as a table."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, final

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg

from seesay.commands.counts import Count
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.texts import one_line

if TYPE_CHECKING:
    from seesay.records import FeatureStats

Sort = Literal["id", "frequency", "images", "mean", "max"]

_MOST_TOGETHER = 2


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
    """The largest first: by share of patches (frequency) or images where it is active, by mean activation on those
    patches or the largest one; or by id."""

    like: Annotated[int | None, arg(metavar="ID")] = None
    """Only this feature and the eight whose directions are nearest to its own, by cosine."""

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
            summary = run.check_finished("collect")
            subject = run.subject
            if self.like is None:
                found = sorted(features(run), key=_key(self.sort))
                cosines: dict[int, float] = {}
            else:
                (first,) = features(run, [self.like])
                cosines = {self.like: 1.0, **dict(first.nearest)}
                found = features(run, list(cosines))
        shown = found[: self.rows]
        output.console.print(
            Text(
                one_line(
                    f"{subject.get('subject')}, block {subject.get('layer')}, {subject.get('sae')}: "
                    f"{summary.get('n_images')} images, {summary.get('n_live_features')} of "
                    f"{summary.get('n_features')} features active"
                )
            )
        )
        output.console.print(features_table(shown, cosines))
        if len(found) > len(shown):
            output.console.print(f"{len(shown)} of {len(found)}: --rows shows more")
        output.finish(
            {
                "run": str(self.path),
                "of": subject,
                "collected": summary,
                "features": [
                    {**asdict(each), **({"cosine": cosines[each.feature_id]} if cosines else {})} for each in shown
                ],
            },
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
    table = Table(header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("feature", "patches", "images", "mean", "max"):
        table.add_column(name, justify="right", no_wrap=True)
    if cosines:
        table.add_column("cosine", justify="right", no_wrap=True)
    table.add_column("fires with", overflow="fold")
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
