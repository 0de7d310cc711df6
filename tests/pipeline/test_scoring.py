"""Scoring into a run: only what is missing, batch by batch, and as if nothing had happened in between."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import pytest

from seesay.errors import NotEnoughMemory, UnusablePath
from seesay.exemplars.histogram import N_BINS
from seesay.explainers.config import Setting
from seesay.pipeline.scoring import score
from seesay.records import Aid, Explanation, Status, Strength
from seesay.scorers import aids
from seesay.scorers.aids import constant
from seesay.scorers.config import SCORES
from seesay.scorers.scorer import Item, Measured, Scorer
from seesay.split import split_of
from seesay.store.exemplars import features
from seesay.store.explanations import StoredSetting, add, add_setting, explanations
from seesay.store.run import Run
from seesay.store.scores import StoredScoring, scores, scorings, seconds_of
from tests.store.test_explanations import SUBJECT, facts_of

STEERING = Setting(strength=Strength(2.0, "residual_norm"))
WORDS = ("a frog", "a red star", "a castle", "the colour blue", "stripes")
N_FEATURES = 20
EMPTY, FAILED = 5, 6
FEATURES = [each for each in range(N_FEATURES) if each != FAILED]
"""Those whose words are scored."""


def worth(item: Item) -> float:
    """A number that no other feature and words have."""
    return item.feature_id + item.sample / 10 + len(item.text) / 1000 + sum(item.text.encode()) / 1e7


@final
class Weighing:
    """A small scorer that gives every item a number of its own, and notes what it was asked.

    Args:
        seconds: that each item takes.
        too_large: features that do not fit into memory, with the error that says so.
        **facts: what its numbers depend on.
    """

    def __init__(self, seconds: float = 0.0, too_large: Mapping[int, Exception] | None = None, **facts: Any) -> None:
        self.facts: Mapping[str, Any] = {"scorer": "weighing", **facts}
        self.asked: list[Item] = []
        self.too_large = dict(too_large or {})
        self._seconds = seconds

    def score(self, items: Sequence[Item]) -> list[Measured]:
        for item in items:
            if item.feature_id in self.too_large:
                raise self.too_large[item.feature_id]
        self.asked.extend(items)
        time.sleep(self._seconds * len(items))
        return [self._measured(item) for item in items]

    @staticmethod
    def _measured(item: Item) -> Measured:
        if not item.text:
            return Measured(SCORES["iou"].chance, reason="nothing was said")
        return Measured(worth(item), {"precision": worth(item) / 2}, {"each": [float(item.feature_id), 0.5]})


def said(feature_id: int, text: str | None = None, status: Status = "ok", sample: int = 0) -> Explanation:
    words = WORDS[feature_id % len(WORDS)] if text is None else text
    return Explanation(feature_id, "steering", None, words, words, status, STEERING.strength, 1.0, sample=sample)


def fill(folder: Path) -> None:
    """Write a run of explained features, one of which has no words, and one of which failed."""
    with Run.writing(folder, SUBJECT) as run:
        for each in range(N_FEATURES):
            near = f"[[{(each + 1) % N_FEATURES}, 0.9]]" if each == 0 else "[]"
            row = (each, split_of(each), 1, 1, 0.1, 0.1, 0.1, 1.0, bytes(8 * N_BINS), "[]", near)
            run.rows("INSERT INTO features VALUES (?,?,?,?,?,?,?,?,?,?,?)", row)
        found = [said(each) for each in range(N_FEATURES) if each not in (EMPTY, FAILED)]
        found += [said(EMPTY, "", "empty"), said(FAILED, "", "failed")]
        add(run, add_setting(run, facts_of(STEERING), "m"), found)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "filled"
    fill(folder)
    return folder


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    return shutil.copytree(filled, tmp_path / "run")


@pytest.fixture
def run(folder: Path) -> Iterator[Run]:
    with Run.writing(folder) as run:
        yield run


@pytest.fixture
def setting(run: Run) -> StoredSetting:
    return add_setting(run, facts_of(STEERING), "m")


def items_to_score(run: Run, setting: StoredSetting, aid: Aid | None, *, seed: int = 0) -> list[Item]:
    """What is scored of a setting of a run."""
    nearest = {each.feature_id: each.nearest for each in features(run)}
    return aids.items_to_score(explanations(run, setting), aid, nearest, seed=seed)


def scored(run: Run, scorer: Scorer, setting: StoredSetting, aid: Aid | None = None, **options: Any) -> StoredScoring:
    """Score all that a setting said."""
    items = items_to_score(run, setting, aid)
    return score(run, "iou", scorer, items, setting=setting, aid=aid, **options).scoring


def numbers(run: Run, scoring: StoredScoring) -> dict[Item, Measured]:
    return {each.item: each.measured for samples in scores(run, scoring).values() for each in samples}


def expected(items: Sequence[Item]) -> dict[Item, Measured]:
    return dict(zip(items, Weighing().score(items), strict=True))


def test_a_scorer_of_the_tests_is_one() -> None:
    assert isinstance(Weighing(), Scorer)


def test_every_batch_is_written_before_the_next_is_asked(run: Run, setting: StoredSetting) -> None:
    done: list[int] = []
    there: list[int] = []

    def on_batch(n: int) -> None:
        done.append(n)
        with Run.open(run.folder) as reader:
            there.append(reader.rows("SELECT count(*) FROM scores")[0][0])

    scoring = scored(run, Weighing(), setting, batch_size=6, on_batch=on_batch)
    assert (done, there) == ([0, 6, 6, 6, 1], [0, 6, 12, 18, 19])
    assert numbers(run, scoring) == expected(items_to_score(run, setting, None))
    assert (scoring.setting_id, scoring.aid, scoring.facts) == (setting.setting_id, None, Weighing().facts)


def test_the_size_of_batches_changes_nothing(run: Run, setting: StoredSetting) -> None:
    found = [numbers(run, scored(run, Weighing(way=n), setting, batch_size=n)) for n in (1, 3, 7, 1000)]
    assert all(each == found[0] for each in found)


def test_what_is_there_is_not_measured_again(run: Run, setting: StoredSetting) -> None:
    first = scored(run, Weighing(), setting)
    before = numbers(run, first)
    again = Weighing()
    done: list[int] = []
    assert scored(run, again, setting, batch_size=2, on_batch=done.append) == first
    assert (again.asked, done) == ([], [len(FEATURES)])
    assert numbers(run, first) == before


def test_only_what_is_missing_is_measured(run: Run, setting: StoredSetting) -> None:
    scoring = scored(run, Weighing(), setting)
    before = numbers(run, scoring)
    run.rows("DELETE FROM scores WHERE feature_id IN (3, 11)")
    add(run, setting, [said(0, "another answer", sample=1)])
    again = Weighing()
    done: list[int] = []
    scored(run, again, setting, on_batch=done.append)
    assert again.asked == [Item(0, "another answer", 1), Item(3, WORDS[3]), Item(11, WORDS[1])]
    assert done == [len(FEATURES) - 2, 3]
    assert numbers(run, scoring) == before | expected(again.asked)


def test_other_facts_settings_and_scores_are_measured_anew_and_kept_apart(run: Run, setting: StoredSetting) -> None:
    other = add_setting(run, facts_of(STEERING, prompt="What else is it?"), "m")
    add(run, other, [said(each, f"other {each}") for each in range(3)])
    items = items_to_score(run, setting, None)
    found = [
        scored(run, Weighing(), setting),
        scored(run, Weighing(n_exemplars=5), setting),
        score(run, "clip", Weighing2(), items, setting=setting).scoring,
        scored(run, Weighing(), other),
        score(run, "distinctness", Weighing2(), [Item(each) for each in FEATURES]).scoring,
    ]
    assert scorings(run) == found
    assert [len(numbers(run, each)) for each in found] == [19, 19, 19, 3, 19]
    assert [each.setting_id for each in found] == [setting.setting_id] * 3 + [other.setting_id, None]
    assert [item.text for item in numbers(run, found[3])] == ["other 0", "other 1", "other 2"]
    assert [item.text for item in numbers(run, found[4])] == [""] * 19


@final
class Weighing2:
    """A scorer whose numbers come with nothing else."""

    facts: Mapping[str, Any] = {"scorer": "weighing"}

    def score(self, items: Sequence[Item]) -> list[Measured]:
        return [Measured(float(item.feature_id)) for item in items]


def test_what_failed_is_not_scored_and_what_says_nothing_gets_chance(run: Run, setting: StoredSetting) -> None:
    scorer = Weighing()
    scoring = scored(run, scorer, setting)
    assert [item.feature_id for item in scorer.asked] == FEATURES
    assert Item(EMPTY, "") in scorer.asked
    (empty,) = scores(run, scoring)[EMPTY]
    assert (empty.measured.value, empty.measured.reason) == (SCORES["iou"].chance, "nothing was said")
    assert FAILED not in scores(run, scoring)
    add(run, setting, [said(FAILED, "a late answer")])
    again = Weighing()
    scored(run, again, setting)
    assert again.asked == [Item(FAILED, "a late answer")]


def test_changed_words_are_scored_again_and_have_no_other_number(run: Run, setting: StoredSetting) -> None:
    scoring = scored(run, Weighing(), setting)
    add(run, setting, [said(4, "a green ring"), said(EMPTY, "not empty any more")])
    again = Weighing()
    scored(run, again, setting)
    assert again.asked == [Item(4, "a green ring"), Item(EMPTY, "not empty any more")]
    assert numbers(run, scoring) == expected(items_to_score(run, setting, None))
    assert [each.item.text for each in scores(run, scoring)[4]] == ["a green ring"]


def test_aids_are_scored_apart_by_the_words_that_they_put_there(run: Run, setting: StoredSetting) -> None:
    own = scored(run, Weighing(), setting)
    permuted, fixed = (scored(run, Weighing(), setting, aid) for aid in ("permuted", "constant"))
    assert [each.aid for each in (own, permuted, fixed)] == [None, "permuted", "constant"]
    by_feature = {item.feature_id: item.text for item in numbers(run, own)}
    assert set(by_feature) == set(FEATURES)
    others = {item.feature_id: item.text for item in numbers(run, permuted)}
    assert len(others) > len(FEATURES) / 2
    for feature_id, text in others.items():
        assert text and text != by_feature[feature_id]
        assert text in {by_feature[each] for each in FEATURES if split_of(each) == split_of(feature_id)}
    assert {item.feature_id for item in numbers(run, fixed)} == set(FEATURES)
    (words,) = {item.text for item in numbers(run, fixed)}
    counts = [text for text in by_feature.values() if text]
    assert counts.count(words) == max(map(counts.count, counts))
    for each in (own, permuted, fixed):
        found = numbers(run, each)
        assert found == expected(list(found))


def test_two_permutations_and_two_constants_never_mix(run: Run, setting: StoredSetting) -> None:
    found: dict[int, StoredScoring] = {}
    for seed in (0, 1, 0):
        items = items_to_score(run, setting, "permuted", seed=seed)
        scoring = score(run, "iou", Weighing(), items, setting=setting, aid="permuted", seed=seed).scoring
        assert found.setdefault(seed, scoring) == scoring
        assert list(numbers(run, scoring)) == items
    constants: list[StoredScoring] = []
    for text in ("a frog", "a key"):
        items = constant(items_to_score(run, setting, None), text)
        constants.append(score(run, "iou", Weighing(), items, setting=setting, aid="constant").scoring)
        assert {item.text for item in numbers(run, constants[-1])} == {text}
    assert len({each.scoring_id for each in (*found.values(), *constants)}) == 4


def test_a_permutation_changes_with_its_seed_and_does_not_lend_the_words_of_near_duplicates(
    run: Run, setting: StoredSetting
) -> None:
    one, again, other = (items_to_score(run, setting, "permuted", seed=seed) for seed in (0, 0, 1))
    assert one == again != other
    run.rows("UPDATE features SET nearest = '[]'")
    add(run, setting, [said(each, f"words of {each}") for each in range(N_FEATURES)])
    for seed in range(5):
        run.rows("UPDATE features SET nearest = '[]'")
        (first,) = [item for item in items_to_score(run, setting, "permuted", seed=seed) if item.feature_id == 0]
        donor = int(first.text.split()[-1])
        for feature_id, near in ((0, donor), (donor, 0)):  # whichever of the two lists the other
            run.rows("UPDATE features SET nearest = '[]'")
            run.rows(f"UPDATE features SET nearest = '[[{near}, 0.6]]' WHERE feature_id = {feature_id}")
            (changed,) = [item for item in items_to_score(run, setting, "permuted", seed=seed) if item.feature_id == 0]
            assert changed.text not in (first.text, "words of 0")


@pytest.mark.parametrize(
    "error",
    [MemoryError(), NotEnoughMemory("one image, and no memory left"), RuntimeError("CUDA error: out of memory")],
    ids=lambda error: type(error).__name__,
)
def test_what_does_not_fit_into_memory_is_left_out_and_tried_again_next_time(
    error: Exception, run: Run, setting: StoredSetting, caplog: pytest.LogCaptureFixture
) -> None:
    items = items_to_score(run, setting, None)
    full = Weighing(too_large={7: error, 12: error})
    done: list[int] = []
    with caplog.at_level("WARNING"):
        first = score(run, "iou", full, items, setting=setting, batch_size=8, on_batch=done.append)
    assert first.n_failed == 2
    assert sum(done) == len(items) - 2
    assert ["feature 7" in each or "feature 12" in each for each in caplog.messages] == [True, True]
    rest = [item for item in items if item.feature_id not in (7, 12)]
    assert numbers(run, first.scoring) == expected(rest)
    roomy = Weighing()
    again = score(run, "iou", roomy, items, setting=setting)
    assert (again.n_failed, again.scoring) == (0, first.scoring)
    assert [item.feature_id for item in roomy.asked] == [7, 12]
    assert numbers(run, first.scoring) == expected(items)


def test_another_error_is_not_taken_for_want_of_memory(run: Run, setting: StoredSetting) -> None:
    with pytest.raises(RuntimeError, match="a mistake"):
        scored(run, Weighing(too_large={7: RuntimeError("a mistake")}), setting, batch_size=4)
    (scoring,) = scorings(run)
    assert list(scores(run, scoring)) == FEATURES[:4], "what came before it is kept"


@final
class Nameless:
    """A scorer that gives a number nobody has heard of, or none that is one."""

    facts: Mapping[str, Any] = {}

    def __init__(self, measured: Measured) -> None:
        self._measured = measured

    def score(self, items: Sequence[Item]) -> list[Measured]:
        return [self._measured] * len(items)


@pytest.mark.parametrize("measured", [Measured(0.5, {"beauty": 1.0}), Measured(float("nan"))], ids=repr)
def test_numbers_that_are_none_are_never_written(measured: Measured, run: Run, setting: StoredSetting) -> None:
    with pytest.raises(AssertionError):
        scored(run, Nameless(measured), setting)
    (scoring,) = scorings(run)
    assert scores(run, scoring) == {}


def test_time_is_that_of_the_scorer(run: Run, setting: StoredSetting) -> None:
    scoring = scored(run, Weighing(seconds=0.01), setting, batch_size=7)
    assert 0.19 <= seconds_of(run, scoring) < 10
    shares = [seconds for (seconds,) in run.rows("SELECT DISTINCT seconds FROM scores")]
    assert 1 <= len(shares) <= 3, "each its share of a batch"


def test_nothing_to_score_is_no_error(run: Run, setting: StoredSetting) -> None:
    found = score(run, "iou", Weighing(), [], setting=setting)
    assert (found.n_failed, scores(run, found.scoring)) == (0, {})


def interrupted(run: Run, scorer: Scorer, setting: StoredSetting, number: signal.Signals, at: int) -> None:
    """Score, and send oneself a signal when so many batches are done."""
    n_calls = 0

    def interrupt(_n: int) -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == at:
            os.kill(os.getpid(), number)

    with default_handlers(), pytest.raises(KeyboardInterrupt):
        scored(run, scorer, setting, batch_size=4, on_batch=interrupt)


@contextmanager
def default_handlers() -> Iterator[None]:
    """Signals as a program has them that nobody changed, put back at the end."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_after_the_batch_and_the_same_call_goes_on(
    number: signal.Signals, run: Run, setting: StoredSetting
) -> None:
    interrupted(run, Weighing(), setting, number, at=2)
    (scoring,) = scorings(run)
    assert list(scores(run, scoring)) == FEATURES[:4]
    again = Weighing()
    scored(run, again, setting)
    assert [item.feature_id for item in again.asked] == FEATURES[4:]
    assert numbers(run, scoring) == expected(items_to_score(run, setting, None))


@final
class Interrupting:
    """A scorer for which nothing fits, and during whose work somebody presses Ctrl-C."""

    facts: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self.n_calls = 0

    def score(self, items: Sequence[Item]) -> list[Measured]:
        self.n_calls += 1
        if self.n_calls == 2:
            os.kill(os.getpid(), signal.SIGINT)
        raise MemoryError


def test_ctrl_c_is_heard_even_if_nothing_fits(run: Run, setting: StoredSetting) -> None:
    scorer = Interrupting()
    with default_handlers(), pytest.raises(KeyboardInterrupt):
        scored(run, scorer, setting, batch_size=1)
    assert scorer.n_calls == 2


def test_a_full_disk_is_one_line_and_what_was_written_is_kept(run: Run, setting: StoredSetting) -> None:
    add(run, setting, [said(each, "word " * 100) for each in range(N_FEATURES)])
    run.rows("VACUUM")
    ((n_pages,),) = run.rows("PRAGMA page_count")
    run.rows(f"PRAGMA max_page_count = {n_pages + 1}")
    with pytest.raises(UnusablePath, match="full; expected room on the disk") as caught:
        scored(run, Weighing(), setting, batch_size=2)
    assert "\n" not in str(caught.value)
    run.rows("PRAGMA max_page_count = 100000")
    (scoring,) = scorings(run)
    n_before = len(numbers(run, scoring))
    assert n_before % 2 == 0
    assert n_before < N_FEATURES
    scored(run, Weighing(), setting)
    assert numbers(run, scoring) == expected(items_to_score(run, setting, None))


def work(folder: Path, seconds: float) -> None:
    """What a process of its own does."""
    with Run.writing(folder) as run:
        scored(run, Weighing(seconds), add_setting(run, facts_of(STEERING), "m"), batch_size=1)


def started(folder: Path, seconds: float) -> "subprocess.Popen[str]":
    task = f"work(Path({str(folder)!r}), {seconds})"
    code = f"from pathlib import Path; from tests.pipeline.test_scoring import work; {task}"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(is_so: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    while not is_so() and process.poll() is None:
        time.sleep(0.02)


def n_scores(folder: Path) -> int:
    with Run.open(folder) as run:
        return run.rows("SELECT count(*) FROM scores")[0][0]


@pytest.mark.slow
def test_two_processes_do_not_write_at_once_and_a_killed_one_leaves_all_but_a_batch(
    folder: Path, filled: Path, tmp_path: Path
) -> None:
    whole = shutil.copytree(filled, tmp_path / "whole")
    work(whole, 0.0)
    for n_wanted in (2, 7):
        with started(folder, 0.1) as process:
            wait_for(lambda least=n_wanted: n_scores(folder) >= least, process)
            with pytest.raises(UnusablePath, match="another process is writing"), Run.writing(folder):
                pass
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert process.returncode == -signal.SIGKILL, process.stderr and process.stderr.read()
        with Run.open(folder) as run:
            (scoring,) = scorings(run)
            found = numbers(run, scoring)
            assert n_wanted <= len(found) < len(FEATURES)
            assert found == expected(list(found))
            assert run.rows("PRAGMA integrity_check") == [("ok",)]
    with started(folder, 0.0) as process:
        assert process.wait() == 0, process.stderr and process.stderr.read()
    tables: list[Any] = []
    for each in (folder, whole):
        with Run.open(each) as run:
            query = "SELECT feature_id, sample, text, value, others, details, reason FROM scores ORDER BY 1, 2"
            tables.append((run.rows(query), scorings(run)))
    assert tables[0] == tables[1]
