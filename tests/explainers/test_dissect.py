"""Soft WPMI against loops written from the definition, and reading vocabularies."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from seesay.errors import UnusablePath
from seesay.explainers import dissect as module
from seesay.explainers.dissect import read_vocabulary, soft_wpmi


def cosines(n_images: int, n_phrases: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n_images, n_phrases, generator=generator, dtype=torch.float64) * 2 - 1


def drawn(n_images: int, lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.permutation(n_images)[:length].tolist() for length in lengths]


def slowly(similarity: np.ndarray, top_images: Sequence[Sequence[int]]) -> np.ndarray:
    """Feature by feature, phrase by phrase, image by image."""
    n_phrases = similarity.shape[1]
    found = np.full((len(top_images), n_phrases), np.nan)
    longest = max((min(len(images), 100) for images in top_images), default=0)
    for feature, images in enumerate(top_images):
        images = images[:100]
        for phrase in range(n_phrases if images else 0):
            total = 0.0
            for place, image in enumerate(images):
                weights = [math.exp(10 * value) for value in similarity[image]]
                s = weights[phrase] / sum(weights)
                p = 0.998 - place / len(images) * (0.998 - 0.97)
                total += math.log(1 + p * (s - 1) + 1e-7)
            found[feature, phrase] = total * longest / len(images)
    told = [feature for feature, images in enumerate(top_images) if images]
    for phrase in range(n_phrases if told else 0):
        largest = max(found[feature, phrase] for feature in told)
        mean = sum(math.exp(found[feature, phrase] - largest) for feature in told) / len(told)
        found[:, phrase] -= largest + math.log(mean)
    return found


def as_in_the_paper(similarity: Tensor, top_images: Tensor) -> Tensor:
    """All features at once, where each has 100 images."""
    probability = (10 * similarity).softmax(1)[top_images]
    p = torch.linspace(0.998, 0.97, 101, dtype=torch.float64)[:100, None]
    logs = (1 + p * (probability - 1) + 1e-7).log().sum(1)
    return logs - (logs.logsumexp(0) - math.log(len(logs)))


def test_a_hundred_images_a_feature_give_what_the_paper_gives() -> None:
    similarity, top_images = cosines(150, 20), drawn(150, [100] * 6)
    expected = as_in_the_paper(similarity, torch.tensor(top_images))
    torch.testing.assert_close(soft_wpmi(similarity, top_images), expected, rtol=1e-10, atol=1e-10)
    longer = [[*images, *range(10)] for images in top_images]
    torch.testing.assert_close(soft_wpmi(similarity, longer), expected, rtol=1e-10, atol=1e-10)


@given(st.lists(st.integers(0, 12), max_size=5), st.integers(1, 6), st.integers(0, 100))
def test_any_numbers_of_images_give_what_the_definition_says(lengths: list[int], n_phrases: int, seed: int) -> None:
    similarity, top_images = cosines(12, n_phrases, seed), drawn(12, lengths, seed)
    found = soft_wpmi(similarity, top_images)
    assert found.shape == (len(lengths), n_phrases)
    np.testing.assert_allclose(found, slowly(similarity.numpy(), top_images), rtol=1e-9, atol=1e-9)


def test_memory_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    similarity, top_images = cosines(30, 7), drawn(30, [10, 5])
    expected = soft_wpmi(similarity, top_images)
    monkeypatch.setattr(module, "_N_AT_ONCE", 20)
    assert torch.equal(soft_wpmi(similarity, top_images), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_narrow_numbers_give_32_bits(dtype: torch.dtype) -> None:
    similarity, top_images = cosines(150, 20).to(dtype), drawn(150, [100, 100, 40])
    found = soft_wpmi(similarity, top_images)
    assert found.dtype == torch.float32
    expected = soft_wpmi(similarity.double(), top_images)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-3)


def test_a_phrase_that_fits_the_images_of_one_feature_is_best_for_it() -> None:
    similarity = torch.zeros(40, 5)
    top_images = [list(range(10 * feature, 10 * feature + 10)) for feature in range(4)]
    for feature, images in enumerate(top_images):
        similarity[images, feature] = 0.5
    similarity[:, 4] = 0.6  # fits all images better still, and so tells nothing
    assert soft_wpmi(similarity, top_images).argmax(1).tolist() == [0, 1, 2, 3]


def test_a_feature_of_few_images_does_not_outweigh_the_others() -> None:
    similarity = torch.zeros(30, 3)
    similarity[:10, 0] = similarity[10:20, 1] = similarity[20:, 2] = 0.5
    top_images = [list(range(10)), list(range(10, 20)), [20]]
    found = soft_wpmi(similarity, top_images)
    assert found.argmax(1).tolist() == [0, 1, 2]
    assert float(found[2, 2]) == pytest.approx(float(found[0, 0]), rel=0.2)


def test_a_feature_without_images_counts_nowhere() -> None:
    similarity, top_images = cosines(12, 4), drawn(12, [5, 5])
    found = soft_wpmi(similarity, [top_images[0], [], top_images[1]])
    assert found[1].isnan().all()
    assert torch.equal(found[[0, 2]], soft_wpmi(similarity, top_images))
    assert soft_wpmi(similarity, [[], []]).isnan().all()
    assert soft_wpmi(similarity, []).shape == (0, 4)


def test_one_feature_alone_has_nothing_to_say() -> None:
    torch.testing.assert_close(soft_wpmi(cosines(12, 4), drawn(12, [6])), torch.zeros(1, 4, dtype=torch.float64))


def test_a_vocabulary_is_a_phrase_a_line(tmp_path: Path) -> None:
    file = tmp_path / "phrases.txt"
    file.write_bytes("\ufeffa red frog\r\n\n  grass \n\ta  car\u00a0\nüber\ngrass\n \n".encode())
    assert read_vocabulary(file) == ["a red frog", "grass", "a car", "über"]
    assert read_vocabulary(str(file)) == read_vocabulary(file)


def test_a_vocabulary_that_cannot_be_read_is_told_in_a_line(tmp_path: Path) -> None:
    empty, latin = tmp_path / "empty.txt", tmp_path / "latin.txt"
    empty.write_text(" \n\n")
    latin.write_bytes("über\n".encode("latin-1"))
    for path in (tmp_path / "absent.txt", tmp_path, empty, latin, "a\0b"):
        with pytest.raises(UnusablePath, match="one phrase a line") as caught:
            read_vocabulary(path)
        assert "\n" not in str(caught.value)
