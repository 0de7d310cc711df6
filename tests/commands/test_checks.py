from pathlib import Path

import pytest

from seesay.commands import checks


def test_a_missing_package_is_a_problem_with_a_remedy() -> None:
    check = checks.check_package("no-such-package-anywhere", "nowhere")
    assert check.verdict == "problem"
    assert check.remedy.endswith("pip install no-such-package-anywhere")


def test_a_missing_extra_is_a_note_with_the_command_to_install_it() -> None:
    check = checks.check_extra("train", "no_such_module_anywhere", "training")
    assert check.verdict == "note"
    assert check.remedy.endswith("pip install 'seesay[train]'")


def test_free_memory_is_what_the_kernel_calls_available(tmp_path: Path) -> None:
    table = tmp_path / "meminfo"
    table.write_text("MemTotal: 8388608 kB\nMemFree: 1 kB\nMemAvailable: 3145728 kB\n", encoding="utf-8")
    assert checks.free_memory_in_gib(table) == 3.0


def test_free_memory_is_unknown_where_the_kernel_does_not_tell(tmp_path: Path) -> None:
    assert checks.free_memory_in_gib(tmp_path / "nowhere") is None


def test_little_memory_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "free_memory_in_gib", lambda: 0.5)
    assert [check.verdict for check in checks.check_memory()] == ["note"]


def test_a_full_disk_is_a_note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks, "_LEAST_FREE_DISK_GIB", float("inf"))
    assert checks.check_disk(tmp_path).verdict == "note"


def test_the_home_folder_is_shown_as_a_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    found = checks.check_disk(tmp_path).found
    assert str(tmp_path) not in found
    assert "~" in found


def test_every_check_has_a_remedy_if_it_is_a_problem() -> None:
    assert all(check.remedy for check in checks.all_checks(deep=False) if check.verdict == "problem")
