"""The loop that all methods share: cases are shown, answers recorded, batch by batch."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from seesay.errors import InvalidSetting, InvalidStrength, LayerNotFound, MismatchedSAE
from seesay.explainers.adapter import Adapter
from seesay.explainers.answering import (
    Agreeing,
    Answering,
    Contrasting,
    Saying,
    TokenChange,
    Vocabulary,
    Weighing,
    divergence,
)
from seesay.explainers.cases import Case, Cases
from seesay.explainers.config import IMAGES_AT_ONCE, SEVERAL, Setting
from seesay.explainers.gallery import Gallery
from seesay.explainers.kl_strength import stepping_up
from seesay.explainers.lens import Lens
from seesay.explainers.sights import NO_OTHER, Beside, EmptySight, ExemplarSight, Ground, Sight, encoded_empty
from seesay.images.blank import blank_image
from seesay.records import Explanation, Status, Strength, StrengthUnit
from seesay.sae import SAE
from seesay.steering import coefficient
from seesay.vlm import VLM, Answer, Encoded, ImageTokens
from seesay.vlm.batches import halving
from seesay.vlm.model import Watch

_OVERFLOWED = "the numbers overflowed on the way to the words"
_NO_WORD = "the model said no word"
_NO_MEMORY = "memory does not suffice for one feature"
_FIXED: tuple[StrengthUnit, ...] = ("coefficient", "residual_norm")
"""Units that come to the same for every feature."""


@final
class Explainer:
    """Puts features into words in one way.

    Args:
        vlm: the model that sees and says.
        setting: how.
        gallery: what is known of the features besides their directions.
        sae: whose features, on the device of the vision encoder; None for a method that neither steers nor reads.
        layer: the block to steer; None for the same.
        encoder_differs_in: for the record; see [seesay.vlm.identity.encoder_difference][].
        ground: what features are pushed on, where no exemplars are shown.
        watch: listens while the model speaks.
        images_at_once: that the encoder takes in one pass; halved when memory runs out.
        questions_at_once: that the language model answers at a time, each of which makes room for the next when it is
            done; None takes all features of a batch.
        lens: what features are read through, for a method that reads; the one that the setting names.
        adapter: by which the empty image is steered, if the setting names one.

    Raises:
        InvalidStrength: none given to a method that steers, or in a unit that cannot be had.
        LayerNotFound: no such block, or one that the language model does not see.
        MismatchedSAE: an SAE for residuals of another width.
        UnreadablePrompt: no prompt for the method.
        InvalidSetting: images are needed and the gallery has none.
    """

    def __init__(
        self,
        vlm: VLM,
        setting: Setting,
        gallery: Gallery,
        *,
        sae: SAE | None = None,
        layer: int | None = None,
        encoder_differs_in: str = "",
        ground: Ground = NO_OTHER,
        watch: Watch | None = None,
        images_at_once: int = IMAGES_AT_ONCE,
        questions_at_once: int | None = None,
        lens: Lens | None = None,
        adapter: Adapter | None = None,
    ) -> None:
        self.setting = setting
        self._ground, self._watch = ground, watch
        self._images_at_once, self._questions_at_once = images_at_once, questions_at_once
        self._vlm, self._gallery = vlm, gallery
        self._differs_in = encoder_differs_in
        way = setting.way
        # What is not there is said now, not after the first batch.
        self._prompt = "" if way.prompt is None else vlm.prompts.filled_in(way.prompt)
        self._sae, self._layer = (sae, layer) if way.steers else (None, None)
        if way.steers:
            assert sae is not None, f"{setting.method} needs an SAE"
            if layer is None:
                raise LayerNotFound("the SAE does not say which block it was trained on", remedy="give the layer")
            sae.check_fits(vlm.encoder.d_model)
            vlm.encoder.check_layer(layer, steered=True)
            size = vlm.encoder.image_size
            vlm.encoder.check_coarse(layer, vlm.encoder.geometry((size, size)).grid, setting.coarse)
            if setting.push == "clamp" and sae.W_enc is None:
                raise MismatchedSAE(
                    "directions without an encoder have no activations to be clamped",
                    expected="an SAE",
                    remedy="push otherwise: mode add",
                )
            if setting.strength is None and setting.control != "none":
                raise InvalidStrength(f"no strength for {setting.method}", expected="one", remedy="give one")
        if way.reads:
            _check_lens(setting, lens, sae)
        if setting.adapter is not None:
            _check_adapter(setting, adapter, sae)
        self._lens, self._adapter = lens, None if setting.adapter is None else adapter
        if ground.along and (setting.push != "add" or setting.strength is None or setting.strength.unit not in _FIXED):
            raise InvalidSetting(
                "features pushed along with others, and that not by adding so much",
                expected=f"the mode add, and a strength in one of {', '.join(_FIXED)}",
            )
        self._cases = Cases(setting, gallery, sae, self._coefficient)
        self._by_kl = setting.strength is not None and setting.strength.unit == "kl"
        self._check_strength()

    def explain(self, feature_ids: Sequence[int], batch_size: int = 64) -> Iterator[list[Explanation]]:
        """Explain features.

        Args:
            feature_ids: which.
            batch_size: how many at a time; halved when memory runs out, without changing the words.

        Returns:
            The explanations of each batch, in order; every sample of a feature is one. A feature for which memory does
            not suffice is `failed`; one that there are no words for, `empty`.

        Raises:
            FeatureNotFound: there is no such feature.
            InvalidStrength: the unit of the strength needs statistics that are not there.
        """
        # Now, not when the first batch is asked for: what is wrong is known before anything else is done.
        return self._explain([self._cases.of(feature_id) for feature_id in feature_ids], batch_size)

    def see(self, feature_ids: Sequence[int]) -> list[list[ImageTokens]]:
        """The images of each feature, steered where the method steers, as the language model reads them.

        Args:
            feature_ids: which features; all of them can be explained.

        Raises:
            FeatureNotFound: there is no such feature.
            NotEnoughMemory: a single image does not fit.
        """
        return self._sight.see(self._pushed([self._cases.of(feature_id) for feature_id in feature_ids]))

    def _explain(self, cases: Sequence[Case], batch_size: int) -> Iterator[list[Explanation]]:
        started = time.perf_counter()
        for batch, answers in halving(cases, batch_size, self._answers):
            now = time.perf_counter()
            seconds, started = (now - started) / len(batch), now
            said = self._recorded(batch, answers)
            yield [replace(each, seconds=round(seconds, 6)) for each in said]
            started = time.perf_counter()

    @staticmethod
    @torch.no_grad()
    def divergences(
        explainers: Sequence["Explainer"], feature_ids: Sequence[int], batch_size: int = 64
    ) -> Iterator[list[list[float]]]:
        """How far interventions move the distribution of the first word of an answer, in nats.

        It is measured against the same images with nothing pushed.

        Args:
            explainers: that differ in nothing but how hard they push.
            feature_ids: which features.
            batch_size: how many at a time.

        Yields:
            For each batch, and in it for each feature and each explainer, the Kullback-Leibler divergence of the
            steered distribution from the unsteered one; NaN for a feature that cannot be explained or does not fit
            into memory.
        """
        first = explainers[0]

        def moved(batch: Sequence[int]) -> list[list[float]]:
            cases = {explainer: [explainer._cases.of(feature_id) for feature_id in batch] for explainer in explainers}
            able = [row for row, case in enumerate(cases[first]) if not case.reason]
            found = [[math.nan] * len(explainers) for _ in batch]
            if able:
                before = first._unsteered([cases[first][row] for row in able])
                for column, explainer in enumerate(explainers):
                    pushed = explainer._pushed([cases[explainer][row] for row in able])
                    for row, value in zip(able, explainer._moved(pushed, before).tolist(), strict=True):
                        found[row][column] = value
            return found

        for batch, found in halving(feature_ids, batch_size, moved):
            yield found if found is not None else [[math.nan] * len(explainers) for _ in batch]

    def _answers(self, cases: Sequence[Case]) -> list[tuple[Case, list[Answer]]]:
        able = self._pushed([case for case in cases if not case.reason])
        if not able:
            return [(case, []) for case in cases]
        answers = self._answering.answer(self._sight.see(able), able)
        n = len(answers) // len(able)
        said = {case.feature_id: (case, answers[row * n : (row + 1) * n]) for row, case in enumerate(able)}
        return [said.get(case.feature_id, (case, [])) for case in cases]

    def _pushed(self, cases: Sequence[Case]) -> Sequence[Case]:
        """The cases with the strength that each of them needs, where that is told by what comes of it."""
        if not self._by_kl or not cases:
            return cases
        assert self.setting.strength is not None
        before = self._unsteered(cases)
        return stepping_up(
            cases, self.setting.strength.value, self._residual_norm, lambda pushed: self._moved(pushed, before)
        )

    def _unsteered(self, cases: Sequence[Case]) -> Float[Tensor, "row vocabulary"]:
        """How probable each first word is with nothing pushed: one row for all where they see the same."""
        different = cases if self.setting.way.shows else cases[:1]
        return self._next_word([replace(case, direction=None) for case in different])

    def _moved(self, cases: Sequence[Case], before: Float[Tensor, "row vocabulary"]) -> Float[Tensor, " case"]:
        return divergence(self._next_word(cases), before)

    def _next_word(self, cases: Sequence[Case]) -> Float[Tensor, "row vocabulary"]:
        name = self.setting.way.prompt or "steering"
        prompts = self._vlm.prompts
        return self._vlm.next_word(prompts[name], self._sight.see(cases), prompts.start_of(name))

    @cached_property
    def _sight(self) -> Sight:
        if self.setting.way.shows:
            return ExemplarSight(self._vlm, self._sae, self._layer, self.setting, self._gallery, self._images_at_once)
        if self.setting.empty == "several" and self._ground.image is None:
            assert self._layer is not None
            seen = [encoded_empty(self._vlm, self._layer, each, self.setting.seed, self._gallery) for each in SEVERAL]
            return Beside(list(map(self._empty_sight, seen)))
        return self._empty_sight(self._seen)

    def _empty_sight(self, seen: Encoded) -> EmptySight:
        assert self._sae is not None
        return EmptySight(self._vlm, self._sae, seen, self.setting, self._along, self._images_at_once, self._adapter)

    @cached_property
    def _answering(self) -> Answering:
        if self.setting.way.generates:
            return self._generating
        if self._lens is not None and self.setting.way.reads:
            expected = self._lens.of_pupils if self.setting.way.shows else self._lens.of_steered
            return Weighing(self._vlm, self._prompt, self._lens, expected, self._questions_at_once)
        nobody = Case(-1, -1, -1)
        (unsteered,) = self._sight.see([nobody])
        if self.setting.method == "vocabulary":
            return Vocabulary(self._vlm, unsteered, self.setting.n_words)
        return TokenChange(self._vlm, "steering", unsteered, self.setting.n_words)

    @property
    def _generating(self) -> Answering:
        setting, at_once = self.setting, self._questions_at_once
        if setting.contrast:
            white = self._vlm.encode([blank_image("white", self._vlm.encoder.image_size)])
            n_most = setting.decoding.max_new_tokens
            return Contrasting(self._vlm, self._prompt, white, setting.contrast, n_most, self._watch, at_once)
        saying = Saying(self._vlm, self._prompt, setting.decoding, self._watch, at_once)
        return Agreeing(self._vlm, self._prompt, saying, self._sight.see, at_once) if setting.swept else saying

    @cached_property
    def _residual_norm(self) -> float:
        """Of the empty image, in units of activations."""
        assert self._sae is not None
        return self._blank.residual_norm / self._sae.activation_scale(self._blank.residual).mean().item()

    @cached_property
    def _blank(self) -> Encoded:
        """The empty image up to the block; a white one where it is there for its norm alone."""
        assert self._layer is not None
        empty = "white" if self.setting.way.shows else self.setting.empty
        return encoded_empty(self._vlm, self._layer, empty, self.setting.seed, self._gallery)

    @cached_property
    def _seen(self) -> Encoded:
        """What features are pushed on, up to the block."""
        assert self._layer is not None
        image = self._ground.image
        return self._blank if image is None else self._vlm.encode_to([image], self._layer)

    @cached_property
    def _along(self) -> Float[Tensor, " d_model"] | None:
        """What is added along with each direction."""
        if not self._ground.along:
            return None
        assert self._sae is not None and self.setting.strength is not None
        unit = self.setting.strength.unit
        norm = self._residual_norm if unit == "residual_norm" else None
        alphas = [coefficient(Strength(value, unit), residual_norm=norm) for _feature_id, value in self._ground.along]
        directions = self._sae.directions([feature_id for feature_id, _value in self._ground.along])
        return torch.tensor(alphas).to(directions) @ directions

    def _coefficient(self, max_activation: float | None) -> float:
        strength = self.setting.strength
        assert strength is not None
        if strength.unit == "kl":
            return 0.0  # found by `stepping_up`
        norm = self._residual_norm if strength.unit == "residual_norm" else None
        return coefficient(strength, residual_norm=norm, max_activation=max_activation)

    def _check_strength(self) -> None:
        strength = self.setting.strength
        if strength is None:
            return
        if strength.unit == "kl" and not 0 < strength.value < math.inf:
            raise InvalidStrength(f"a divergence of {strength.value} nats", expected="a number above 0")
        if strength.unit in ("coefficient", "residual_norm"):
            self._coefficient(None)

    def _recorded(
        self, cases: Sequence[Case], answers: Sequence[tuple[Case, list[Answer]]] | None
    ) -> list[Explanation]:
        numbers = range(self.setting.n_answers)
        if answers is None:  # a single one that does not fit
            return [self._record(case, number, None, _NO_MEMORY) for case in cases for number in numbers]
        return [
            self._record(case, number, said[number] if said else None, case.reason)
            for case, said in answers
            for number in numbers
        ]

    def _record(self, case: Case, sample: int, said: Answer | None, reason: str) -> Explanation:
        text = self._vlm.prompts.clean(said.text) if said else ""
        log_probability = said.mean_log_probability if said else None
        status: Status = "ok"
        if said is None:
            status = "empty" if case.reason else "failed"
        elif log_probability is not None and not math.isfinite(log_probability):
            status, reason = "failed", _OVERFLOWED
        elif not any(character.isalnum() for character in text):  # a lone full stop is no explanation
            status, reason = "empty", _NO_WORD
        return Explanation(
            feature_id=case.feature_id,
            method=self.setting.method,
            control=self.setting.control,
            text=text if status == "ok" else "",
            raw_text=said.text if said else "",
            status=status,
            strength=self.setting.strength if self.setting.control != "none" else None,
            coefficient=case.coefficient if case.direction is not None and (said or not self._by_kl) else None,
            mean_log_probability=None if status == "failed" else log_probability,
            sample=sample,
            image_ids=tuple(exemplar.image.image_id for exemplar in case.exemplars),
            donor_id=case.donor_id,
            encoder_differs_in=self._differs_in,
            reason=reason if status != "ok" else "",
            coarse=self.setting.coarse,
        )


def _check_adapter(setting: Setting, adapter: Adapter | None, sae: SAE | None) -> None:
    """Refuse to steer without the adapter that a setting names."""
    if adapter is None or sae is None or adapter.identity != setting.adapter:
        raise InvalidSetting(
            "steering by an adapter that is not there",
            expected="one that was taught",
            remedy="seesay teach RUN --adapter",
        )
    adapter.check_fits(sae)


def _check_lens(setting: Setting, lens: Lens | None, sae: SAE | None) -> None:
    """Refuse to read without the lens that a setting names, or to push otherwise than when it was taught."""
    if lens is None or sae is None or lens.identity != setting.lens:
        raise InvalidSetting(
            f"{setting.method} without a lens", expected="one that the explainer has taught", remedy="seesay teach RUN"
        )
    lens.check_fits(sae)
    if not setting.way.shows and setting.strength is not None and setting.strength != lens.strength:
        raise InvalidStrength(
            f"strength {setting.strength.value:g} ({setting.strength.unit}) for {setting.method}",
            expected=f"{lens.strength.value:g} ({lens.strength.unit}), by which the lens was taught",
            remedy="leave it out, or seesay teach --anew with "
            f"--strength {setting.strength.value:g} --strength-unit {setting.strength.unit}",
        )
