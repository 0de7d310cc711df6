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
from seesay.store.scores import scores_of_feature
from seesay.store.trust import trusts

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
        with pytest.raises(UnusablePath, match="the same seesay collect command goes on"):
            run.check_finished("collect")


def test_a_run_at_rest_is_one_file_and_its_images(tmp_path: Path) -> None:
    made(tmp_path / "run")
    with Run.open(tmp_path / "run"):
        pass
    assert sorted(os.listdir(tmp_path / "run")) == [".lock", "run.db"]


def test_a_run_of_something_else_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    made(tmp_path)
    with (
        pytest.raises(UnusablePath, match="run of layer 1, and layer 2 was asked for"),
        Run.writing(tmp_path, {**SUBJECT, "layer": 2, "identity": "def"}),
    ):
        pass
    with (
        pytest.raises(UnusablePath, match="what has changed since"),
        Run.writing(tmp_path, {**SUBJECT, "identity": "def"}),
    ):
        pass
    with Run.writing(tmp_path, {**SUBJECT, "subject": "moved"}) as run, pytest.raises(UnusablePath, match="collect"):
        run.begin("collect", "2", {"images": "others"})
    with Run.open(tmp_path) as run:
        assert run.subject == SUBJECT


def test_a_run_that_is_there_can_be_written_whatever_it_is_of(tmp_path: Path) -> None:
    made(tmp_path / "run")
    with Run.writing(tmp_path / "run") as run:
        assert run.subject == SUBJECT
        run.claim(SUBJECT)
        with pytest.raises(UnusablePath, match="run of layer 1, and layer 2 was asked for"):
            run.claim({**SUBJECT, "layer": 2, "identity": "def"})
    with pytest.raises(UnusablePath, match="no run"), Run.writing(tmp_path / "none"):
        pass
    assert not (tmp_path / "none").exists()


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
    with Run.writing(tmp_path, SUBJECT) as writing:
        writing.begin("explain", "1", {})
        assert (tmp_path / "run.db-wal").stat().st_size
        with Run.open(tmp_path) as run:
            assert run.rows("SELECT name FROM stages ORDER BY name") == [("collect",), ("explain",)], "log and all"


def test_a_run_that_was_read_while_it_was_finished_is_whole_in_its_file(tmp_path: Path) -> None:
    made(tmp_path)
    with Run.open(tmp_path) as reading:
        with Run.writing(tmp_path, SUBJECT) as run:
            assert reading.subject == SUBJECT
            run.begin("explain", "1", {})
        log = tmp_path / "run.db-wal"
        assert not log.exists() or not log.stat().st_size
    with Run.open(tmp_path) as run:
        assert len(run.rows("SELECT name FROM stages")) == 2


def test_a_run_is_not_laid_among_other_things(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for place, message in ((tmp_path, "not empty, and no run"), (tmp_path / "notes.txt", "is a file")):
        with pytest.raises(UnusablePath, match=message), Run.writing(place, SUBJECT):
            pass
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_a_stage_that_nothing_was_done_for_may_become_another(tmp_path: Path) -> None:
    made(tmp_path)
    with Run.writing(tmp_path, SUBJECT) as run:
        run.begin("collect", "2", {"images": "others"}, anew=True)
        run.finish("collect", {"n": 1})
        with pytest.raises(UnusablePath, match="collect of images others, and images some was asked for"):
            run.begin("collect", "1", {"images": "some"}, anew=True)


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
    lines = (
        "/dev/a / ext4 rw",
        "gcs /bucket fuse.gcsfuse rw",
        "host:/x /data nfs4 rw",
        "/dev/b /data/fast xfs rw",
        "host:/y /my\\040own cifs rw",
    )
    mounts.write_text("".join(f"{line} 0 0\n" for line in lines))
    wanted = {
        "/home": "ext4",
        "/bucket": "fuse.gcsfuse",
        "/data": "nfs4",
        "/data/runs": "nfs4",
        "/data/fast/x": "xfs",
        "/my own": "cifs",
    }
    kinds = {place: kind_of(Path(place), mounts) for place in wanted}
    assert kinds == wanted
    assert kind_of(tmp_path, tmp_path / "none") == ""
    monkeypatch.setattr(filesystems, "kind_of", lambda folder: kinds[str(folder)])
    assert filesystems.is_on_network(Path("/data/runs"))
    assert filesystems.is_on_network(Path("/bucket"))
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
    before = (tmp_path / "run.db").read_bytes()
    for opened in (open_to_read, open_to_write):
        with pytest.raises(UnusablePath, match="newer seesay.*create_bookmarks.*upgrade"):
            opened(tmp_path / "run.db")
    assert (tmp_path / "run.db").read_bytes() == before
    monkeypatch.setattr(database, "MIGRATIONS", (*migrations.MIGRATIONS, test_other_versions_are_refused))
    with pytest.raises(UnusablePath, match="older seesay"):
        Run.open(tmp_path)


def is_found_by(run: Run, table: str) -> str:
    """What SQLite looks through to find the rows of one feature."""
    ((*_, told),) = run.rows(f"EXPLAIN QUERY PLAN SELECT text FROM {table} WHERE feature_id = 7")
    return told


def test_scores_of_one_feature_are_found_without_reading_those_of_all_others(tmp_path: Path) -> None:
    with Run.open(made(tmp_path)) as run:
        assert "USING INDEX scores_of_feature" in is_found_by(run, "scores")
        assert "USING INDEX trusts_of_feature" in is_found_by(run, "trusts")


def test_an_older_run_gets_the_new_indices_when_it_is_opened_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = migrations.MIGRATIONS[: migrations.MIGRATIONS.index(migrations.create_scores) + 1]
    with monkeypatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", before)
        with Run.writing(tmp_path, SUBJECT) as run:
            run.rows("INSERT INTO scorings VALUES (1, 'x', 'iou', NULL, '', '{}')")
            run.rows("INSERT INTO scores VALUES (1, 7, 0, '', 0.5, '{}', '{}', '', 0.0)")
            run.rows("INSERT INTO trusts VALUES (1, 7, 0, 'a frog', 0.25)")
            assert is_found_by(run, "scores").startswith("SCAN")
    with pytest.raises(UnusablePath, match="older seesay"):
        Run.open(tmp_path)
    with Run.writing(tmp_path):
        pass
    with Run.open(tmp_path) as run:
        assert "scores_of_feature" in is_found_by(run, "scores")
        assert "trusts_of_feature" in is_found_by(run, "trusts")
        assert [each.measured.value for _, each in scores_of_feature(run, 7)] == [0.5]
        assert [each.probability for each in trusts(run, 7)] == [0.25]


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "run.db")
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = (tmp_path / "run.db").read_bytes()
    with pytest.raises(UnusablePath, match="no run's database"):
        open_to_write(tmp_path / "run.db")
    assert (tmp_path / "run.db").read_bytes() == before


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
        left_over = run.thumbnails.path(pixel_hash(large)).with_name(f".{pixel_hash(large)}.webp.7-8.tmp")
        left_over.write_bytes(b"half")
        run.thumbnails.keep_only([pixel_hash(small)])
        assert not run.thumbnails.path(pixel_hash(large)).exists()
        assert not left_over.exists()


def test_nothing_but_thumbnails_is_removed(tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "run"
    elsewhere.mkdir()
    other = f"{'a' * 64}.webp"
    (elsewhere / other).write_bytes(b"precious")
    with Run.writing(folder, SUBJECT) as run:
        (folder / "images" / "bb" / "sub").mkdir(parents=True)
        (folder / "images" / "bb" / "notes").write_text("mine")
        (folder / "images" / "aa").symlink_to(elsewhere)
        run.thumbnails.keep_only([])
    assert (elsewhere / other).exists()
    assert sorted(os.listdir(folder / "images" / "bb")) == ["notes", "sub"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "A" * 64, "ab", "", "0" * 63 + "/"])
def test_no_name_from_outside_leads_anywhere(name: str, tmp_path: Path) -> None:
    with Run.writing(tmp_path, SUBJECT) as run, pytest.raises(UnusablePath, match="64 hex digits"):
        run.thumbnails.read(name)
