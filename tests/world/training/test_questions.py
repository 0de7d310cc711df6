"""What the language model is taught: true answers, noisy marks, and no glance at what will be explained."""

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seesay
from seesay.world.concepts import Concept
from seesay.world.grammar import NOTHING, parse, phrase
from seesay.world.palette import PAINT
from seesay.world.rendering import Rendering, render
from seesay.world.scenes import Scene, sample
from seesay.world.streams import RANGES
from seesay.world.training import questions
from seesay.world.training.assembly import build_processor
from seesay.world.training.questions import (
    IGNORED,
    MASK_FILL,
    Example,
    Phase,
    QuestionBatches,
    detect,
    examples,
    highlight,
    overlaid,
    present,
)

PACKAGE = Path(seesay.__file__).parent


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


def some(n: int = 40, batch_size: int = 4, phase: Phase = "all") -> list[Example]:
    return [example for batch in range(n) for example in examples("language", batch, batch_size, phase)]


def test_the_same_batch_is_the_same() -> None:
    for one, other in zip(examples("language", 5, 4), examples("language", 5, 4), strict=True):
        assert (one.question, one.answer) == (other.question, other.answer)
        assert all(np.array_equal(a, b) for a, b in zip(one.pictures, other.pictures, strict=True))


def test_every_kind_of_question_and_every_number_of_pictures_is_met() -> None:
    met = {(example.question.split()[0], len(example.pictures)) for example in some(300, 1)}
    assert met >= {("describe", 1), ("is", 0), ("is", 1), *(("what", n) for n in range(1, 6))}


def test_every_word_asked_or_answered_is_known_to_the_tokenizer() -> None:
    tokenizer = build_processor().tokenizer
    for example in some():
        for text in (example.question, example.answer):
            assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"]


def test_scenes_come_from_the_asked_stream_alone_and_none_is_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def noting(seed: int, *wishes: Any) -> Scene:
        seen.append(seed)
        return sample(seed, *wishes)

    monkeypatch.setattr(questions, "sample", noting)
    some(phase="all")
    some(phase="close")
    assert len(seen) > 200
    assert all(seed in RANGES["language"] for seed in seen)
    assert len(seen) == len(set(seen))


def test_what_fills_a_picture_is_truly_there(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[Rendering, Concept]] = []

    def noting(rendering: Rendering, concept: Concept, *rest: Any) -> np.ndarray:
        shown.append((rendering, concept))
        return overlaid(rendering, concept, *rest)

    monkeypatch.setattr(questions, "overlaid", noting)
    for start in range(0, 800, 8):
        example = questions.highlight_close(range(start, start + 8), np.random.default_rng(start), 1)
        assert example.answer == NOTHING or example.answer == phrase(shown[-1][1])
    assert len(shown) > 80
    assert all(present(rendering, concept).any() for rendering, concept in shown)
    assert all(rendering.scene.layout != "objects" for rendering, _ in shown)


def test_detection_says_yes_just_where_the_concept_covers_a_patch() -> None:
    said: list[str] = []
    for start in range(0, 400, 8):
        chosen = range(start, start + 8)
        example = detect(chosen, np.random.default_rng(start), 1)
        [concept] = parse(example.question.removeprefix("is ").removesuffix(" in this picture ?"))
        rng = np.random.default_rng(start)
        questions.random_concept(rng)
        wanted = rng.random() < 0.5
        rendering = render(sample(chosen[1], (concept,) if wanted else ()))
        assert np.array_equal(rendering.pixels, example.pictures[0])
        assert example.answer == ("yes" if present(rendering, concept).any() else "no")
        said.append(example.answer)
    assert 0.3 < said.count("yes") / len(said) < 0.75


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
    for seed in range(300):
        rng = np.random.default_rng(seed)
        chosen = range(seed * 8, seed * 8 + 8)
        example = highlight(chosen, rng, 1)
        if len(np.unique(example.pictures[0].reshape(-1, 3), axis=0)) == 1:
            n_flat += 1
            assert example.answer == NOTHING
    assert n_flat > 0


def test_only_answers_are_learnt() -> None:
    processor = build_processor()
    batch = QuestionBatches(processor, "language", 4, 10)[1]
    tokenizer = processor.tokenizer
    for row, example in enumerate(examples("language", 1, 4)):
        learnt = batch.labels[row][batch.labels[row] != IGNORED]
        assert tokenizer.decode(learnt, skip_special_tokens=True) == example.answer
        assert tokenizer.convert_ids_to_tokens(learnt.tolist())[-1] == "<end_of_turn>"
        assert int((batch.token_type_ids[row] == 1).sum()) == 16 * len(example.pictures)


@pytest.mark.parametrize("module", ["encoder", "language", "questions", "loop", "assembly"])
def test_no_training_of_a_model_can_see_features_or_steering(module: str) -> None:
    """The modules that teach encoder and language model reach no SAE and no intervention, however indirectly."""
    assert not any(name.startswith(EXPLAINING) for name in reached_from(f"seesay.world.training.{module}"))


def test_the_search_for_what_a_module_reaches_finds_packages_too() -> None:
    assert "seesay.sae" in reached_from("seesay.world.training.sae")
    assert "seesay.explainers.steering" in reached_from("seesay.world.training.strength")
