"""The one thread that owns the models: whoever asks waits in a queue, sees their place in it, and may leave it."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, final

from seesay.errors import Busy, SeesayError

News = Mapping[str, Any]
"""What is told of a job while it goes on, as plain data."""

_log = logging.getLogger(__name__)

_LOOKED_AT_EVERY_S = 0.05
_FAILED = "that failed; the terminal tells why"
_NO_MEMORY = "memory does not suffice for this"


class _Stopped(Exception):
    """Nobody waits for the answer any more."""


@final
class Job:
    """Something that was asked of the models.

    Args:
        work: does it; it is given the job, to tell of what it does, and to ask whether to go on.
        limit_s: how long it may take once it is begun.
        told: turns an error into what others may read.
    """

    def __init__(self, work: "Callable[[Job], News]", limit_s: float, told: Callable[[SeesayError], str]) -> None:
        self._work, self._limit_s, self._told = work, limit_s, told
        self._stopped = threading.Event()
        self._began_at: float | None = None
        self.asked_at = time.monotonic()
        self.news: list[News] = []
        self.is_done = False

    def tell(self, news: News) -> None:
        """Tell whoever waits what is known by now."""
        self.news.append(news)

    def check(self) -> None:
        """Give up if nobody waits any more, or if it has taken too long.

        Raises:
            Busy: it has.
        """
        if self._stopped.is_set():
            raise _Stopped
        if self.is_late:
            raise Busy(
                f"no answer within {self._limit_s:g} s",
                expected="one that takes less",
                remedy="ask for less, or serve with a larger --time-limit",
            )

    def stop(self) -> None:
        """Tell it that nobody waits any more."""
        self._stopped.set()

    @property
    def is_late(self) -> bool:
        """Whether it has taken longer than it may."""
        return self._began_at is not None and time.monotonic() - self._began_at > self._limit_s

    def run(self) -> None:
        """Do it, in the thread that owns the models."""
        self._began_at = time.monotonic()
        try:
            self.check()
            self.tell(self._work(self))
        except _Stopped:
            pass
        except SeesayError as error:
            self.tell({"refused": self._told(error)})
        except Exception as error:  # whatever it is, the thread goes on for others
            from seesay.vlm.batches import is_out_of_memory

            if is_out_of_memory(error):
                self.tell({"refused": _NO_MEMORY})
            else:
                _log.exception("what was asked of the model failed")
                self.tell({"refused": _FAILED})
        finally:
            self.is_done = True


@final
class Worker:
    """Does jobs one after the other, in the order in which they were asked for.

    Args:
        limit_s: how long each may take once it is begun.
        patience_s: how long one may wait for its turn.
        most_waiting: beyond so many nobody is let in.
        told: turns an error into what others may read.
    """

    def __init__(
        self,
        limit_s: float = 120.0,
        patience_s: float = 300.0,
        most_waiting: int = 32,
        *,
        told: Callable[[SeesayError], str] = str,
    ) -> None:
        self._limit_s, self._patience_s, self._most_waiting, self._told = limit_s, patience_s, most_waiting, told
        self._lock = threading.Lock()
        self._waiting: list[Job] = []
        self._is_busy = False
        self._futures: dict[Job, Future[None]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="model")

    def submit(self, work: Callable[[Job], News]) -> Job:
        """Ask for something.

        Args:
            work: does it, see [seesay.viewer.worker.Job][].

        Raises:
            Busy: too many wait already.
        """
        job = Job(work, self._limit_s, self._told)
        with self._lock:
            if len(self._waiting) >= self._most_waiting:
                raise Busy(
                    f"{len(self._waiting)} questions wait for the model",
                    expected="fewer",
                    remedy="ask again in a minute",
                )
            self._waiting.append(job)
            self._futures[job] = self._pool.submit(self._begin, job)
        return job

    def place(self, job: Job) -> int:
        """How many must be done before it.

        Args:
            job: one of its own.
        """
        with self._lock:
            return self._waiting.index(job) + self._is_busy if job in self._waiting else 0

    def leave(self, job: Job) -> None:
        """Do without it: if it is not begun it never is, otherwise it ends when it next asks whether to go on.

        Args:
            job: one of its own.
        """
        job.stop()
        with self._lock:
            if job in self._waiting:
                self._waiting.remove(job)
            future = self._futures.pop(job, None)
        if future is not None:
            future.cancel()

    async def follow(self, job: Job, is_left: Callable[[], Awaitable[bool]]) -> AsyncIterator[News]:
        """What happens to a job: its place in the queue whenever that changes, what it tells, and how it ends.

        Args:
            job: one of its own; it is left when nobody follows it any more.
            is_left: whether whoever asked is gone.
        """
        place, n_told = 0, 0
        try:
            while True:
                is_done = job.is_done  # before the news is read, so that none is missed
                now = self.place(job)
                if now and now != place:
                    yield {"waiting": now}
                place = now
                while n_told < len(job.news):
                    yield job.news[n_told]
                    n_told += 1
                if is_done or await is_left():
                    return
                if job.is_late or (now and time.monotonic() - job.asked_at > self._patience_s):
                    what = (
                        f"no answer within {self._limit_s:g} s" if not now else f"{now} questions still go before this"
                    )
                    yield {"refused": f"{what}; ask again later, or for less"}
                    return
                await asyncio.sleep(_LOOKED_AT_EVERY_S)
        finally:
            self.leave(job)

    def close(self) -> None:
        """End: whatever waits is left, and what is being done ends when it next asks whether to go on."""
        with self._lock:
            jobs = list(self._futures)
        for job in jobs:
            self.leave(job)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self, job: Job) -> None:
        with self._lock:
            if job not in self._waiting:
                return
            self._waiting.remove(job)
            self._is_busy = True
        try:
            job.run()
        finally:
            with self._lock:
                self._is_busy = False
                self._futures.pop(job, None)  # even if nobody has ever followed it
