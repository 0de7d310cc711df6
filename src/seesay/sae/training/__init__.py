"""Training sparse autoencoders of a vision encoder, by sae-lens, on activations that are never all in memory."""

from seesay.sae.training.config import ARCHITECTURES, PRESETS, Architecture, SAETrainingConfig

__all__ = ["ARCHITECTURES", "PRESETS", "Architecture", "SAETrainingConfig"]
