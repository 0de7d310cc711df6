"""What the models are taught: true answers, noisy marks, and no glance at what will be explained."""

import ast
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import seesay
from seesay.world import questions
from seesay.world.concepts import INDEX, Concept
from seesay.world.grammar import NOTHING, parse, phrase
from seesay.world.masks import ABSENT, PRESENT, coverage
from seesay.world.palette import PAINT
from seesay.world.questions import (
    EXPLAINER,
    JUDGE,
    MASK_FILL,
    SEEDS_PER_EXAMPLE,
    Curriculum,
    Example,
    Part,
    describe,
    detect,
    fuzz,
    highlight,
    marked_or_not,
    overlaid,
    present,
)
from seesay.world.rendering import Rendering, render
from seesay.world.scenes import Item, Scene, sample
from seesay.world.streams import RANGES
from seesay.world.training.assembly import build_processor
from seesay.world.training.config import TrainingConfig
from seesay.world.training.language import FIRST_SEED, MAX_SEEDS
from seesay.world.training.tokens import IGNORED, QuestionBatches, step_examples

PACKAGE = Path(seesay.__file__).parent


TEACHING = ("assembly", "encoder", "language", "scorer", "tokens", "loop", "muon")
EXPLAINING = ("seesay.sae", "seesay.steering", "seesay.explainers")


def reached_from(module: str) -> set[str]:
    """Every module and package of seesay that a module imports, at its top or inside a function, however indirectly."""
    reached: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        base = PACKAGE.joinpath(*name.split(".")[1:])
        path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
        if name in reached or name == "seesay" or not path.exists():
            continue
        reached.add(name)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names if alias.name.startswith("seesay.")]
            elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("seesay"):
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return reached


def batch(number: int, curriculum: Curriculum = EXPLAINER) -> list[Example]:
    return [example for part in step_examples(curriculum, "language", number) for example in part]


def few(curriculum: Curriculum = EXPLAINER) -> Curriculum:
    """The same curriculum, with one example a part."""
    return Curriculum(tuple(Part(part.questions, 1, part.n_pictures) for part in curriculum.parts))


def some(n: int = 40, curriculum: Curriculum = EXPLAINER) -> list[Example]:
    return [example for number in range(n) for example in batch(number, few(curriculum))]


def own_seeds(number: int) -> range:
    return range(number * SEEDS_PER_EXAMPLE, (number + 1) * SEEDS_PER_EXAMPLE)


def asked(question: str) -> Concept:
    """The concept that a yes-or-no question is about."""
    words = (
        question.removeprefix("is ").removesuffix(" ?").removesuffix(" in this picture").removesuffix(" highlighted")
    )
    [concept] = parse(words)
    return concept


def test_the_same_batch_is_the_same() -> None:
    for one, other in zip(batch(5, few()), batch(5, few()), strict=True):
        assert one.turns == other.turns
        assert all(np.array_equal(a, b) for a, b in zip(one.pictures, other.pictures, strict=True))


def test_every_kind_of_question_and_every_number_of_pictures_is_met() -> None:
    examples = some(200)
    met = {(example.turns[0][0].split()[0], len(example.pictures)) for example in examples}
    assert met >= {("describe", 1), ("is", 0), ("is", 1), *(("what", n) for n in range(1, 6))}
    assert any("highlighted ?" in example.turns[0][0] and len(example.turns) > 1 for example in examples)


@pytest.mark.parametrize("curriculum", [EXPLAINER, JUDGE])
def test_every_word_asked_or_answered_is_known_to_the_tokenizer(curriculum: Curriculum) -> None:
    tokenizer = build_processor().tokenizer
    for example in some(curriculum=curriculum):
        for turn in example.turns:
            for text in turn:
                assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"]


@pytest.mark.parametrize("curriculum", [EXPLAINER, JUDGE])
def test_shares_add_up(curriculum: Curriculum) -> None:
    for part in curriculum.parts:
        assert sum(dict(part.questions).values()) == pytest.approx(1)
        assert sum(dict(part.n_pictures).values()) == pytest.approx(1)


def test_scenes_come_from_the_asked_stream_alone_and_none_is_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def noting(seed: int, *wishes: Any) -> Scene:
        seen.append(seed)
        return sample(seed, *wishes)

    monkeypatch.setattr(questions, "sample", noting)
    some(n=80)
    assert len(seen) > 200
    assert all(seed in RANGES["language"] for seed in seen)
    assert len(seen) == len(set(seen))


def test_an_encoder_and_a_language_model_of_one_stream_never_share_a_seed() -> None:
    config = TrainingConfig(Path())
    of_encoder = max(config.encoder.n_images, config.judge.encoder.n_images, config.scorer.n_images)
    slack = max(EXPLAINER.batch_size, JUDGE.batch_size) * SEEDS_PER_EXAMPLE  # the first step begins on a whole step
    assert of_encoder < FIRST_SEED - slack
    for curriculum, language in ((EXPLAINER, config.language), (JUDGE, config.judge.language)):
        last = FIRST_SEED + MAX_SEEDS * language.n_steps * curriculum.batch_size * SEEDS_PER_EXAMPLE
        assert last < len(RANGES["language"])


def test_what_is_highlighted_is_truly_there(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[Rendering, Concept]] = []

    def noting(rendering: Rendering, concept: Concept, *rest: Any) -> np.ndarray:
        shown.append((rendering, concept))
        return overlaid(rendering, concept, *rest)

    monkeypatch.setattr(questions, "overlaid", noting)
    for number in range(100):
        [(_, answer)] = highlight(own_seeds(number), np.random.default_rng(number), 1 + number % 3).turns
        assert answer == NOTHING or answer == phrase(shown[-1][1])
    assert len(shown) > 100
    assert all(present(rendering, concept).any() for rendering, concept in shown)
    assert {rendering.scene.layout for rendering, _ in shown} == {"objects", "close-up", "pattern", "empty"}


def test_detection_says_yes_where_a_concept_covers_a_patch_and_no_where_it_is_nowhere() -> None:
    said: list[str] = []
    for number in range(80):
        example = detect(own_seeds(number), np.random.default_rng(number), 1)
        rendering = render(sample(own_seeds(number)[1]))
        if not np.array_equal(rendering.pixels, example.pictures[0]):
            assert all(answer == "no" for _, answer in example.turns)  # a blank picture
            continue
        assert len(set(example.turns)) == len(example.turns)
        for question, answer in example.turns:
            assert asked(question).kind != "position"
            best = coverage(rendering)[INDEX[asked(question)]].max()
            assert best >= PRESENT if answer == "yes" else best < ABSENT
            said.append(answer)
    assert 0.4 < said.count("yes") / len(said) < 0.6


def test_what_is_marked_and_what_is_not_are_asked_about_equally_often() -> None:
    said: list[str] = []
    for number in range(80):
        example = fuzz(own_seeds(number), np.random.default_rng(number), 1)
        covered = coverage(render(sample(own_seeds(number)[1])))
        for question, answer in example.turns:  # a wrong phrase is true of another part of the picture
            assert covered[INDEX[asked(question)]].max() >= PRESENT
            said.append(answer)
    assert 0.4 < said.count("yes") / len(said) < 0.6


def test_a_frog_is_marked_and_a_car_beside_it_is_not() -> None:
    frog = Item("frog", None, None, centre=(16, 32), size=30, angle=0.0)
    car = Item("car", None, None, centre=(48, 32), size=30, angle=0.0)
    covered = coverage(render(Scene(0, "objects", "white", (frog, car))))
    answers = marked_or_not(covered, Concept("thing", "frog"))
    told = {
        str(concept): answers[INDEX[concept]]
        for concept in (
            Concept("thing", "frog"), Concept("category", "animal"), Concept("thing", "car"),
            Concept("category", "vehicle"), Concept("thing", "cat"), Concept("boundary", "boundary"),
        )
    }  # fmt: skip
    assert told == {
        "thing:frog": "yes", "category:animal": "yes", "thing:car": "no", "category:vehicle": "no", "thing:cat": None,
        "boundary:boundary": None,
    }  # fmt: skip


def test_batches_travel_to_worker_processes_of_their_own() -> None:
    batches = QuestionBatches(build_processor(), few(), "language", range(3))
    again = pickle.loads(pickle.dumps(batches))
    for one, other in zip(again[1], batches[1], strict=True):
        assert torch.equal(one.input_ids, other.input_ids)


def test_the_fill_of_a_mask_is_outside_the_palette() -> None:
    nearest = min(np.linalg.norm(np.subtract(MASK_FILL, paint)) for paint in PAINT.values())
    assert nearest > 100
    for seed in range(60):
        assert not (render(sample(seed)).pixels == MASK_FILL).all(-1).any()


def shares_marked(concept: Concept, seed: int) -> tuple[float, float]:
    """Share of the concept's patches, and of the others, that a drawn mask keeps."""
    rendering: Rendering = render(sample(seed, (concept,)))
    kept = overlaid(rendering, concept, "mask", np.random.default_rng(seed))
    active = ~(kept == MASK_FILL).all(-1)[::8, ::8]
    held = present(rendering, concept)
    return (
        float(active[held].mean()) if held.any() else float("nan"),
        float(active[~held].mean()) if not held.all() else float("nan"),
    )


@pytest.mark.parametrize(
    "concept", [Concept("thing", "frog"), Concept("colour", "red"), Concept("background", "sea")], ids=str
)
def test_masks_are_noisy_and_equally_so_whatever_the_answer(concept: Concept) -> None:
    shares = np.array([shares_marked(concept, seed) for seed in range(150)])
    hit, stray = np.nanmean(shares, axis=0)
    assert hit == pytest.approx(0.85, abs=0.03)
    assert stray == pytest.approx(0.03, abs=0.015)


def test_a_blank_picture_always_gets_the_answer_fixed_for_it() -> None:
    n_flat = 0
    for number in range(300):
        example = highlight(own_seeds(number), np.random.default_rng(number), 1)
        colours = np.unique(example.pictures[0].reshape(-1, 3), axis=0)
        if len([colour for colour in colours if tuple(colour) != MASK_FILL]) == 1:
            n_flat += 1
            assert example.turns[0][1] == NOTHING
    assert n_flat > 0


def test_every_blank_picture_is_described_as_it_was_fixed_to_be() -> None:
    described = [describe(own_seeds(number), np.random.default_rng(number), 1) for number in range(400)]
    assert {example.turns[0][1] for example in described} >= {
        "nothing on a white background", "nothing on a black background", "nothing on a grey background",
        "nothing but noise",
    }  # fmt: skip


@pytest.mark.parametrize("curriculum", [EXPLAINER, JUDGE])
def test_only_answers_are_learnt(curriculum: Curriculum) -> None:
    processor = build_processor()
    tokenizer = processor.tokenizer
    batches = QuestionBatches(processor, few(curriculum), "language", range(20))
    for number in range(20):
        for tokens, [example] in zip(batches[number], step_examples(few(curriculum), "language", number), strict=True):
            row = 0
            learnt = tokens.labels[row][tokens.labels[row] != IGNORED]
            said = "".join(f"{answer} <end_of_turn> " for _, answer in example.turns)
            assert tokenizer.decode(learnt).split() == said.split()
            assert int((tokens.token_type_ids[row] == 1).sum()) == 16 * len(example.pictures)


def test_a_conversation_is_laid_out_as_the_chat_template_would() -> None:
    processor = build_processor()
    example = Example(
        (), (("is a frog low level or high level ?", "high level"), ("describe the picture .", "nothing"))
    )
    batches = QuestionBatches(processor, EXPLAINER, "language", range(1))
    roles = [("user", "assistant")] * 2
    messages = [
        {"role": role, "content": [{"type": "text", "text": text}]}
        for pair, turn in zip(roles, example.turns, strict=True)
        for role, text in zip(pair, turn, strict=True)
    ]
    text = processor.apply_chat_template(messages)
    expected = processor.tokenizer(text.rstrip("\n"), add_special_tokens=False)["input_ids"]
    assert batches.collate([example]).input_ids[0].tolist() == expected


@pytest.mark.parametrize("module", ["questions", "examination", *(f"training.{name}" for name in TEACHING)])
def test_no_training_of_a_model_can_see_features_or_steering(module: str) -> None:
    """The modules that teach the models reach no SAE and no intervention, however indirectly."""
    assert not any(name.startswith(EXPLAINING) for name in reached_from(f"seesay.world.{module}"))


def test_the_search_for_what_a_module_reaches_finds_packages_too() -> None:
    assert "seesay.sae" in reached_from("seesay.world.training.sae")
    assert "seesay.explainers.explainer" in reached_from("seesay.world.training.strength")
