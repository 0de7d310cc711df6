"""The kinds of sparse autoencoder that sae-lens trains."""

from typing import Any, assert_never

from seesay.sae.training.config import SAETrainingConfig

_SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
"""Of all features, how many each level of a Matryoshka has."""

_FIRST_THRESHOLD = 0.1
"""Ten times what sae-lens begins with: a threshold moves by a share of itself, and has to come to about 1."""


def training_sae(
    config: SAETrainingConfig, d_model: int, layer: int, subject: str, dataset: str, device: str = "cpu"
) -> Any:
    """Make an untrained SAE of sae-lens.

    Args:
        config: which kind, and how many features.
        d_model: width of the residual stream.
        layer: the block that it is of, for the record.
        subject: the model, for the record.
        dataset: the images, for the record.
        device: where it learns.
    """
    import sae_lens as lens
    from sae_lens.saes.sae import SAEMetadata

    shared: dict[str, Any] = {
        "d_in": d_model,
        "device": device,
        "d_sae": config.n_features,
        "normalize_activations": "expected_average_only_in" if config.scales_inputs else "none",
        "metadata": SAEMetadata(
            model_name=subject, layer=layer, hook_name=f"vision_tower.layers.{layer}", dataset_path=dataset
        ),
    }
    sparse: dict[str, Any] = {**shared, "k": config.k, "aux_loss_coefficient": config.aux_coefficient}
    # The threshold that takes the place of a batch's top k is a moving average, which a short training must settle too.
    batched: dict[str, Any] = {**sparse, "topk_threshold_lr": max(0.01, min(1.0, 20 / config.n_steps))}
    match config.architecture:
        case "topk":
            return lens.TopKTrainingSAE(lens.TopKTrainingSAEConfig(**sparse))
        case "batchtopk":
            return lens.BatchTopKTrainingSAE(lens.BatchTopKTrainingSAEConfig(**batched))
        case "matryoshka":
            widths = [max(1, int(share * config.n_features)) for share in _SHARES]
            return lens.MatryoshkaBatchTopKTrainingSAE(
                lens.MatryoshkaBatchTopKTrainingSAEConfig(**batched, matryoshka_widths=sorted(set(widths)))
            )
        case "jumprelu":
            return lens.JumpReLUTrainingSAE(
                lens.JumpReLUTrainingSAEConfig(
                    **shared,
                    jumprelu_sparsity_loss_mode="quadratic",
                    target_l0=float(config.k),
                    l0_coefficient=float(d_model),  # the mean squared norm of scaled inputs, on which errors count
                    jumprelu_init_threshold=_FIRST_THRESHOLD,
                    l0_warm_up_steps=min(config.n_warm_up_steps, config.n_steps // 2),
                )
            )
        case _:
            assert_never(config.architecture)
