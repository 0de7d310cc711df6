"""What every crew does, be it this process or Ray's workers."""

from collections.abc import Iterator
from typing import Any

import pytest

from seesay.backends.cluster import hired
from seesay.backends.crew import Crew
from seesay.backends.local import Local, crew_of
from seesay.errors import InvalidSetting
from tests.backends.tasks import Adding, Shelf, ten

N = 11
SUMS = [(item, item + 10) for item in range(N)]


@pytest.fixture(scope="module", params=["local", pytest.param("ray", marks=pytest.mark.slow)])
def crew(request: pytest.FixtureRequest) -> Iterator[Crew[int]]:
    if request.param == "local":
        yield Local(ten())
        return
    request.getfixturevalue("ray")
    with hired(ten, n_workers=2) as found:
        yield found


def flat(results: Iterator[list[tuple[int, Any]]]) -> list[tuple[int, Any]]:
    return [each for result in results for each in result]


def test_it_is_a_crew(crew: Crew[int]) -> None:
    assert isinstance(crew, Crew)
    assert crew_of(crew) is crew


def test_everything_is_done_once(crew: Crew[int]) -> None:
    assert sorted(flat(crew.run(Adding(), range(N), 3))) == SUMS


def test_results_come_in_order_if_that_is_asked_for(crew: Crew[int]) -> None:
    assert flat(crew.run(Adding(), range(N), 1, in_order=True)) == SUMS


def test_there_may_be_nothing_to_do(crew: Crew[int]) -> None:
    assert flat(crew.run(Adding(), [], 3)) == []


def test_facts_are_told_before_anything_is_done(crew: Crew[int]) -> None:
    assert crew.facts(Adding()) == {"adds": 10, "who": 0}


def test_what_cannot_be_begun_is_known_before_any_result_is_asked_for(crew: Crew[int]) -> None:
    for ask in (crew.facts, lambda task: crew.run(task, range(N), 3)):
        with pytest.raises(InvalidSetting, match="a task that cannot be; expected another"):
            ask(Adding(refuses=True))


def test_an_error_on_the_way_is_the_same_error_and_the_next_task_is_done(crew: Crew[int]) -> None:
    with pytest.raises(InvalidSetting) as raised:
        flat(crew.run(Adding(stumbles_at=4), range(N), 2))
    assert str(raised.value) == "the number 4; expected another; leave it out"
    assert raised.value.remedy == "leave it out"
    assert sorted(flat(crew.run(Adding(), range(N), 2))) == SUMS


def test_nothing_is_begun_after_it_is_enough(crew: Crew[int]) -> None:
    done: list[tuple[int, Any]] = []
    results = crew.run(Adding(), range(1000), 2, in_order=True, until=lambda: len(done) >= 4)
    for result in results:
        done.extend(result)
    assert 4 <= len(done) < 100
    assert done == [(item, item + 10) for item in range(len(done))], "what was being done still came"


def test_what_is_lent_answers(crew: Crew[int]) -> None:
    shelf = crew.lend(Shelf())
    assert sorted(flat(crew.run(Adding(asked=shelf), [1, 2], 1))) == [(1, "1!"), (2, "2!")]
    with pytest.raises(InvalidSetting, match="the number 3"):
        flat(crew.run(Adding(asked=shelf), [3], 1))
