"""A training that was stopped ends where an unbroken one does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from seesay.errors import UnusablePath
from seesay.world.training.log import TrainingLog
from seesay.world.training.loop import fit, learning_rate_factor, optimisers
from seesay.world.training.muon import orthogonalised

N_STEPS = 12


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([nn.Linear(4, 8), nn.Linear(8, 4)])
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return self.head(x)


def train(out: Path, *, stop_at: int | None = None, made_by: str = "test") -> Small:
    model = Small()

    def batches(step: int) -> Iterator[Tensor]:
        for index in range(step, N_STEPS):
            if index == stop_at:
                raise KeyboardInterrupt
            yield torch.randn(3, 4, generator=torch.Generator().manual_seed(index))

    with TrainingLog(out, "small") as log:
        fit(
            model,
            lambda x: model(x).square().mean(),
            batches,
            n_steps=N_STEPS,
            learning_rate=1e-2,
            checkpoint=out / "small.pt",
            made_by=made_by,
            checkpoint_seconds=0,
            log=log,
            evaluate=lambda: {"figure": 1.0},
            evaluate_every=4,
        )
    return model


def test_a_stopped_training_resumes_to_the_same_weights(tmp_path: Path) -> None:
    unbroken = train(tmp_path / "one")
    for stop_at in (3, 7):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "two", stop_at=stop_at)
    resumed = train(tmp_path / "two")
    for one, other in zip(unbroken.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_finished_training_is_not_trained_further(tmp_path: Path) -> None:
    once = train(tmp_path)
    again = train(tmp_path)
    for one, other in zip(once.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    train(tmp_path, made_by="seed 0")
    with pytest.raises(UnusablePath, match="seed 0.*seed 7"):
        train(tmp_path, made_by="seed 7")


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    train(tmp_path)
    whole = (tmp_path / "small.pt").read_bytes()
    (tmp_path / "small.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnusablePath, match="small.pt is damaged"):
        train(tmp_path)


def test_the_learning_rate_warms_up_and_comes_down() -> None:
    factors = [learning_rate_factor(step / 1000) for step in range(1001)]
    assert factors[0] < 0.1
    assert max(factors) == pytest.approx(1)
    assert factors[-1] == pytest.approx(0.03)
    peak = factors.index(max(factors))
    assert factors[:peak] == sorted(factors[:peak])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)


def test_every_parameter_is_in_just_one_optimiser() -> None:
    model = Small()
    found = [id(p) for optim in optimisers(model, 1e-3) for group in optim.param_groups for p in group["params"]]
    assert sorted(found) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("shape", [(8, 8), (4, 16), (16, 4)])
def test_an_orthogonalised_matrix_has_singular_values_near_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalised(matrix))
    assert values.min() > 0.5
    assert values.max() < 1.3
