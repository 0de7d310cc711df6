"""The queue before the models: in order, with a place in it, left by whoever leaves, and never stopped by anyone."""

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from seesay.errors import Busy, FeatureNotFound
from seesay.viewer.worker import Job, News, Worker

PATIENCE_S = 20.0


class Gate:
    """Work that waits until it may go on."""

    def __init__(self) -> None:
        self.is_begun, self.is_open = threading.Event(), threading.Event()

    def __call__(self, job: Job) -> News:
        self.is_begun.set()
        while not self.is_open.wait(0.01):
            job.check()
        return {"result": "opened"}


def says(text: str) -> Callable[[Job], News]:
    def work(job: Job) -> News:
        job.tell({"words": text})
        return {"result": text}

    return work


async def never() -> bool:
    return False


async def heard(worker: Worker, job: Job) -> list[News]:
    async with asyncio.timeout(PATIENCE_S):
        return [news async for news in worker.follow(job, never)]


def until(what: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


@pytest.fixture
def worker() -> Worker:
    return Worker(limit_s=PATIENCE_S, patience_s=PATIENCE_S, most_waiting=3)


def test_questions_are_answered_in_their_order_by_one_thread(worker: Worker) -> None:
    done: list[tuple[int, int]] = []

    def work_of(number: int) -> Callable[[Job], News]:
        def work(_job: Job) -> News:
            done.append((number, threading.get_ident()))
            return {}

        return work

    gate = Gate()
    jobs = [worker.submit(gate), worker.submit(work_of(0)), worker.submit(work_of(1))]
    gate.is_open.set()
    until(lambda: all(job.is_done for job in jobs))
    assert [number for number, _ in done] == [0, 1]
    assert len({thread for _, thread in done}) == 1
    assert done[0][1] != threading.get_ident()
    worker.close()


def test_whoever_waits_is_told_their_place_and_then_the_answer(worker: Worker) -> None:
    async def asked() -> list[News]:
        gate = Gate()
        worker.submit(gate)
        until(gate.is_begun.is_set)
        worker.submit(says("first"))
        last = worker.submit(says("last"))
        listening = asyncio.create_task(heard(worker, last))
        await asyncio.sleep(0.2)
        gate.is_open.set()
        return await listening

    news = asyncio.run(asked())
    assert news[0] == {"waiting": 2}
    assert news[-2:] == [{"words": "last"}, {"result": "last"}]
    worker.close()


def test_more_than_can_be_served_are_refused_at_once(worker: Worker) -> None:
    gate = Gate()
    worker.submit(gate)
    until(gate.is_begun.is_set)
    jobs = [worker.submit(says("x")) for _ in range(3)]
    with pytest.raises(Busy, match="3 questions wait"):
        worker.submit(says("x"))
    worker.leave(jobs[1])
    worker.submit(says("x"))
    gate.is_open.set()
    worker.close()


def test_whoever_leaves_the_queue_is_never_answered(worker: Worker) -> None:
    gate, begun = Gate(), threading.Event()

    def work(_job: Job) -> News:
        begun.set()
        return {}

    worker.submit(gate)
    until(gate.is_begun.is_set)
    left, after = worker.submit(work), worker.submit(says("after"))
    assert (worker.place(left), worker.place(after)) == (1, 2), "the one that is being answered goes before, too"
    worker.leave(left)
    assert worker.place(after) == 1
    gate.is_open.set()
    until(lambda: after.is_done)
    assert not begun.is_set()
    worker.close()


def test_a_question_that_nobody_follows_any_more_ends(worker: Worker) -> None:
    gate = Gate()
    job = worker.submit(gate)

    async def gone() -> bool:
        return gate.is_begun.is_set()

    async def asked() -> list[News]:
        return [news async for news in worker.follow(job, gone)]

    assert {"result": "opened"} not in asyncio.run(asked())
    until(lambda: job.is_done)
    assert job.news == [], "it ended without an answer"
    worker.close()


def test_what_takes_too_long_is_ended_and_told() -> None:
    worker = Worker(limit_s=0.2, patience_s=PATIENCE_S)
    job = worker.submit(Gate())
    news = asyncio.run(heard(worker, job))
    assert "no answer within 0.2 s" in news[-1]["refused"]
    until(lambda: job.is_done)
    assert asyncio.run(heard(worker, worker.submit(says("next"))))[-1] == {"result": "next"}
    worker.close()


def test_who_waits_too_long_for_their_turn_is_told() -> None:
    worker, gate = Worker(limit_s=PATIENCE_S, patience_s=0.2), Gate()
    worker.submit(gate)
    until(gate.is_begun.is_set)
    news = asyncio.run(heard(worker, worker.submit(says("x"))))
    assert news[0] == {"waiting": 1}
    assert "1 questions still go before this" in news[-1]["refused"]
    gate.is_open.set()
    worker.close()


def test_what_goes_wrong_is_told_and_stops_nobody_else(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    def fails(error: Exception) -> Callable[[Job], News]:
        def work(_job: Job) -> News:
            raise error

        return work

    for error, told in (
        (FeatureNotFound("feature 9", expected="another"), "feature 9; expected another"),
        (RuntimeError("CUDA out of memory"), "memory does not suffice for this"),
        (ZeroDivisionError("at /secret/place"), "that failed; the terminal tells why"),
    ):
        assert asyncio.run(heard(worker, worker.submit(fails(error))))[-1] == {"refused": told}
    assert "ZeroDivisionError" in caplog.text
    assert asyncio.run(heard(worker, worker.submit(says("next"))))[-1] == {"result": "next"}
    worker.close()


def test_closing_waits_for_nobody(worker: Worker) -> None:
    gate = Gate()
    jobs = [worker.submit(gate), worker.submit(says("x"))]
    until(gate.is_begun.is_set)
    worker.close()
    assert jobs[0].is_done
    assert not jobs[1].is_done
