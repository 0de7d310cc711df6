"""Files that are cut off, altered or hostile: one line that names the file, and nothing in it is run."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from seesay.errors import UnreadableSAE
from seesay.sae import load_sae
from tests.sae.formats import files
from tests.sae.formats.files import ALL, D_MODEL, N_FEATURES, Written, variant

EACH_FORMAT = (
    variant(files.dictionary_learning),
    variant(files.dictionary_learning, "GatedAutoEncoder"),
    variant(files.dictionary_learning, "MatryoshkaBatchTopKSAE"),
    variant(files.sae_lens),
    variant(files.sparsify),
    variant(files.overcomplete),
    variant(files.saev),
    variant(files.prisma),
)


def variant_of(dict_class: str) -> Callable[[Path], Written]:
    return partial(files.dictionary_learning, dict_class=dict_class)


def refused(path: Path, match: str, **asked: object) -> None:
    with pytest.raises(UnreadableSAE, match=match) as caught:
        load_sae(path, **asked)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("write", ALL)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.97])
def test_a_truncated_file_is_named(write: Callable[[Path], Written], share: float, tmp_path: Path) -> None:
    written = write(tmp_path)
    content = written.weights.read_bytes()
    written.weights.write_bytes(content[: int(len(content) * share)])
    refused(tmp_path, written.weights.name, **written.asked)


@pytest.mark.parametrize("write", [*EACH_FORMAT, *ALL[-2:]])
def test_whatever_is_altered_is_read_or_refused(write: Callable[[Path], Written], tmp_path: Path) -> None:
    written = write(tmp_path)
    whole = {path: path.read_bytes() for path in tmp_path.iterdir()}
    random = Random(0)
    for _ in range(100):
        path, content = random.choice(list(whole.items()))
        altered = bytearray(content)
        for _ in range(random.choice([1, 2, 5])):
            altered[random.randrange(len(altered))] = random.randrange(256)
        path.write_bytes(altered)
        with suppress(UnreadableSAE):
            load_sae(tmp_path, **written.asked)
        path.write_bytes(content)


@pytest.mark.parametrize("write", EACH_FORMAT)
def test_a_truncated_configuration_is_named(write: Callable[[Path], Written], tmp_path: Path) -> None:
    written = write(tmp_path)
    for config in tmp_path.glob("*.json"):
        config.write_bytes(config.read_bytes()[:20])
        refused(tmp_path, rf"{config.name}.*a JSON object", **written.asked)


@pytest.mark.parametrize("text", ["[1]", "[" * 100_000, '"x"', "\xff"])
def test_a_configuration_that_is_no_object_is_refused(text: str, tmp_path: Path) -> None:
    files.sae_lens(tmp_path)
    (tmp_path / "cfg.json").write_text(text, encoding="latin-1")
    refused(tmp_path, "cfg.json.*a JSON object")


@pytest.mark.parametrize("write", EACH_FORMAT)
def test_every_missing_tensor_is_named(write: Callable[[Path], Written], tmp_path: Path) -> None:
    written = write(tmp_path)
    whole = dict(written.tensors)
    may_lack = {"k", "threshold", "group_sizes", "dictionary.multiplier"}
    for name in whole.keys() - may_lack:
        written.tensors = {other: tensor for other, tensor in whole.items() if other != name}
        written.save()
        refused(tmp_path, rf"{written.weights.name} lacks {name}, it holds", **written.asked)


@pytest.mark.parametrize("write", ALL)
def test_every_wrong_shape_is_told_with_the_right_one(write: Callable[[Path], Written], tmp_path: Path) -> None:
    written = write(tmp_path)
    whole = dict(written.tensors)
    for name, tensor in whole.items():
        if name in ("k", "threshold", "group_sizes"):
            continue
        written.tensors = whole | {name: torch.zeros(2, 3, 4)}
        written.save()
        found = name if name else "the array"
        refused(tmp_path, rf"{written.weights.name}: {found} is \[2, 3, 4\]; expected \[", **written.asked)
        assert tensor.shape != (2, 3, 4)


@pytest.mark.parametrize("write", EACH_FORMAT)
def test_a_decoder_of_another_width_is_told(write: Callable[[Path], Written], tmp_path: Path) -> None:
    written = write(tmp_path)
    name = next(name for name in ("W_dec", "decoder.weight", "encoder.final_block.0.weight") if name in written.tensors)
    right = list(written.tensors[name].shape)
    wrong = [D_MODEL + 1 if size == D_MODEL else size for size in right]
    written.tensors[name] = torch.zeros(wrong)
    written.save()
    line = rf"{written.weights.name}: {name} is \[{wrong[0]}, {wrong[1]}\]; expected \[{right[0]}, {right[1]}\]"
    refused(tmp_path, line, **written.asked)


@pytest.mark.parametrize("write", ALL)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_numbers_that_are_not_finite_are_refused(
    write: Callable[[Path], Written], value: float, tmp_path: Path
) -> None:
    written = write(tmp_path)
    whole = dict(written.tensors)
    for name, tensor in whole.items():
        if name in ("k", "threshold", "group_sizes"):
            continue
        written.tensors = whole | {name: tensor.clone().fill_(value)}
        written.save()
        refused(tmp_path, rf"{written.weights.name}:? ?{name} ?holds NaN or infinity", **written.asked)


@pytest.mark.parametrize(
    ("write", "config"),
    [
        (files.dictionary_learning, "config.json"),
        (files.sae_lens, "cfg.json"),
        (files.sparsify, "cfg.json"),
        (files.prisma, "config.json"),
    ],
)
@pytest.mark.parametrize("value", [0, -1, 2.5, "6", None])
def test_a_senseless_width_is_named(write: Callable[..., Written], config: str, value: object, tmp_path: Path) -> None:
    name = "activation_dim" if write is files.dictionary_learning else "d_in"
    write(tmp_path, **{name: value})
    refused(tmp_path, rf"{config}: {name} is {value!r}; expected a positive whole number")


@pytest.mark.parametrize("k", [0, -1, N_FEATURES + 1])
@pytest.mark.parametrize("write", EACH_FORMAT[3:7])
def test_a_senseless_k_is_refused(write: Callable[[Path], Written], k: int, tmp_path: Path) -> None:
    written = write(tmp_path)
    refused(tmp_path, rf"k is {k}; .*at most {N_FEATURES}", **written.asked | {"k": k, "activation": "topk"})


@pytest.mark.parametrize(
    ("write", "asked"),
    [
        (variant_of("AutoEncoder"), {}),
        (variant_of("BatchTopKSAE"), {}),
        (files.sae_lens, {"activation": "relu"}),
        (files.sae_lens, {"activation": "none"}),
        (partial(files.saev, kind="Relu"), {}),
    ],
)
def test_a_k_that_would_be_ignored_is_refused(
    write: Callable[[Path], Written], asked: dict[str, str], tmp_path: Path
) -> None:
    write(tmp_path)
    name = load_sae(tmp_path, **asked).activation
    refused(tmp_path, f"k is given, and {name} keeps no .*; leave k out, or give activation", k=3, **asked)


def test_directions_alone_keep_no_k(tmp_path: Path) -> None:
    files.directions(tmp_path)
    refused(tmp_path, r"probes\.safetensors: probes is directions alone, .* expected no k", k=3)


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (files.sae_lens, "apply_b_dec_to_input"),
        (files.sae_lens, "rescale_acts_by_decoder_norm"),
        (files.sparsify, "transcode"),
        (files.sparsify, "signed"),
    ],
)
@pytest.mark.parametrize("value", ["no", 0, None])
def test_a_setting_that_is_neither_true_nor_false_is_refused(
    write: Callable[..., Written], name: str, value: object, tmp_path: Path
) -> None:
    write(tmp_path, **{name: value})
    refused(tmp_path, rf"cfg\.json: {name} is {value!r}; expected true or false")


def test_an_unknown_activation_is_told_with_the_known_ones(tmp_path: Path) -> None:
    files.sae_lens(tmp_path)
    refused(tmp_path, "activation is 'top-k'.*signed_topk", activation="top-k")


class Payload:
    """Unpickled, it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.mark,)


@pytest.mark.parametrize("write", [*EACH_FORMAT[:3], *EACH_FORMAT[5:]])
@pytest.mark.parametrize("where", ["beside", "instead", "old", "pickle"])
def test_nothing_in_a_torch_file_is_run(write: Callable[[Path], Written], where: str, tmp_path: Path) -> None:
    folder, mark = tmp_path / "sae", tmp_path / "mark"
    folder.mkdir()
    written = write(folder)
    payload = Payload(mark)
    content = {**written.tensors, "cfg": payload} if where == "beside" else payload
    with written.weights.open("wb") as file:
        file.write(written.header)
        if where == "pickle":
            pickle.dump(content, file)
        else:
            torch.save(content, file, _use_new_zipfile_serialization=where != "old")
    # torch's unpickler stops at the first thing that it does not know, which need not be the payload.
    why = "is no file of tensors" if where == "pickle" else r"holds \w+\.mkdir, which would have to be run"
    refused(folder, rf"{written.weights.name} {why}.*save its state_dict\(\) alone", **written.asked)
    assert not mark.exists()


def test_nothing_in_a_numpy_file_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    np.save(tmp_path / "probes.npy", np.array([Payload(mark)], dtype=object), allow_pickle=True)
    refused(tmp_path / "probes.npy", r"probes\.npy.*whole numpy file of numbers")
    assert not mark.exists()


def test_a_pickled_model_of_prisma_says_how_to_convert_it(tmp_path: Path) -> None:
    written = files.prisma(tmp_path)
    torch.save({"cfg": Payload(tmp_path / "mark"), "state_dict": written.tensors}, written.weights)
    refused(tmp_path, r"load it with the library that wrote it and save its state_dict\(\) alone.*config\.json")
    for name in ("sae.pkl", "sae.pkl.gz"):
        shutil.move(written.weights, tmp_path / name)
        written.weights = tmp_path / name
        refused(tmp_path, "mkdir")


@pytest.mark.parametrize("content", [[torch.zeros(2)], torch.zeros(2), 3])
def test_a_torch_file_of_no_tensors_by_name_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "sae.pt")
    refused(tmp_path, r"sae\.pt holds a \w+; expected tensors by name")


def test_a_tensor_that_is_no_tensor_is_named(tmp_path: Path) -> None:
    written = files.dictionary_learning(tmp_path)
    for value, kind in ((3.0, "float"), (torch.zeros(D_MODEL).to_sparse(), "sparse tensor")):
        torch.save(written.tensors | {"b_dec": value}, written.weights)
        refused(tmp_path, rf"b_dec is a {kind}; expected a dense tensor")


def nested(layout: torch.layout) -> torch.Tensor:
    return torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=layout)


@pytest.mark.filterwarnings("ignore")  # torch's, of nested and quantised tensors
@pytest.mark.parametrize("name", ["b_dec", "encoder.weight"])
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: torch.empty(D_MODEL, device="meta"), "meta tensor"),
        (lambda: torch.quantize_per_tensor(torch.ones(D_MODEL), 0.1, 0, torch.qint8), "quantised tensor"),
        (lambda: nested(torch.strided), "nested tensor"),
        (lambda: nested(torch.jagged), "nested tensor"),
        (lambda: torch.ones(D_MODEL, dtype=torch.complex64), "complex tensor"),
    ],
)
def test_a_tensor_of_no_plain_numbers_is_named(
    name: str, make: Callable[[], torch.Tensor], kind: str, tmp_path: Path
) -> None:
    written = files.dictionary_learning(tmp_path)
    torch.save(written.tensors | {name: make()}, written.weights)
    refused(tmp_path, rf"ae\.pt: {name} is a {kind}; expected a dense tensor of real numbers; save it as float32")


def test_numbers_that_torch_only_stores_are_named(tmp_path: Path) -> None:
    written = files.dictionary_learning(tmp_path)
    packed = torch.zeros(D_MODEL, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    torch.save(written.tensors | {"b_dec": packed}, written.weights)
    refused(tmp_path, r"ae\.pt: b_dec holds torch\.float4_e2m1fn_x2; expected numbers")


@pytest.mark.parametrize(
    ("write", "name", "value", "found"),
    [
        (variant_of("GatedAutoEncoder"), "r_mag", 500.0, "W_enc"),
        (variant_of("GatedAutoEncoder"), "gate_bias", 3e38, "threshold"),
        (variant_of("AutoEncoderTopK"), "decoder.weight", 3e38, "the norm of W_dec's rows"),
        (files.sparsify, "W_dec", 3e38, "the norm of W_dec's rows"),
        (partial(files.overcomplete, kind="JumpSAE"), "thresholds", 100.0, "threshold"),
        (files.overcomplete, "dictionary.multiplier", 100.0, "the norm of W_dec's rows"),
        (partial(files.prisma, architecture="gated"), "r_mag", 500.0, "W_enc"),
        (partial(files.sae_lens, rescale_acts_by_decoder_norm=True), "W_enc", 3e38, "W_enc"),
    ],
)
def test_finite_numbers_that_come_to_others_are_refused(
    write: Callable[[Path], Written], name: str, value: float, found: str, tmp_path: Path
) -> None:
    written = write(tmp_path)
    written.tensors[name].fill_(value)
    written.save()
    line = rf"{written.weights.name}: {found} comes to infinity or NaN in float32; expected finite"
    refused(tmp_path, line, **written.asked)


def test_the_scale_of_a_back_up_may_not_make_infinity(tmp_path: Path) -> None:
    written = files.dictionary_learning(tmp_path)
    torch.save({"ae": written.tensors, "norm_factor": 1e39}, written.weights)
    refused(tmp_path, r"ae\.pt: b_enc comes to infinity or NaN")


@pytest.mark.parametrize("write", [files.dictionary_learning, files.overcomplete, files.directions])
def test_rows_of_any_length_are_directions(write: Callable[[Path], Written], tmp_path: Path) -> None:
    written = write(tmp_path)
    [name] = {"decoder.weight", "dictionary._weights", "probes"} & written.tensors.keys()
    expected = load_sae(tmp_path, **written.asked).W_dec
    sizes = (1e-30,) if write is files.dictionary_learning else (1e-30, 1e38)
    for size in sizes:
        written.tensors[name] = written.tensors[name] / written.tensors[name].abs().max() * size
        written.save()
        torch.testing.assert_close(load_sae(tmp_path, **written.asked).W_dec, expected)


def test_a_few_numbers_that_pass_for_a_large_tensor_are_refused(tmp_path: Path) -> None:
    files.dictionary_learning(tmp_path)
    huge = torch.zeros(1).expand(10**6, 10**6)
    torch.save({"encoder.weight": huge, "decoder.weight": huge}, tmp_path / "ae.pt")
    (tmp_path / "config.json").unlink()
    refused(tmp_path, "not stored in full", activation="topk", k=1)


def test_an_unknown_file_lists_what_is_in_it_and_the_known_formats(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1), "b": torch.zeros(1)}, tmp_path / "sae.pt")
    refused(tmp_path, r"sae\.pt is of no known format, it holds a, b; expected .*SAELens")
    for content in (b"some text", b"\x1f\x8b", b""):
        (tmp_path / "sae.pt").write_bytes(content)
        refused(tmp_path, r"sae\.pt is no file of tensors.*save its state_dict\(\) alone")


def test_other_number_formats_are_read_as_float32(tmp_path: Path) -> None:
    written = files.dictionary_learning(tmp_path)
    for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn):
        written.tensors["encoder.weight"] = torch.ones(N_FEATURES, D_MODEL).to(dtype)
        written.save()
        assert torch.equal(load_sae(tmp_path).W_enc, torch.ones(D_MODEL, N_FEATURES))


def test_the_configuration_may_hold_anything(tmp_path: Path) -> None:
    files.dictionary_learning(tmp_path, lm_name=["x"], submodule_name={}, layer=None)
    assert load_sae(tmp_path).provenance.subject is None
    (tmp_path / "config.json").write_text(json.dumps({"trainer": [], "buffer": 3}))
    refused(tmp_path, "dict_class")
