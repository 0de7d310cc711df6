"""Ways of explaining: the methods, and all that their words depend on but models and features. Free of torch."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal, final, get_args

from seesay.errors import InvalidSetting, InvalidStrength, check_choice
from seesay.images.options import EmptyImage, Overlay
from seesay.records import Ablation, Control, Decoding, Method, Mode, Strength, StrengthUnit

Empty = Literal[EmptyImage, "several", "mean", "zeros"]
"""What is steered where there are no exemplars: an empty image; `several` of them in one turn; `mean`, the mean of the
run's images; or `zeros`, no image at all: zeros enter the encoder's first block."""

SEVERAL: tuple[EmptyImage, ...] = ("white", "grey", "black")
"""What `several` empty images are: what each of them brings to the answer is not in the others."""

Positions = Literal["all", "patches", "disc", "half"]
"""Where an empty image is steered: at every position, CLS included, as published; at patches alone; at those in a disc
in the middle, half as wide as the image; or at a random half of them, drawn by the seed."""

Selection = Literal["top", "quantile"]
"""Which exemplars are shown: the most activating ones, or some from every quantile."""

MOST_IMAGES = 100

SWEPT = (0.5, 1 / math.sqrt(2), 1.0, math.sqrt(2), 2.0)
"""The strengths at which a feature is pushed for one answer that holds at all of them, in strengths of the setting."""

IMAGES_AT_ONCE = 32
"""In one pass of the encoder, unless something else is asked for."""

_OF_A_PART: frozenset[str] = frozenset(get_args(Ablation)) - {"none"}


@final
@dataclass(frozen=True)
class Way:
    """What a method does.

    Args:
        steers: it pushes the feature's direction.
        shows: it shows exemplars; otherwise an empty image.
        prompt: the name of the question that is asked; None if nothing is.
        generates: it lets the language model speak; otherwise words come from its vocabulary.
        mode: how it pushes, unless something else is asked for.
        what: in a line.
        like: the method whose strength it takes if none was chosen for it, as it sees the same.
        finds: it finds words; otherwise they are made elsewhere and brought here, and nobody can be asked for them.
        reads: it looks at what the feature reads, too, through a lens that has to be taught.
    """

    steers: bool
    shows: bool
    prompt: str | None
    generates: bool
    what: str
    mode: Mode = "add"
    like: Method | None = None
    finds: bool = True
    reads: bool = False


METHODS: Mapping[Method, Way] = MappingProxyType({
    "steering": Way(True, False, "steering", True, "push the feature on an empty image; what is seen?"),
    "topk": Way(False, True, "topk", True, "show the images that activate the feature; what do they share?"),
    "hybrid": Way(True, True, "topk", True, "the same images, the feature pushed at its active patches"),
    "steering+": Way(
        True,
        False,
        "steering",
        False,
        "the phrase that fits best what the feature reads, by a lens, and what it makes the model say; no images",
        reads=True,
    ),
    "topk+": Way(
        False, True, "topk", False, "the same phrase, held against the images that activate the feature", reads=True
    ),
    "hybrid+": Way(
        True,
        True,
        "topk",
        False,
        "the same, the feature pushed at the images' active patches",
        like="hybrid",
        reads=True,
    ),
    "one-word": Way(
        True, False, "one-word", True, "clamp the feature on an empty image and ask for a word", mode="clamp"
    ),
    "vocabulary": Way(
        True,
        False,
        None,
        False,
        "the tokens that the steered image comes nearest to, unlike the unsteered one",
        like="steering",
    ),
    "token-change": Way(
        True,
        False,
        "steering",
        False,
        "the first words that steering makes more probable than any others",
        like="steering",
    ),
    "dissect": Way(False, True, None, False, "the phrase of a vocabulary that fits the images best, by an embedder"),
    "imported": Way(False, False, None, False, "words that were made elsewhere; see seesay.importing", finds=False),
})  # fmt: skip
"""Every method.

Sources: `steering`, `topk` and `hybrid` (Steering-informed Top-k): arXiv 2603.22593; `one-word`: Pach et al., arXiv
2504.02821; `steering+`, `topk+` and `hybrid+`: seesay's own, see [seesay.teaching][];
`vocabulary` and `token-change`: baselines that need no generation; `dissect`: CLIP-Dissect, arXiv
2204.10965, which needs no language model at all, and goes another way: see [seesay.pipeline.dissecting][].
"""


DEFAULT_GRIDS: Mapping[StrengthUnit, tuple[float, ...]] = MappingProxyType({
    "coefficient": (12.5, 25.0, 50.0, 100.0, 200.0, 400.0, 800.0),
    "residual_norm": (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.0, 16.0),
    "max_activation": (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0),
    "kl": (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 12.0),
})  # fmt: skip
"""The strengths that calibrating tries; each more than the one before, as neighbours are compared."""

IMPORTED: Method = "imported"
"""The method of words that were made elsewhere."""

MAY_HAVE_SEEN = (
    "Which images were looked at for imported words, nobody here knows: if those that they are scored on were among "
    "them, scores are too high."
)
"""What is told wherever they are scored."""


@final
@dataclass(frozen=True)
class Setting:
    """All that words depend on but the models, the SAE and the feature.

    What a method has no use for is no part of its `facts`; a strength or a control that it has no use for is refused.

    Args:
        method: how words are found.
        strength: how hard to push; None for a method that does not, and while it is still to be chosen.
        control: put something else in the place of the feature, or of a part of what it brings.
        mode: how to push; None for the method's own way.
        empty: what to steer where no exemplars are shown.
        positions: where to push there; exemplars are always pushed at their active patches.
        coarse: patches a side that go through the blocks after the steered one as a single one, an approximation; 1
            changes nothing.
        n_images: exemplars to show.
        overlay: how to show where on them the feature is active.
        selection: which exemplars.
        n_words: tokens to tell, for methods that take them from the vocabulary.
        decoding: how words are chosen; its seed is of the draw alone.
        seed: of random controls, of a noise image, and of a random half of the patches.
        contrast: how much the log-probabilities of what is said of a white image are taken away, token by
            token, from those of what is seen; greedy decoding alone.
        swept: push at several strengths around the one that is given, and tell the answer that fits all of them best;
            greedy decoding alone.
        adapter: identity of the adapter by which an empty image is steered; None for the direction as it is.
        lens: identity of the lens that features are read through, for a method that reads; None while it is still to
            be chosen.

    Raises:
        UnknownChoice: another word where one of a few is meant.
        InvalidSetting: a control of something that the method does not have, no image at all, or a method that finds no
            words.
        InvalidStrength: a strength for a method that pushes nothing.
    """

    method: Method = "steering"
    strength: Strength | None = None
    control: Control | Ablation | None = None
    mode: Mode | None = None
    empty: Empty = "white"
    positions: Positions = "all"
    coarse: int = 1
    n_images: int = 5
    overlay: Overlay = "mask"
    selection: Selection = "top"
    n_words: int = 5
    decoding: Decoding = Decoding()
    seed: int = 0
    lens: str | None = None
    contrast: float = 0.0
    swept: bool = False
    adapter: str | None = None

    def __post_init__(self) -> None:
        for name, kind in _CHOICES.items():
            if getattr(self, name) is not None or name not in ("control", "mode"):
                check_choice(getattr(self, name), kind, name)
        if not self.way.finds:
            raise InvalidSetting(
                f"method {self.method}: its words are made elsewhere",
                expected=f"one of {', '.join(method for method, way in METHODS.items() if way.finds)}",
                remedy="seesay import RUN FILE brings them into a run",
            )
        for name in ("n_images", "n_words"):
            if not 1 <= getattr(self, name) <= MOST_IMAGES:
                raise InvalidSetting(f"{name} {getattr(self, name)}", expected=f"1 to {MOST_IMAGES}")
        if self.coarse < 1 or (self.coarse > 1 and self.way.shows):
            raise InvalidSetting(
                f"coarse {self.coarse} for {self.method}",
                expected="1" + ("" if self.way.shows else " or more"),
                remedy="only an empty image can be encoded on a coarser grid" if self.way.shows else "",
            )
        if self.control == "none" and not self.way.steers:
            raise InvalidSetting(f"none for {self.method}, which steers nothing", expected="another control")
        if self.control in _OF_A_PART and not (self.way.steers and self.way.shows):
            raise InvalidSetting(
                f"{self.control} for {self.method}, which does not join images and steering",
                expected=f"hybrid, or the control {str(self.control).split('-')[0]}",
            )
        if not 0 <= self.contrast <= 1:
            raise InvalidSetting(f"contrast {self.contrast:g} for {self.method}", expected="0 to 1")
        if self.contrast and self.decoding.temperature:
            raise InvalidSetting(
                f"contrast {self.contrast:g} for {self.method} at a temperature", expected="0 of one of them"
            )
        if self.swept and not (self.way.steers and self.way.generates and self.control != "none"):
            raise InvalidSetting(
                f"several strengths for {self.method}, which pushes nothing to be told", expected="one"
            )
        if self.swept and (self.decoding.temperature or self.contrast):
            raise InvalidSetting(
                f"several strengths for {self.method} with a temperature or contrast", expected="one of them"
            )
        if self.adapter is not None and (self.method != "steering" or self.push != "add" or self.control == "none"):
            raise InvalidSetting(
                f"an adapter for {', '.join(filter(None, (self.method, self.mode, self.control)))}",
                expected="steering, which adds directions to an empty image",
            )
        if not 0 <= self.seed < 1 << 63:
            raise InvalidSetting(f"seed {self.seed}", expected="0 or more, below 2 to the 63rd")
        if self.strength is not None and not self.way.steers:
            raise InvalidStrength(f"a strength for {self.method}, which steers nothing", expected="none")
        if self.strength is not None and not math.isfinite(self.strength.value):
            raise InvalidStrength(f"strength {self.strength.value}", expected="a finite number")

    @property
    def way(self) -> Way:
        """What its method does."""
        return METHODS[self.method]

    @property
    def push(self) -> Mode:
        """How it pushes."""
        return self.mode or self.way.mode

    @property
    def n_answers(self) -> int:
        """How many there are to each feature."""
        return self.decoding.n_samples if self.way.generates else 1

    @property
    def facts(self) -> dict[str, Any]:
        """What takes part, as plain data; equal for settings that do the same."""
        way = self.way
        unused = {
            "strength": not way.steers or self.control == "none",
            "mode": not way.steers or self.control == "none",
            "empty": way.shows,
            "positions": way.shows or self.control == "none",
            "coarse": self.coarse == 1,
            "n_images": not way.shows,
            "overlay": not way.shows,
            "selection": not way.shows,
            "n_words": way.generates or way.reads,
            "decoding": not way.generates,
            "seed": not self._draws,
            "lens": not way.reads,
            "contrast": not (way.generates and self.contrast),
            "swept": not self.swept,
            "adapter": self.adapter is None,
        }
        values = {**asdict(self), "mode": self.push}
        facts = {name: value for name, value in values.items() if not unused.get(name)}
        if way.generates:
            # A sample does not depend on how many there are; and greedy decoding draws nothing.
            decoding = asdict(self.decoding)
            left_out = {"n_samples"} if self.decoding.temperature else set(decoding) - {"max_new_tokens"}
            facts["decoding"] = {name: value for name, value in decoding.items() if name not in left_out}
        return facts

    @property
    def _draws(self) -> bool:
        """Whether anything but words is drawn at random."""
        noisy = (self.empty == "noise" or self.positions == "half") and not self.way.shows
        return noisy or self.control not in (None, "none")


_CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "method": tuple(METHODS),
    "control": (*get_args(Control), *get_args(Ablation)),
    "mode": get_args(Mode),
    "empty": get_args(Empty),
    "positions": get_args(Positions),
    "overlay": get_args(Overlay),
    "selection": get_args(Selection),
})  # fmt: skip
