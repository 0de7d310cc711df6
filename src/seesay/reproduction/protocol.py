"""What is done to test the paper's claims, for the models it can be done with. Free of torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, final

from seesay.explainers.config import DEFAULT_GRIDS
from seesay.records import Method, StrengthUnit
from seesay.scorers.config import PAPER, KnownScore

Preset = Literal["world", "gemma-3", "internvl-3"]
"""Which models, SAEs and images."""

METHODS: tuple[Method, ...] = ("steering", "topk", "hybrid")
"""The paper's three methods."""

CONTROLS: tuple[Literal["random"] | None, ...] = (None, "random")
"""Each feature's own words, and those for a random direction and images drawn at random."""


def called(size: str, seed: int) -> str:
    """What an explainer is called: by its size, and from the second training on by its number.

    Args:
        size: of its language model.
        seed: number of the training.
    """
    return f"{size}-{seed}" if seed else size


@final
@dataclass(frozen=True)
class Block:
    """Where features are read, and the SAE that says which there are.

    Args:
        name: of the block, for people: also of its run.
        sae: its name: of the embedded world, or on the hub.
        subfolder: of the SAE within what the name stands for; None if it is all there is.
        layer: the vision block; None for the one that the SAE was made for.
    """

    name: str
    sae: str
    subfolder: str | None = None
    layer: int | None = None


@final
@dataclass(frozen=True)
class Explainer:
    """A model that puts features into words.

    Args:
        size: of its language model, for people: what the second claim orders explainers by.
        name: of the embedded world, or on the hub.
        seed: number of the training among those of this size.
    """

    size: str
    name: str
    seed: int = 0

    @property
    def title(self) -> str:
        """What it is called, for people."""
        return called(self.size, self.seed)


@final
@dataclass(frozen=True)
class Calibrating:
    """How a method's strength is chosen, on validation features.

    Args:
        unit: of the strengths.
        grid: those that are tried, the weakest first.
        by: what speaks for one: `agreement`, `kl`, or a score.
    """

    unit: StrengthUnit
    grid: tuple[float, ...]
    by: Literal["agreement", "kl", "iou"]


@final
@dataclass(frozen=True)
class Protocol:
    """All that is done, but for the seed.

    Args:
        name: of the preset.
        subject: whose vision encoder's features are explained.
        blocks: where they are read.
        explainers: who explains, the smallest first.
        images: that features are looked for in.
        images_split: the part of the dataset; None where there are no parts.
        calibrating: of each method that steers, how its strength is chosen.
        n_validation: features that strengths are chosen on, at most.
        max_features: test features of each block that are explained, at most; None for all that can be scored.
        n_controls: test features of each block beside which random directions and images are explained, at most; None
            for all.
        max_new_tokens: of an answer.
        scores: that are computed.
        n_exemplars: held-out exemplars that words are held against; None for as many as usual.
        n_synthesised: images made from words; None for as many as usual.
        at_most: of a score that takes long, for how many features of each block it is computed; of others for all.
        judged_by: scores by which claims are judged; by the first of them alone where one is asked for.
        instruments: models that scores measure with, by the names of `seesay score`'s options; the world's own where
            there are none.
        labeller: the model that says of what level words are; None where the truth does.
        n_images: how many images there are, for estimates.
        downloads_gib: what has to be on the disk, by name: published sizes, for estimates.
    """

    name: Preset
    subject: str
    blocks: tuple[Block, ...]
    explainers: tuple[Explainer, ...]
    images: str
    images_split: str | None
    calibrating: Mapping[Method, Calibrating]
    n_validation: int
    max_features: int | None
    n_controls: int | None
    max_new_tokens: int
    scores: tuple[KnownScore, ...]
    n_exemplars: int | None
    n_synthesised: int | None
    at_most: Mapping[KnownScore, int]
    judged_by: tuple[KnownScore, ...]
    instruments: Mapping[str, str]
    labeller: str | None
    n_images: int
    downloads_gib: Mapping[str, float]

    @property
    def sizes(self) -> tuple[str, ...]:
        """Of the explainers, the smallest first."""
        return tuple(dict.fromkeys(each.size for each in self.explainers))

    @property
    def middle(self) -> tuple[Block, Explainer]:
        """The block and the explainer in the middle, of the first trainings."""
        first = [each for each in self.explainers if not each.seed]
        return self.blocks[len(self.blocks) // 2], first[len(first) // 2]

    @property
    def n_seeds(self) -> int:
        """Explainers of each size."""
        return len(self.explainers) // len(self.sizes)


_BLOCKS = ("early", "middle", "late")
_NONE: Mapping[KnownScore, int] = MappingProxyType({})
_JUDGED: Mapping[KnownScore, int] = MappingProxyType({"detection": 20, "fuzzing": 20})
"""A judge looks at twenty pictures for each explanation, and for each that stands beside it."""

WORLD = Protocol(
    name="world",
    subject="world:S",
    blocks=tuple(Block(name, f"world:{name}") for name in _BLOCKS),
    explainers=tuple(Explainer(size, f"world:{size}") for size in ("S", "M", "L")),
    images="world:4000",
    images_split=None,
    calibrating=MappingProxyType({
        "steering": Calibrating("residual_norm", DEFAULT_GRIDS["residual_norm"], "agreement"),
        "hybrid": Calibrating("max_activation", DEFAULT_GRIDS["max_activation"], "kl"),
    }),
    n_validation=100,
    max_features=None,
    n_controls=150,
    max_new_tokens=24,
    scores=("iou", "clip", "auroc", "detection", "fuzzing", "ground_truth", "counterfactual"),
    n_exemplars=None,
    n_synthesised=None,
    at_most=_JUDGED,
    judged_by=("ground_truth", "iou"),
    instruments=MappingProxyType({}),
    labeller=None,
    n_images=4000,
    downloads_gib=MappingProxyType({}),
)  # fmt: skip
"""The embedded world: nothing to download, the truth known; strengths are chosen without it."""

_PUBLISHED: Mapping[Method, Calibrating] = MappingProxyType({
    "steering": Calibrating("coefficient", (50.0, 100.0, 200.0, 400.0), "iou"),
    "hybrid": Calibrating("coefficient", (12.5, 25.0, 50.0, 100.0, 200.0), "iou"),
})  # fmt: skip
"""Raw coefficients by the mean IoU of validation features, as published, which came to 200 and, for the hybrid, 50."""

_INSTRUMENTS = MappingProxyType({
    "segmenter": "IDEA-Research/grounding-dino-base+facebook/sam2.1-hiera-large",
    "embedder": "openai/clip-vit-large-patch14",
    "synthesiser": "stabilityai/stable-diffusion-3.5-medium",
})  # fmt: skip
_INSTRUMENTS_GIB = MappingProxyType({
    "IDEA-Research/grounding-dino-base": 0.9,
    "facebook/sam2.1-hiera-large": 0.9,
    "openai/clip-vit-large-patch14": 1.6,
    "stabilityai/stable-diffusion-3.5-medium": 14.5,
})  # fmt: skip


def _published(saes: str, *, layers: tuple[int, ...], trainings: tuple[int, ...]) -> tuple[Block, ...]:
    """Blocks with the SAEs that lie in a repository of the paper's authors, each in a folder of its training."""
    return tuple(
        Block(name, saes, f"enc_res_out_layer_{layer}_top_k_8192_25_1.0_HF_{training}", layer)
        for name, layer, training in zip(_BLOCKS, layers, trainings, strict=True)
    )


GEMMA = Protocol(
    name="gemma-3",
    subject="google/gemma-3-4b-it",
    blocks=_published(
        "javifer/google_gemma-3-4b-it-saes", layers=(6, 16, 24), trainings=(44499364, 22191080, 17414337)
    ),
    explainers=tuple(Explainer(size, f"google/gemma-3-{size.lower()}-it") for size in ("4B", "12B", "27B")),
    images="ILSVRC/imagenet-1k",
    images_split="test",
    calibrating=_PUBLISHED,
    n_validation=500,
    max_features=1000,
    n_controls=None,
    max_new_tokens=64,
    scores=("iou", "clip", "auroc"),
    n_exemplars=PAPER.n_exemplars,
    n_synthesised=PAPER.n_images,
    at_most=_NONE,
    judged_by=("iou",),
    instruments=_INSTRUMENTS,
    labeller="google/gemma-3-27b-it",
    n_images=50_000,
    downloads_gib=MappingProxyType({
        "google/gemma-3-4b-it": 8.0,
        "google/gemma-3-12b-it": 22.7,
        "google/gemma-3-27b-it": 51.1,
        **_INSTRUMENTS_GIB,
    }),
)  # fmt: skip
"""Gemma 3, as published (arXiv 2603.22593): one SigLIP encoder, three language models."""

INTERNVL = replace(
    GEMMA,
    name="internvl-3",
    subject="OpenGVLab/InternVL3-14B-hf",
    blocks=_published(
        "javifer/OpenGVLab_InternVL3-14B-saes", layers=(6, 16, 18), trainings=(28172052, 33531160, 84890025)
    ),
    explainers=(Explainer("14B", "OpenGVLab/InternVL3-14B-hf"),),
    downloads_gib=MappingProxyType({
        "OpenGVLab/InternVL3-14B-hf": 28.2,
        "google/gemma-3-27b-it": 51.1,
        **_INSTRUMENTS_GIB,
    }),
)  # fmt: skip
"""InternVL 3, as published: one explainer, so that nothing is told of its size."""

PRESETS: Mapping[Preset, Protocol] = MappingProxyType({each.name: each for each in (WORLD, GEMMA, INTERNVL)})


def placed(protocol: Protocol, place: Callable[[str], str]) -> Protocol:
    """The same with models and SAEs where they lie.

    Args:
        protocol: that names them.
        place: from a name to where it lies.
    """
    return replace(
        protocol,
        subject=place(protocol.subject),
        blocks=tuple(replace(each, sae=place(each.sae)) for each in protocol.blocks),
        explainers=tuple(replace(each, name=place(each.name)) for each in protocol.explainers),
        instruments={option: "+".join(map(place, name.split("+"))) for option, name in protocol.instruments.items()},
        labeller=None if protocol.labeller is None else place(protocol.labeller),
    )


def trained(protocol: Protocol, folder: Path, n_seeds: int) -> Protocol:
    """The embedded world's protocol, for models that were trained in a folder.

    Args:
        protocol: of the world.
        folder: where `seesay world train` left them.
        n_seeds: language models of each size.
    """
    return replace(
        protocol,
        subject=str(folder / "vlm" / protocol.sizes[0]),
        blocks=tuple(replace(each, sae=str(folder / "sae" / each.name)) for each in protocol.blocks),
        explainers=tuple(
            Explainer(size, str(folder / "vlm" / called(size, seed)), seed)
            for size in protocol.sizes
            for seed in range(n_seeds)
        ),
    )
