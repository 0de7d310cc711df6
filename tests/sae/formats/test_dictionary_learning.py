"""What is particular to dictionary_learning; its formulas are in test_formulas.py."""

from pathlib import Path

import pytest
import torch

from seesay.errors import UnreadableSAE
from seesay.sae import Provenance, load_sae
from tests.sae.formats.files import DICT_CLASSES, N_FEATURES, K, dictionary_learning, residuals


def test_it_says_where_it_comes_from(tmp_path: Path) -> None:
    dictionary_learning(tmp_path)
    expected = Provenance("google/gemma-3-4b-it", 16, "enc_res_out_layer_16")
    assert load_sae(tmp_path).provenance == expected
    for layer in (None, "mid", "16"):
        dictionary_learning(tmp_path, layer=layer)
        assert load_sae(tmp_path).provenance == expected


@pytest.mark.parametrize("dict_class", [name for name in DICT_CLASSES if name != "AutoEncoderNew"])
def test_a_back_up_takes_raw_activations_as_a_saved_one_does(dict_class: str, tmp_path: Path) -> None:
    """training.py saves a back-up before scale_biases(norm_factor), and everything else after it."""
    written = dictionary_learning(tmp_path, dict_class)
    saved = load_sae(tmp_path).encode(residuals()).dense(N_FEATURES)
    scaled = {"encoder.bias", "bias", "b_enc", "b_dec", "decoder_bias", "gate_bias", "mag_bias"}
    scaled |= {"threshold"} if dict_class not in ("AutoEncoderTopK", "UnsignedAutoEncoderTopK") else set()
    before = {name: tensor / 2.5 if name in scaled else tensor for name, tensor in written.tensors.items()}
    back_up = {"step": 7, "ae": before, "optimizer": {"state": {}, "param_groups": []}, "norm_factor": 2.5}
    torch.save(back_up | {"config": {"dict_class": dict_class, "k": K, "lm_name": "model"}}, written.weights)
    torch.testing.assert_close(load_sae(tmp_path).encode(residuals()).dense(N_FEATURES), saved, rtol=0, atol=1e-5)
    (tmp_path / "config.json").unlink()  # the back-up holds its own
    alone = load_sae(tmp_path)
    assert alone.provenance.subject == "model"
    torch.testing.assert_close(alone.encode(residuals()).dense(N_FEATURES), saved, rtol=0, atol=1e-5)


@pytest.mark.parametrize("factor", ["2", -1.0, float("nan")])
def test_a_back_up_of_a_senseless_scale_is_refused(factor: object, tmp_path: Path) -> None:
    written = dictionary_learning(tmp_path)
    torch.save({"ae": written.tensors, "norm_factor": factor}, written.weights)
    with pytest.raises(UnreadableSAE, match="norm_factor is"):
        load_sae(tmp_path)


def test_a_back_up_of_unscaled_training_is_taken_as_it_is(tmp_path: Path) -> None:
    written = dictionary_learning(tmp_path)
    torch.save({"ae": written.tensors, "norm_factor": None}, written.weights)
    assert torch.equal(load_sae(tmp_path).b_dec, written.tensors["b_dec"])


def test_an_unset_threshold_is_refused_unless_another_activation_is_asked_for(tmp_path: Path) -> None:
    written = dictionary_learning(tmp_path, "BatchTopKSAE")
    written.tensors["threshold"] = torch.tensor(-1.0)
    written.save()
    with pytest.raises(UnreadableSAE, match=r'threshold is -1, which is not set.*activation="topk"'):
        load_sae(tmp_path)
    assert load_sae(tmp_path, activation="topk").k == K


def test_tensors_alone_need_the_activation_where_three_classes_share_them(tmp_path: Path) -> None:
    dictionary_learning(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(UnreadableSAE, match=r"no config\.json beside it.*magnitude_topk"):
        load_sae(tmp_path)
    for activation in ("topk", "magnitude_topk"):
        assert load_sae(tmp_path, activation=activation).k == K


@pytest.mark.parametrize(
    "dict_class", ["AutoEncoder", "AutoEncoderNew", "GatedAutoEncoder", "JumpReluAutoEncoder", "MatryoshkaBatchTopKSAE"]
)
def test_tensors_alone_tell_the_other_classes(dict_class: str, tmp_path: Path) -> None:
    dictionary_learning(tmp_path, dict_class)
    expected = load_sae(tmp_path)
    (tmp_path / "config.json").unlink()
    alone = load_sae(tmp_path)
    assert (alone.activation, alone.subtract_b_dec) == (expected.activation, expected.subtract_b_dec)


def test_an_unsigned_sae_is_known_by_the_run_where_the_trainer_records_another_class(tmp_path: Path) -> None:
    dictionary_learning(tmp_path, wandb_name="UnsignedTopKTrainer-google/gemma-3-4b-it-enc")
    assert load_sae(tmp_path).activation == "magnitude_topk"


def test_a_k_that_the_two_files_tell_differently_is_refused(tmp_path: Path) -> None:
    dictionary_learning(tmp_path, k=K + 1)
    with pytest.raises(UnreadableSAE, match=r"ae\.pt: k is 3; expected 4, as .*config\.json has it; give k"):
        load_sae(tmp_path)
    assert load_sae(tmp_path, k=2).k == 2


@pytest.mark.parametrize("k", [0.0, 2.5, 99.0])
def test_a_senseless_k_is_told_with_its_file(k: float, tmp_path: Path) -> None:
    written = dictionary_learning(tmp_path, k=None)
    written.tensors["k"] = torch.tensor(k)
    written.save()
    with pytest.raises(UnreadableSAE, match=r"ae\.pt: k is"):
        load_sae(tmp_path)


def test_an_unknown_class_is_told_with_the_known_ones(tmp_path: Path) -> None:
    dictionary_learning(tmp_path, "IdentityDict")
    with pytest.raises(UnreadableSAE, match="dict_class is 'IdentityDict'.*BatchTopKSAE"):
        load_sae(tmp_path)
