"""What can happen to workers, and to whoever asks for them."""

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from seesay.backends import cluster
from seesay.backends.cluster import hired
from seesay.backends.placing import placed
from seesay.cli import main, parse
from seesay.commands.explain import Explain
from seesay.errors import InvalidSetting, MissingExtra, UnusableCluster
from tests.backends.tasks import Adding, nothing_there, ten

ONE, TWO = {"CPU": 4.0}, {"CPU": 2.0}
GPUS = {"CPU": 9.0, "GPU": 4.0}


@pytest.mark.parametrize(
    ("nodes", "n_workers", "on_cpu", "expected"),
    [
        ([ONE], None, False, (1, {"num_gpus": 0, "num_cpus": 4})),
        ([ONE], 2, False, (2, {"num_gpus": 0, "num_cpus": 2})),
        ([ONE], 3, False, (3, {"num_gpus": 0, "num_cpus": 1})),
        ([ONE, TWO], None, False, (2, {"num_gpus": 0, "num_cpus": 2})),
        ([ONE, TWO], 3, False, (3, {"num_gpus": 0, "num_cpus": 2})),
        ([GPUS], None, False, (4, {"num_gpus": 1, "num_cpus": 2})),
        ([GPUS, ONE], 3, False, (3, {"num_gpus": 1, "num_cpus": 2})),
        ([GPUS], None, True, (1, {"num_gpus": 0, "num_cpus": 9})),
    ],
)
def test_a_cluster_is_divided_among_its_workers(
    nodes: list[dict[str, float]], n_workers: int | None, on_cpu: bool, expected: tuple[int, dict[str, int]]
) -> None:
    assert placed(nodes, n_workers, on_cpu=on_cpu) == expected


@pytest.mark.parametrize(("nodes", "n_workers"), [([ONE], 5), ([GPUS], 5), ([{}], None)])
def test_more_workers_than_there_is_room_for_are_refused(nodes: list[dict[str, float]], n_workers: int | None) -> None:
    with pytest.raises(UnusableCluster, match="for each of them; ask for fewer"):
        placed(nodes, n_workers, on_cpu=False)


def test_without_ray_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"pip install 'seesay\[ray\]'"), hired(ten):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:6379", "127.0.0.1", "127.0.0.1:999999"])
def test_a_cluster_that_is_not_there_is_one_line(
    address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["collect", "--images", "world:8", "--out", str(tmp_path / "x"), "--backend", "ray"]
    assert main([*arguments, "--address", address]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"seesay: error: no cluster at {address}: ")
    assert error.count("\n") == 1


def test_what_listens_and_is_not_ray_is_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_ANSWER_S", 5.0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(UnusableCluster, match="does not answer as Ray"), hired(ten, address=address):
            pass
    with pytest.raises(UnusableCluster, match="Ray's client"), hired(ten, address="ray://localhost:10001"):
        pass


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--workers 2", "--workers for one process; expected --backend ray"),
        ("--address auto", "--address for one process"),
        ("--backend ray --device cuda:1", "--device cuda:1 for many workers"),
        ("--backend ray --spread", "--spread with --backend ray"),
        ("--backend ray --method dissect", "--backend for dissect"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(
    flags: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", str(tmp_path / "none"), *flags.split()]) == 2
    assert message in capsys.readouterr().err


def test_every_flag_reaches_the_options() -> None:
    command = parse(["explain", "x", "--backend", "ray", "--workers", "3", "--address", "head:6379"])
    assert isinstance(command, Explain)
    sharing = command.sharing
    assert (sharing.backend, sharing.workers, sharing.address) == ("ray", 3, "head:6379")


@pytest.mark.slow
def test_what_a_dead_worker_had_is_done_by_another(ray: Any, tmp_path: Path) -> None:
    task = Adding(dies_at=5, once=tmp_path / "died")
    with hired(ten, n_workers=2) as crew:
        found = [each for result in crew.run(task, range(40), 2, in_order=True) for each in result]
    assert (tmp_path / "died").exists()
    assert found == [(item, item + 10) for item in range(40)]


@pytest.mark.slow
def test_a_piece_of_which_every_worker_dies_is_an_error(ray: Any) -> None:
    with hired(ten, n_workers=2) as crew, pytest.raises(UnusableCluster, match="3 workers died, one after another"):
        list(crew.run(Adding(dies_at=5), range(40), 2))


@pytest.mark.slow
def test_workers_that_differ_are_an_error_that_says_in_what(ray: Any) -> None:
    with hired(ten, n_workers=2) as crew, pytest.raises(UnusableCluster, match="workers that differ in who"):
        for _ in range(50):
            list(crew.run(Adding(differs=True), range(40), 1))


@pytest.mark.slow
def test_models_that_cannot_be_loaded_are_the_error_that_says_so(ray: Any) -> None:
    with hired(nothing_there, n_workers=1) as crew, pytest.raises(InvalidSetting, match="no models; expected some"):
        crew.facts(Adding())
