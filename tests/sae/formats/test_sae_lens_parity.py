"""SAELens saves and seesay loads, or the other way round: the same codes and the same reconstruction."""

import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from seesay.sae import SAE, Provenance, load_sae, save_sae
from tests.sae.test_model import random_sae

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
    check_same(load_sae(folder), original)


def check_same(ours: SAE, original) -> None:
    residual = torch.randn(5, 7, ours.d_model, generator=torch.Generator().manual_seed(2))
    codes = ours.encode(residual)
    with torch.no_grad():
        their_codes = original.encode(residual)
        expected = original.decode(their_codes)
    # Their codes count in lengths of the decoder's rows, unless SAELens says that it has rescaled them itself.
    rescaled = getattr(original.cfg, "rescale_acts_by_decoder_norm", False)
    norms = 1.0 if rescaled else original.W_dec.norm(dim=-1)
    assert (their_codes != 0).any()
    torch.testing.assert_close(codes.dense(ours.n_features), their_codes * norms, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.decode(codes), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.W_dec.norm(dim=-1), torch.ones(ours.n_features))


@pytest.mark.parametrize("name", ["TopKSAE", "AbsTopKSAE"])
@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("subtract", [True, False])
def test_topk(sae_lens, tmp_path: Path, name: str, rescale: bool, subtract: bool) -> None:
    from sae_lens.saes import abstopk_sae, topk_sae

    home = topk_sae if name == "TopKSAE" else abstopk_sae
    config = getattr(home, f"{name}Config")(
        d_in=D_MODEL, d_sae=N_FEATURES, k=4, rescale_acts_by_decoder_norm=rescale, apply_b_dec_to_input=subtract
    )
    sae = getattr(home, name)(config)
    randomise(sae)
    sae.save_model(tmp_path)
    check_parity(sae, tmp_path)


NORMALIZATIONS = ["none", "expected_average_only_in", "constant_norm_rescale", "layer_norm"]


@pytest.mark.parametrize("name", ["StandardSAE", "JumpReLUSAE", "GatedSAE", "TopKSAE"])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_each_architecture_with_each_normalisation(sae_lens, tmp_path: Path, name: str, normalization: str) -> None:
    options = {"k": 4} if name == "TopKSAE" else {}
    config = getattr(sae_lens, f"{name}Config")(
        d_in=D_MODEL, d_sae=N_FEATURES, normalize_activations=normalization, **options
    )
    sae = getattr(sae_lens, name)(config)
    randomise(sae)
    sae.save_model(tmp_path)
    check_parity(sae, tmp_path)


def training_sae(sae_lens, name: str, **options: object):
    from sae_lens.saes import matryoshka_batchtopk_sae

    home = matryoshka_batchtopk_sae if name.startswith("Matryoshka") else sae_lens
    if name.startswith("Matryoshka"):
        options |= {"matryoshka_widths": [8, N_FEATURES]}
    training = getattr(home, name)(getattr(home, f"{name}Config")(d_in=D_MODEL, d_sae=N_FEATURES, **options))
    randomise(training)
    if "BatchTopK" in name:
        training.topk_threshold.fill_(0.5)
    return training


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("name", ["TopKTrainingSAE", "BatchTopKTrainingSAE", "MatryoshkaBatchTopKTrainingSAE"])
def test_trained_saes_as_saved_for_inference_and_in_the_middle_of_training(
    sae_lens, tmp_path: Path, name: str, rescale: bool
) -> None:
    training = training_sae(sae_lens, name, k=4, rescale_acts_by_decoder_norm=rescale)
    training.save_inference_model(tmp_path / "inference")
    training.save_model(tmp_path / "training")
    inference = sae_lens.SAE.load_from_disk(tmp_path / "inference")
    check_parity(inference, tmp_path / "inference")
    assert load_sae(tmp_path / "inference").activation == ("topk" if name.startswith("TopK") else "batch_topk")
    # At inference the library itself goes by the threshold, which only the saved inference model does.
    residual = torch.randn(9, D_MODEL)
    ours = load_sae(tmp_path / "training")
    with torch.no_grad():
        expected = inference.encode(residual) * inference.W_dec.norm(dim=-1)
    torch.testing.assert_close(ours.encode(residual).dense(N_FEATURES), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("StandardTrainingSAE", {}),
        ("GatedTrainingSAE", {}),
        ("JumpReLUTrainingSAE", {}),
        ("TopKTrainingSAE", {"rescale_acts_by_decoder_norm": False}),
        ("TopKTrainingSAE", {"rescale_acts_by_decoder_norm": True}),
        ("BatchTopKTrainingSAE", {"rescale_acts_by_decoder_norm": False}),
        ("BatchTopKTrainingSAE", {"rescale_acts_by_decoder_norm": True}),
        ("MatryoshkaBatchTopKTrainingSAE", {"rescale_acts_by_decoder_norm": True}),
    ],
)
def test_a_checkpoint_computes_what_it_would_if_its_training_ended_there(
    sae_lens, tmp_path: Path, name: str, options: dict[str, object]
) -> None:
    from sae_lens.training.activation_scaler import ActivationScaler

    options = {"k": 4, **options} if "TopK" in name else options
    training = training_sae(sae_lens, name, normalize_activations="expected_average_only_in", **options)
    if name.startswith("JumpReLU"):
        training.threshold.data.abs_()  # as its training keeps them
    training.save_model(tmp_path / "training")
    (tmp_path / "training" / "trainer_state.pt").write_bytes(b"")
    ActivationScaler(scaling_factor=1.7).save(str(tmp_path / "training" / "activation_scaler.json"))
    training.fold_activation_norm_scaling_factor(1.7)
    training.save_inference_model(tmp_path / "ended")
    check_parity(sae_lens.SAE.load_from_disk(tmp_path / "ended"), tmp_path / "ended")
    residual = torch.randn(5, 7, D_MODEL, generator=torch.Generator().manual_seed(2))
    ours, ended = load_sae(tmp_path / "training"), load_sae(tmp_path / "ended")
    codes, expected = ours.encode(residual), ended.encode(residual)
    assert (expected.values != 0).any()
    torch.testing.assert_close(codes.dense(N_FEATURES), expected.dense(N_FEATURES), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.decode(codes), ended.decode(expected), rtol=1e-5, atol=1e-5)


def test_the_library_makes_nan_of_a_row_of_zeros_that_is_to_have_a_norm(sae_lens, tmp_path: Path) -> None:
    save_sae(random_sae("topk", normalization="constant_norm"), tmp_path / "sae")
    nothing = torch.zeros(1, 6)
    assert sae_lens.SAE.load_from_disk(tmp_path / "sae").encode(nothing).isnan().any()
    assert load_sae(tmp_path / "sae").encode(nothing).values.isfinite().all()


@pytest.mark.parametrize("name", ["StandardTrainingSAE", "GatedTrainingSAE", "JumpReLUTrainingSAE"])
def test_other_saes_in_the_middle_of_training(sae_lens, tmp_path: Path, name: str) -> None:
    training = training_sae(sae_lens, name)
    if name.startswith("JumpReLU"):
        training.threshold.data.abs_()  # as its training keeps them
    training.save_model(tmp_path)
    check_parity(training, tmp_path)


@pytest.mark.parametrize("activation", ["relu", "topk", "magnitude_topk", "batch_topk", "jumprelu"])
@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize("normalization", ["none", "layer_norm", "constant_norm"])
def test_the_library_reads_what_seesay_saves(
    sae_lens, tmp_path: Path, activation: str, subtract: bool, normalization: str
) -> None:
    sae = random_sae(activation, subtract_b_dec=subtract, normalization=normalization)
    save_sae(replace(sae, provenance=Provenance("world", 3, "blocks.3", "pictures")), tmp_path / "sae")
    original = sae_lens.SAE.load_from_disk(tmp_path / "sae")
    check_same(sae, original)
    metadata = original.cfg.metadata
    assert (metadata.model_name, metadata.hook_name, metadata.dataset_path) == ("world", "blocks.3", "pictures")


def test_codes_of_unit_rows_are_the_librarys_own(sae_lens, tmp_path: Path) -> None:
    sae = replace(random_sae("topk"), gain=None)
    save_sae(sae, tmp_path / "sae")
    residual = torch.randn(9, sae.d_model)
    with torch.no_grad():
        theirs = sae_lens.SAE.load_from_disk(tmp_path / "sae").encode(residual)
    torch.testing.assert_close(sae.encode(residual).dense(sae.n_features), theirs, rtol=0, atol=1e-5)
