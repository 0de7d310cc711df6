"""Explaining: features are put into words and written into a run, batch by batch, only those that are missing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from seesay.explainers.config import IMAGES_AT_ONCE, Setting
from seesay.explainers.explainer import Explainer
from seesay.facts import hash_of
from seesay.interruption import gently_interrupted
from seesay.records import Explanation
from seesay.sae import SAE
from seesay.store.explanations import StoredSetting, add, add_setting, explanations, find_setting, missing
from seesay.store.gallery import RunGallery
from seesay.store.run import Run
from seesay.vlm import VLM
from seesay.vlm.identity import digest, fingerprint, model_digest
from seesay.vlm.parallel import leads, shared

_NO_MATTER_OF_STRENGTH = frozenset({"start", "decoding", "n_words", "coarse"})

_ALGORITHM = 1
"""Raised when the same models, images and settings would give other words."""


@final
@dataclass(frozen=True, eq=False)
class Speaker:
    """Who explains, and what of.

    Args:
        vlm: the model that sees and says.
        name: what it is called, for people.
        facts: hashes of its weights, and their number format.
        sae: whose features are steered, on its encoder's device; None where nothing is.
        layer: the block that is steered.
    """

    vlm: VLM
    name: str
    facts: Mapping[str, Any]
    sae: SAE | None = None
    layer: int | None = None

    @classmethod
    def of(
        cls, vlm: VLM, name: str, *, sae: SAE | None = None, layer: int | None = None, encoder_differs_in: str = ""
    ) -> "Speaker":
        """Hash what counts.

        Args:
            vlm: the model.
            name: what it is called.
            sae: whose features are steered.
            layer: the block.
            encoder_differs_in: the first tensor in which its encoder is not the subject's.
        """
        facts = {
            "explainer": model_digest(vlm.model),
            "reading": hash_of(vlm.reading()),
            "encoder": digest(fingerprint(vlm.encoder, vlm.encoder.last_layer_read)),
            "dtype": str(vlm.model.dtype),
            "encoder_differs_in": encoder_differs_in,
            "algorithm": _ALGORITHM,
        }
        return cls(vlm, name, facts, sae, layer)

    def facts_of(self, setting: Setting) -> dict[str, Any]:
        """All that the words of a setting depend on but the feature, as plain data.

        Args:
            setting: the way to explain.

        Raises:
            UnreadablePrompt: no prompt for its method.
        """
        prompts, way = self.vlm.prompts, setting.way
        strength = setting.strength
        looks_at_first_word = setting.method == "token-change" or (strength is not None and strength.unit == "kl")
        asked = way.prompt or ("steering" if looks_at_first_word else None)
        return {
            **self.facts,
            **setting.facts,
            "prompt": None if asked is None else prompts[asked],
            "opening": prompts.opening,
            "start": prompts.start_of(asked) if looks_at_first_word and asked else None,
            "mask_fill": list(prompts.mask_fill) if way.shows and setting.overlay == "mask" else None,
        }

    def calibration_key(self, setting: Setting) -> str:
        """What a strength is chosen for: a setting without strength and control, however its words are drawn.

        Args:
            setting: the way to explain.
        """
        facts = self.facts_of(replace(setting, strength=None, control=None, seed=0))
        return hash_of({name: value for name, value in facts.items() if name not in _NO_MATTER_OF_STRENGTH})

    def explainer(
        self,
        setting: Setting,
        run: Run,
        *,
        images_at_once: int = IMAGES_AT_ONCE,
        questions_at_once: int | None = None,
    ) -> Explainer:
        """What explains a run's features.

        Args:
            setting: the way to explain.
            run: whose exemplars and statistics are looked at.
            images_at_once: as for [seesay.explainers.explainer.Explainer][].
            questions_at_once: the same.

        Raises:
            SeesayError: what the setting asks for cannot be had.
        """
        return Explainer(
            self.vlm,
            setting,
            RunGallery(run),
            sae=self.sae,
            layer=self.layer,
            encoder_differs_in=self.facts["encoder_differs_in"],
            images_at_once=images_at_once,
            questions_at_once=questions_at_once,
        )


def explain(
    run: Run,
    speaker: Speaker,
    setting: Setting,
    feature_ids: Sequence[int],
    *,
    batch_size: int = 64,
    images_at_once: int = IMAGES_AT_ONCE,
    questions_at_once: int | None = None,
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
        on_batch: told how many more features are done, those of earlier times too.

    Returns:
        The setting, under which [seesay.store.explanations.explanations][] finds the words.

    Raises:
        SeesayError: what the setting asks for cannot be had, or the run cannot be written.
        KeyboardInterrupt: after Ctrl-C, when the batch is written.
    """
    explainer = speaker.explainer(setting, run, images_at_once=images_at_once, questions_at_once=questions_at_once)
    facts = speaker.facts_of(setting)
    before = find_setting(run, facts)
    left = shared(list(feature_ids) if before is None else missing(run, before, feature_ids, setting.n_answers))
    copied = shared(_of_donors(run, speaker, setting, explainer, left))
    done = {each.feature_id for each in copied}
    batches = explainer.explain([feature_id for feature_id in left if feature_id not in done], batch_size)
    # Only what can be asked is noted.
    stored = shared(add_setting(run, facts, speaker.name) if leads() else None)
    assert stored is not None
    on_batch(len(feature_ids) - len(left) + len(done))
    with gently_interrupted() as is_interrupted:
        if copied and leads():
            add(run, stored, copied)
        for said in batches:
            if leads():
                add(run, stored, said)
            on_batch(len({each.feature_id for each in said}))
            if shared(is_interrupted()):
                raise KeyboardInterrupt
    return stored


def _of_donors(
    run: Run, speaker: Speaker, setting: Setting, explainer: Explainer, feature_ids: Sequence[int]
) -> list[Explanation]:
    """A permuted control's words, as far as the donors have got theirs: asking again would bring the same."""
    own = find_setting(run, speaker.facts_of(replace(setting, control=None))) if setting.control == "permuted" else None
    if own is None:
        return []
    said = explanations(run, own)
    found: list[Explanation] = []
    for feature_id in feature_ids:
        donor_id = explainer.donor_of(feature_id)
        words = (said.get(donor_id, []) if donor_id is not None else [])[: setting.n_answers]
        if len(words) == setting.n_answers and all(each.status != "failed" for each in words):
            found += [
                replace(each, feature_id=feature_id, control="permuted", donor_id=donor_id, seconds=0.0)
                for each in words
            ]
    return found
