"""Who explains: a model of this process, or several like it wherever a backend has them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

from seesay.backends.crew import Crew
from seesay.backends.local import Local
from seesay.explainers.adapter import Adapter
from seesay.explainers.config import IMAGES_AT_ONCE, Setting
from seesay.explainers.explainer import Explainer
from seesay.explainers.gallery import Gallery
from seesay.explainers.lens import Lens
from seesay.facts import hash_of
from seesay.records import Explanation
from seesay.sae import SAE
from seesay.store.gallery import RunGallery
from seesay.store.run import Run
from seesay.vlm import VLM
from seesay.vlm.identity import digest, fingerprint, model_digest
from seesay.vlm.prompts import Prompts

_NO_MATTER_OF_STRENGTH = frozenset({"start", "decoding", "n_words", "coarse", "contrast", "swept", "adapter"})

_ALGORITHM = 1
"""Raised when the same models, images and settings would give other words."""


@final
@dataclass(frozen=True)
class Voice:
    """What is known of who explains where the model is not; it can be pickled.

    Args:
        name: what it is called, for people.
        facts: hashes of its weights, and their number format.
        prompts: what it is asked.
    """

    name: str
    facts: Mapping[str, Any]
    prompts: Prompts

    def facts_of(self, setting: Setting) -> dict[str, Any]:
        """All that the words of a setting depend on but the feature, as plain data.

        Args:
            setting: the way to explain.

        Raises:
            UnreadablePrompt: no prompt for its method.
        """
        prompts, way = self.prompts, setting.way
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

    @property
    def lens_key(self) -> str:
        """What a lens is taught for: a model, and what it is asked on the way."""
        asked = {name: self.prompts[name] for name in ("steering", "topk")}
        return hash_of({**self.facts, **asked, "mask_fill": list(self.prompts.mask_fill)})

    def calibration_key(self, setting: Setting) -> str:
        """What a strength is chosen for: a setting without strength and control, however its words are drawn.

        Args:
            setting: the way to explain.
        """
        facts = self.facts_of(replace(setting, strength=None, control=None, seed=0))
        return hash_of({name: value for name, value in facts.items() if name not in _NO_MATTER_OF_STRENGTH})


@final
@dataclass(frozen=True, eq=False)
class Speaker:
    """Who explains, and what of.

    Args:
        vlm: the model that sees and says.
        voice: what is known of it.
        sae: whose features are steered, on its encoder's device; None where nothing is.
        layer: the block that is steered.
        subject: what a run of these features is of, as plain data.
        remarks: what people should know of all this.
    """

    vlm: VLM
    voice: Voice
    sae: SAE | None = None
    layer: int | None = None
    subject: Mapping[str, Any] = field(default_factory=dict[str, Any])
    remarks: str = ""

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
        return cls(vlm, Voice(name, facts, vlm.prompts), sae, layer)

    @property
    def name(self) -> str:
        """What it is called, for people."""
        return self.voice.name

    def facts_of(self, setting: Setting) -> dict[str, Any]:
        """All that the words of a setting depend on but the feature; see [seesay.pipeline.speakers.Voice][]."""
        return self.voice.facts_of(setting)

    def calibration_key(self, setting: Setting) -> str:
        """What a strength is chosen for; see [seesay.pipeline.speakers.Voice][]."""
        return self.voice.calibration_key(setting)

    def explainer(self, setting: Setting, run: Run) -> Explainer:
        """What explains a run's features.

        Args:
            setting: the way to explain.
            run: whose exemplars and statistics are looked at.

        Raises:
            SeesayError: what the setting asks for cannot be had.
        """
        return self.explainer_of(setting, RunGallery(run))

    def explainer_of(
        self,
        setting: Setting,
        gallery: Gallery,
        *,
        images_at_once: int = IMAGES_AT_ONCE,
        questions_at_once: int | None = None,
        lens: Lens | None = None,
        adapter: Adapter | None = None,
    ) -> Explainer:
        """The same with whatever has the exemplars and statistics, so much at a time, by what was taught for it."""
        return Explainer(
            self.vlm,
            setting,
            gallery,
            sae=self.sae,
            layer=self.layer,
            encoder_differs_in=self.voice.facts["encoder_differs_in"],
            images_at_once=images_at_once,
            questions_at_once=questions_at_once,
            lens=lens,
            adapter=adapter,
        )


@final
@dataclass(frozen=True, eq=False)
class Choir:
    """Speakers that are as one, wherever they are.

    Args:
        voice: what is known of each.
        crew: themselves.
    """

    voice: Voice
    crew: Crew[Speaker]

    @classmethod
    def of(cls, speaker: "Speaker | Choir") -> "Choir":
        """A choir, be it of one."""
        return speaker if isinstance(speaker, Choir) else cls(speaker.voice, Local(speaker))


@final
@dataclass(frozen=True, eq=False)
class Introducing:
    """The task of saying who explains: its voice, subject and remarks, which are its facts; there is nothing to do."""

    def begin(self, speaker: Speaker) -> "_Introduced":
        """Look at the speaker.

        Args:
            speaker: who explains.
        """
        return _Introduced({"voice": speaker.voice, "subject": speaker.subject, "remarks": speaker.remarks})


@final
@dataclass(frozen=True, eq=False)
class _Introduced:
    facts: Mapping[str, Any]

    def do(self, items: Iterable[None]) -> Iterator[None]:
        return iter(items)


@final
@dataclass(frozen=True, eq=False)
class Explaining:
    """The task of putting features into words.

    Args:
        setting: the way to explain.
        gallery: the features' exemplars and statistics, lent if the models are elsewhere.
        batch_size: features at a time.
        images_at_once: that the encoder takes in one pass.
        questions_at_once: that the language model answers at a time.
        lens: that features are read through, for a method that reads.
        adapter: by which an empty image is steered, if the setting names one.
    """

    setting: Setting
    gallery: Gallery
    batch_size: int
    images_at_once: int = IMAGES_AT_ONCE
    questions_at_once: int | None = None
    lens: Lens | None = None
    adapter: Adapter | None = None

    def begin(self, speaker: Speaker) -> "_Explainer":
        """Make the explainer.

        Args:
            speaker: who explains.

        Raises:
            SeesayError: what the setting asks for cannot be had.
        """
        facts = speaker.voice.facts_of(self.setting)
        explainer = speaker.explainer_of(
            self.setting,
            self.gallery,
            images_at_once=self.images_at_once,
            questions_at_once=self.questions_at_once,
            lens=self.lens,
            adapter=self.adapter,
        )
        return _Explainer(explainer, facts, self.batch_size)


@final
@dataclass(frozen=True, eq=False)
class _Explainer:
    explainer: Explainer
    facts: Mapping[str, Any]
    batch_size: int

    def do(self, feature_ids: Iterable[int]) -> Iterator[list[Explanation]]:
        return self.explainer.explain(list(feature_ids), self.batch_size)
