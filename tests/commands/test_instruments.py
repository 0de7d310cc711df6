"""The models that scores measure with, as they are named on the command line."""

from pathlib import Path
from typing import Any

import pytest

from seesay.commands.instruments import InstrumentOptions, Instruments
from seesay.commands.options import Options
from seesay.errors import UnreadableModel
from seesay.instruments import segmenters

CPU = Options(device="cpu")


@pytest.mark.parametrize(
    ("given", "loaded"),
    [
        ("DINO+SAM", "IDEA-Research/grounding-dino-base+facebook/sam2.1-hiera-large"),
        (None, "facebook/sam3"),
        ("mine/dino+mine/sam", "mine/dino+mine/sam"),
    ],
)
def test_a_short_name_stands_for_the_papers_pair(
    given: str | None, loaded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noting(name: str, **_: Any) -> str:
        return name

    monkeypatch.setattr(segmenters, "load_segmenter", noting)
    assert Instruments(InstrumentOptions(segmenter=given), False, CPU).segmenter == loaded


def load(option: str, name: str) -> None:
    tools = Instruments(InstrumentOptions(**{option: name}), False, CPU)
    if option == "synthesiser":
        tools.synthesiser()
    else:
        getattr(tools, option)


@pytest.mark.parametrize("option", ["segmenter", "embedder", "judge", "synthesiser"])
def test_a_model_that_cannot_be_read_is_told_with_the_option_that_names_it(option: str, tmp_path: Path) -> None:
    for name in (str(tmp_path), f"{tmp_path}/nowhere"):
        with pytest.raises(UnreadableModel) as caught:
            load(option, name)
        assert str(caught.value).startswith(f"--{option} ")
        assert name in str(caught.value)
        assert "embedded world" not in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("option", ["segmenter", "embedder", "judge", "synthesiser"])
def test_whoever_names_a_part_of_the_world_is_told_how_its_own_is_named(option: str) -> None:
    with pytest.raises(UnreadableModel, match=f"^--{option} .*, or world, the embedded world's own"):
        load(option, "world:XL")
