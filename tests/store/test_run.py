"""The run's directory and database."""

import errno
import fcntl
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from seesay.errors import UnusablePath
from seesay.images.decoding import pixel_hash
from seesay.store import database, filesystems, migrations
from seesay.store.database import open_to_read, open_to_write, transaction
from seesay.store.filesystems import kind_of
from seesay.store.run import Run

SUBJECT = {"subject": "tiny", "layer": 1, "sae": "x", "identity": "abc"}
BEGIN = "import sys; from pathlib import Path; from seesay.store.run import Run\n"


def made(folder: Path) -> Path:
    with Run.writing(folder, SUBJECT) as run:
        run.begin("collect", "1", {"images": "some"})
    return folder


def test_a_run_says_what_it_is_of(tmp_path: Path) -> None:
    with Run.open(made(tmp_path / "deep" / "run")) as run:
        assert run.subject == SUBJECT
        assert run.finished("collect") is None
        with pytest.raises(UnusablePath, match="same seesay collect again"):
            run.check_finished("collect")


def test_a_run_at_rest_is_one_file_and_its_images(tmp_path: Path) -> None:
    made(tmp_path / "run")
    with Run.open(tmp_path / "run"):
        pass
    assert sorted(os.listdir(tmp_path / "run")) == [".lock", "run.db"]


def test_a_run_of_something_else_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    made(tmp_path)
    with (
        pytest.raises(UnusablePath, match="run with another layer: 1; expected 2"),
        Run.writing(tmp_path, {**SUBJECT, "layer": 2, "identity": "def"}),
    ):
        pass
    with (
        pytest.raises(UnusablePath, match="another weights"),
        Run.writing(tmp_path, {**SUBJECT, "identity": "def"}),
    ):
        pass
    with Run.writing(tmp_path, {**SUBJECT, "subject": "moved"}) as run, pytest.raises(UnusablePath, match="collect"):
        run.begin("collect", "2", {"images": "others"})
    with Run.open(tmp_path) as run:
        assert run.subject == SUBJECT


def test_a_run_has_one_writer(tmp_path: Path) -> None:
    made(tmp_path)
    script = f"{BEGIN}with Run.writing(Path(sys.argv[1]), {SUBJECT}): pass"
    with Run.writing(tmp_path, SUBJECT):
        result = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False)
        assert "another process is writing" in result.stderr
        with Run.open(tmp_path) as reader:
            assert reader.subject == SUBJECT, "it may be read"
    subprocess.run([sys.executable, "-c", script, tmp_path], check=True)


def test_a_writer_that_was_killed_leaves_no_lock(tmp_path: Path) -> None:
    script = f"{BEGIN}import os\nwith Run.writing(Path(sys.argv[1]), {SUBJECT}): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script, tmp_path], check=False)
    assert made(tmp_path)


def test_a_run_that_cannot_be_written_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path)
    tmp_path.chmod(0o500)
    monkeypatch.setattr(database.os, "access", lambda *_: False)  # root may write anywhere
    with Run.open(tmp_path) as run:
        assert run.subject == SUBJECT
        with pytest.raises(sqlite3.OperationalError):
            run.connection.execute("DELETE FROM run")
    tmp_path.chmod(0o700)
    assert sorted(os.listdir(tmp_path)) == [".lock", "run.db"]


def test_a_file_system_without_locks_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UnusablePath, match="cannot be locked: No locks available"), Run.writing(tmp_path, SUBJECT):
        pass


def test_the_log_is_written_ahead_on_a_local_disk_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def mode(file: Path) -> str:
        connection = open_to_write(file)
        (found,) = connection.execute("PRAGMA journal_mode").fetchone()
        connection.close()
        return found

    monkeypatch.setattr(database, "is_on_network", lambda _file: False)
    assert mode(tmp_path / "local.db") == "wal"
    assert not caplog.messages
    monkeypatch.setattr(database, "is_on_network", lambda _file: True)
    assert mode(tmp_path / "local.db") == "delete"
    assert "is on a network file system" in caplog.text


def test_file_systems_are_told_by_where_they_are_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    lines = ("/dev/a / ext4 rw", "host:/x /data nfs4 rw", "/dev/b /data/fast xfs rw", "host:/y /my\\040own cifs rw")
    mounts.write_text("".join(f"{line} 0 0\n" for line in lines))
    wanted = {"/home": "ext4", "/data": "nfs4", "/data/runs": "nfs4", "/data/fast/x": "xfs", "/my own": "cifs"}
    kinds = {place: kind_of(Path(place), mounts) for place in wanted}
    assert kinds == wanted
    assert kind_of(tmp_path, tmp_path / "none") == ""
    monkeypatch.setattr(filesystems, "kind_of", lambda folder: kinds[str(folder)])
    assert filesystems.is_on_network(Path("/data/runs"))
    assert not filesystems.is_on_network(Path("/home"))


def test_every_step_of_the_tables_is_noted_and_done_once(tmp_path: Path) -> None:
    file = made(tmp_path) / "run.db"
    open_to_write(file).close()
    connection = open_to_read(file)
    names = [name for (name,) in connection.execute("SELECT name FROM migrations ORDER BY rowid")]
    assert names == [migration.__name__ for migration in migrations.MIGRATIONS]


def test_a_step_that_fails_leaves_the_tables_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = made(tmp_path) / "run.db"

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half (x)")
        connection.execute("CREATE TABLE half (x)")

    with monkeypatch.context() as patch, pytest.raises(UnusablePath, match="half already exists"):
        patch.setattr(database, "MIGRATIONS", (*migrations.MIGRATIONS, half))
        open_to_write(file)
    with Run.open(tmp_path) as run:
        assert not run.connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'half'").fetchall()


def test_other_versions_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path)
    monkeypatch.setattr(database, "MIGRATIONS", migrations.MIGRATIONS[:1])
    for opened in (open_to_read, open_to_write):
        with pytest.raises(UnusablePath, match="newer seesay.*create_exemplars.*upgrade"):
            opened(tmp_path / "run.db")
    monkeypatch.setattr(database, "MIGRATIONS", (*migrations.MIGRATIONS, test_other_versions_are_refused))
    with pytest.raises(UnusablePath, match="older seesay"):
        Run.open(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_what_is_no_run_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(UnusablePath, match="no run"):
        Run.open(tmp_path / "nowhere")
    with pytest.raises(UnusablePath, match="no run.db"):
        Run.open(tmp_path)
    (tmp_path / "run.db").write_bytes(content)
    with pytest.raises(UnusablePath, match="run.db"):
        Run.open(tmp_path)


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    connection = open_to_write(tmp_path / "run.db")
    with pytest.raises(ZeroDivisionError), transaction(connection):
        connection.execute("INSERT INTO run VALUES ('x', '1')")
        raise ZeroDivisionError
    assert not connection.execute("SELECT * FROM run").fetchall()
    connection.close()


def test_thumbnails_are_named_by_their_pixels_and_written_once(tmp_path: Path) -> None:
    with Run.writing(tmp_path, SUBJECT) as run:
        small, large = Image.effect_noise((64, 48), 50).convert("RGB"), Image.new("RGB", (2000, 1000), "teal")
        for image in (small, large):
            run.thumbnails.write(pixel_hash(image), image)
        assert pixel_hash(run.thumbnails.read(pixel_hash(small))) == pixel_hash(small), "small ones without loss"
        assert run.thumbnails.read(pixel_hash(large)).size == (512, 256)
        before = run.thumbnails.path(pixel_hash(small)).stat().st_mtime_ns
        run.thumbnails.write(pixel_hash(small), small)
        assert run.thumbnails.path(pixel_hash(small)).stat().st_mtime_ns == before
        run.thumbnails.keep_only([pixel_hash(small)])
        assert not run.thumbnails.path(pixel_hash(large)).exists()


@pytest.mark.parametrize("name", ["../../etc/passwd", "A" * 64, "ab", "", "0" * 63 + "/"])
def test_no_name_from_outside_leads_anywhere(name: str, tmp_path: Path) -> None:
    with Run.writing(tmp_path, SUBJECT) as run, pytest.raises(UnusablePath, match="64 hex digits"):
        run.thumbnails.read(name)
