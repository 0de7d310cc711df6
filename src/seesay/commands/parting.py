"""Which features of a study teach, choose and are judged."""

from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.study.protocol import Study


@final
@dataclass(frozen=True)
class Parting:
    """Part the features of all blocks of a study, whose runs are collected.

    Args:
        path: the folder that the runs are in, by the names of their blocks.
        study: how they are parted.
        common: options of every command.
        parts: of each block, when it has been run.
    """

    path: Path
    study: Study
    common: Options
    parts: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]], repr=False)

    def run(self) -> int:
        """Do it."""
        from seesay.commands.run_models import RunModels
        from seesay.store.gallery import RunGallery, explainable
        from seesay.store.run import Run
        from seesay.study.parts import BlockFeatures, concepts_held_out, part_features
        from seesay.world.concepts import CONCEPTS

        output, blocks = Output(self.common), [each.name for each in self.study.blocks]
        with ExitStack() as stack:
            runs = [stack.enter_context(Run.open(self.path / name)) for name in blocks]
            pictures = RunGallery(runs[0]).pictures(self.study.n_linked_by)
            found: list[BlockFeatures] = []
            for run in runs:
                models, ids = RunModels(run, self.common, output), explainable(run)
                activations = models.activations
                with output.progress("activations", total=None):
                    own = activations.of(pictures)[:, ids].float().cpu()
                concepts = [[str(concept) for concept in models.truth.concepts(each)] for each in ids]
                found.append(BlockFeatures(ids, activations.sae.directions(ids).cpu(), own, concepts))
        held_out = concepts_held_out(list(map(str, CONCEPTS)), self.study)
        for name, parts in zip(blocks, part_features(found, self.study, held_out), strict=True):
            self.parts[name] = asdict(parts)
        return 0
