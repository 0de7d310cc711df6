"""SAELens saves, seesay loads: the same codes and the same reconstruction."""

import warnings
from pathlib import Path

import pytest
import torch

from seesay.sae import load_sae

# SAELens' own warnings are not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")

D_MODEL, N_FEATURES = 8, 32


@pytest.fixture(scope="module")
def sae_lens():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("sae_lens")


def randomise(sae: torch.nn.Module) -> None:
    """Give every tensor random values, so that the decoder's rows have norms of their own."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)


def check_parity(original, folder: Path) -> None:
    residual = torch.randn(5, 7, D_MODEL, generator=torch.Generator().manual_seed(2))
    ours = load_sae(folder)
    codes = ours.encode(residual)
    with torch.no_grad():
        their_codes = original.encode(residual)
        expected = original.decode(their_codes)
    # Their codes count in lengths of the decoder's rows, unless SAELens says that it has rescaled them itself.
    rescaled = getattr(original.cfg, "rescale_acts_by_decoder_norm", False)
    norms = 1.0 if rescaled else original.W_dec.norm(dim=-1)
    assert (their_codes != 0).any()
    torch.testing.assert_close(codes.dense(N_FEATURES), their_codes * norms, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.decode(codes), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.W_dec.norm(dim=-1), torch.ones(N_FEATURES))


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("subtract", [True, False])
def test_topk(sae_lens, tmp_path: Path, rescale: bool, subtract: bool) -> None:
    config = sae_lens.TopKSAEConfig(
        d_in=D_MODEL, d_sae=N_FEATURES, k=4, rescale_acts_by_decoder_norm=rescale, apply_b_dec_to_input=subtract
    )
    sae = sae_lens.TopKSAE(config)
    randomise(sae)
    sae.save_model(tmp_path)
    check_parity(sae, tmp_path)


@pytest.mark.parametrize("name", ["StandardSAE", "JumpReLUSAE"])
def test_standard_and_jumprelu(sae_lens, tmp_path: Path, name: str) -> None:
    sae = getattr(sae_lens, name)(getattr(sae_lens, f"{name}Config")(d_in=D_MODEL, d_sae=N_FEATURES))
    randomise(sae)
    sae.save_model(tmp_path)
    check_parity(sae, tmp_path)


@pytest.mark.parametrize("rescale", [True, False])
def test_trained_topk_and_batch_topk_as_saved_for_inference(sae_lens, tmp_path: Path, rescale: bool) -> None:
    for name in ("TopKTrainingSAE", "BatchTopKTrainingSAE"):
        config = getattr(sae_lens, f"{name}Config")(
            d_in=D_MODEL, d_sae=N_FEATURES, k=4, rescale_acts_by_decoder_norm=rescale
        )
        training = getattr(sae_lens, name)(config)
        randomise(training)
        if name.startswith("Batch"):
            training.topk_threshold.fill_(0.5)
        training.save_inference_model(tmp_path / name)
        check_parity(sae_lens.SAE.load_from_disk(tmp_path / name), tmp_path / name)
