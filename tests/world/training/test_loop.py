"""A training that was stopped ends where an unbroken one does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from seesay.errors import UnusablePath
from seesay.training_log import TrainingLog
from seesay.world.training.loop import fit, learning_rate_factor, mixed_precision, optimisers
from seesay.world.training.muon import Muon, orthogonalised

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
            device=torch.device("cpu"),
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


def test_a_checkpoint_of_other_weights_or_of_somebody_else_is_named(tmp_path: Path) -> None:
    train(tmp_path)
    state = torch.load(tmp_path / "small.pt", weights_only=True)
    for foreign in ({**state, "model": {"layers.0.weight": torch.zeros(2, 2)}}, {"model": state["model"]}, [1]):
        torch.save(foreign, tmp_path / "small.pt")
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
def test_orthogonalised_matrices_have_singular_values_near_one(shape: tuple[int, int]) -> None:
    matrices = torch.randn((2, *shape), generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonalised(matrices))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_matrices_of_one_shape_are_updated_as_they_would_be_alone() -> None:
    start = [torch.randn(shape, generator=torch.Generator().manual_seed(n)) for n, shape in enumerate([(4, 8)] * 3)]

    def updated(*chosen: int) -> list[Tensor]:
        parameters = [nn.Parameter(start[n].clone()) for n in chosen]
        for parameter in parameters:
            parameter.grad = parameter.detach().square()
        Muon(parameters, lr=0.1).step()
        return [parameter.detach() for parameter in parameters]

    together = updated(0, 1, 2)
    for number, parameter in enumerate(together):
        assert torch.allclose(parameter, updated(number)[0], atol=1e-3)  # products in bfloat16 may round elsewhere
        assert not torch.equal(parameter, start[number])


@pytest.mark.parametrize(("computes", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_the_precision_follows_the_machine(monkeypatch: pytest.MonkeyPatch, computes: bool, dtype: torch.dtype) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": computes})
    with mixed_precision(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
