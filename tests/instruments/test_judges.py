"""A judge's answers: held against the plain model's own probabilities, and in the world against the truth."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from tokenizers import models

from seesay import world
from seesay.errors import NotEnoughMemory, NotFinite, UnreadableModel, UnreadablePrompt
from seesay.images.blank import blank_image
from seesay.instruments.instrument import Judge, Verdict
from seesay.instruments.judges import VLMJudge, load_judge
from seesay.vlm import VLM, Prompts
from seesay.vlm.prompts import PACKAGED, read_prompts
from seesay.world.concepts import CONCEPTS
from seesay.world.examination import without
from seesay.world.grammar import phrase
from seesay.world.questions import showing
from seesay.world.streams import seeds
from tests.families import BUILDERS, IDS, SIDE
from tests.tiny import save_checkpoint

YES, NO = ("yes", "Yes", "YES"), ("no", "No")
SAID_BY = {f"w{number}": word for number, word in enumerate((*YES, *NO, "yesterday", "know"))}
PROMPTS = Prompts({"detect": "is {phrase} in the image ?", "fuzz": "is the red {phrase} ?"}, mask_fill=(1, 2, 3))


def speaker(family: str = "gemma3", prompts: Prompts = PROMPTS, lacking: Sequence[str] = ()) -> VLM:
    """A small random model in whose vocabulary some words read yes or no."""
    parts = BUILDERS[family]()
    said = {token: word for token, word in SAID_BY.items() if word not in lacking}
    vocabulary = {said.get(token, token): number for token, number in IDS.items()}
    parts.tokenizer.backend_tokenizer.model = models.WordLevel(vocabulary, unk_token="<unk>")
    return VLM(parts.model, parts.image_processor, parts.tokenizer, prompts)


def noise(seed: int) -> Image.Image:
    return blank_image("noise", SIDE, seed)


IMAGES = [noise(seed) for seed in (0, 1, 0, 2, 1, 0)]
PHRASES = ["red", "a red image", "the", "w9 w8", "w9", "a red image"]


@cache
def verdicts_of_all() -> tuple[Verdict, ...]:
    return tuple(VLMJudge(speaker()).ask("detect", IMAGES, PHRASES))


def close(found: Sequence[Verdict], expected: Sequence[Verdict]) -> bool:
    return [each.answered for each in found] == [each.answered for each in expected] and [
        each.yes for each in found
    ] == pytest.approx([each.yes for each in expected], abs=1e-5)


@torch.no_grad()
def plainly(vlm: VLM, prompt: str, image: Image.Image) -> Verdict:
    """What the plain model's softmax says."""
    logits = vlm.model(**vlm.plain_inputs(prompt, [[image]])).logits[0, -1].double()
    shares = logits.softmax(-1).tolist()
    word_of = {IDS[token]: word.lower() for token, word in SAID_BY.items()}
    yes, no = (sum(share for n, share in enumerate(shares) if word_of.get(n) == word) for word in ("yes", "no"))
    return Verdict(yes / (yes + no), word_of.get(int(np.argmax(shares))) in ("yes", "no"))


@pytest.mark.parametrize("family", BUILDERS)
def test_yes_and_no_are_the_plain_models_own_probabilities(family: str) -> None:
    vlm = speaker(family)
    judge = VLMJudge(vlm)
    for question, words in (("detect", "is {} in the image ?"), ("fuzz", "is the red {} ?")):
        expected = [plainly(vlm, words.format(said), image) for image, said in zip(IMAGES, PHRASES, strict=True)]
        assert close(judge.ask(question, IMAGES, PHRASES), expected)  # pyright: ignore[reportArgumentType]
        assert len({round(each.yes, 4) for each in expected}) > 3, "they differ, so that something was tested"


def test_a_judge_is_a_judge() -> None:
    judge = VLMJudge(speaker())
    assert isinstance(judge, Judge)
    assert judge.mask_fill == (1, 2, 3)
    assert judge.ask("detect", [], []) == []


@pytest.mark.parametrize("token", [*SAID_BY])
def test_only_tokens_that_read_yes_or_no_count(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = speaker()
    log_probabilities = torch.full((1, len(IDS)), -50.0)
    log_probabilities[0, IDS[token]] = -0.1
    log_probabilities[0, [IDS["w0"], IDS["w3"]]] = log_probabilities[0, [IDS["w0"], IDS["w3"]]].clamp_min(-5.0)
    monkeypatch.setattr(vlm, "next_word", lambda _prompts, rows: log_probabilities.expand(len(rows), -1))
    (found,) = VLMJudge(vlm).ask("detect", [noise(0)], ["red"])
    word = SAID_BY[token].lower()
    assert found.answered == (word in ("yes", "no"))
    assert found.yes == pytest.approx({"yes": 1.0, "no": 0.0}.get(word, 0.5), abs=0.02)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_verdicts_do_not_depend_on_the_batch(batch_size: int) -> None:
    assert close(VLMJudge(speaker(), batch_size=batch_size).ask("detect", IMAGES, PHRASES), verdicts_of_all())


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_an_image_that_repeats_is_encoded_once(batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = speaker()
    seen: list[bytes] = []
    encode = vlm.encode

    def noting(images: Sequence[Image.Image], **more: Any) -> Any:
        seen.extend(image.tobytes() for image in images)
        return encode(images, **more)

    monkeypatch.setattr(vlm, "encode", noting)
    copies = [image.copy() for image in IMAGES]
    assert close(VLMJudge(vlm, batch_size=batch_size).ask("detect", copies, PHRASES), verdicts_of_all())
    assert len(seen) == len(set(seen)) == 3


def test_images_of_other_modes_are_not_mistaken_for_each_other() -> None:
    indices = Image.fromarray(np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE) % 4)
    pictures: list[Image.Image] = []
    for palette in ([0, 0, 0, 9, 9, 9, 80, 0, 0, 0, 200, 0], [255, 0, 0, 0, 0, 255, 1, 1, 1, 255, 255, 255]):
        picture = indices.copy()
        picture.putpalette(palette + [0] * (768 - len(palette)))
        pictures.append(picture)
    assert pictures[0].tobytes() == pictures[1].tobytes()
    judge = VLMJudge(speaker())
    found = judge.ask("detect", pictures, ["red", "red"])
    assert close(found, judge.ask("detect", [each.convert("RGB") for each in pictures], ["red", "red"]))
    assert found[0] != found[1]


@pytest.mark.parametrize("name", ["encode", "next_word"])
def test_a_batch_too_large_for_memory_is_halved(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = speaker()
    sizes: list[int] = []
    run = getattr(vlm, name)

    def short_of_memory(first: Sequence[Any], *more: Any, **named: Any) -> Any:
        sizes.append(len(first))
        if len(first) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return run(first, *more, **named)

    monkeypatch.setattr(vlm, name, short_of_memory)
    assert close(VLMJudge(vlm).ask("detect", IMAGES, PHRASES), verdicts_of_all())
    assert max(sizes) > 2


def test_a_single_question_too_large_for_memory_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = speaker()

    def no_memory(*_given: Any) -> None:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(vlm, "next_word", no_memory)
    with pytest.raises(NotEnoughMemory, match="choose a smaller judge"):
        VLMJudge(vlm).ask("detect", IMAGES, PHRASES)


@pytest.mark.parametrize(
    "said",
    [
        "<start_of_image> red",
        "red<image_soft_token>",
        "<image_<image_soft_token>soft_token>red",
        "<bos>red <eos>\n<pad>",
        "  red\n\t",
    ],
)
def test_words_that_mean_something_to_the_model_are_left_out(said: str) -> None:
    judge = VLMJudge(speaker())
    (expected,) = judge.ask("detect", [noise(0)], ["red"])
    (found,) = judge.ask("detect", [noise(0)], [said])
    if said.startswith("<image_"):
        (expected,) = judge.ask("detect", [noise(0)], ["<image_ soft_token>red"])
    assert close([found], [expected])


@pytest.mark.parametrize("said", ["{phrase}", "{opening} {0} %s", "", "\x00\u202e", "red " * 5000])
def test_any_words_can_be_asked_about(said: str) -> None:
    (found,) = VLMJudge(speaker()).ask("fuzz", [noise(0)], [said])
    assert 0 <= found.yes <= 1


@pytest.mark.parametrize(("lacking", "word"), [(YES, "yes"), (NO, "no")])
def test_a_vocabulary_without_the_words_is_refused_in_a_line(lacking: Sequence[str], word: str) -> None:
    with pytest.raises(UnreadableModel, match=f"no token is '{word}'.*choose another judge"):
        VLMJudge(speaker(lacking=lacking))


def test_questions_without_a_place_for_the_words_are_refused() -> None:
    with pytest.raises(UnreadablePrompt, match=r"no prompt named 'fuzz'.*add a file fuzz\.txt"):
        VLMJudge(speaker(prompts=Prompts({"detect": "is {phrase} ?"})))
    with pytest.raises(UnreadablePrompt, match=r"\{phrase\} in detect\.txt"):
        VLMJudge(speaker(prompts=Prompts({"detect": "is it red ?", "fuzz": "{phrase} ?"})))


def test_numbers_that_overflow_are_an_error() -> None:
    vlm = speaker()
    vlm.encoder.blocks[2].register_forward_hook(lambda _block, _inputs, output: output * torch.nan)
    with pytest.raises(NotFinite, match="--dtype"):
        VLMJudge(vlm).ask("detect", [noise(0)], ["red"])


def test_another_model_or_question_is_another_judge() -> None:
    facts = VLMJudge(speaker()).facts
    assert VLMJudge(speaker(), batch_size=3).facts == facts
    other = speaker(prompts=Prompts({**PROMPTS.texts, "fuzz": "{phrase} ?"}))
    assert VLMJudge(other).facts != facts
    changed = speaker()
    with torch.no_grad():
        changed.embeddings[IDS["red"]] += 1
    assert VLMJudge(changed).facts != facts
    changed = speaker()
    changed._tokenizer.chat_template += " "
    assert VLMJudge(changed).facts != facts


def test_a_judge_is_loaded_as_any_model_is(tmp_path: Any) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(UnreadableModel, match="no token is 'yes'"):
        load_judge(save_checkpoint(tmp_path / "none"), device="cpu", prompts=PACKAGED)
    loaded = load_judge(world.checkpoint("world:judge"), device="cpu", batch_size=2)
    assert loaded.facts == VLMJudge(world.load_vlm("world:judge", device="cpu")).facts


def test_the_packaged_questions_ask_for_yes_or_no() -> None:
    prompts = read_prompts(PACKAGED)
    for question in ("detect", "fuzz"):
        assert prompts.about(question, "a red circle").endswith("yes or no.")
        assert '"a red circle"' in prompts.about(question, "a red\ncircle")
    assert VLMJudge(speaker(prompts=prompts)).ask("detect", [noise(0)], ["red"])


@pytest.fixture(scope="module")
def of_the_world() -> VLMJudge:
    return load_judge(world.checkpoint("world:judge"), device="cpu")


def test_the_worlds_judge_tells_pictures_with_a_concept_from_those_without(of_the_world: VLMJudge) -> None:
    rows = [row for row, concept in enumerate(CONCEPTS) if concept.kind != "position"]
    pictures: list[Image.Image] = []
    asked: list[str] = []
    truth: list[bool] = []
    for number, row in enumerate(np.random.default_rng(5).permutation(rows)[:30].tolist()):
        chosen = seeds("evaluation", 7_000_000 + 100 * number, 100)
        with_it = showing(CONCEPTS[row], chosen[:50], 2)
        without_it = without(CONCEPTS[row], chosen[50:], 2)
        pictures += [rendering.image for rendering in (*with_it, *without_it)]
        truth += [True] * len(with_it) + [False] * len(without_it)
        asked += [phrase(CONCEPTS[row])] * (len(with_it) + len(without_it))
    verdicts = of_the_world.ask("detect", pictures, asked)
    assert all(each.answered for each in verdicts)
    # answers at random would be right in 73 % of 120 cases less than once in a million times
    assert np.mean([(each.yes > 0.5) == right for each, right in zip(verdicts, truth, strict=True)]) > 0.73
    assert roc_auc_score(truth, [each.yes for each in verdicts]) > 0.8
