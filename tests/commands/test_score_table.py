"""What `seesay score` tells of the numbers that it found, on runs made by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from seesay.commands.score_table import remarks, rows_of, table_of
from seesay.explainers.config import Setting
from seesay.pipeline.scoring import Scored
from seesay.records import Strength
from seesay.statistics import estimate
from seesay.store.run import Run
from seesay.store.scores import scorings
from tests.comparison.making import FACTS, drawn, judged, making, said, scored

N = 80
IDS = judged(N)
WORDS = dict.fromkeys(range(N), "a red car")
HALF = dict.fromkeys(IDS, 0.5)


def told(run: Run) -> list[dict[str, Any]]:
    return rows_of(run, [Scored(each, 0) for each in scorings(run)])


def printed(rows: Sequence[Mapping[str, Any]]) -> str:
    file = StringIO()
    Console(file=file, width=200, force_terminal=False).print(table_of(rows))
    return file.getvalue()


def test_several_samples_of_a_feature_count_as_one_in_the_mean(tmp_path: Path) -> None:
    words = {**WORDS, IDS[0]: ("a", "b", "c")}
    with making(tmp_path, N) as run:
        scored(run, "iou", said(run, words), {**dict.fromkeys(IDS, 0.0), IDS[0]: (1.0, 1.0, 0.4)}, words)
        (row,) = told(run)
    assert row["mean"] == pytest.approx(0.8 / len(IDS))
    assert (row["n"], row["n_test"], row["n_scored"]) == (len(IDS), len(IDS), len(IDS) + 2)


def test_means_are_over_test_features_alone_whatever_else_was_scored(tmp_path: Path) -> None:
    values = drawn(0, range(N))
    with making(tmp_path, N) as run:
        others = {each: {"unanswered": float(each not in IDS)} for each in range(N)}
        scored(run, "detection", said(run, WORDS), values, others=others)
        (row,) = told(run)
    assert row["mean"] == pytest.approx(np.mean([values[each] for each in IDS]))
    assert (row["n"], row["n_test"], row["n_scored"]) == (len(IDS), len(IDS), N)
    assert row["unanswered"] == 0.0


def test_near_duplicates_are_one_in_the_interval(tmp_path: Path) -> None:
    pairs = list(zip(IDS[::2], IDS[1::2], strict=False))
    values = {each: float((place // 2) % 2) for place, each in enumerate(IDS)}
    for name, nearest in (("apart", {}), ("twins", {first: [(second, 0.9)] for first, second in pairs})):
        with making(tmp_path / name, N, nearest=nearest) as run:
            scored(run, "iou", said(run, WORDS), values)
    with Run.open(tmp_path / "apart") as one, Run.open(tmp_path / "twins") as other:
        (apart,), (twins,) = told(one), told(other)
    together = estimate(np.array(list(values.values())), np.arange(len(IDS)) // 2)
    assert twins["mean"] == apart["mean"]
    assert twins["interval"] == pytest.approx([together.low, together.high])
    assert twins["interval"][0] < apart["interval"][0] < apart["interval"][1] < twins["interval"][1]


def test_scores_of_words_that_were_replaced_since_are_left_out(tmp_path: Path) -> None:
    with making(tmp_path, N) as run:
        topk = said(run, WORDS)
        scored(run, "iou", topk, {**HALF, IDS[0]: 1.0})
        scored(run, "iou", topk, {**HALF, IDS[0]: 1.0}, "grass", aid="constant")
        said(run, {IDS[0]: "something else"})
        own, constant = told(run)
    assert (own["mean"], own["n"], own["n_test"]) == (0.5, len(IDS) - 1, len(IDS))
    assert (constant["aid"], constant["n"]) == ("constant", len(IDS)), "what stands beside them has words of its own"


@pytest.mark.parametrize("n", [9, 10])
def test_so_few_features_tell_no_interval(n: int, tmp_path: Path) -> None:
    with making(tmp_path, N) as run:
        scored(run, "iou", said(run, WORDS), drawn(0, IDS[:n]))
        rows = told(run)
    (row,) = rows
    assert row["n"] == n
    assert (row["interval"] is None) == (n < 10)
    assert ("too few" in printed(rows)) == (n < 10)
    assert f"{row['mean']:.3f}" in printed(rows)


def test_who_explained_is_told_in_the_table_only_if_there_are_several(tmp_path: Path) -> None:
    with making(tmp_path, N) as run:
        scored(run, "iou", said(run, WORDS, explainer="small"), HALF)
        scored(run, "iou", said(run, WORDS, Setting("hybrid"), explainer="small"), HALF)
        scored(run, "monosemanticity", None, HALF, "")
        of_one = told(run)
        scored(run, "iou", said(run, WORDS, explainer="large"), HALF)
        of_two = told(run)
    assert [(row["of"], row["explainer"]) for row in of_two] == [
        ("topk", "small"),
        ("hybrid", "small"),
        ("features", None),
        ("topk", "large"),
    ]
    assert "small" not in printed(of_one)
    assert [words in printed(of_two) for words in ("topk by small", "hybrid by small", "topk by large")] == [True] * 3
    assert "features by" not in printed(of_two)


def test_what_differs_in_strength_alone_is_told_apart(tmp_path: Path) -> None:
    coarse = Setting("steering", Strength(2.0, "residual_norm"), coarse=2)
    with making(tmp_path, N) as run:
        for setting in (coarse, replace(coarse, coarse=1), replace(coarse, coarse=1, strength=Strength(4.0, "kl"))):
            scored(run, "iou", said(run, WORDS, setting), HALF)
        scored(run, "iou", said(run, WORDS), HALF)
        rows = told(run)
    assert [(row["of"], row["apart"]) for row in rows] == [
        ("steering, coarse 2", ""),
        ("steering", "at 2 residual_norm"),
        ("steering", "at 4 kl"),
        ("topk", ""),
    ]
    assert "steering, at 4 kl" in printed(rows)


def test_what_tables_do_not_show_is_told_beside_them(tmp_path: Path) -> None:
    with making(tmp_path, N) as run:
        topk = said(run, WORDS)
        scored(run, "auroc", topk, HALF)
        scored(run, "clip", topk, HALF)
        assert list(remarks(told(run))) == ["Words that say nothing get auroc 0.5."]
        scored(run, "iou", topk, {**HALF, IDS[0]: None}, facts={**FACTS, "holding": "shared"})
        first, *others = remarks(told(run))
    assert first == "Words that say nothing get auroc 0.5, iou 0."
    assert [each.partition(":")[0] for each in others] == [
        "Features that have the number, of all that were scored.",
        "On images that were shared with the explainers (the paper's habit)",
    ]
