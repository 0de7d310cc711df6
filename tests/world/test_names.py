"""Names of what is shipped, and refusals of all others."""

import json
from pathlib import Path

import pytest

from seesay import world
from seesay.errors import UnreadableModel, UnreadableSAE


def test_the_world_and_its_sizes_are_folders() -> None:
    assert world.checkpoint("world") == world.checkpoint("world:M")
    assert (world.checkpoint("world") / "config.json").is_file()
    assert (world.sae("world:middle") / "cfg.json").is_file()


@pytest.mark.parametrize("name", ["", "banana", "world:", "world:XL", "world:../vlm/M", "world:./M", "google/x:M"])
def test_another_model_is_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(UnreadableModel, match="world:M"):
        world.checkpoint(name)


@pytest.mark.parametrize("name", ["", "world", "world:", "world:top", "x:middle", "world:../sae/middle"])
def test_another_sae_is_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(UnreadableSAE, match="world:middle"):
        world.sae(name)


def test_the_strength_is_the_one_that_did_best_on_validation() -> None:
    record = json.loads((world.sae("world:middle") / "strength.json").read_text("utf-8"))
    best = max(point["ground_truth"] for point in record["curve"])
    chosen = world.strength("world:middle")
    assert {"value": chosen.value, "ground_truth": best} in record["curve"]
    assert chosen.unit == "residual_norm"


def test_a_damaged_strength_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sae" / "middle").mkdir(parents=True)
    monkeypatch.setattr(world, "_DATA", tmp_path)
    with pytest.raises(UnreadableSAE, match="strength.json"):
        world.strength("world:middle")
    (tmp_path / "sae" / "middle" / "strength.json").write_text("{")
    with pytest.raises(UnreadableSAE, match="strength.json"):
        world.strength("world:middle")
