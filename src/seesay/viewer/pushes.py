"""What people ask for when they push features: the same as `seesay steer` takes, and as a line for it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from pydantic import ConfigDict, TypeAdapter, ValidationError

from seesay.errors import InvalidSetting, InvalidStrength
from seesay.explainers.config import METHODS, Empty, Positions, Setting
from seesay.records import Control, Decoding, Method, Mode, Strength, StrengthUnit
from seesay.store.bookmarks import Bookmark
from seesay.texts import exact

if TYPE_CHECKING:
    from seesay.sae import SAE
    from seesay.vlm import VLM, Encoder

MOST_STRENGTHS = 16
LONGEST_PROMPT = 2000
_MOST_TOKENS = 256


@final
@dataclass(frozen=True, eq=False)
class Loaded:
    """The models of a run.

    Args:
        vlm: who sees and says.
        sae: of the run's features, on the device of its encoder.
        layer: the run's block.
        eyes: the subject's encoder.
        encoder_differs_in: the first tensor in which the explainer's encoder is not the subject's.
        strength: what to begin with.
        command: what names them on the command line: `--subject`, `--sae`, and whatever else is not as usual.
    """

    vlm: "VLM"
    sae: "SAE"
    layer: int
    eyes: "Encoder"
    encoder_differs_in: str
    strength: Strength
    command: tuple[str, ...]

    @property
    def prompts(self) -> Mapping[Method, str]:
        """What is asked by each method that shows no exemplars; empty for one that asks nothing."""
        texts = self.vlm.prompts.texts
        return {
            method: texts.get(way.prompt or "", "")
            for method, way in METHODS.items()
            if way.steers and not way.shows and not way.reads and (way.prompt is None or way.prompt in texts)
        }


@final
@dataclass(frozen=True)
class Push:
    """What is to be pushed, on what, and what is asked then; the same as `seesay steer` takes.

    Args:
        run: number of the run.
        feature: the one in question.
        strengths: each is an answer.
        unit: of all strengths.
        along: features that are pushed along, as `17:-1.5,99:2`.
        layer: the block; None for the run's.
        method: how words are found; one that shows no exemplars.
        mode: how it is pushed; None for the method's own way.
        empty: the image, where none is brought.
        positions: where it is pushed.
        picture: name of a picture that was brought; empty for none.
        prompt: what to ask instead; empty for the method's own question.
        random: whether a random direction is pushed, too, as hard as the middle one of the strengths says.
        temperature: of the words; 0 for the most probable ones.
        max_new_tokens: of an answer.
        seed: of all that is drawn.
    """

    run: int
    feature: int
    strengths: tuple[float, ...]
    unit: StrengthUnit = "coefficient"
    along: str = ""
    layer: int | None = None
    method: Method = "steering"
    mode: Mode | None = None
    empty: Empty = "white"
    positions: Positions = "all"
    picture: str = ""
    prompt: str = ""
    random: bool = False
    temperature: float = 0.0
    max_new_tokens: int = 64
    seed: int = 0

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def setting(self, strength: float | None, control: Control | None = None) -> Setting:
        """One of its questions, for the library.

        Args:
            strength: how hard to push; None for not at all.
            control: what takes the feature's place.

        Raises:
            SeesayError: there is no such question.
        """
        if self.method not in METHODS or METHODS[self.method].shows or METHODS[self.method].reads:
            raise InvalidSetting(f"{self.method}, which looks at more than a push", expected="a method that does not")
        if not 1 <= self.max_new_tokens <= _MOST_TOKENS:
            raise InvalidSetting(f"{self.max_new_tokens} tokens", expected=f"1 to {_MOST_TOKENS}")
        if len(self.prompt) > LONGEST_PROMPT:
            raise InvalidSetting(f"a question of {len(self.prompt)} characters", expected=f"at most {LONGEST_PROMPT}")
        return Setting(
            method=self.method,
            strength=None if strength is None else Strength(strength, self.unit),
            control="none" if strength is None else control,
            mode=self.mode,
            empty=self.empty,
            positions=self.positions,
            decoding=Decoding(self.max_new_tokens, self.temperature, seed=self.seed),
            seed=self.seed,
        )

    @property
    def middle(self) -> float:
        """The strength that stands for all of them."""
        return self.strengths[len(self.strengths) // 2]

    @property
    def settings(self) -> list[Setting]:
        """All questions: nothing pushed, each strength, and a random direction if that is asked for.

        Raises:
            SeesayError: there are no such questions.
        """
        if not 1 <= len(self.strengths) <= MOST_STRENGTHS:
            raise InvalidSetting(f"{len(self.strengths)} strengths", expected=f"1 to {MOST_STRENGTHS}")
        if self.unit == "max_activation" or (self.unit == "kl" and min(self.strengths) <= 0):
            raise InvalidStrength(
                f"strengths of {', '.join(map(exact, self.strengths))} in {self.unit}",
                expected="numbers above 0 for kl, or another unit, which is known without a run's images",
            )
        if self.empty == "mean":
            raise InvalidSetting("the mean image", expected="an empty image that needs no others")
        unsteered = [self.setting(None)] if METHODS[self.method].generates else []
        random = [self.setting(self.middle, "random")] if self.random else []
        return [*unsteered, *map(self.setting, self.strengths), *random]

    def command(self, loaded: Loaded, picture: str = "FILE") -> str:
        """The same on the command line, at the middle one of the strengths.

        Args:
            loaded: the models.
            picture: what a picture of one's own is called.
        """
        usual = Push(self.run, self.feature, self.strengths)
        options: dict[str, object] = {
            "features": self.feature,
            "strength": exact(self.middle),
            "strength-unit": self.unit,
        }
        for name in ("along", "method", "mode", "positions", "prompt", "temperature", "seed", "max_new_tokens"):
            if getattr(self, name) != getattr(usual, name):
                options[name.replace("_", "-")] = getattr(self, name)
        layer = loaded.layer if self.layer is None else self.layer
        if layer != loaded.sae.provenance.layer:
            options["layer"] = layer
        if self.picture:
            options["image"] = picture
        elif self.empty != usual.empty:
            options["empty"] = self.empty
        words = ["seesay", "steer", *loaded.command]
        for name, value in options.items():
            # What begins with a dash would be taken for an option.
            words += [f"--{name}={value}"] if str(value).startswith("-") else [f"--{name}", str(value)]
        return shlex.join(words)


_PUSH = TypeAdapter(Push)


def push_of(bookmark: Bookmark, number: int) -> Push:
    """What a bookmark's question was.

    Args:
        bookmark: of a run that may be a stranger's.
        number: of the run.

    Raises:
        InvalidSetting: it is no question that could have been asked.
    """
    try:
        push = _PUSH.validate_python({**bookmark.settings, "run": number})
        _ = push.settings
    except ValidationError as error:
        what = "; ".join(str(each["loc"][0]) for each in error.errors())
        raise InvalidSetting(f"bookmark {bookmark.bookmark_id} is damaged: {what}", expected="a question") from error
    return push
