"""Imports flow one way (docs: CONTRIBUTING.md, *The shape*)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import seesay

PACKAGE = Path(seesay.__file__).parent

LAYERS = (
    {"errors"},
    {"records", "facts"},
    {"selection", "split", "texts", "images", "files", "hub", "interruption", "statistics"},
    {"plots"},
    {"training_log", "vlm"},
    {"sae", "instruments"},
    {"exemplars", "steering"},
    {"explainers", "calibration", "trust"},
    {"teaching"},
    {"scorers"},
    {"store"},
    {"comparison", "cards"},
    {"backends"},
    {"report", "export"},
    {"asking"},
    {"pipeline", "viewer", "planning", "importing"},
    {"reproduction"},
    {"study"},
    {"world"},
    {"demo"},
    {"commands"},
    {"cli"},
    {"__main__"},
)
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
MAY_KNOW_THE_WORLD = {"__init__", "world", "demo", "commands"}
HEAVY = {"torch", "transformers", "numpy", "safetensors", "huggingface_hub", "PIL", "sae_lens", "datasets"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    """The parts of seesay that a module imports, at its top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("seesay.")}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "seesay":
                found |= {f"seesay.{alias.name}" for alias in node.names if alias.name != "__version__"}
            elif node.module and node.module.startswith("seesay."):
                found.add(node.module)
    return {name.split(".")[1] for name in found}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_layers_below_its_own(path: Path) -> None:
    part = part_of(path)
    if part == "__init__":
        return
    above = {other for other in imported_parts(path) if other != part and RANK[other] >= RANK[part]}
    assert not above, f"{part} must not import {above}"


def test_only_the_demo_and_the_commands_know_the_world() -> None:
    knowing = {part_of(path) for path in MODULES if "world" in imported_parts(path)}
    assert knowing <= MAY_KNOW_THE_WORLD


def imported_by(statement: str) -> set[str]:
    """Top-level packages that a fresh interpreter holds after a statement."""
    script = f"import sys; {statement}; print(*{{name.split('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


def test_importing_seesay_imports_nothing_heavy() -> None:
    assert not imported_by("import seesay") & (HEAVY | {"tyro", "rich"})


def test_the_command_line_starts_without_anything_heavy() -> None:
    assert not imported_by("import seesay.cli") & HEAVY


def test_a_viewer_without_models_does_not_wait_for_torch() -> None:
    assert not imported_by("import seesay.viewer.serving") & {"torch", "transformers", "sae_lens", "datasets"}


def test_configs_are_importable_without_anything_heavy() -> None:
    configs = [path for path in MODULES if path.stem in {"config", "options", "errors", "records", "selection"}]
    names = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in configs]
    assert not imported_by("import " + ", ".join(names)) & HEAVY
