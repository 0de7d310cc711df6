"""Embedders against the models' own code; small random models for how, the embedded world's for meaning."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

from seesay import world
from seesay.errors import NotEnoughMemory, NotFinite, UnreadableImage, UnreadableModel
from seesay.instruments.embedders import ImageTextEmbedder, load_embedder
from seesay.instruments.instrument import Embedder
from seesay.world.concepts import CONCEPTS, Concept
from seesay.world.grammar import phrase
from seesay.world.rendering import render
from seesay.world.scenes import sample
from seesay.world.streams import seeds
from tests.families import PATCH, SHORTEST, SIDE, SQUARE, VISION, randomised

N_TOKENS = 12
WORDS = str.split("<pad> <eos> <bos> <unk> a red green frog car on sand sky w0 w1 w2 w3 w4 w5 w6 w7 w8 w9")
TEXT = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": N_TOKENS,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
}
NAFLEX = {name: value for name, value in VISION.items() if name != "image_size"} | {"num_patches": 16}
TEXTS = ["a red frog", "", "green car on sand", "w0 w1 w2 w3 w4 w5 w6 w7 w8 w9 a red green", "sky"]


def words(start: str) -> Any:
    """A tokenizer of whole words; every text ends with <eos>."""
    core = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(f"{start}$A <eos>", None, [("<eos>", 1), ("<bos>", 2)])
    return hf.PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>", pad_token="<pad>", unk_token="<unk>")


def letters() -> Any:
    """SigLIP 2's own tokenizer, of single letters."""
    tokens = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *"abcdefghijklmnopqrstuvwxyz0123456789"]
    found = hf.Siglip2Tokenizer(vocab={token: number for number, token in enumerate(tokens)}, merges=[])
    found.backend_tokenizer.post_processor = processors.TemplateProcessing("$A <eos>", None, [("<eos>", 1)])
    return found


def clip() -> Any:
    config = hf.CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=24)
    images = CLIPImageProcessorPil(size=SHORTEST, crop_size=SQUARE)
    return randomised(hf.CLIPModel(config)), hf.CLIPProcessor(images, words("<bos> "))


def siglip() -> Any:
    config = hf.SiglipConfig(text_config=TEXT, vision_config=VISION)
    return randomised(hf.SiglipModel(config)), hf.SiglipProcessor(SiglipImageProcessorPil(size=SQUARE), words(""))


def siglip2() -> Any:
    config = hf.Siglip2Config(text_config=TEXT, vision_config=NAFLEX)
    images = Siglip2ImageProcessorPil(patch_size=PATCH, max_num_patches=20)
    return randomised(hf.Siglip2Model(config)), hf.Siglip2Processor(images, letters())


BUILDERS: dict[str, Callable[[], Any]] = {"clip": clip, "siglip": siglip, "siglip2": siglip2}


@pytest.fixture(scope="module", params=BUILDERS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(request.param, tmp_path_factory.mktemp(request.param))


def saved(family: str, folder: Path) -> Path:
    for part in BUILDERS[family]():
        part.save_pretrained(folder)
    return folder


def loaded(folder: Path, **options: Any) -> ImageTextEmbedder:
    return load_embedder(folder, device="cpu", **options)


def pictures(n: int = 5) -> list[Image.Image]:
    """Pictures of noise, each of its own size and shape."""
    rng = np.random.default_rng(0)
    sizes = [(SIDE + 5 * number, SIDE + 3 * (n - number)) for number in range(n)]
    return [Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)) for width, height in sizes]


def model_of(embedder: ImageTextEmbedder) -> Any:
    return embedder._model


def forgetting(embedder: ImageTextEmbedder, name: str, n: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let a model run out of memory beyond n rows; the numbers of rows that it was asked for."""
    sizes: list[int] = []
    run = getattr(model_of(embedder), name)

    # the signature tells which parts of a picture the model takes
    def short_of_memory(**fed: Any) -> Any:
        sizes.append(len(next(iter(fed.values()))))
        if sizes[-1] > n:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return run(**fed)

    monkeypatch.setattr(model_of(embedder), name, short_of_memory)
    return sizes


def test_cosines_are_those_that_the_model_itself_compares_by(folder: Path) -> None:
    model = hf.AutoModel.from_pretrained(folder).eval()
    embedder = loaded(folder)
    if model.config.model_type == "clip":
        padding: dict[str, Any] = {"padding": True}
    else:  # as those were converted: on the right, to the full length, without a mask
        full = {"padding": "max_length", "max_length": N_TOKENS}
        padding = full | {"padding_side": "right", "return_attention_mask": False}
    images, texts = pictures(), [text for text in TEXTS if len(text) < N_TOKENS]
    tokens = embedder._tokenizer(texts, return_tensors="pt", return_token_type_ids=False, **padding)
    with torch.no_grad():
        found = model(**tokens, **embedder._image_processor(images, return_tensors="pt")).logits_per_image
        expected = (found - getattr(model, "logit_bias", 0.0)) / model.logit_scale.exp()
    cosines = embedder.embed_images(images) @ embedder.embed_texts(texts).T
    assert cosines.std() > 0.01
    torch.testing.assert_close(cosines, expected, atol=1e-5, rtol=0)


def test_vectors_are_unit_and_32_bit_on_the_cpu(folder: Path) -> None:
    embedder = loaded(folder, dtype="bfloat16")
    assert isinstance(embedder, Embedder)
    for vectors in (embedder.embed_images(pictures()), embedder.embed_texts(TEXTS)):
        assert vectors.shape == (5, embedder.dimension)
        assert vectors.dtype == torch.float32
        assert vectors.device.type == "cpu"
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(5))


def test_vectors_do_not_depend_on_the_batch(folder: Path) -> None:
    one, two, many = (loaded(folder, batch_size=size) for size in (1, 2, 64))
    for name, items in (("embed_images", pictures()), ("embed_texts", TEXTS)):
        together = getattr(many, name)(items)
        assert (together - together[0]).abs().sum(1)[1:].min() > 0.01, "they differ from one another"
        torch.testing.assert_close(getattr(one, name)(items), together, atol=1e-5, rtol=0)
        torch.testing.assert_close(getattr(two, name)(items[::-1]), together.flip(0), atol=1e-5, rtol=0)


def test_what_is_repeated_is_computed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = loaded(folder)
    image, other = pictures(2)
    rows = forgetting(embedder, "get_image_features", 99, monkeypatch)
    vectors = embedder.embed_images([image, other, image.copy(), image])
    assert rows == [2]
    assert torch.equal(vectors[[0, 0, 0]], vectors[[0, 2, 3]])
    assert not torch.equal(vectors[0], vectors[1])
    rows = forgetting(embedder, "get_text_features", 99, monkeypatch)
    vectors = embedder.embed_texts(["a red frog", "sky", "a red frog", "A RED Frog"])
    assert rows == [2]
    assert torch.equal(vectors[[0, 0]], vectors[[2, 3]])


def test_nothing_has_no_vectors(folder: Path) -> None:
    embedder = loaded(folder)
    assert embedder.embed_images([]).shape == embedder.embed_texts([]).shape == (0, embedder.dimension)


def test_a_long_text_is_cut_at_the_length_of_the_model(folder: Path) -> None:
    embedder = loaded(folder)
    start = " ".join(["a", "w1"] * N_TOKENS)
    long, longer, other = embedder.embed_texts([start, start + " red frog" * 500, "w1 " + start])
    torch.testing.assert_close(long, longer)
    assert not torch.allclose(long, other, atol=1e-3)


def test_an_empty_text_has_a_vector_of_its_own(folder: Path) -> None:
    empty, full = loaded(folder).embed_texts(["", "red"])
    assert empty.norm() == pytest.approx(1, abs=1e-6)
    assert not torch.allclose(empty, full, atol=1e-3)


def test_images_of_any_mode_are_seen_in_colour(folder: Path) -> None:
    embedder = loaded(folder)
    grey = pictures(1)[0].convert("L")
    see_through = grey.convert("RGBA")
    see_through.putalpha(0)
    vectors = embedder.embed_images([grey, grey.convert("RGB"), see_through, Image.new("RGB", grey.size, "white")])
    assert torch.equal(vectors[0], vectors[1])
    assert torch.equal(vectors[2], vectors[3])
    assert not torch.allclose(vectors[0], vectors[2], atol=1e-3)


def test_batches_are_halved_until_they_fit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = loaded(folder)
    for function, name, items in (
        ("embed_images", "get_image_features", pictures()),
        ("embed_texts", "get_text_features", TEXTS),
    ):
        expected = getattr(embedder, function)(items)
        assert forgetting(embedder, name, 2, monkeypatch) == []
        torch.testing.assert_close(getattr(embedder, function)(items), expected, atol=1e-5, rtol=0)
        forgetting(embedder, name, 0, monkeypatch)
        with pytest.raises(NotEnoughMemory, match="^one (image of 32x|text)"):
            getattr(embedder, function)(items)


def test_numbers_that_overflow_are_told(folder: Path) -> None:
    embedder = loaded(folder)
    with torch.no_grad():
        for parameter in model_of(embedder).parameters():
            parameter.mul_(1e20)
    with pytest.raises(NotFinite, match="--dtype"):
        embedder.embed_images(pictures(1))


def test_facts_name_the_weights_and_the_colour_of_the_mask(folder: Path) -> None:
    embedder = loaded(folder, batch_size=3)
    facts = dict(embedder.facts)
    assert json.loads(json.dumps(facts)) == facts == dict(loaded(folder).facts)
    assert facts["embedder"] == json.loads((folder / "config.json").read_text())["model_type"]
    assert facts["mask_fill"] == [0, 0, 0] == list(embedder.mask_fill)
    pink = loaded(folder, mask_fill=(255, 0, 255))
    assert pink.mask_fill == (255, 0, 255)
    assert pink.facts == facts | {"mask_fill": [255, 0, 255]}
    model = model_of(embedder)
    with torch.no_grad():
        next(iter(model.text_model.parameters())).add_(1)
    changed = ImageTextEmbedder(model, embedder._image_processor, embedder._tokenizer)
    assert changed.facts["weights"] != facts["weights"]


@pytest.mark.parametrize("size", [(0, 8), (8, 0)])
def test_an_image_without_pixels_is_told_by_its_number(size: tuple[int, int], tmp_path: Path) -> None:
    embedder = loaded(saved("clip", tmp_path))
    with pytest.raises(UnreadableImage, match="image 1"):
        embedder.embed_images([Image.new("RGB", (8, 8)), Image.new("RGB", size)])


def test_an_image_that_the_processor_refuses_is_told_by_its_size(tmp_path: Path) -> None:
    embedder = loaded(saved("clip", tmp_path))

    def refusing(*_given: Any, **_named: Any) -> Any:
        raise ValueError("too narrow")

    embedder._image_processor = refusing
    with pytest.raises(UnreadableImage, match="an image of 9x8 pixels: too narrow"):
        embedder.embed_images([Image.new("RGB", (9, 8))])


def test_a_model_that_is_no_embedder_is_refused_with_those_that_are(checkpoint: Path) -> None:
    with pytest.raises(UnreadableModel, match="'gemma3'; expected an embedder .* clip, siglip, siglip2") as caught:
        load_embedder(checkpoint, device="cpu")
    assert "\n" not in str(caught.value)


def test_what_is_no_checkpoint_is_told_in_a_line(tmp_path: Path) -> None:
    for name in ("", tmp_path / "absent", tmp_path):
        with pytest.raises(UnreadableModel) as caught:
            load_embedder(name, device="cpu")
        assert "\n" not in str(caught.value)


def test_a_damaged_checkpoint_is_told_in_a_line(tmp_path: Path) -> None:
    whole = saved("siglip", tmp_path / "whole")
    weights = load_file(whole / "model.safetensors")

    def damaged(name: str) -> Path:
        copy = tmp_path / name
        shutil.copytree(whole, copy)
        return copy

    without_tokenizer, without_weights, cut, lacking, nan = map(damaged, ("words", "none", "cut", "lacking", "nan"))
    for file in without_tokenizer.glob("tokenizer*"):
        file.unlink()
    (without_weights / "model.safetensors").unlink()
    (cut / "model.safetensors").write_bytes((whole / "model.safetensors").read_bytes()[:-100])
    head = "text_model.head.weight"
    save_file({k: v for k, v in weights.items() if k != head}, lacking / "model.safetensors", {"format": "pt"})
    save_file(weights | {head: weights[head] * torch.nan}, nan / "model.safetensors", {"format": "pt"})
    expected = {without_tokenizer: "tokenizer", without_weights: "safetensors", cut: "cut: ", lacking: head, nan: head}
    for folder, words_of_it in expected.items():
        with pytest.raises(UnreadableModel, match=words_of_it) as caught:
            load_embedder(folder, device="cpu")
        assert "\n" not in str(caught.value)


def test_the_scorer_of_the_world_finds_the_word_for_a_picture() -> None:
    embedder = load_embedder(world.scorer(), device="cpu")
    things = [concept for concept in CONCEPTS if concept.kind == "thing"][::3]
    assert len(things) > 4

    def shown(concept: Concept, seed: int) -> Image.Image:
        return Image.fromarray(render(sample(seed, (concept,))).pixels)

    images = [shown(concept, seed) for concept in things for seed in seeds("evaluation", 0, 3)]
    cosines = embedder.embed_images(images) @ embedder.embed_texts([phrase(concept) for concept in things]).T
    right = torch.arange(len(things)).repeat_interleave(3)
    others = ~torch.nn.functional.one_hot(right, len(things)).bool()
    gap = cosines[range(len(images)), right] - cosines[others].reshape(len(images), -1).mean(1)
    assert gap.mean() > 0.1
    assert (gap > 0).float().mean() > 0.8


@pytest.mark.gpu
def test_vectors_do_not_depend_on_the_device(folder: Path) -> None:
    here, there = loaded(folder), load_embedder(folder, device="cuda", dtype="float32")
    torch.testing.assert_close(there.embed_images(pictures()), here.embed_images(pictures()), atol=1e-3, rtol=0)
    torch.testing.assert_close(there.embed_texts(TEXTS), here.embed_texts(TEXTS), atol=1e-3, rtol=0)
