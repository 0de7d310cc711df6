"""Names of what is shipped, and refusals of all others."""

import json
from pathlib import Path

import pytest

from seesay import world
from seesay.errors import UnreadableModel, UnreadableSAE


def test_the_world_and_its_sizes_are_folders() -> None:
    assert world.checkpoint("world") == world.checkpoint("world:L")
    for name in ("S", "M", "L", "judge"):
        assert (world.checkpoint(f"world:{name}") / "config.json").is_file()
    for name in ("early", "middle", "late"):
        assert (world.sae(f"world:{name}") / "cfg.json").is_file()
    assert (world.scorer() / "config.json").is_file()


@pytest.mark.parametrize("name", ["", "banana", "world:", "world:XL", "world:../vlm/M", "world:./M", "google/x:M"])
def test_another_model_is_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(UnreadableModel, match="world:M"):
        world.checkpoint(name)


@pytest.mark.parametrize("name", ["", "world", "world:", "world:top", "x:middle", "world:../sae/middle"])
def test_another_sae_is_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(UnreadableSAE, match="world:middle"):
        world.sae(name)


@pytest.mark.parametrize("block", ["early", "middle", "late"])
@pytest.mark.parametrize("size", ["S", "M", "L"])
def test_the_strength_is_the_one_that_calibration_chose_on_validation(block: str, size: str) -> None:
    record = json.loads((world.sae(f"world:{block}") / "strength.json").read_text("utf-8"))
    for method in ("steering", "hybrid", "one-word"):
        curve = record["curves"][size][method]
        top = max(curve, key=lambda point: point["score"])
        enough = 0.5 if record["chosen_by"][method] == "kl" and top["score"] >= 0.5 else top["interval"][0]
        weakest = next(point["strength"] for point in curve if point["score"] >= enough)
        chosen = world.strength(f"world:{block}", f"world:{size}", method)
        assert (chosen.value, chosen.unit) == (weakest, record["chosen"][size][method]["unit"])
    assert world.strength(f"world:{block}", f"world:{size}", "token-change") == world.strength(
        f"world:{block}", f"world:{size}", "steering"
    )


@pytest.mark.parametrize("subject", ["world:judge", "world:XL", "google/gemma-3-4b-it", ""])
def test_no_strength_is_made_up_for_another_model(subject: str) -> None:
    with pytest.raises(UnreadableModel, match="world:L"):
        world.strength("world:middle", subject)


def test_a_damaged_strength_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sae" / "middle").mkdir(parents=True)
    monkeypatch.setattr(world, "DATA", tmp_path)
    with pytest.raises(UnreadableSAE, match="strength.json"):
        world.strength("world:middle")
    (tmp_path / "sae" / "middle" / "strength.json").write_text('{"chosen": 3}')
    with pytest.raises(UnreadableSAE, match="strength.json"):
        world.strength("world:middle")
