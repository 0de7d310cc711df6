"""What is saved and loaded again computes the same."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seesay.errors import MismatchedSAE, UnusablePath
from seesay.sae import SAE, Provenance, load_sae, save_sae
from seesay.sae.formats.assembly import lengthened
from tests.sae.test_model import random_sae

SAVED = {"relu", "topk", "magnitude_topk", "batch_topk", "jumprelu"}
PROVENANCE = Provenance("google/gemma-3-4b-it", 16, "enc_res_out_layer_16", "imagenet-1k")


def directions_alone() -> SAE:
    return SAE(None, torch.eye(3, 6), torch.zeros(3), torch.zeros(6), "none", subtract_b_dec=False)


@given(
    activation=st.sampled_from(sorted(SAVED)),
    subtract_b_dec=st.booleans(),
    normalization=st.sampled_from(["none", "layer_norm", "constant_norm"]),
    has_gain=st.booleans(),
    format=st.sampled_from(["sae_lens", "dictionary_learning"]),
    provenance=st.sampled_from([PROVENANCE, Provenance(), Provenance(layer=0)]),
    seed=st.integers(0, 1000),
)
def test_saving_and_loading_changes_no_code(
    activation: str,
    subtract_b_dec: bool,
    normalization: str,
    has_gain: bool,
    format: str,
    provenance: Provenance,
    seed: int,
) -> None:
    normalization = "none" if format == "dictionary_learning" else normalization
    sae = random_sae(activation, seed, subtract_b_dec=subtract_b_dec, normalization=normalization)
    sae = replace(sae, gain=sae.gain if has_gain else None, provenance=provenance)
    with TemporaryDirectory() as folder:
        save_sae(sae, Path(folder) / "sae", format)
        again = load_sae(Path(folder) / "sae")
    residual = torch.randn(40, 6, generator=torch.Generator().manual_seed(seed)) + 0.3
    codes, found = sae.encode(residual), again.encode(residual)
    torch.testing.assert_close(found.dense(12), codes.dense(12), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(again.decode(found), sae.decode(codes), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(again.W_dec, sae.W_dec)
    assert again.provenance == provenance
    # dictionary_learning has a BatchTopK, but one that cannot be without a k.
    same = activation if (activation, format) != ("batch_topk", "dictionary_learning") else "jumprelu"
    assert again.activation == same


@pytest.mark.parametrize(
    ("sae", "format", "reason"),
    [
        (random_sae("signed_topk"), "sae_lens", "no architecture that computes signed_topk"),
        (directions_alone(), "sae_lens", "no architecture that computes none"),
        (random_sae("signed_topk"), "dictionary_learning", "no class that computes signed_topk"),
        (directions_alone(), "dictionary_learning", "no class that computes none"),
        (random_sae("relu", normalization="layer_norm"), "dictionary_learning", "does not normalise rows"),
    ],
)
def test_what_a_format_cannot_express_is_refused(sae: SAE, format: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(MismatchedSAE, match=reason):
        save_sae(sae, tmp_path / "sae", format)
    assert not list(tmp_path.iterdir())


def test_the_files_are_those_of_the_library(tmp_path: Path) -> None:
    save_sae(random_sae("topk"), tmp_path / "lens")
    save_sae(random_sae("topk"), tmp_path / "dictionary", "dictionary_learning")
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert found == [
        "dictionary/trainer_0/ae.pt",
        "dictionary/trainer_0/config.json",
        "lens/cfg.json",
        "lens/sae_weights.safetensors",
    ]


def test_a_saved_dictionary_has_the_tensors_of_its_class(tmp_path: Path) -> None:
    """As AutoEncoderTopK.from_pretrained reads them: load_state_dict allows neither more nor fewer."""
    save_sae(random_sae("topk"), tmp_path / "sae", "dictionary_learning")
    state = torch.load(tmp_path / "sae" / "trainer_0" / "ae.pt", weights_only=True)
    shapes = {name: list(tensor.shape) for name, tensor in state.items()}
    assert shapes == {
        "encoder.weight": [12, 6],
        "encoder.bias": [12],
        "decoder.weight": [6, 12],
        "b_dec": [6],
        "k": [],
        "threshold": [],
    }
    assert (state["k"].item(), state["k"].dtype, state["threshold"].item()) == (3, torch.int32, -1.0)


@pytest.mark.parametrize("format", ["sae_lens", "dictionary_learning"])
def test_an_sae_replaces_another_and_nothing_else(format: str, tmp_path: Path) -> None:
    folder = tmp_path / "sae"
    save_sae(random_sae("topk", 1), folder)
    save_sae(random_sae("relu", 2), folder, format)
    assert load_sae(folder).activation == "relu"
    assert [path.name for path in tmp_path.iterdir()] == ["sae"]
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(UnusablePath, match=r"notes\.txt would be deleted"):
        save_sae(random_sae("relu", 2), folder, format)
    with pytest.raises(UnusablePath, match="is a file"):
        save_sae(random_sae("relu", 2), folder / "notes.txt", format)
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_loaded_sae_may_be_saved_over_itself(tmp_path: Path) -> None:
    save_sae(random_sae("topk"), tmp_path / "sae", "dictionary_learning")
    before = load_sae(tmp_path / "sae")
    save_sae(before, tmp_path / "sae", "dictionary_learning")
    assert torch.equal(load_sae(tmp_path / "sae").b_enc, before.b_enc)


@pytest.mark.parametrize("format", ["sae_lens", "dictionary_learning"])
def test_a_loaded_sae_outlives_its_files(format: str, tmp_path: Path) -> None:
    save_sae(random_sae("jumprelu"), tmp_path / "sae", format)
    sae = load_sae(tmp_path / "sae")
    for path in tmp_path.rglob("*.*"):
        if path.is_file():
            path.write_bytes(b"")  # in place: memory that is mapped from it would be gone
    assert sae.encode(torch.ones(2, 6)).values.isfinite().all()


@pytest.mark.parametrize("format", ["sae_lens", "dictionary_learning"])
def test_half_precision_is_saved_as_such(format: str, tmp_path: Path) -> None:
    sae = random_sae("jumprelu", subtract_b_dec=False).to(dtype=torch.bfloat16)
    assert sae.gain is not None
    save_sae(sae, tmp_path / "sae", format)
    again = load_sae(tmp_path / "sae")
    rows = sae.W_dec.float() * sae.gain.float()[:, None]
    for found, exact in ((again.W_enc, sae.W_enc), (again.b_enc, sae.b_enc), (lengthened(again), rows.bfloat16())):
        torch.testing.assert_close(found, exact.float(), rtol=1e-6, atol=0, msg="rounded once, to bfloat16")


def test_a_failure_in_the_middle_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_sae(random_sae("topk", 1), tmp_path / "sae")
    before = load_sae(tmp_path / "sae")

    def full(*_arguments: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("seesay.sae.formats.sae_lens.write_json", full)
    with pytest.raises(UnusablePath, match="No space left"):
        save_sae(random_sae("topk", 2), tmp_path / "sae")
    assert torch.equal(load_sae(tmp_path / "sae").b_enc, before.b_enc)
