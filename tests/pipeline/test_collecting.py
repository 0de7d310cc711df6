"""Collecting into a run, against a reference that keeps every activation; stopped, killed and gone on with."""

import errno
import os
import signal
import sqlite3
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
from safetensors.torch import save_file

from seesay.errors import FeatureNotFound, MismatchedSAE, NotFinite, UnreadableImages, UnusablePath
from seesay.exemplars.config import PARTS, CollectionConfig
from seesay.exemplars.hashing import image_id_of, part_of
from seesay.images.decoding import pixel_hash
from seesay.images.sources import First, ImageSource, open_source
from seesay.pipeline import checkpoint, collecting, looking
from seesay.pipeline.checkpoint import n_collected
from seesay.pipeline.collecting import Subject, collect
from seesay.sae.model import SAE, unit_rows
from seesay.store.exemplars import exemplars, features
from seesay.store.run import Run
from tests.families import D_MODEL, gemma3

N_FEATURES, K, LAYER, N_IMAGES = 40, 4, 1, 60
CONFIG = CollectionConfig(n_top=4, n_quantiles=2, n_per_quantile=3, n_sampled=10, n_inactive=3, n_background=20)


def small_sae(seed: int = 0) -> SAE:
    generator = torch.Generator().manual_seed(seed)
    W_dec, _ = unit_rows(torch.randn(N_FEATURES, D_MODEL, generator=generator))
    b_enc = torch.linspace(0, -2, N_FEATURES)
    return SAE(W_dec.T.contiguous(), W_dec, b_enc, torch.zeros(D_MODEL), "topk", k=K)


def write_images(folder: Path, n: int = N_IMAGES) -> Path:
    folder.mkdir(parents=True)
    for number in range(n):
        generator = np.random.default_rng(number // 2 if number % 10 == 1 else number + 1000)  # some come twice
        pixels = generator.integers(0, 255, (4, 4, 3), dtype=np.uint8)
        size = (24 + number % 5, 24)
        Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(folder / f"{number:03d}.png")
    (folder / "005b.png").write_bytes((folder / "005.png").read_bytes())
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ImageSource:
    return open_source(write_images(tmp_path_factory.mktemp("source") / "images"))


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject(gemma3().vlm().encoder, small_sae(), LAYER, {"subject": "tiny", "sae": "small"})


def collected(folder: Path, subject: Subject, source: ImageSource, **options: Any) -> dict[str, Any]:
    with Run.writing(folder, subject.as_json()) as run:
        return collect(run, subject, source, CONFIG, images_at_once=7, **options)


def alter(folder: Path, statement: str) -> None:
    """Do to a run what a stranger may have done."""
    connection = sqlite3.connect(folder / "run.db")
    connection.execute(statement)
    connection.commit()
    connection.close()


def contents(folder: Path) -> dict[str, Any]:
    """All that a run holds, but for when it was made."""
    connection = sqlite3.connect(folder / "run.db")
    tables = ("run", "features", "images", "exemplars")
    rows = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
    rows["images"].sort()
    rows["stages"] = connection.execute("SELECT name, identity, config, summary FROM stages").fetchall()
    connection.close()
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {**rows, "files": files}


def test_a_run_holds_what_a_reference_that_keeps_everything_finds(
    subject: Subject, source: ImageSource, tmp_path: Path
) -> None:
    summary = collected(tmp_path, subject, source)
    entries = list(source.entries())
    images = {pixel_hash(entry.read()): entry for entry in reversed(entries)}
    assert (summary["n_images"], summary["n_distinct_images"]) == (len(entries), len(images)) == (61, 60)
    heat: dict[int, np.ndarray] = {}
    for name, entry in images.items():
        encoded = subject.encoder.encode_to([entry.read()], LAYER)
        (geometry,) = encoded.geometries
        codes = subject.sae.encode(encoded.residual[0, geometry.position_of_patch]).dense(N_FEATURES)
        heat[image_id_of(name)] = codes.unflatten(0, geometry.grid).numpy()
    with Run.open(tmp_path) as run:
        stats = features(run)
        for feature_id in range(N_FEATURES):
            every = np.stack([each[..., feature_id] for each in heat.values()])
            assert stats[feature_id].image_frequency == pytest.approx((every > 0).any((1, 2)).mean(), abs=1 / 60)
            assert stats[feature_id].max_activation == pytest.approx(every.max(), rel=1e-5)
            for part in PARTS:
                mine = {each: found[..., feature_id] for each, found in heat.items() if part_of(each) == part}
                active = [each for each, found in mine.items() if found.any()]
                best = sorted(active, key=lambda each: -mine[each].mean())
                found = exemplars(run, feature_id, part, "top")
                assert [each.image.image_id for each in found] == best[: CONFIG.n_top]
                for kind in ("top", "quantile", "inactive"):
                    for each in exemplars(run, feature_id, part, kind):
                        assert each.image.part == part
                        wanted = mine[each.image.image_id]
                        np.testing.assert_allclose(each.dense(), wanted, rtol=1e-4, atol=1e-5)
                        assert each.activation == pytest.approx(wanted.mean(), rel=1e-5)
                        assert (kind == "inactive") == (not wanted.any())
                        image = run.thumbnails.read(each.image.pixel_hash)
                        assert pixel_hash(image) == each.image.pixel_hash
                        assert images[each.image.pixel_hash].id == each.image.source_id


def test_no_image_explains_and_scores(subject: Subject, source: ImageSource, tmp_path: Path) -> None:
    collected(tmp_path, subject, source)
    with Run.open(tmp_path) as run:
        rows = {
            (each.image.image_id, part)
            for part in PARTS
            for kind in ("top", "quantile", "inactive")
            for feature_id in range(N_FEATURES)
            for each in exemplars(run, feature_id, part, kind)
        }
    assert len({image_id for image_id, _ in rows}) == len(rows)
    assert {part for _, part in rows} == set(PARTS)


def test_what_is_done_is_not_done_again(
    subject: Subject, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = collected(tmp_path, subject, source)
    monkeypatch.setattr(looking, "batches_of", None)
    assert collected(tmp_path, subject, source) == first


@pytest.mark.parametrize("at", [1, 4, 8])
def test_a_run_that_is_stopped_goes_on(
    at: int, subject: Subject, source: ImageSource, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collected(tmp_path / "whole", subject, source)
    n_calls = 0

    def interrupt(_n: int) -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == at + 1:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            collected(tmp_path / "parts", subject, source, on_batch=interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    with Run.open(tmp_path / "parts") as run, pytest.raises(UnusablePath, match="goes on where it was stopped"):
        run.check_finished("collect")
    done: list[int] = []
    collected(tmp_path / "parts", subject, source, on_batch=done.append)
    assert done[0] == 7 * at
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda subject, source: (subject, First(source, 20), CONFIG),
            "are not those that .* was begun with: 61 then, 20 now; .*--n-images; give another --out",
        ),
        (lambda subject, source: (subject, source, CollectionConfig()), "n_top 4, and n_top 10 was asked for"),
        (
            lambda subject, source: (
                Subject(subject.encoder, small_sae(1), LAYER, {**subject.names, "sae": "other"}),
                source,
                CONFIG,
            ),
            "sae small, and sae other was asked for",
        ),
        (lambda subject, source: (Subject(subject.encoder, subject.sae, 0, subject.names), source, CONFIG), "layer"),
    ],
)
def test_another_collection_is_refused_and_changes_nothing(
    change: Callable[[Subject, ImageSource], tuple[Subject, ImageSource, CollectionConfig]],
    message: str,
    subject: Subject,
    source: ImageSource,
    tmp_path: Path,
) -> None:
    collected(tmp_path, subject, source)
    before = contents(tmp_path)
    other, images, config = change(subject, source)
    with pytest.raises(UnusablePath, match=message), Run.writing(tmp_path, other.as_json()) as run:
        collect(run, other, images, config)
    assert contents(tmp_path) == before


def test_images_that_have_changed_where_they_lie_are_told_apart_from_those_that_a_run_was_begun_with(
    subject: Subject, tmp_path: Path
) -> None:
    photos, run = write_images(tmp_path / "photos", 20), tmp_path / "run"
    collected(run, subject, open_source(photos))
    before = contents(run)

    def refusal() -> str:
        with pytest.raises(UnusablePath) as caught:
            collected(run, subject, open_source(photos))
        assert contents(run) == before
        return str(caught.value)

    kept = (photos / "003.png").read_bytes()
    (photos / "003.png").unlink()
    told = f"the images of {photos} are not those that {run} was begun with: 21 then, "
    assert refusal().startswith(f"{told}20 now; expected the same images")
    (photos / "new.png").write_bytes((photos / "004.png").read_bytes())
    assert "21 now as then, but not the same ones" in refusal()
    (photos / "003.png").write_bytes(kept)
    assert refusal().startswith(f"{told}22 now")
    assert refusal().endswith("give another --out for these images, or put those back")
    (photos / "new.png").unlink()
    collected(run, subject, open_source(photos))
    assert contents(run) == before


def test_images_that_change_while_a_run_is_half_done_are_told_of(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, run = write_images(tmp_path / "photos", 20), tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(collecting, "_write", lambda *_: 1 // 0)
        collected(run, subject, open_source(photos), checkpoint_seconds=0)
    (photos / "003.png").unlink()
    with pytest.raises(UnusablePath, match="was begun with: 21 then, 20 now; "):
        collected(run, subject, open_source(photos))


def test_what_does_not_fit_is_refused(subject: Subject, source: ImageSource, tmp_path: Path) -> None:
    wide = SAE(torch.zeros(9, 3), torch.eye(3, 9), torch.zeros(3), torch.zeros(9), "relu")
    with pytest.raises(MismatchedSAE):
        collected(tmp_path / "wide", Subject(subject.encoder, wide, LAYER, subject.names), source)
    bare = SAE(None, torch.eye(3, D_MODEL), torch.zeros(3), torch.zeros(D_MODEL), "none", subtract_b_dec=False)
    with pytest.raises(MismatchedSAE, match="no activations"):
        collected(tmp_path / "bare", Subject(subject.encoder, bare, LAYER, subject.names), source)


def test_images_that_cannot_be_read_are_an_error_and_the_run_stays_usable(
    subject: Subject, source: ImageSource, tmp_path: Path
) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"no image")
    with pytest.raises(UnreadableImages):
        collected(tmp_path / "run", subject, open_source(tmp_path / "bad"))
    (tmp_path / "bad" / "a.png").write_bytes(next(iter(source.entries())).read().tobytes())
    Image.new("RGB", (20, 20), "red").save(tmp_path / "bad" / "a.png")
    assert collected(tmp_path / "run", subject, open_source(tmp_path / "bad"))["n_images"] == 1


def test_a_disk_that_is_full_leaves_a_run_to_go_on_with(
    subject: Subject, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected(tmp_path / "whole", subject, source)

    def full(*_arguments: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch, pytest.raises(UnusablePath, match="disk is full"):
        patch.setattr(collecting, "add_exemplars", full)
        collected(tmp_path / "run", subject, source, checkpoint_seconds=0)
    with Run.open(tmp_path / "run") as run:
        assert not features(run)
    collected(tmp_path / "run", subject, source)
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_a_damaged_checkpoint_is_named(
    subject: Subject, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(collecting, "_write", lambda *_: 1 // 0)
        collected(tmp_path, subject, source, checkpoint_seconds=0)
    state = tmp_path / "collecting.safetensors"
    state.write_bytes(state.read_bytes()[:-50])
    with pytest.raises(UnusablePath, match=r"collecting.safetensors.*remove that file"):
        collected(tmp_path, subject, source)


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(
    subject: Subject, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected(tmp_path / "whole", subject, source)
    n_saved = 0

    def save(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
        nonlocal n_saved
        n_saved += 1
        path.write_bytes(b"half")
        if n_saved == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save_file(tensors, path, metadata)

    with monkeypatch.context() as patch, pytest.raises(UnusablePath, match=r"No space left.*expected room"):
        patch.setattr(checkpoint, "save_file", save)
        collected(tmp_path / "run", subject, source, checkpoint_seconds=0)
    assert n_collected(tmp_path / "run") == 14
    (tmp_path / "run" / "collecting.partial").write_bytes(b"left by a kill")
    done: list[int] = []
    collected(tmp_path / "run", subject, source, on_batch=done.append)
    assert done[0] == 14
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_a_thumbnail_that_cannot_be_written_is_an_error_in_one_line(
    subject: Subject, source: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(UnusablePath, match=r"webp: No space left.*expected room"):
        patch.setattr(Path, "write_bytes", full)
        collected(tmp_path, subject, source)
    assert collected(tmp_path, subject, source)["n_images"] == 61


def test_numbers_that_overflow_are_an_error_in_one_line(source: ImageSource, tmp_path: Path) -> None:
    sae = small_sae()
    assert sae.W_enc is not None
    broken = replace(sae, W_enc=sae.W_enc.clone().fill_(torch.nan))
    task = Subject(gemma3().vlm().encoder, broken, LAYER, {"subject": "tiny", "sae": "broken"})
    with pytest.raises(NotFinite, match="no finite numbers.*another --dtype"):
        collected(tmp_path, task, source)


def test_a_feature_that_there_is_not_is_refused(subject: Subject, source: ImageSource, tmp_path: Path) -> None:
    collected(tmp_path, subject, source)
    with Run.open(tmp_path) as run, pytest.raises(FeatureNotFound, match="feature 40; expected 0 to 39"):
        features(run, [3, 40])


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE images SET pixel_hash = '../../x' || image_id",
        "UPDATE images SET n_rows = 1",
        "UPDATE images SET box = '{}'",
        "UPDATE images SET box = '[0, 0, 0, 0]'",
        "UPDATE images SET box = '[0, 0, NaN, 1]'",
        "UPDATE images SET width = 0",
        "UPDATE images SET n_rows = 100000000, n_columns = 100000000",
        "UPDATE images SET n_rows = 9e999",
        "UPDATE images SET pixel_hash = x'00' || image_id",
        "UPDATE images SET part = 'scoring'",
        "DELETE FROM images",
        "UPDATE exemplars SET images = x'00'",
        "UPDATE exemplars SET images = replace(images, x'01000000', x'ffffffff')",
        "UPDATE exemplars SET heatmaps = x'00'",
        "UPDATE exemplars SET heatmaps = heatmaps || x'000000000000803f'",
        "UPDATE exemplars SET heatmaps = replace(heatmaps, x'01000000', x'ffffffff')",
    ],
)
def test_a_strangers_run_that_is_damaged_is_refused_in_one_line(
    damage: str, subject: Subject, source: ImageSource, tmp_path: Path
) -> None:
    collected(tmp_path, subject, source)
    alter(tmp_path, damage)
    with Run.open(tmp_path) as run, pytest.raises(UnusablePath, match="damaged|64 hex digits|Could not decode"):
        for feature_id in range(N_FEATURES):
            exemplars(run, feature_id, "explaining", "top")


@pytest.mark.parametrize(
    "damage",
    [
        "fires_with = '[[Infinity, 1]]'",
        "fires_with = '" + "[" * 100_000 + "'",
        "nearest = '[[1]]'",
        "max_activation = 9e999",
        "histogram = x'00'",
        "frequency = 'often'",
    ],
)
def test_statistics_that_are_damaged_are_refused_in_one_line(
    damage: str, subject: Subject, source: ImageSource, tmp_path: Path
) -> None:
    collected(tmp_path, subject, source)
    alter(tmp_path, f"UPDATE features SET {damage}")
    with Run.open(tmp_path) as run, pytest.raises(UnusablePath, match="feature 0 in .* is damaged"):
        features(run)


def test_exemplars_of_a_feature_that_there_is_not_are_refused(
    subject: Subject, source: ImageSource, tmp_path: Path
) -> None:
    collected(tmp_path, subject, source)
    with Run.open(tmp_path) as run, pytest.raises(FeatureNotFound, match="feature 40; expected 0 to 39"):
        exemplars(run, N_FEATURES, "explaining", "top")


SCRIPT = """
import sys
from pathlib import Path
from tests.pipeline.test_collecting import CONFIG, LAYER, small_sae
from seesay.images.sources import open_source
from seesay.pipeline.collecting import Subject, collect
from seesay.store.run import Run
from tests.families import gemma3
subject = Subject(gemma3().vlm().encoder, small_sae(), LAYER, {"subject": "tiny", "sae": "small"})
with Run.writing(Path(sys.argv[1]), subject.as_json()) as run:
    collect(run, subject, open_source(sys.argv[2]), CONFIG, images_at_once=7, checkpoint_seconds=0.05)
"""


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_moment_ends_as_one_that_is_not(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", 1500)

    def start(name: str) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / name), str(images)], env=environment)

    folder = tmp_path / "killed"
    done = [0]
    for moment, delay in (("begun", 0.3), ("saved", 0.2), ("saving", 0.0)):
        with start("killed") as process:
            while process.poll() is None:
                is_further = n_collected(folder) > done[-1]
                is_saving = (folder / "collecting.partial").exists()
                if {"begun": (folder / "run.db").exists(), "saved": is_further}.get(moment, is_further and is_saving):
                    break
                time.sleep(0.001)
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL, f"{moment}: it had ended before"
        done.append(n_collected(folder))
    assert done[1] <= done[2] <= done[3]
    assert 0 < done[2] < done[3], "each went on from a checkpoint"
    for name in ("whole", "killed"):
        with start(name) as process:
            assert process.wait() == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
