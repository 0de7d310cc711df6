import pytest

from seesay.errors import UnreadableModel
from seesay.vlm.families import ENCODERS, VLMS, encoder_family, vlm_family


def test_a_known_family_is_found_by_its_type() -> None:
    assert vlm_family("gemma3") is VLMS["gemma3"]
    assert encoder_family("dinov2") is ENCODERS["dinov2"]


def test_an_unknown_family_lists_the_known_ones() -> None:
    with pytest.raises(UnreadableModel, match="'gpt2'.*gemma3"):
        vlm_family("gpt2")
    with pytest.raises(UnreadableModel, match="'convnext'.*dinov2.*gemma3"):
        encoder_family("convnext")


def test_an_encoder_in_place_of_a_vlm_is_told_what_it_can_do() -> None:
    with pytest.raises(UnreadableModel, match="give a vision-language model as explainer"):
        vlm_family("siglip")


def test_the_paper_s_own_kind_of_checkpoint_is_pointed_to_the_converted_one() -> None:
    with pytest.raises(UnreadableModel, match="-hf"):
        vlm_family("internvl_chat")
