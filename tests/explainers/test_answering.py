"""Words from the vocabulary, worked out once more by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seesay.explainers import answering
from seesay.explainers.answering import Answering, Saying, TokenChange, Vocabulary, Weighing, divergence
from seesay.explainers.cases import Case
from seesay.explainers.lens import Expected, Lens
from seesay.images.blank import blank_image
from seesay.records import Decoding, Strength
from seesay.vlm import VLM, ImageTokens
from seesay.vlm.likelihood import log_likelihoods
from tests.explainers.galleries import PROMPTS, asked, noise, vlm_of
from tests.families import D_MODEL, SIDE, SPECIAL, WORDS

QUESTION = PROMPTS["steering"]
LOG_PROBABILITIES = st.lists(st.floats(-30, 30), min_size=5, max_size=5).map(
    lambda logits: torch.tensor([logits]).log_softmax(-1)
)


def images(vlm: VLM, n: int = 3) -> list[list[ImageTokens]]:
    return [[image] for image in vlm.encode([noise((SIDE, SIDE), seed) for seed in range(n)])]


def empty(vlm: VLM) -> list[ImageTokens]:
    return vlm.encode([blank_image("white", SIDE)])


def cases(*keys: int) -> list[Case]:
    """Cases of features that look for something each."""
    generator = torch.Generator().manual_seed(3)
    rows = torch.randn(16, D_MODEL, generator=generator)
    return [Case(key, key, key, reads=rows[key]) for key in keys]


def lens_of(phrases: tuple[str, ...] = ("w1", "a w5 w9", "w63 w2", "w7")) -> Lens:
    generator = torch.Generator().manual_seed(5)
    return Lens(
        phrases=phrases,
        weights=torch.randn(len(phrases), D_MODEL, generator=generator),
        centre=torch.randn(D_MODEL, generator=generator) / 10,
        spread=0.7,
        of_steered=Expected(torch.randn(len(phrases), generator=generator) - 8, 3.0),
        of_pupils=Expected(torch.randn(len(phrases), generator=generator) - 6, 2.0),
        strength=Strength(2.0, "residual_norm"),
        facts={},
    )


def words_of(vlm: VLM, gains: torch.Tensor, n: int) -> str:
    """The n words that gained most: words alone, no special token and no punctuation."""
    order = gains.argsort(descending=True).tolist()
    words = [(SPECIAL + WORDS)[token] for token in order if gains[token] > 0]
    return ", ".join([word for word in words if word not in SPECIAL and word.isalnum()][:n])


@pytest.mark.parametrize("n_words", [1, 3])
def test_the_vocabulary_is_ordered_by_how_much_nearer_its_words_have_come(n_words: int) -> None:
    vlm = vlm_of()
    rows, unsteered = images(vlm), empty(vlm)

    def cosines(row: list[ImageTokens]) -> torch.Tensor:
        pairs = torch.nn.functional.cosine_similarity(row[0].tokens[:, None], vlm.embeddings[None], dim=-1)
        return pairs.mean(0)

    found = Vocabulary(vlm, unsteered, n_words).answer(rows, cases(0, 1, 2))
    assert [answer.text for answer in found] == [
        words_of(vlm, cosines(row) - cosines(unsteered), n_words) for row in rows
    ]
    assert {answer.mean_log_probability for answer in found} == {None}


@pytest.mark.parametrize("n_words", [1, 3])
def test_changed_tokens_are_ordered_by_the_probability_that_they_gain(n_words: int) -> None:
    vlm = vlm_of()
    rows, unsteered = images(vlm), empty(vlm)
    pictures = [[noise((SIDE, SIDE), seed)] for seed in range(3)]

    def probabilities(row: list[object]) -> torch.Tensor:
        inputs = vlm.plain_inputs(QUESTION, [row])
        begun = vlm._tokenizer(vlm.prompts.start, add_special_tokens=False, return_tensors="pt")["input_ids"]
        inputs["input_ids"] = torch.cat([inputs["input_ids"], begun], -1)
        for name in ("attention_mask", "token_type_ids"):
            like = torch.full_like(begun, int(name == "attention_mask"))
            inputs[name] = torch.cat([inputs[name], like], -1)
        return vlm.model(**inputs).logits[0, -1].softmax(-1)

    before = probabilities([blank_image("white", SIDE)])
    found = TokenChange(vlm, "steering", unsteered, n_words).answer(rows, cases(0, 1, 2))
    assert [answer.text for answer in found] == [
        words_of(vlm, probabilities(row) - before, n_words) for row in pictures
    ]


def test_every_way_of_answering_keeps_the_order_whatever_the_batch() -> None:
    vlm = vlm_of()
    rows, unsteered = images(vlm, 4), empty(vlm)
    ways = [
        Saying(vlm, QUESTION, Decoding(4, temperature=1.0, n_samples=2)),
        Vocabulary(vlm, unsteered, 4),
        TokenChange(vlm, "steering", unsteered, 4),
        Weighing(vlm, QUESTION, lens_of(), lens_of().of_steered),
    ]
    for way in ways:
        assert isinstance(way, Answering)
        together = [answer.text for answer in way.answer(rows, cases(7, 8, 9, 10))]
        apart = [
            answer.text
            for row, key in zip(rows, [7, 8, 9, 10], strict=True)
            for answer in way.answer([row], cases(key))
        ]
        assert together == apart
        assert len(together) == (8 if isinstance(way, Saying) else 4)


@pytest.mark.parametrize("n_weighed", [1, 2, 4, 8])
def test_the_phrase_is_told_that_reading_and_steered_image_speak_for(
    n_weighed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "N_WEIGHED", n_weighed)
    vlm, lens = vlm_of(), lens_of()
    rows, asked_of = images(vlm, 6), cases(0, 1, 2, 3, 4, 5)
    expected: list[str] = []
    for row, case in zip(rows, asked_of, strict=True):
        assert case.reads is not None
        reading = ((case.reads / case.reads.norm() - lens.centre) @ lens.weights.T / lens.spread).tolist()
        best = sorted(range(len(lens.phrases)), key=lambda place: -reading[place])[:n_weighed]
        total: dict[str, float] = {}
        for place in best:
            words = lens.phrases[place]
            (mean,) = log_likelihoods(vlm, QUESTION, [row], [words])
            assert mean is not None
            surprise = (mean * len(words.split()) - 0.5 * lens.of_steered.mean[place].item()) / lens.of_steered.spread
            total[words] = reading[place] + 0.2 * surprise
        expected.append(max(total, key=lambda words: total[words]))
    assert [each.text for each in Weighing(vlm, QUESTION, lens, lens.of_steered).answer(rows, asked_of)] == expected
    assert len(set(expected)) > 1


def test_a_word_is_told_once_however_it_is_spelt(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = asked(PROMPTS)
    monkeypatch.setattr(
        vlm, "words", lambda ids: ["", ".", "red", "red", "blue", "!", "green", *["red"] * len(ids)][: len(ids)]
    )
    found = TokenChange(vlm, "steering", empty(vlm), 2).answer(images(vlm, 1), cases(0))
    assert set(found[0].text.split(", ")) <= {"red", "blue", "green"}
    assert found[0].text.count("red") <= 1


@given(LOG_PROBABILITIES, LOG_PROBABILITIES)
def test_a_divergence_is_that_of_torch_and_never_negative(after: torch.Tensor, before: torch.Tensor) -> None:
    expected = torch.nn.functional.kl_div(before, after, log_target=True, reduction="sum").item()
    assert divergence(after, before).tolist() == [pytest.approx(max(expected, 0.0), rel=1e-4, abs=1e-5)]
    assert divergence(after, after).tolist() == [0.0]


def test_a_token_that_cannot_come_adds_nothing() -> None:
    never = torch.tensor([[0.5, 0.5, 0.0]]).log()
    even = torch.tensor([[1.0, 1.0, 1.0]]).log_softmax(-1)
    assert divergence(never, even).item() == pytest.approx(torch.tensor(1.5).log().item())
    assert divergence(even, never).item() == float("inf")
