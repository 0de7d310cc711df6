"""The map from pupils to phrases."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from seesay.errors import InvalidSetting
from seesay.teaching.config import Teaching
from seesay.teaching.fitting import fit, meanings


def test_what_is_said_of_all_pupils_counts_less() -> None:
    generator = torch.Generator().manual_seed(0)
    likelihoods = torch.randn(30, 4, generator=generator) + torch.tensor([9.0, 0.0, 0.0, 0.0])
    found = {share: meanings(likelihoods, Teaching(common_share=share)) for share in (0.0, 0.5, 1.0)}
    assert torch.allclose(found[0.0], likelihoods.softmax(-1))
    assert [round(each[:, 0].mean().item(), 1) for each in found.values()] == [1.0, 0.9, 0.2]
    assert torch.allclose(found[1.0], (likelihoods - likelihoods.mean(0)).softmax(-1))
    cooler = meanings(likelihoods, Teaching(common_share=0.0, temperature=2.0))
    assert torch.allclose(cooler, (likelihoods / 2).softmax(-1))


@pytest.mark.parametrize("decay", [1e-3, 1e-1])
def test_the_map_is_that_of_a_multinomial_regression(decay: float) -> None:
    rng = np.random.default_rng(0)
    offsets = rng.normal(size=(200, 6)) * rng.uniform(0.1, 10, size=(200, 1))
    labels = (offsets @ rng.normal(size=(6, 3))).argmax(1)
    unit = offsets / np.linalg.norm(offsets, axis=1, keepdims=True)
    expected = LogisticRegression(C=1 / (len(offsets) * decay), tol=1e-8, max_iter=1000).fit(unit, labels).coef_
    meant = torch.nn.functional.one_hot(torch.tensor(labels), 3).float()
    found = fit(torch.tensor(offsets), meant, Teaching(decay=decay, levelling=0.0))
    assert found.numpy() == pytest.approx(expected, abs=0.02 * np.abs(expected).max())


@pytest.mark.parametrize("levelling", [0.25, 0.5, 1.0])
def test_levelling_divides_by_a_power_of_the_norm(levelling: float) -> None:
    generator = torch.Generator().manual_seed(0)
    offsets, meant = torch.randn(50, 6, generator=generator), torch.rand(50, 3, generator=generator).softmax(-1)
    plain = fit(offsets, meant, Teaching(levelling=0.0))
    found = fit(offsets, meant, Teaching(levelling=levelling))
    assert torch.allclose(found.norm(dim=-1), plain.norm(dim=-1) ** (1 - levelling), rtol=1e-3)
    assert torch.allclose(torch.nn.functional.cosine_similarity(found, plain), torch.ones(3), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_pupils", 1), ("n_images", 0), ("n_phrases", -3), ("n_looked_at", 1 << 30), ("likeness", 0.0),
        ("likeness", 1.5), ("proposing", ()), ("proposing", (float("nan"),)), ("temperature", 0.0),
        ("common_share", 2.0), ("decay", 0.0), ("levelling", -1.0), ("seed", -1),
    ],
)  # fmt: skip
def test_numbers_that_nothing_can_be_taught_by_are_refused(name: str, value: object) -> None:
    with pytest.raises(InvalidSetting, match=f"{name} "):
        Teaching(**{name: value})
