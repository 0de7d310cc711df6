"""What people say as a score: which of it counts, of whose words, and what stands beside it."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from scipy import stats

from seesay.comparison.blind import StudyConfig, begin
from seesay.comparison.comparing import compare
from seesay.comparison.judgements import COLUMNS, judgements, lines, study_named
from seesay.comparison.quantities import quantities
from seesay.comparison.reading import Contest, read
from seesay.comparison.results import Standing
from seesay.errors import InvalidSetting, UnusablePath
from seesay.records import Verdict
from seesay.scorers.config import SCORES
from seesay.store.explanations import settings
from seesay.store.run import Run
from seesay.store.studies import Rating, StudyItem, add_rater, begin_study, rate, study_items
from seesay.store.verdicts import Judged, give
from tests.comparison.making import drawn, making, said, scored
from tests.comparison.studying import IDS, STEERING, TOPK, picture, studied, words_of

FIRST, SECOND, THIRD = IDS[:3]


def verdict_on(item: StudyItem) -> Verdict:
    """Decoys are wrong; of what is said, steering's is right, and of every other feature topk's partly."""
    if item.is_decoy or 3 in item.said_by:
        return "wrong"
    return "right" if 1 in item.said_by else "partly" if item.feature_id % 2 else "wrong"


def rated(run: Run, name: str = "first", raters: tuple[str, ...] = ("Ann", "Bob")) -> list[StudyItem]:
    """A study of which everybody judges everything alike."""
    study = begin(run, StudyConfig(name, n_features=24))
    items = study_items(run, study.study_id)
    for rater in (add_rater(run, study.study_id, each) for each in raters):
        for item in items:
            rate(run, rater, Rating(item.number, rater.name, verdict_on(item), seconds=3.0))
    return items


def contest_of(folder: Path) -> Contest:
    with Run.open(folder) as run:
        return read([run])


def numbers(folder: Path) -> dict[str, Mapping[int, float]]:
    contest = contest_of(folder)
    return {
        contest.contenders[number].name: {key.feature_id: value for key, value in each.values["people"].items()}
        for number, each in contest.scored["people"].numbers.items()
    }


def standing(folder: Path, score: str = "people") -> Standing:
    contest = contest_of(folder)
    (found,) = compare(contest, quantities({score: SCORES[score]})).standings  # pyright: ignore[reportArgumentType]
    return found


def test_blind_ratings_are_compared_like_any_score_with_decoys_beside(tmp_path: Path) -> None:
    with studied(tmp_path) as run:
        items = rated(run)
    found = standing(tmp_path)
    assert {row.contender: row.estimate.mean for row in found.rows} == {
        "steering": 1.0,
        "topk": pytest.approx(sum(each % 2 for each in {item.feature_id for item in items}) / 48),
        "dissect": 0.0,
    }
    assert [len(row.aid_values["permuted"]) for row in found.rows] == [8, 8, 8]
    assert all(row.aids["permuted"].mean == 0 for row in found.rows)
    assert found.notes == ("judged by 2 people, blindly, in 1 study",)
    assert len(found.pairs) == 3
    assert found.pairs[0].adjusted < 0.05
    assert found.people is None


def test_several_raters_are_averaged_over_all_studies_and_open_verdicts_are_left_aside(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        said(run, words_of("steered"), STEERING)
        for name, verdicts in (("a", ("right", "partly")), ("b", ("wrong",))):
            study = begin_study(run, name, {}, [StudyItem(0, FIRST, f"Steered <{FIRST}>", (1,), None, ())])
            for number, verdict in enumerate(verdicts):
                rate(run, add_rater(run, study.study_id, f"r{number}"), Rating(0, "", verdict))  # pyright: ignore[reportArgumentType]
        give(run, Judged(1, FIRST, 0, "Ann", f"steered <{FIRST}>", "right"))
        give(run, Judged(1, SECOND, 0, "Ann", f"steered <{SECOND}>", "right"))
    assert numbers(tmp_path) == {"steering": {FIRST: 0.5}}
    assert contest_of(tmp_path).scored["people"].notes == (
        "judged by 2 people, blindly, in 2 studies",
        "2 verdicts that were not blind: left aside",
    )


def test_raters_and_studies_of_the_same_name_in_two_runs_are_two_and_who_judged_decoys_alone_is_none(
    tmp_path: Path,
) -> None:
    for name in ("x", "y"):
        with making(tmp_path / name, identity=name) as run:
            said(run, words_of("steered"), STEERING)
            items = [
                StudyItem(0, FIRST, f"steered <{FIRST}>", (1,), None, ()),
                StudyItem(1, FIRST, f"steered <{SECOND}>", (1,), SECOND, ()),
            ]
            study = begin_study(run, "first", {}, items)
            rate(run, add_rater(run, study.study_id, "Ann"), Rating(0, "", "right"))
            rate(run, add_rater(run, study.study_id, "Eve"), Rating(1, "", "right"))
    with Run.open(tmp_path / "x") as one, Run.open(tmp_path / "y") as other:
        notes = read([one, other]).scored["people"].notes
    assert notes == ("judged by 2 people, blindly, in 2 studies",)


def test_open_verdicts_count_where_nobody_judged_blindly(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        said(run, {each: ["a car", "a dog"] for each in IDS}, TOPK)
        said(run, words_of("nothing"), STEERING)
        give(run, Judged(1, FIRST, 0, "Ann", "a car", "right"))
        give(run, Judged(1, FIRST, 1, "Ann", "a dog", "wrong"))
        give(run, Judged(1, SECOND, 0, "Bob", "a car", "partly"))
    assert numbers(tmp_path) == {"topk": {FIRST: 0.5, SECOND: 0.5}}
    assert contest_of(tmp_path).scored["people"].notes == (
        "judged by 2 people, not blindly: they saw whose words they judged",
    )


def test_nothing_is_known_where_nobody_judged_or_only_decoys_were(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        said(run, words_of("seen"), TOPK)
        study = begin_study(run, "a", {}, [StudyItem(0, FIRST, f"seen <{SECOND}>", (1,), SECOND, ())])
        assert "people" not in read([run]).scored
        rate(run, add_rater(run, study.study_id, "Ann"), Rating(0, "", "wrong"))
        assert "people" not in read([run]).scored


def test_of_words_that_were_replaced_nobody_has_said_anything(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        said(run, words_of("seen"), TOPK)
        items = [
            StudyItem(0, FIRST, f"seen <{FIRST}>", (1,), None, ()),
            StudyItem(1, SECOND, f"seen <{SECOND}>", (1,), None, ()),
            StudyItem(2, SECOND, f"seen <{FIRST}>", (1,), FIRST, ()),
            StudyItem(3, FIRST, f"seen <{THIRD}>", (1, 9), THIRD, ()),
        ]
        study = begin_study(run, "a", {}, items)
        ann = add_rater(run, study.study_id, "Ann")
        for item in items:
            rate(run, ann, Rating(item.number, "", "right"))
        said(run, {FIRST: "another"}, TOPK)
    assert numbers(tmp_path) == {"topk": {SECOND: 1.0}}
    aids = contest_of(tmp_path).scored["people"].aids[0]["permuted"].values["people"]
    assert {key.feature_id for key in aids} == {FIRST}


def test_every_other_score_is_held_against_people(tmp_path: Path) -> None:
    ious = drawn(1, IDS)
    with studied(tmp_path) as run:
        items = rated(run)
        scored(run, "iou", settings(run)[1], ious, words_of("seen"))
    found = standing(tmp_path, "iou").people
    assert found is not None
    ids = sorted({item.feature_id for item in items})
    expected = stats.spearmanr([ious[each] for each in ids], [each % 2 / 2 for each in ids])
    assert found.n == 24
    assert found.by_contender["topk"].rho == pytest.approx(expected.statistic)  # pyright: ignore[reportOptionalMemberAccess]
    assert found.by_contender.keys() == {"topk"}


def test_a_number_that_a_stranger_puts_in_peoples_mouths_is_refused(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        scored(run, "iou", said(run, words_of("seen"), TOPK), dict.fromkeys(IDS, 1.0), words_of("seen"))
        run.connection.execute("UPDATE scorings SET score = 'people'")
    with pytest.raises(UnusablePath, match="scoring 1 in .* is damaged"):
        contest_of(tmp_path)


def test_a_table_tells_all_but_keys_and_holds_no_formula(tmp_path: Path) -> None:
    with making(tmp_path) as run:
        picture(run, {FIRST: 3})
        said(run, {**words_of("seen"), FIRST: "=1+1"}, TOPK)
        give(run, Judged(1, FIRST, 0, "@Ann", "=1+1", "partly", "-2\n3"))
        study = begin(run, StudyConfig("+s", 1))
        bob = add_rater(run, study.study_id, "Bob")
        rate(run, bob, Rating(0, "", "wrong", seconds=2.5))
        table = list(lines(judgements(run), settings(run)))
        assert list(lines(judgements(run, study), settings(run))) == [table[0], table[2]]
    assert table[0] == COLUMNS
    assert table[1][:-1] == ("open", "", "", FIRST, "topk", "'=1+1", "", "'@Ann", "partly", "'-2 3", "")
    assert table[2][:-1] == ("blind", "'+s", 0, FIRST, "topk", "'=1+1", 0, "Bob", "wrong", "", 2.5)
    assert bob.key not in repr(table)


def test_a_study_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with studied(tmp_path) as run:
        with pytest.raises(InvalidSetting, match="expected a study that was begun; seesay people"):
            study_named(run, "none")
        study = begin(run, StudyConfig("first", 3))
        assert study_named(run, "first") == study
        with pytest.raises(InvalidSetting, match="expected one of first$"):
            study_named(run, "none")


def test_of_an_item_that_is_gone_nobody_says_anything(tmp_path: Path) -> None:
    with studied(tmp_path) as run:
        items = rated(run)
        run.connection.execute("DELETE FROM study_items WHERE item = 3")
        said = judgements(run)
    assert {each.item for each in said} == {each.number for each in items} - {3}
