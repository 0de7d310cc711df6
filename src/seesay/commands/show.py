"""`seesay show`: all that a run knows of one feature, on a card."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, final

from rich.console import Console, Group
from rich.text import Text
from tyro.conf import OmitArgPrefixes, Positional, arg

from seesay.commands.again import pushed_as
from seesay.commands.card import caption, exemplar_table, explanations, statistics
from seesay.commands.card_scores import scores
from seesay.commands.counts import Count
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.errors import UnreadableImage
from seesay.files import to_json
from seesay.images.options import Overlay
from seesay.split import split_of
from seesay.texts import one_line

if TYPE_CHECKING:
    from PIL import Image

    from seesay.cards import Card
    from seesay.store.run import Run


@final
@dataclass(frozen=True)
class Show:
    """Show one feature of a run: how often and how much it is active, what was said of it, what activates it most.

    In a terminal with colours the images are drawn, plain above and with the active patches marked below; elsewhere
    they are listed.

    Examples:
      seesay show runs/x 42
      seesay show runs/x 42 --images 8 --overlay mask
      seesay show runs/x 42 --json card.json
    """

    path: Positional[Annotated[Path, arg(metavar="RUN")]]
    """The run's folder."""

    feature_id: Positional[Annotated[int, arg(metavar="ID")]]
    """Which feature: its row in the SAE's decoder."""

    images: Count = 4
    """At most so many of the images that activate it most, of the half that explanations are made from."""

    overlay: Overlay = "heatmap"
    """How active patches are marked: tinted green (heatmap), all others painted over (mask), cut out (crop), or not at
    all (plain)."""

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)

    def run(self) -> int:
        """Read and print.

        Raises:
            SeesayError: whatever is wrong with the run or the feature.
        """
        from seesay.cards import read_card
        from seesay.commands.mosaic import can_show
        from seesay.store.run import DAMAGE, UNFINISHED, Run

        output = Output(self.common)
        console = output.console
        with Run.open(self.path) as run:
            card = read_card(run, self.feature_id, self.images)
            try:
                result = {"run": str(self.path), "feature_id": self.feature_id, **card.as_json()}
                to_json(result).encode()
            except DAMAGE as error:  # facts of a stranger's may be NaN, no Unicode, or nested without end
                raise run.damaged(f"what is said of feature {self.feature_id}", error) from error
            console.print(self._heading(card))
            console.print(statistics(card, console))
            console.print(explanations(card))
            console.print(scores(card))
            if card.exemplars and can_show(console):
                self._draw(run, card, console)
            elif card.exemplars:
                console.print(exemplar_table(card.exemplars))
            elif card.statistics is not None and card.statistics.frequency:
                console.print(Text("No image of the half that explanations are made from activates it.", style="dim"))
            first = [UNFINISHED] if run.unfinished("collect") else []
        output.finish(result, next_steps=[*first, *self._next_steps(card)])
        return 0

    def _heading(self, card: "Card") -> Group:
        split = card.statistics.split if card.statistics else split_of(self.feature_id)
        title = Text.assemble((f"Feature {self.feature_id}", "bold"), f", {split} split")
        of = card.of
        line = f"{of.get('subject')}, block {of.get('layer')}, {of.get('sae')}"
        if card.collected is not None:
            line += f": {card.collected.get('n_images')} images"
        return Group(title, Text(one_line(line)))

    def _draw(self, run: "Run", card: "Card", console: Console) -> None:
        from seesay.commands.mosaic import side_by_side
        from seesay.store.thumbnails import LARGEST_SIDE

        columns: "list[tuple[str, list[Image.Image]]]" = []
        missing: list[str] = []
        for exemplar in card.exemplars:
            try:
                picture = run.thumbnails.read(exemplar.image.pixel_hash)
            except UnreadableImage as error:
                missing.append(error.what)
                continue
            picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))  # a stranger's may be of any size
            pictures = [picture]
            if self.overlay != "plain":
                pictures.append(exemplar.drawn(self.overlay, picture))
            columns.append((caption(exemplar), pictures))
        if columns:
            where = "" if self.overlay == "plain" else f"; below, on which patches ({self.overlay})"
            console.print(Text.assemble(("What activates it most", "bold"), (where, "dim")))
        for band in side_by_side(columns, console.width):
            console.print(band)
        for what in missing:
            console.print(Text(f"A picture is left out, {one_line(what)}", style="red"))

    def _next_steps(self, card: "Card") -> list[str]:
        steps: list[str] = []
        if card.statistics is not None:
            steps.append(f"seesay features {self.path} --like {self.feature_id}   those whose directions are nearest")
        explain = f"seesay explain {self.path} --features {self.feature_id} --method"
        if not card.said:
            steps.append(f"{explain} {'hybrid' if card.exemplars else 'steering'}   put it into words")
        elif all(setting.control is None for setting, _ in card.said):
            setting, *_ = card.told[0]
            steps.append(f"{explain} {setting.method}{pushed_as(setting)} --control random   what words are worth")
        return steps
