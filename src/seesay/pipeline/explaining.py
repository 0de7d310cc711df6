"""Explaining: features are put into words and written into a run, batch by batch, only those that are missing."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from seesay.explainers.adapter import Adapter
from seesay.explainers.cases import donors
from seesay.explainers.config import IMAGES_AT_ONCE, Setting
from seesay.explainers.gallery import Gallery
from seesay.explainers.lens import Lens
from seesay.interruption import gently_interrupted
from seesay.pipeline.speakers import Choir, Explaining, Speaker, Voice
from seesay.records import Explanation
from seesay.store.explanations import StoredSetting, add, add_setting, explanations, find_setting, missing
from seesay.store.gallery import RunGallery
from seesay.store.run import Run
from seesay.vlm.parallel import leads, shared


def explain(
    run: Run,
    speaker: Speaker | Choir,
    setting: Setting,
    feature_ids: Sequence[int],
    *,
    batch_size: int = 64,
    images_at_once: int = IMAGES_AT_ONCE,
    questions_at_once: int | None = None,
    lens: Lens | None = None,
    adapter: Adapter | None = None,
    on_batch: Callable[[int], None] = lambda _n: None,
) -> StoredSetting:
    """Put features into words, and write them into the run after every batch.

    What is there already is left alone, but for failures, which are tried again. The first Ctrl-C ends it after the
    batch. The words of another feature that a permuted control asks for are taken from where they stand already.

    Where several processes share a model, all of them call it, and one writes.

    Args:
        run: open to be written, or to be read in a process that does not lead.
        speaker: who explains.
        setting: the way to explain.
        feature_ids: which features.
        batch_size: how many are explained and written together; like the next two it changes nothing but speed and
            memory, and the last digits.
        images_at_once: that the encoder takes in one pass.
        questions_at_once: that the language model answers at a time; None for all of a batch.
        lens: that features are read through, the one that the setting names; None for a method that does not read.
        adapter: by which an empty image is steered, the one that the setting names; None for none.
        on_batch: told how many more features are done, those of earlier times too.

    Returns:
        The setting, under which [seesay.store.explanations.explanations][] finds the words.

    Raises:
        SeesayError: what the setting asks for cannot be had, or the run cannot be written.
        KeyboardInterrupt: after Ctrl-C, when the batch is written.
    """
    choir, gallery = Choir.of(speaker), RunGallery(run)
    facts = choir.voice.facts_of(setting)
    before = find_setting(run, facts)
    left = shared(list(feature_ids) if before is None else missing(run, before, feature_ids, setting.n_answers))
    copied = shared(_of_donors(run, choir.voice, setting, gallery, left))
    done = {each.feature_id for each in copied}
    task = Explaining(setting, choir.crew.lend(gallery), batch_size, images_at_once, questions_at_once, lens, adapter)
    with gently_interrupted() as is_interrupted:

        def is_over() -> bool:
            return shared(is_interrupted())

        asked = [feature_id for feature_id in left if feature_id not in done]
        batches = choir.crew.run(task, asked, batch_size, until=is_over)
        # Only what can be asked is noted.
        stored = shared(add_setting(run, facts, choir.voice.name) if leads() else None)
        assert stored is not None
        on_batch(len(feature_ids) - len(left) + len(done))
        if copied and leads():
            add(run, stored, copied)
        for said in batches:
            if leads():
                add(run, stored, said)
            on_batch(len({each.feature_id for each in said}))
        if is_over():
            raise KeyboardInterrupt
    return stored


def _of_donors(
    run: Run, voice: Voice, setting: Setting, gallery: Gallery, feature_ids: Sequence[int]
) -> list[Explanation]:
    """A permuted control's words, as far as the donors have got theirs: asking again would bring the same."""
    own = find_setting(run, voice.facts_of(replace(setting, control=None))) if setting.control == "permuted" else None
    if own is None:
        return []
    said, donor_of = explanations(run, own), donors(setting, gallery)
    found: list[Explanation] = []
    for feature_id in feature_ids:
        donor_id = donor_of.get(feature_id)
        words = (said.get(donor_id, []) if donor_id is not None else [])[: setting.n_answers]
        if len(words) == setting.n_answers and all(each.status != "failed" for each in words):
            found += [
                replace(each, feature_id=feature_id, control="permuted", donor_id=donor_id, seconds=0.0)
                for each in words
            ]
    return found
