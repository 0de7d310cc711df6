"""Small trainings on a small random encoder's residual stream."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import save_file

from seesay.errors import InvalidTraining, LayerNotFound, MissingExtra, UnusablePath
from seesay.images.loading import batches
from seesay.images.sources import ImageSource, open_source
from seesay.sae import load_sae
from seesay.sae.quality import measure
from seesay.sae.training import ARCHITECTURES, Architecture, SAETrainingConfig
from seesay.sae.training import training as training_module
from seesay.sae.training.checkpoints import Checkpoints
from seesay.sae.training.patches import PatchStream
from seesay.sae.training.training import Task, train_sae
from seesay.training_log import logged
from seesay.vlm import Encoder
from tests.families import D_MODEL, EYES, SIDE, gemma3

# transformer-lens, which sae-lens imports, uses names of its own that it has deprecated
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

CONFIG = SAETrainingConfig(
    n_features=64,
    k=8,
    n_steps=60,
    batch_size=64,
    learning_rate=3e-3,
    n_warm_up_steps=5,
    dead_after=30,
    buffer_batches=4,
)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return gemma3().vlm().encoder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ImageSource:
    folder = tmp_path_factory.mktemp("images")
    for number in range(40):
        pixels = np.random.default_rng(number).integers(0, 255, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / f"{number:02d}.png")
    return open_source(folder)


@pytest.fixture
def task(encoder: Encoder, source: ImageSource) -> Task:
    return Task(encoder, 1, source, "tiny")


def interrupt(*_arguments: object) -> dict[str, float]:
    raise KeyboardInterrupt


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def read_starts(out: Path) -> list[int]:
    return [int(entry["resumed_at"]) for entry in logged(out / "training.jsonl") if "resumed_at" in entry]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_learns_and_is_read_back(architecture: Architecture, task: Task, tmp_path: Path) -> None:
    trained = train_sae(replace(CONFIG, architecture=architecture, n_steps=200), task, tmp_path / "sae")
    sae = load_sae(trained.folder)
    assert (sae.n_features, sae.d_model) == (64, D_MODEL)
    assert (sae.provenance.subject, sae.provenance.layer) == ("tiny", 1)
    quality = measure(sae, task.encoder, 1, task.source)
    assert quality.variance_explained > 0.5
    assert quality.variance_explained == pytest.approx(trained.figures["variance_explained"], abs=0.1)
    assert quality.l0 == pytest.approx(trained.figures["l0"], rel=0.3), "as many features as while it learnt"
    assert (trained.folder / "report.html").read_text().count("variance explained") >= 1
    assert not (trained.folder / "checkpoints").exists()


def test_a_training_goes_on_from_its_last_checkpoint(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = train_sae(CONFIG, task, tmp_path / "unbroken")
    broken = tmp_path / "broken"
    figures = training_module._figures

    def stop_at_step_40(trainer: object, output: object) -> dict[str, float]:
        if trainer.n_training_steps == 50:  # pyright: ignore[reportAttributeAccessIssue]
            raise KeyboardInterrupt
        return figures(trainer, output)

    monkeypatch.setattr(training_module, "_figures", stop_at_step_40)
    with pytest.raises(KeyboardInterrupt):
        train_sae(CONFIG, task, broken, checkpoint_minutes=0)
    assert len(list((broken / "checkpoints").iterdir())) == 2
    monkeypatch.undo()
    with pytest.raises(UnusablePath, match="--resume"):
        train_sae(CONFIG, task, broken)
    with pytest.raises(UnusablePath, match="another k: 8"):
        train_sae(replace(CONFIG, k=4), task, broken, resume=True)
    resumed = train_sae(CONFIG, task, broken, resume=True)
    assert resumed.figures == unbroken.figures
    assert torch.equal(load_sae(broken).W_dec, load_sae(unbroken.folder).W_dec)
    assert read_starts(broken) == [0, 49]


def test_a_finished_training_is_left_as_it_is(task: Task, tmp_path: Path) -> None:
    config, out = replace(CONFIG, n_steps=3), tmp_path / "sae"
    first = train_sae(config, task, out)
    log = (out / "training.jsonl").read_text()
    again = train_sae(config, task, out, resume=True)
    assert (again.figures, again.went_on_from) == (first.figures, None)
    assert (out / "training.jsonl").read_text() == log
    with pytest.raises(UnusablePath, match="holds a finished training.*--resume"):
        train_sae(config, task, out)
    with pytest.raises(UnusablePath, match="another n_steps: 3"):
        train_sae(CONFIG, task, out, resume=True)
    (out / "training.json").write_text("[")
    with pytest.raises(UnusablePath, match="training.json"):
        train_sae(config, task, out, resume=True)


@pytest.mark.parametrize("part", ["stream.safetensors", "sae_weights.safetensors", "trainer_state.pt", "identity.json"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    part: str, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(training_module, "_METRICS_EVERY", 4)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training_module, "_figures", interrupt)
        train_sae(CONFIG, task, tmp_path, checkpoint_minutes=0)
    older, newest = sorted((tmp_path / "checkpoints").iterdir())
    cut(newest / part)
    resumed = train_sae(CONFIG, task, tmp_path, resume=True)
    assert resumed.went_on_from == int(older.name)
    assert newest.name in caplog.text


def test_checkpoints_that_are_all_damaged_are_refused(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_module, "_METRICS_EVERY", 4)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training_module, "_figures", interrupt)
        train_sae(CONFIG, task, tmp_path, checkpoint_minutes=0)
    for checkpoint in (tmp_path / "checkpoints").iterdir():
        cut(checkpoint / "trainer_state.pt")
    with pytest.raises(UnusablePath, match="cannot go on from .*00000003"):
        train_sae(CONFIG, task, tmp_path, resume=True)


def test_a_folder_with_something_else_in_it_is_refused(task: Task, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(UnusablePath, match=r"holds holiday.jpg.*--out"):
        train_sae(CONFIG, task, tmp_path)
    (tmp_path / "holiday.jpg").rename(tmp_path / "cfg.json")  # somebody else's SAE
    with pytest.raises(UnusablePath, match=r"holds cfg.json.*--out"):
        train_sae(CONFIG, task, tmp_path, resume=True)


def test_a_training_that_diverges_ends_with_a_line_and_without_an_sae(task: Task, tmp_path: Path) -> None:
    with pytest.raises(InvalidTraining, match=r"loss is (nan|inf) at step .*lower learning rate"):
        train_sae(replace(CONFIG, learning_rate=1e30), task, tmp_path)
    assert not (tmp_path / "cfg.json").exists()


def test_control_c_keeps_what_was_learnt(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    unbroken = train_sae(CONFIG, task, tmp_path / "unbroken")
    figures = training_module._figures

    def interrupted(trainer: object, output: object) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGINT)
        return figures(trainer, output)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a test in the background ignores it
    try:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(training_module, "_figures", interrupted)
            train_sae(CONFIG, task, tmp_path / "broken")
    finally:
        signal.signal(signal.SIGINT, before)
    assert "kept at step 25 of 60" in " ".join(capsys.readouterr().err.split())
    resumed = train_sae(CONFIG, task, tmp_path / "broken", resume=True)
    assert resumed.went_on_from == 25
    assert resumed.figures == unbroken.figures


@pytest.mark.parametrize(
    "wrong",
    [{"k": 65}, {"k": 0}, {"learning_rate": float("nan")}, {"learning_rate": -1.0}, {"n_steps": 0}, {"batch_size": 1}],
)
def test_a_training_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidTraining, match=f"{next(iter(wrong))}.*expected"):
        replace(CONFIG, **wrong)


def test_a_run_that_was_killed_at_its_last_step_goes_on(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = train_sae(CONFIG, task, tmp_path / "unbroken")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training_module, "write_report", interrupt)
        patch.setattr(Checkpoints, "note", interrupt)
        train_sae(CONFIG, task, tmp_path / "killed", checkpoint_minutes=0)
    resumed = train_sae(CONFIG, task, tmp_path / "killed", resume=True)
    assert (resumed.figures, resumed.went_on_from) == (unbroken.figures, 60)


def test_a_log_with_a_line_cut_short_and_a_report_that_cannot_be_written_lose_nothing(
    task: Task, tmp_path: Path
) -> None:
    (tmp_path / "training.jsonl").write_text('{"seconds": 1.0, "st')
    (tmp_path / "report.html").mkdir()
    with pytest.raises(UnusablePath, match=r"report\.html"):
        train_sae(CONFIG, task, tmp_path)
    assert load_sae(tmp_path).n_features == 64
    assert read_starts(tmp_path) == [0]
    assert train_sae(CONFIG, task, tmp_path, resume=True).went_on_from is None


def test_a_disk_that_is_full_loses_no_checkpoint(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n_written = 0

    def full_soon(tensors: dict[str, torch.Tensor], path: Path) -> None:
        nonlocal n_written
        n_written += 1
        if n_written == 3:
            raise SafetensorError("No space left on device")
        save_file(tensors, path)

    with monkeypatch.context() as patch, pytest.raises(UnusablePath, match="No space left"):
        patch.setattr("seesay.sae.training.checkpoints.save_file", full_soon)
        train_sae(CONFIG, task, tmp_path, checkpoint_minutes=0)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["00000001", "00000002"]
    assert train_sae(CONFIG, task, tmp_path, resume=True).went_on_from == 2


def test_figures_are_of_the_sae_as_it_is_saved(task: Task, tmp_path: Path) -> None:
    trained = train_sae(replace(CONFIG, architecture="batchtopk"), task, tmp_path)
    quality = measure(load_sae(tmp_path), task.encoder, 1, task.source)
    assert trained.figures["l0"] == pytest.approx(quality.l0, rel=0.1)
    assert trained.figures["variance_explained"] == pytest.approx(quality.variance_explained, abs=0.05)


def test_others_can_read_the_weights(task: Task, tmp_path: Path) -> None:
    trained = train_sae(replace(CONFIG, n_steps=1), task, tmp_path)
    for path in trained.folder.glob("*.*"):
        assert path.stat().st_mode & 0o044 == 0o044, path


@pytest.mark.parametrize("eye", ["siglip_vision_model", "clip_vision_model"])  # the second one has a CLS token
def test_the_stream_forgets_no_patch_and_draws_none_twice(eye: str, source: ImageSource) -> None:
    encoder = EYES[eye]().encoder()

    def stream() -> PatchStream:
        return PatchStream(encoder, source, 1, batch_size=96, buffer_batches=3, seed=0)

    encoded = [
        encoder.encode_prepared(batch.prepared, 1) for batch in batches(source, batch_size=8, prepare=encoder.prepare)
    ]
    every = torch.cat([each.residual[each.is_patch] for each in encoded])
    n_epochs = 3
    n_batches = n_epochs * len(every) // 96
    assert n_batches * 96 == n_epochs * len(every)
    unbroken = stream()
    drawn = [next(unbroken) for _ in range(n_batches)]
    # what was read and not drawn yet is in the buffer, and makes the epochs whole
    left_over = torch.cat([unbroken.state_dict()["buffer"], unbroken.state_dict()["ahead"]])
    seen = torch.cat([*drawn, left_over])
    distances = torch.cdist(seen, every, compute_mode="donot_use_mm_for_euclid_dist")
    counts = distances.argmin(1).bincount(minlength=len(every))
    assert distances.min(1).values.max() < 1e-4
    assert counts.max() - counts.min() <= 1
    assert distances[:96].argmin(1).tolist() != list(range(96))

    for n_before in (0, 1, 7):
        broken = stream()
        before = [next(broken) for _ in range(n_before)]
        resumed = stream()
        resumed.load_state_dict({name: tensor.clone() for name, tensor in broken.state_dict().items()})
        assert torch.equal(
            torch.cat([*before, *(next(resumed) for _ in range(n_batches - n_before))]), torch.cat(drawn)
        )


def test_a_block_that_is_not_there_is_refused(task: Task, tmp_path: Path) -> None:
    with pytest.raises(LayerNotFound):
        train_sae(CONFIG, replace(task, layer=99), tmp_path / "sae")


def test_what_is_not_installed_is_named(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_module, "find_spec", lambda _package: None)
    with pytest.raises(MissingExtra, match=r"sae-lens.*seesay\[train\]"):
        train_sae(CONFIG, task, tmp_path / "sae")


SCRIPT = """
import sys
from pathlib import Path
from tests.sae.training.test_training import CONFIG
from seesay.images.sources import open_source
from seesay.sae import load_sae
from seesay.sae.quality import measure
from seesay.sae.training.training import Task, train_sae
from tests.families import gemma3
from dataclasses import replace
out, images = map(Path, sys.argv[1:])
task = Task(gemma3().vlm().encoder, 1, open_source(images), "tiny")
config = replace(CONFIG, n_steps=1500, learning_rate=1e-3)
trained = train_sae(config, task, out, resume=True, checkpoint_minutes=0.005)
# on all images, not on the last batches, which differ
print(1 - measure(load_sae(trained.folder), task.encoder, 1, task.source).variance_explained)
"""


@pytest.mark.slow
def test_a_training_that_is_killed_at_any_moment_goes_on_to_its_end(source: ImageSource, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for entry in source.entries():
        entry.read().save(folder / entry.id)

    def start(name: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / name), str(folder)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    def last_loss(process: subprocess.Popen[str]) -> float:
        with process:
            said, _ = process.communicate()
        assert process.returncode == 0
        return float(said.splitlines()[-1])

    def newest_checkpoint() -> str:
        checkpoints = tmp_path / "killed" / "checkpoints"
        return max((path.name for path in checkpoints.glob("[0-9]*")), default="")

    def kill_when(is_time: Callable[[], bool], delay: float = 0.0) -> None:
        process = start("killed")
        while process.poll() is None and not is_time():
            time.sleep(0.002)
        time.sleep(delay)
        with process:
            process.send_signal(signal.SIGKILL)

    out = tmp_path / "killed"
    kill_when((out / "training.jsonl").exists)  # before the first checkpoint
    for delay in (0.0, 0.15, 0.4):
        before = newest_checkpoint()
        kill_when(lambda: newest_checkpoint() > before, delay)  # noqa: B023 called at once
    kill_when((out / ".sae.partial").exists)  # while the SAE is saved
    kill_when((out / "training.json").exists)  # between the record, the SAE and the report
    unbroken, killed = last_loss(start("unbroken")), last_loss(start("killed"))
    assert unbroken < 0.1, "most of the variance is explained"
    assert killed == pytest.approx(unbroken, rel=0.02)
    assert len(read_starts(out)) >= 5
