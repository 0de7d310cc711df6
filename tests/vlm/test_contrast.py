"""Words that would not be said of another image, chosen once more in plain passes of the whole model."""

import pytest
import torch
from PIL import Image

from seesay.images.blank import blank_image
from seesay.records import Decoding
from seesay.vlm import VLM
from seesay.vlm.contrast import PLAUSIBLE, say_unlike
from tests.explainers.galleries import noise, vlm_of
from tests.families import QUESTION, SIDE

FAMILIES = ["gemma3", "qwen2_5_vl", "llava"]
N = 5


def next_token(vlm: VLM, picture: Image.Image, begun: list[int]) -> torch.Tensor:
    inputs = vlm.plain_inputs(QUESTION, [[picture]])
    said = torch.tensor([begun], dtype=torch.long)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], said], dim=1)
    for name in ("attention_mask", "token_type_ids", "mm_token_type_ids"):
        if name in inputs:
            inputs[name] = torch.cat([inputs[name], torch.full_like(said, int(name == "attention_mask"))], dim=1)
    with torch.no_grad():
        return vlm.model(**inputs).logits[0, -1].float().log_softmax(-1)


def by_hand(vlm: VLM, picture: Image.Image, other: Image.Image, share: float) -> list[int]:
    begun: list[int] = []
    while len(begun) < N and not set(begun) & set(vlm.end_ids):
        own, unlike = next_token(vlm, picture, begun), next_token(vlm, other, begun)
        plausible = own.exp() >= PLAUSIBLE * own.exp().max()
        begun.append(int((own - share * unlike).where(plausible, torch.tensor(-torch.inf)).argmax()))
    return begun


@pytest.mark.parametrize("share", [0.3, 1.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_are_those_that_gain_most_among_the_plausible(family: str, share: float) -> None:
    vlm, white = vlm_of(family), blank_image("white", SIDE)
    pictures = [noise((SIDE, SIDE), seed) for seed in range(4)]
    rows = [vlm.encode([each]) for each in pictures]
    found = say_unlike(vlm, QUESTION, rows, vlm.encode([white]), share, max_new_tokens=N, batch_size=3)
    expected = vlm.decode([by_hand(vlm, each, white, share) for each in pictures])
    assert [each.text for each in found] == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_taken_away_is_greedy_decoding(family: str) -> None:
    vlm = vlm_of(family)
    rows = [vlm.encode([noise((SIDE, SIDE), seed)]) for seed in range(3)]
    other = vlm.encode([blank_image("white", SIDE)])
    found = say_unlike(vlm, QUESTION, rows, other, 0.0, max_new_tokens=N)
    greedy = vlm.say(QUESTION, rows, Decoding(N))
    assert [each.text for each in found] == [each.text for each in greedy]
    assert [each.mean_log_probability for each in found] == pytest.approx(
        [each.mean_log_probability for each in greedy], abs=1e-4
    )
    assert say_unlike(vlm, QUESTION, [], other, 0.5, max_new_tokens=N) == []


def test_it_changes_words() -> None:
    vlm = vlm_of()
    rows = [vlm.encode([noise((SIDE, SIDE), seed)]) for seed in range(20)]
    other = vlm.encode([blank_image("white", SIDE)])
    plain, unlike = (
        [each.text for each in say_unlike(vlm, QUESTION, rows, other, share, max_new_tokens=N)] for share in (0.0, 1.0)
    )
    assert plain != unlike
