"""The sparse autoencoder of one block, trained by sae-lens on the world's pictures."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from rich.console import Console
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor

from seesay.sae import SAE, load_sae
from seesay.vlm.model import VLM
from seesay.world.rendering import render
from seesay.world.scenes import sample
from seesay.world.streams import Stream, seeds
from seesay.world.training.config import SAEConfig
from seesay.world.training.log import TrainingLog

_N_AT_ONCE = 64
_N_HELD_OUT = 1000
_WARM_UP, _DECAY = 0.05, 0.2
_N_WHITENING_BATCHES = 200
_DEAD_AFTER = 200  # steps without firing, after which the auxiliary loss revives a feature


def residuals(vlm: VLM, layer: int, stream: Stream, n_images: int) -> Float[Tensor, "patch d_model"]:
    """The residual stream after a block, at every patch of a stream's first pictures."""
    parts: list[Tensor] = []
    console = Console(stderr=True)  # the standard output may be somebody's JSON
    for start in track(range(0, n_images, _N_AT_ONCE), description=f"encode {stream}", transient=True, console=console):
        chosen = seeds(stream, start, min(_N_AT_ONCE, n_images - start))
        parts.append(vlm.encode_to([render(sample(s)).image for s in chosen], layer, batch_size=_N_AT_ONCE))
    return torch.cat(parts).flatten(0, 1)


def quality(sae: SAE, patches: Float[Tensor, "patch d_model"]) -> dict[str, float]:
    """Variance explained, features per patch, and the share of features that never fire.

    Variance explained is 1 - sum of squared errors / sum of squared distances from the mean patch.
    """
    n_fired = torch.zeros(sae.n_features)
    error, active = 0.0, 0.0
    for chunk in patches.split(4096):
        codes = sae.encode(chunk)
        error += float((sae.decode(codes) - chunk).square().sum())
        on = codes.dense(sae.n_features) > 0
        active += float(on.sum())
        n_fired += on.sum(0)
    return {
        "variance_explained": 1 - error / float((patches - patches.mean(0)).square().sum()),
        "l0": active / len(patches),
        "dead_share": float((n_fired == 0).float().mean()),
        "n_features": float(sae.n_features),
    }


def train_sae(config: SAEConfig, vlm: VLM, subject: str, out: Path, name: str) -> dict[str, float]:
    """Train a TopK SAE and write it to `out/sae/<name>` in sae-lens' format, bfloat16.

    Args:
        config: block, width and steps.
        vlm: the model whose encoder it is for.
        subject: the model's name, for the record.
        out: the training's folder.
        name: of the SAE, such as `middle`.

    Returns:
        Its quality on held-out pictures.
    """
    # Imports transformer-lens too, which takes five seconds: nothing else pays for it.
    from sae_lens import SAETrainer, TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.sae import SAEMetadata

    torch.manual_seed(config.seed)
    patches = residuals(vlm, config.layer, "sae", config.n_images)
    generator = torch.Generator().manual_seed(config.seed)

    def batches() -> Iterator[Tensor]:
        while True:
            order = torch.randperm(len(patches), generator=generator)
            for chosen in order[: len(order) // config.batch_size * config.batch_size].split(config.batch_size):
                yield patches[chosen]

    metadata = SAEMetadata(model_name=subject, layer=config.layer, hook_name=f"vision_tower.layers.{config.layer}")
    # A few directions (background, brightness) hold most of the variance. Unwhitened, the features would describe those
    # alone: colours by the dozen, hardly a thing. sae-lens folds the whitening back into the weights at the end.
    training = TopKTrainingSAE(
        TopKTrainingSAEConfig(
            d_in=vlm.d_model,
            d_sae=config.n_features,
            k=config.k,
            normalize_activations="covariance_whitening",
            metadata=metadata,
        )
    )
    schedule: dict[str, Any] = {
        "lr": config.learning_rate,
        "lr_end": config.learning_rate / 100,
        "lr_warm_up_steps": int(_WARM_UP * config.n_steps),
        "lr_decay_steps": int(_DECAY * config.n_steps),
        "dead_feature_window": _DEAD_AFTER,
        "n_batches_for_norm_estimate": _N_WHITENING_BATCHES,
    }
    n_samples = config.n_steps * config.batch_size
    trainer = SAETrainer(
        cfg=SAETrainerConfig(total_training_samples=n_samples, train_batch_size_samples=config.batch_size, **schedule),
        sae=training,
        data_provider=batches(),
    )
    trainer.fit()
    folder = out / "sae" / name
    aside = folder.with_name(f"{name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    training.save_inference_model(aside)
    weights = aside / "sae_weights.safetensors"
    whole = {key: tensor.bfloat16() for key, tensor in load_file(weights).items()}
    weights.unlink()  # the file may still be mapped: never write into it
    save_file(whole, weights)
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    figures = quality(load_sae(folder), residuals(vlm, config.layer, "evaluation", _N_HELD_OUT))
    with TrainingLog(out, f"sae-{name}") as log:
        log.evaluation(config.n_steps, figures)
    return figures
