"""The options of commands that put features into words: who explains, what is steered, shown, and how words come."""

import os
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from seesay.commands.choices import one_of
from seesay.commands.counts import Count, PresetCount
from seesay.errors import InvalidDecoding, InvalidSetting
from seesay.explainers.config import METHODS, Empty, Positions, Selection, Setting, Way
from seesay.images.options import Overlay
from seesay.records import Ablation, Control, Decoding, Method, Mode, Strength

_Bits = Literal["4bit", "8bit"]

ControlOption = Annotated[
    Control | Ablation | None,
    one_of(Control, Ablation),
]
"""What takes the place of the feature, or of a part of it."""


@dataclass(frozen=True)
class ExplainerOptions:
    """Who explains."""

    explainer: Annotated[str | None, arg(metavar="MODEL")] = None
    """The vision-language model that says what it sees, if it is not the subject. To steer, its vision encoder must be
    the subject's."""

    allow_different_encoder: bool = False
    """Steer even if the explainer's vision encoder is not the subject's; every explanation then names the first tensor
    that differs."""

    quantize: Annotated[_Bits | None, one_of(_Bits)] = None
    """Keep the explainer's language model in few bits (bitsandbytes); its vision encoder stays as it is."""

    spread: bool = False
    """Spread the explainer over all accelerators, and main memory if they do not suffice (accelerate)."""

    tensor_parallel: bool = False
    """Share the explainer's language model out among processes, one a device: torchrun --nproc-per-node N -m seesay."""

    prompts: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder with the questions to ask instead: METHOD.txt, and opening.txt if they name {opening}."""

    @property
    def again(self) -> str:
        """The options by which the same one is asked in the same way, each after a blank."""
        named = {"explainer": self.explainer, "quantize": self.quantize, "prompts": self.prompts}
        given = "".join(f" --{name} {shlex.quote(str(value))}" for name, value in named.items() if value is not None)
        return given + (" --allow-different-encoder" if self.allow_different_encoder else "")

    @property
    def is_silent(self) -> bool:
        """Whether this process works in step with another one, which does the talking."""
        return self.tensor_parallel and os.environ.get("RANK", "0") != "0"

    def check_alone(self, command: str) -> None:
        """Refuse several processes where a command is not made for them.

        Args:
            command: its name.

        Raises:
            InvalidSetting: they are asked for.
        """
        if self.tensor_parallel:
            raise InvalidSetting(
                f"--tensor-parallel for {command}", expected="explain or steer", remedy="--spread the model instead"
            )

    def check_ready(self) -> None:
        """Refuse what cannot be done here, before work is done that leads to it.

        Raises:
            MissingExtra: a package is missing.
            UnreadablePrompt: the folder of prompts cannot be read.
        """
        from seesay.vlm.loading import check_installed
        from seesay.vlm.prompts import read_prompts

        check_installed(self.quantize, spread=self.spread)
        if self.prompts is not None:
            read_prompts(self.prompts)


@dataclass(frozen=True)
class SteeringOptions:
    """What is steered, where there are no exemplars, and how."""

    mode: Annotated[Mode | None, one_of(Mode)] = None
    """Add the direction to the residual, put it in its place, or clamp the feature's activation to the strength; by
    default add, and clamp for one-word."""

    empty: Empty = "white"
    """The empty image that is steered: a flat one, noise, several (white, grey and black, in one turn), the mean of the
    run's images, or zeros: nothing enters the encoder's first block."""

    swept: bool = False
    """Push at several strengths, half to double, and tell the answer that fits all of them best, unlike what is said
    where nothing is pushed."""

    adapter: bool = False
    """Steer by the adapter that seesay teach --adapter taught: a scale and a bias by which the model hears directions
    better."""

    coarse: Count = 1
    """An approximation for speed: after the steered block, squares of so many patches a side go through the encoder as
    one. Every explanation names it. 1 is exact."""

    positions: Positions = "all"
    """Where an empty image is steered: at all positions, at patches alone, in a disc in the middle, or at a random half
    of the patches. Exemplars are at their active patches."""

    def check_no_adapter(self, command: str) -> None:
        """Refuse an adapter where a command knows of none.

        Args:
            command: its name.

        Raises:
            InvalidSetting: one is asked for.
        """
        if self.adapter:
            raise InvalidSetting(f"--adapter for {command}", expected="explain, whose run has one that was taught")


@dataclass(frozen=True)
class ShowingOptions:
    """What is shown, where there are exemplars."""

    shown: Count = 5
    """Exemplars a feature."""

    overlay: Overlay = "mask"
    """How it is shown where they are active: all other patches painted over, tinted green, cut out, or not at all."""

    exemplars: Selection = "top"
    """The most activating ones, or some from every quantile of those that activate the feature."""


@dataclass(frozen=True)
class DecodingOptions:
    """How words come."""

    samples: Count = 1
    """Answers for each feature; above 1 they need a temperature."""

    temperature: float = 0.0
    """0 takes the most probable token each time (greedy); above it, tokens are drawn."""

    top_p: float = 1.0
    """Draw from the fewest tokens that together have this probability."""

    top_k: PresetCount = None
    """Draw from so many most probable tokens; preset is all."""

    max_new_tokens: Count = 64
    """At most so many tokens an explanation."""

    words: Count = 5
    """How many words vocabulary and token-change tell."""

    contrast: float = 0.0
    """Say what would not be said of a white image: so much of the log-probabilities that it gets is taken away, token
    by token. 0 takes nothing, 1 all of it."""

    def decoding(self, seed: int) -> Decoding:
        """The same for the library.

        Args:
            seed: of the draw.

        Raises:
            InvalidDecoding: several answers, of which each would be the same.
        """
        if self.samples > 1 and not self.temperature:
            raise InvalidDecoding(
                f"--samples {self.samples} without a temperature", expected="--temperature X beside it"
            )
        return Decoding(self.max_new_tokens, self.temperature, self.top_p, self.top_k or 0, self.samples, seed)


def setting_of(
    method: Method,
    strength: Strength | None,
    control: Control | Ablation | None,
    steering: SteeringOptions,
    showing: ShowingOptions,
    speaking: DecodingOptions,
    seed: int,
) -> Setting:
    """What the options come to.

    Args:
        method: how words are found.
        strength: how hard to push; None for a method that does not, and while it is still to be chosen.
        control: what takes the place of the feature.
        steering: what is steered.
        showing: what is shown.
        speaking: how words come.
        seed: of everything random.

    Raises:
        SeesayError: they do not go together.
    """
    _check_used(METHODS[method], method, steering, showing, speaking)
    return Setting(
        method=method,
        strength=strength,
        control=control,
        mode=steering.mode,
        empty=steering.empty,
        positions=steering.positions,
        coarse=steering.coarse,
        n_images=showing.shown,
        overlay=showing.overlay,
        selection=showing.exemplars,
        n_words=speaking.words,
        decoding=speaking.decoding(seed),
        seed=seed,
        contrast=speaking.contrast,
        swept=steering.swept,
    )


def explaining_options(setting: Setting) -> tuple[SteeringOptions, ShowingOptions, DecodingOptions]:
    """The options that come to a setting; what its method has no use for is left as it is, or it would be refused.

    Args:
        setting: whose strength, control and seed are no part of these.
    """
    way, decoding = setting.way, setting.decoding
    steering, showing = SteeringOptions(), ShowingOptions()
    words = DecodingOptions(max_new_tokens=decoding.max_new_tokens)
    if not (way.generates or way.reads):
        words = replace(words, words=setting.n_words)
    if way.steers and not (way.reads and not way.shows):
        steering = replace(steering, mode=setting.mode)
    if way.shows:
        showing = ShowingOptions(setting.n_images, setting.overlay, setting.selection)
    elif not way.reads:
        steering = replace(steering, empty=setting.empty, positions=setting.positions, coarse=setting.coarse)
    if way.generates:
        steering = replace(steering, swept=setting.swept, adapter=setting.adapter is not None)
        words = replace(
            words,
            samples=decoding.n_samples,
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            top_k=decoding.top_k or None,
            contrast=setting.contrast,
        )
    return steering, showing, words


def _check_used(
    way: Way, method: Method, steering: SteeringOptions, showing: ShowingOptions, speaking: DecodingOptions
) -> None:
    """Refuse what a method has no use for: whoever gives it expects something of it."""
    drawn = ("samples", "temperature", "top_p", "top_k", "contrast")
    unused: tuple[tuple[bool, object, tuple[str, ...], str], ...] = (
        (not way.steers, steering, ("mode", "swept"), "steers nothing"),
        (not way.generates, steering, ("swept",), "lets no model speak"),
        (method != "steering", steering, ("adapter",), "is not the method steering"),
        (way.shows, steering, ("empty", "positions", "coarse"), "shows exemplars"),
        (not way.shows, showing, ("shown", "overlay", "exemplars"), "shows no exemplars"),
        (
            way.reads and not way.shows,
            steering,
            ("mode", "empty", "positions", "coarse"),
            "steers as its lens was taught",
        ),
        (not way.generates, speaking, drawn, "lets no model speak"),
        (way.generates, speaking, ("words",), "lets a model speak"),
        (method == "dissect", showing, ("shown", "overlay", "exemplars"), "looks at up to 100 whole images"),
        (method == "dissect" or way.reads, speaking, ("words",), "tells one phrase"),
        (not speaking.temperature, speaking, ("top_p", "top_k"), "draws no words without --temperature"),
    )
    for is_unused, options, names, why in unused:
        defaults = type(options)()
        for name in names if is_unused else ():
            if getattr(options, name) != getattr(defaults, name):
                raise InvalidSetting(f"--{name.replace('_', '-')} for {method}, which {why}", expected="none")
