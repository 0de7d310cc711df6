"""What a user installs: the wheel, in an environment that has nothing else."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = [pytest.mark.slow(seconds=180), pytest.mark.xdist_group("wheel")]


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command without this environment's settings of Python; show all that it said if it fails."""
    left_out = {"PYTHONPATH", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE"}
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("seesay-*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment that holds the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    interpreter = folder / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    # Python compiles what is imported; pip would compile all of torch and transformers, which takes most of a minute.
    run(interpreter, "-m", "pip", "install", "-qq", "--no-compile", "--constraint", constraints, wheel, cwd=folder)
    return interpreter


def test_the_wheel_holds_everything_of_the_package(wheel: Path) -> None:
    tracked = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "src/seesay", cwd=ROOT)
    expected = {str(Path(name).relative_to("src")) for name in tracked.splitlines() if (ROOT / name).exists()}
    assert expected <= set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_holds_the_licences(wheel: Path) -> None:
    names = {Path(name).name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" in name}
    assert {"LICENSE", "NOTICE"} <= names


def test_the_demo_runs_from_the_wheel_in_another_folder(python: Path, tmp_path: Path) -> None:
    run(python.parent / "seesay", "demo", "--out", "here", "--max-features", "150", cwd=tmp_path)
    summary = json.loads((tmp_path / "here" / "summary.json").read_text(encoding="utf-8"))
    assert summary["n_features"] >= 100
    for control in ("control_random_steering", "control_permuted_steering"):
        assert summary["methods"][control]["ground_truth"] <= 0.05
        assert summary["methods"]["steering"]["interval"][0] > summary["methods"][control]["interval"][1]


def test_the_wheel_writes_nothing_beside_its_modules(python: Path, tmp_path: Path) -> None:
    script = "import seesay, pathlib; print(pathlib.Path(seesay.__file__).parent)"
    package = Path(run(python, "-c", script, cwd=tmp_path).strip())
    assert package.is_relative_to(python.parents[1])

    def found() -> set[Path]:
        return {path for path in package.rglob("*") if path.suffix != ".pyc" and path.name != "__pycache__"}

    before = found()
    run(python.parent / "seesay", "doctor", "--deep", cwd=tmp_path)
    assert found() == before
