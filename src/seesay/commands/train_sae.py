"""`seesay train-sae`: a sparse autoencoder for a model that has none."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, final

from tyro.conf import OmitArgPrefixes, arg

from seesay.commands.counts import PresetCount
from seesay.commands.images import ImageOptions
from seesay.commands.names import is_world
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.errors import InvalidTraining
from seesay.sae.training.config import PRESETS, Architecture, SAETrainingConfig

_FAR = 0.25


@final
@dataclass(frozen=True)
class TrainSAE:
    """Train a sparse autoencoder of a vision encoder's block, from images.

    It needs the extra `train` (sae-lens). Images are read and encoded while it learns; a few batches of patches are in
    memory, never all. A training that was stopped goes on with --resume.

    Examples:
      seesay train-sae --subject world:M --layer 3 --images world:12000 --out runs/sae
      seesay train-sae --subject google/gemma-3-4b-it --layer 16 --images DIR --out runs/gemma-16
      seesay train-sae --subject google/gemma-3-4b-it --layer 16 --images DIR --out runs/gemma-16 --resume
    """

    layer: Annotated[int, arg(metavar="L")]
    """The vision block after which the residual stream is split, counted from 0."""

    images: Annotated[str, arg(metavar="SRC")]
    """The images to learn from: a folder, shards (shards-{000..099}.tar), a dataset on the hub, or world:N."""

    subject: Annotated[str, arg(metavar="MODEL")] = "world"
    """The model whose vision encoder it is for: a folder, a hub id, or world:S, world:M or world:L."""

    out: Annotated[Path, arg(metavar="DIR")] = Path("runs/sae")
    """Where the SAE goes, with its log, its report and, until it is done, its checkpoints."""

    preset: Literal["auto", "paper", "world"] = "auto"
    """Where all that follows starts from. paper: 8192 features, k 25, 20 000 batches of 8192 patches, rate 0.0003,
    buffer 16. world: 1536 features, k 24, 1800 batches of 1024 patches, rate 0.001, buffer 128. auto: world for the
    embedded world's models, else paper."""

    arch: Architecture = "topk"
    """The kind of SAE."""

    features: PresetCount = None
    """How many features to learn."""

    k: PresetCount = None
    """How many of them a patch activates; for jumprelu a target, which long trainings come near to."""

    steps: PresetCount = None
    """How many batches to learn from."""

    batch_size: PresetCount = None
    """Patches a batch."""

    learning_rate: Annotated[float | None, arg(metavar="X", help_behavior_hint="(default: preset)")] = None
    """Of Adam, after the warm-up."""

    buffer: PresetCount = None
    """Batches in memory that the next one is drawn from; checkpoints hold them too."""

    resume: bool = False
    """Go on from the last checkpoint in --out."""

    checkpoint_minutes: Annotated[float, arg(metavar="X")] = 2.0
    """Time between two checkpoints."""

    common: Annotated[Options, OmitArgPrefixes] = field(default_factory=Options)
    reading: Annotated[ImageOptions, OmitArgPrefixes] = field(default_factory=ImageOptions)

    @property
    def config(self) -> SAETrainingConfig:
        """The preset with what was given on top."""
        given: dict[str, Any] = {
            "architecture": self.arch,
            "n_features": self.features,
            "k": self.k,
            "n_steps": self.steps,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "buffer_batches": self.buffer,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        preset = self.preset
        if preset == "auto":
            preset = "world" if is_world(self.subject) else "paper"
        return replace(PRESETS[preset], seed=self.common.seed, **changes)

    def run(self) -> int:
        """Train, and measure what was reached.

        Raises:
            SeesayError: whatever is wrong with the model, the images or the folder.
        """
        from seesay.commands.loading import load_encoder
        from seesay.sae.training.training import Task, train_sae

        output = Output(self.common)
        config = self.config
        if not self.checkpoint_minutes >= 0:
            raise InvalidTraining(f"--checkpoint-minutes {self.checkpoint_minutes}", expected="0 or more")
        source = self.reading.open(self.images)
        encoder = load_encoder(self.subject, self.common)
        task = Task(encoder, self.layer, source, self.subject)
        output.console.print(
            f"{config.architecture}, {config.n_features} features, k {config.k}: {config.n_steps} batches of "
            f"{config.batch_size} patches",
            soft_wrap=True,
        )
        trained = train_sae(config, task, self.out, resume=self.resume, checkpoint_minutes=self.checkpoint_minutes)
        figures = trained.figures
        match trained.went_on_from:
            case None:
                output.console.print(f"{self.out} was trained to its end before.", soft_wrap=True)
            case 0 if self.resume:
                output.console.print(f"There was nothing in {self.out} to go on from.", soft_wrap=True)
            case _:
                pass
        output.console.print(
            f"variance explained {figures['variance_explained']:.3f}, {figures['l0']:.1f} features a patch, "
            f"{figures['dead_share']:.1%} dead",
            soft_wrap=True,
        )
        if abs(figures["l0"] - config.k) > _FAR * config.k:
            output.console.print(
                f"That is far from the {config.k} features a patch that were asked for: more --steps bring it nearer.",
                soft_wrap=True,
            )
        output.finish(
            {"out": str(self.out), "subject": self.subject, "layer": self.layer, **figures},
            next_steps=[
                f"seesay inspect {self.out} --subject {self.subject} --images SRC   on images it has not learnt from"
                + (", such as world:500@50000" if is_world(self.images) else ""),
                f"seesay steer --subject {self.subject} --sae {self.out} --features 0-9 --strength 1 "
                "--strength-unit residual_norm",
                f"look at {self.out / 'report.html'}",
            ],
        )
        return 0
