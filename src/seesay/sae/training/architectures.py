"""The kinds of sparse autoencoder that sae-lens trains."""

from typing import Any, assert_never

from seesay.sae.training.config import SAETrainingConfig

_SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
"""Of all features, how many each level of a Matryoshka has."""


def training_sae(config: SAETrainingConfig, d_model: int, layer: int, subject: str, dataset: str) -> Any:
    """Make an untrained SAE of sae-lens.

    Args:
        config: which kind, and how many features.
        d_model: width of the residual stream.
        layer: the block that it is of, for the record.
        subject: the model, for the record.
        dataset: the images, for the record.
    """
    import sae_lens as lens
    from sae_lens.saes.sae import SAEMetadata

    shared: dict[str, Any] = {
        "d_in": d_model,
        "d_sae": config.n_features,
        "normalize_activations": "expected_average_only_in" if config.scale_inputs else "none",
        "metadata": SAEMetadata(
            model_name=subject, layer=layer, hook_name=f"vision_tower.layers.{layer}", dataset_path=dataset
        ),
    }
    sparse: dict[str, Any] = {**shared, "k": config.k, "aux_loss_coefficient": config.aux_coefficient}
    match config.architecture:
        case "topk":
            return lens.TopKTrainingSAE(lens.TopKTrainingSAEConfig(**sparse))
        case "batchtopk":
            return lens.BatchTopKTrainingSAE(lens.BatchTopKTrainingSAEConfig(**sparse))
        case "matryoshka":
            widths = [max(1, int(share * config.n_features)) for share in _SHARES]
            return lens.MatryoshkaBatchTopKTrainingSAE(
                lens.MatryoshkaBatchTopKTrainingSAEConfig(**sparse, matryoshka_widths=sorted(set(widths)))
            )
        case "jumprelu":
            return lens.JumpReLUTrainingSAE(
                lens.JumpReLUTrainingSAEConfig(
                    **shared,
                    jumprelu_sparsity_loss_mode="quadratic",
                    target_l0=float(config.k),
                    l0_warm_up_steps=config.n_warm_up_steps,
                )
            )
        case _:
            assert_never(config.architecture)
