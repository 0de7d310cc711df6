"""Sparse autoencoders of the encoder's blocks, trained by sae-lens on the world's pictures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from seesay.files import replaced_folder
from seesay.sae import load_sae
from seesay.vlm.model import VLM
from seesay.world.reconstruction import residuals, sae_quality
from seesay.world.training.config import SAEConfig
from seesay.world.training.log import TrainingLog

_N_HELD_OUT = 1000
_WARM_UP, _DECAY = 0.05, 0.2
_DEAD_AFTER = 40  # steps, 640 pictures, without firing, after which the auxiliary loss revives a feature


def train_sae(config: SAEConfig, vlm: VLM, layer: int, subject: str, out: Path, name: str) -> None:
    """Train a TopK SAE and write it to `out/sae/<name>` in sae-lens' format, bfloat16; it starts anew each time.

    Args:
        config: width and steps.
        vlm: the model whose encoder it is for.
        layer: the block whose residual stream it splits, 0-based.
        subject: the model's name, for the record.
        out: the training's folder.
        name: of the SAE, such as `middle`.
    """
    with TrainingLog(out, f"sae-{name}") as log:
        log.resumed(0)
        log.evaluation(config.n_steps, _train(config, vlm, layer, subject, out / "sae" / name))


def _train(config: SAEConfig, vlm: VLM, layer: int, subject: str, folder: Path) -> dict[str, float]:
    """Train, write, and measure on held-out pictures."""
    # Imports transformer-lens too, which takes five seconds: nothing else pays for it.
    from sae_lens import SAETrainer, TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.sae import SAEMetadata

    torch.manual_seed(config.seed)
    patches = residuals(vlm, layer, "sae", config.n_images).cpu()  # sae-lens trains there: it takes minutes
    generator = torch.Generator().manual_seed(config.seed)

    def batches() -> Iterator[Tensor]:
        while True:
            order = torch.randperm(len(patches), generator=generator)
            for chosen in order[: len(order) // config.batch_size * config.batch_size].split(config.batch_size):
                yield patches[chosen]

    metadata = SAEMetadata(model_name=subject, layer=layer, hook_name=f"vision_tower.layers.{layer}")
    training = TopKTrainingSAE(
        TopKTrainingSAEConfig(d_in=vlm.encoder.d_model, d_sae=config.n_features, k=config.k, metadata=metadata)
    )
    schedule: dict[str, Any] = {
        "lr": config.learning_rate,
        "lr_end": config.learning_rate / 100,
        "lr_warm_up_steps": int(_WARM_UP * config.n_steps),
        "lr_decay_steps": int(_DECAY * config.n_steps),
        "dead_feature_window": _DEAD_AFTER,
    }
    n_samples = config.n_steps * config.batch_size
    trainer = SAETrainer(
        cfg=SAETrainerConfig(total_training_samples=n_samples, train_batch_size_samples=config.batch_size, **schedule),
        sae=training,
        data_provider=batches(),
    )
    trainer.fit()
    with replaced_folder(folder) as aside:
        training.save_inference_model(aside)
        weights = aside / "sae_weights.safetensors"
        whole = {key: tensor.bfloat16() for key, tensor in load_file(weights).items()}
        weights.unlink()  # the file may still be mapped: never write into it
        save_file(whole, weights)
    return sae_quality(load_sae(folder).to(vlm.encoder.device), vlm, layer, _N_HELD_OUT, "monitoring")
