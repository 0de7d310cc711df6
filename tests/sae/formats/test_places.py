"""Which of the files in a folder are an SAE's."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from seesay.errors import UnreadableSAE
from seesay.sae import load_sae
from seesay.sae.formats.places import find
from tests.sae.formats import files
from tests.sae.formats.files import D_MODEL


def refused(path: Path | str, match: str, **asked: object) -> None:
    with pytest.raises(UnreadableSAE, match=match) as caught:
        load_sae(path, **asked)
    assert "\n" not in str(caught.value)


def several(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
        files.dictionary_learning(root / name)
    return root


def test_several_saes_are_refused_with_their_folders(tmp_path: Path) -> None:
    several(tmp_path, "layer_8/trainer_0", "layer_16/trainer_0", "layer_16/trainer_1")
    refused(tmp_path, "holds 3 SAEs; expected subfolder: layer_8/trainer_0, layer_16/trainer_0, layer_16/trainer_1$")
    refused(tmp_path, "layer_16 holds 2 SAEs", subfolder="layer_16")
    assert load_sae(tmp_path, subfolder="layer_16/trainer_1").k == 3


def test_many_saes_are_not_all_listed(tmp_path: Path) -> None:
    several(tmp_path, *(f"trainer_{i}" for i in range(12)))
    refused(tmp_path, r"holds 12 SAEs.*trainer_6, trainer_7 and 4 more")


def test_an_only_one_below_is_found(tmp_path: Path) -> None:
    several(tmp_path, "run/trainer_0")
    assert load_sae(tmp_path).k == 3
    assert load_sae(tmp_path, subfolder="run/").k == 3
    assert load_sae(str(tmp_path), subfolder="run/trainer_0/ae.pt").k == 3


def test_checkpoints_beside_an_sae_are_not_mistaken_for_it(tmp_path: Path) -> None:
    several(tmp_path, "trainer_0")
    (tmp_path / "trainer_0" / "checkpoints").mkdir()
    for step in (100, 200):
        torch.save({"x": torch.zeros(1)}, tmp_path / "trainer_0" / "checkpoints" / f"ae_{step}.pt")
    for name in ("optimizer.pt", "trainer_state.pt", "lr_scheduler.pt", "n_images_3_log_feature_sparsity.pt"):
        torch.save({"x": torch.zeros(1)}, tmp_path / "trainer_0" / name)
    save_file({"sparsity": torch.zeros(1)}, tmp_path / "trainer_0" / "sparsity.safetensors")
    assert load_sae(tmp_path).k == 3


def unfinished(root: Path) -> Path:
    """As `seesay train-sae` leaves it when it is killed."""
    for step in ("00000010", "00000020"):
        folder = root / "checkpoints" / step
        folder.mkdir(parents=True)
        files.sae_lens(folder)
        (folder / "identity.json").write_text("{}")
    return root


def test_an_unfinished_training_is_no_sae(tmp_path: Path) -> None:
    out = unfinished(tmp_path / "out")
    line = rf"{out} is an unfinished training; expected a finished SAE; go on with seesay train-sae --resume$"
    refused(out, line)
    refused(tmp_path, line)
    refused(tmp_path, line, subfolder="out")
    refused(out, line, subfolder="checkpoints")
    refused(out / "checkpoints", line)
    (out / "checkpoints" / "00000010" / "identity.json").unlink()  # damaged: it is still a checkpoint
    refused(out, line)


def test_a_checkpoint_may_be_named(tmp_path: Path) -> None:
    out = unfinished(tmp_path / "out")
    assert load_sae(out, subfolder="checkpoints/00000010").k == 3
    assert load_sae(out / "checkpoints", subfolder="00000020").k == 3
    assert load_sae(out / "checkpoints" / "00000020").k == 3


def test_an_sae_beside_an_unfinished_training_is_found(tmp_path: Path) -> None:
    several(tmp_path, "trainer_0")
    unfinished(tmp_path)
    assert load_sae(tmp_path).provenance.format == "dictionary_learning"
    refused(tmp_path, "has no trainer_1; expected trainer_0$", subfolder="trainer_1")


def test_only_a_trainings_checkpoints_are_left_out(tmp_path: Path) -> None:
    several(tmp_path, "checkpoints/16")
    assert load_sae(tmp_path).k == 3


def test_an_empty_name_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    several(tmp_path, "sae")
    monkeypatch.chdir(tmp_path)
    assert load_sae(".").k == 3
    refused("", "an SAE without a name; expected a folder, a file of tensors, or owner/name")


@pytest.mark.parametrize("name", ["sae", "sae/ae.pt"])
def test_what_is_on_this_machine_has_no_revisions(name: str, tmp_path: Path) -> None:
    several(tmp_path, "sae")
    refused(
        tmp_path / name, rf"revision 'main' of {tmp_path / name}; expected none, or a name on the hub", revision="main"
    )


def test_pipes_are_not_read(tmp_path: Path) -> None:
    for name in ("sae.pt", "cfg.json"):
        os.mkfifo(tmp_path / name)  # to read one would never end
    refused(tmp_path, "holds no SAE")
    refused(tmp_path, "has no sae.pt", subfolder="sae.pt")
    refused(tmp_path / "sae.pt", "no folder")
    np.save(tmp_path / "probes.npy", np.ones((2, D_MODEL)))
    assert load_sae(tmp_path).n_features == 2


def test_several_files_of_tensors_are_refused_with_their_names(tmp_path: Path) -> None:
    for name in ("first", "second"):
        np.save(tmp_path / f"{name}.npy", np.ones((2, D_MODEL)))
    refused(tmp_path, r"several files of tensors; expected subfolder: first\.npy, second\.npy")
    assert load_sae(tmp_path, subfolder="first.npy").n_features == 2


def test_a_models_own_folder_is_no_sae(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    save_file({"x": torch.zeros(1, 1)}, tmp_path / "model-00001-of-00002.safetensors")
    refused(tmp_path, "holds no SAE; expected .*SAELens")


def test_a_missing_subfolder_is_told_with_those_that_are_there(tmp_path: Path) -> None:
    several(tmp_path, "trainer_0")
    refused(tmp_path, "has no trainer_7; expected trainer_0", subfolder="trainer_7")
    refused(tmp_path / "trainer_0" / "ae.pt", "is a file", subfolder="trainer_0")


@pytest.mark.parametrize("subfolder", ["..", "a/../..", "/etc", "../sae"])
def test_a_subfolder_does_not_lead_outside(subfolder: str, tmp_path: Path) -> None:
    refused(tmp_path, "inside what is loaded", subfolder=subfolder)


@pytest.mark.parametrize("name", ["ae.pt", "config.json"])
def test_a_link_does_not_lead_outside(name: str, tmp_path: Path) -> None:
    several(tmp_path, "sae")
    (tmp_path / "sae" / name).rename(tmp_path / "elsewhere")
    (tmp_path / "sae" / name).symlink_to(tmp_path / "elsewhere")
    refused(tmp_path / "sae", rf"{name} leads outside.*give .*elsewhere itself")


def test_a_linked_folder_below_is_not_entered_but_may_be_named(tmp_path: Path) -> None:
    several(tmp_path, "sae")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "sae").symlink_to(tmp_path / "sae")
    refused(tmp_path / "links", "holds no SAE")
    refused(tmp_path / "links", "leads outside", subfolder="sae")
    assert load_sae(tmp_path / "links" / "sae").k == 3


def test_a_link_to_a_file_may_be_named(tmp_path: Path) -> None:
    np.save(tmp_path / "probes.npy", np.ones((2, D_MODEL)))
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "probes.npy"
    link.symlink_to(tmp_path / "probes.npy")
    assert load_sae(link).n_features == 2
    assert load_sae(str(link)).n_features == 2


def test_links_of_the_hubs_cache_are_followed(tmp_path: Path) -> None:
    several(tmp_path, "models--a--b/snapshots/abc/trainer_0")
    snapshot, blobs = tmp_path / "models--a--b/snapshots/abc", tmp_path / "models--a--b/blobs"
    blobs.mkdir()
    for name in ("ae.pt", "config.json"):
        (snapshot / "trainer_0" / name).rename(blobs / name)
        (snapshot / "trainer_0" / name).symlink_to(Path("../../../blobs") / name)
    assert load_sae(snapshot).k == load_sae(snapshot / "trainer_0").k == 3


@pytest.mark.parametrize("path", ["~nobody-of-this-name/sae", "/" + "x" * 5000])
def test_a_path_that_cannot_be_is_one_line(path: str) -> None:
    refused(path, "expected an SAE")


def test_hidden_and_deep_folders_are_not_searched(tmp_path: Path) -> None:
    several(tmp_path, ".partial", "a/b/c/d/e")
    refused(tmp_path, "holds no SAE")


def test_no_path_in_a_configuration_is_followed(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    os.mkfifo(trap)  # to read it would never end
    (tmp_path / "sae").mkdir()
    config = {"model_path": str(trap), "from_pretrained_path": str(trap), "dataset_path": str(trap)}
    files.sae_lens(tmp_path / "sae", **config, weights_path=str(trap))
    assert load_sae(tmp_path / "sae").provenance.dataset == str(trap)


def test_the_configuration_of_the_folder_above_is_taken_only_from_inside(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "run" / "layers.3").mkdir(parents=True)
    files.sparsify(tmp_path / "run" / "layers.3")
    assert find(tmp_path / "run", "layers.3", None, known="").outer_config is None
    (tmp_path / "run" / "config.json").write_text("{}")
    assert find(tmp_path / "run", "layers.3", None, known="").outer_config == tmp_path / "run" / "config.json"
