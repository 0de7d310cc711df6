"""A plan: whether explaining fits into memory, and how long it takes at least."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

from seesay.explainers.config import Setting
from seesay.planning.machine import Machine
from seesay.planning.outline import Outline, Part, Weights
from seesay.planning.tally import Cost
from seesay.planning.work import Batches, Work, work_of

_FILLED = 0.95
"""Of a device's memory, what can be used: the rest goes to contexts, libraries and gaps."""


@final
@dataclass(frozen=True)
class Memory:
    """Bytes that are held.

    Args:
        weights: of the model's parts.
        sae: its weights; None if nobody says.
        encoder: activations of a pass of the encoder, at their peak.
        language: activations of the language model, at their peak, keys and values among them.
        cache: keys and values of a batch, when all has been said.
        available: of the device; None if that is not known.
    """

    weights: Mapping[Part, Weights]
    sae: int | None
    encoder: int
    language: int
    cache: int
    available: int | None

    @property
    def held(self) -> int:
        """What is held throughout."""
        return sum(each.n_bytes for each in self.weights.values()) + (self.sae or 0)

    @property
    def total(self) -> int:
        """What is held when it is most: encoder and language model take turns."""
        return self.held + max(self.encoder, self.language)

    @property
    def fits(self) -> bool | None:
        """Whether it fits; None if nobody knows."""
        return None if self.available is None else self.total <= _FILLED * self.available


@final
@dataclass(frozen=True)
class Time:
    """Seconds that it takes at least.

    Args:
        once: for all features together.
        encoding: of one feature's images.
        prefill: of one feature's prompts.
        decoding: of its answers.
    """

    once: float
    encoding: float
    prefill: float
    decoding: float

    @property
    def per_feature(self) -> float:
        """Of one feature."""
        return self.encoding + self.prefill + self.decoding


@final
@dataclass(frozen=True)
class Plan:
    """What explaining takes.

    Args:
        memory: that is held.
        time: that it takes.
        work: what is done.
        machine: that does it.
    """

    memory: Memory
    time: Time
    work: Work
    machine: Machine

    def seconds(self, n_features: int) -> float:
        """The least time of so many features.

        Args:
            n_features: how many.
        """
        return self.time.once + n_features * self.time.per_feature if n_features else 0.0

    def flops(self) -> dict[str, dict[str, int]]:
        """Floating-point operations of one feature, by stage: in linear layers, and in attention."""
        work, batches = self.work, self.work.batches
        n_later = work.answers_per_feature * max(0, work.tokens_per_answer - 1)
        n_rows = batches.features * work.answers_per_feature
        return {
            "once": _flops(work.once, 1, 1),
            "encoder": _flops(work.encoding, work.images_per_feature, batches.images),
            "prefill": _flops(work.prefill, 1, batches.features),
            "decoding": _flops(work.token, n_later, n_rows),
            "token": _flops(work.token, 1, n_rows),
        }

    def as_json(self, n_features: int) -> dict[str, Any]:
        """All figures as plain data.

        Args:
            n_features: that are to be explained.
        """
        memory, work, n_rows = self.memory, self.work, self.work.batches.features * self.work.answers_per_feature
        return {
            "n_features": n_features,
            "weights": {part: asdict(weights) for part, weights in memory.weights.items()},
            "sae_bytes": memory.sae,
            "cache_bytes_per_row": memory.cache // n_rows,
            "cache_bytes": memory.cache,
            "encoder_peak_bytes": memory.encoder,
            "language_peak_bytes": memory.language,
            "total_bytes": memory.total,
            "available_bytes": memory.available,
            "fits": memory.fits,
            "batches": asdict(work.batches),
            "images_per_feature": work.images_per_feature,
            "answers_per_feature": work.answers_per_feature,
            "tokens_per_answer": work.tokens_per_answer,
            "n_prompt_tokens": work.n_prompt,
            "n_patches": work.n_patches,
            "flops_per_feature": self.flops(),
            "bytes_moved": {
                "encoder_pass": work.encoding.n_bytes,
                "prefill_batch": work.prefill.n_bytes,
                "token_batch": work.token.n_bytes,
            },
            "machine": asdict(self.machine),
            "seconds_once": self.time.once,
            "seconds_per_feature": {name: value for name, value in asdict(self.time).items() if name != "once"},
            "seconds": self.seconds(n_features),
        }


def plan(
    outline: Outline, layer: int, setting: Setting, batches: Batches, machine: Machine, *, sae: int | None = None
) -> Plan:
    """Make a plan.

    Args:
        outline: of the model that explains.
        layer: the block that is steered.
        setting: the way to explain.
        batches: how much is done at once.
        machine: that is to do it.
        sae: bytes of the SAE.

    Raises:
        SeesayError: as `work_of` does.
    """
    work = work_of(outline, layer, setting, batches)
    n_tokens = max(0, work.tokens_per_answer - 1)
    return Plan(
        Memory(outline.weights, sae, work.encoder_peak, work.language_peak, work.cache, machine.memory),
        Time(
            once=machine.seconds(work.once),
            encoding=machine.seconds(work.encoding) * work.images_per_feature / batches.images,
            prefill=machine.seconds(work.prefill) / batches.features,
            decoding=n_tokens * machine.seconds(work.token) / batches.features,
        ),
        work,
        machine,
    )


def largest_batches(memory: Memory, batches: Batches) -> Batches | None:
    """The most that fits at once, by halving, as running out of memory would; None if not even one does.

    What is held grows with what is done at once.

    Args:
        memory: as planned.
        batches: as planned.
    """
    if memory.available is None:
        return batches
    room = _FILLED * memory.available - memory.held
    features, images = batches.features, batches.images
    while features and memory.language * features / batches.features > room:
        features //= 2
    while images and memory.encoder * images / batches.images > room:
        images //= 2
    return Batches(features, images) if features and images else None


def _flops(cost: Cost, n: int, of: int) -> dict[str, int]:
    return {"linear": cost.flops("linear") * n // of, "attention": cost.flops("attention") * n // of}
