"""Labelling: what explanations speak of, colours and edges or things and scenes, written into a run batch by batch."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast, final

from seesay.facts import hash_of
from seesay.interruption import gently_interrupted
from seesay.records import Decoding, Level
from seesay.store.labels import Label, add_labels, unlabelled
from seesay.store.run import Run
from seesay.vlm import VLM
from seesay.vlm.identity import model_digest

LevelOf = Callable[[Sequence[str]], list[tuple[Level, str]]]
"""From texts to their levels, each with what was answered."""

PROMPT = "level"
"""Name of the question that a language model is asked, with `{phrase}` in it."""

_ALGORITHM = 1
_DECODING = Decoding(max_new_tokens=12)
_LONGEST = 2000  # characters of a text that are read
_LEVEL = re.compile(r"(?<![a-z])(?:(low|high)(?:[\s_-]*level)?|other)(?![a-z])", re.IGNORECASE)


@final
@dataclass(frozen=True, eq=False)
class Labeller:
    """Who tells levels.

    Args:
        identity: of all that its labels depend on but the text: who it is, a colon, and a hash or a version.
        level_of: tells them.
    """

    identity: str
    level_of: LevelOf


def label(
    run: Run, labeller: Labeller, *, batch_size: int = 64, on_batch: Callable[[int], None] = lambda _n: None
) -> int:
    """Give each different explanation of a run a level, and write it into the run after every batch.

    Those that the labeller has labelled before are left alone. The first Ctrl-C ends it after the batch.

    Args:
        run: open to be written; explanations of all settings count.
        labeller: who tells the levels.
        batch_size: texts at a time.
        on_batch: told how many more texts are done.

    Returns:
        How many were labelled.

    Raises:
        SeesayError: as the labeller does, or the run cannot be written.
        KeyboardInterrupt: after Ctrl-C, when the batch is written.
    """
    left = unlabelled(run, labeller.identity)
    with gently_interrupted() as is_interrupted:
        for start in range(0, len(left), batch_size):
            texts = left[start : start + batch_size]
            levels = labeller.level_of(texts)
            found = [Label(text, *told) for text, told in zip(texts, levels, strict=True)]
            add_labels(run, labeller.identity, found)
            on_batch(len(found))
            if is_interrupted():
                raise KeyboardInterrupt
    return len(left)


def by_model(vlm: VLM) -> Labeller:
    """A language model that is asked about the words alone: it sees no image.

    Args:
        vlm: the model; `level` among its prompts is what it is asked.

    Raises:
        UnreadablePrompt: there is no such prompt, or it has no place for a phrase.
    """
    vlm.prompts.about(PROMPT, "")
    facts = {
        "model": model_digest(vlm.model),
        "reading": hash_of(vlm.reading()),
        "dtype": str(vlm.model.dtype),
        "prompt": vlm.prompts[PROMPT],
        "max_new_tokens": _DECODING.max_new_tokens,
        "algorithm": _ALGORITHM,
    }

    def level_of(texts: Sequence[str]) -> list[tuple[Level, str]]:
        prompts = [vlm.asking(PROMPT, text[:_LONGEST]) for text in texts]
        answers = vlm.say(prompts, [[] for _ in texts], _DECODING, batch_size=max(1, len(texts)))
        return [(read_level(answer.text), answer.text) for answer in answers]

    return Labeller(f"model:{hash_of(facts)}", level_of)


def read_level(answer: str) -> Level:
    """The level that an answer names first, however it writes it; `other` if it names none.

    Args:
        answer: of a language model, to a question that asks for low, high or other.
    """
    found = _LEVEL.search(answer)
    if found is None or found[1] is None:
        return "other"
    return cast("Level", f"{found[1].lower()}-level")
