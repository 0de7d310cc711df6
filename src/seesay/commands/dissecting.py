"""CLIP-Dissect on the command line: what it can say, what it looks with, and what it has no use for."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seesay.commands.instruments import InstrumentOptions, Instruments
from seesay.commands.names import is_world
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.errors import InvalidSetting

if TYPE_CHECKING:
    from seesay.explainers.config import Setting
    from seesay.store.explanations import StoredSetting
    from seesay.store.run import Run


def explain_by_dissecting(
    run: "Run",
    setting: "Setting",
    feature_ids: Sequence[int],
    *,
    vocabulary: Path | None,
    embedder: str | None,
    common: Options,
    output: Output,
) -> "StoredSetting":
    """Put features into words without a language model.

    Args:
        run: open to be written.
        setting: as [seesay.pipeline.dissecting.dissecting][] makes it.
        feature_ids: which features.
        vocabulary: a file of phrases; None for the world's.
        embedder: what is looked with; None for the world's own, or CLIP.
        common: options of every command.
        output: of the command.

    Raises:
        SeesayError: whatever is wrong with the run, the embedder or the vocabulary.
    """
    from seesay.pipeline.dissecting import dissect

    of_world = is_world(str(run.subject.get("subject")))
    phrases = _phrases(vocabulary, of_world)
    tools = Instruments(InstrumentOptions(embedder=embedder), of_world, common)
    with output.progress("embedding images", total=None) as advance:
        return dissect(run, tools.embedder, tools.embedder_name, phrases, setting, feature_ids, on_batch=advance)


def _phrases(vocabulary: Path | None, of_world: bool) -> list[str]:
    from seesay.explainers.dissect import read_vocabulary

    if vocabulary is not None:
        return read_vocabulary(vocabulary)
    if not of_world:
        raise InvalidSetting("dissect without a vocabulary", expected="--vocabulary FILE, one phrase a line")
    from seesay.world.concepts import CONCEPTS
    from seesay.world.grammar import phrase

    return [phrase(concept) for concept in CONCEPTS]
