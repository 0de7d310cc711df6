"""The backend of many processes and machines: Ray's actors have the models, and are given pieces of the work."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Generic, final

from seesay.backends.crew import Item, Models, Result, Shelf, Task
from seesay.backends.lending import Lent, methods_of
from seesay.backends.workers import Answer, Library, Worker, ask
from seesay.errors import UnusableCluster

_AHEAD = 2
"""Pieces that a worker is given at once, so that it need not wait for the next one."""

_MOST_DEATHS = 3
"""Workers that may die of one piece, or while they load the models, until nobody else is sent to die of it."""

_LOOK_S = 1.0


@dataclass(eq=False)
class _Piece:
    """Some of the work; one without a task is the loading of the models, which comes before any other."""

    task: "_Sent | None" = None
    number: int = 0
    items: Sequence[Any] = ()
    deaths: int = 0


@dataclass(eq=False)
class _Sent:
    """A task on its way: its number, where workers find it, and what they say that its results depend on."""

    number: int
    task: Any
    reference: Any
    facts: Mapping[str, Any] | None = None


@dataclass(eq=False)
class _Member:
    """A worker, and the pieces that it was given, by what Ray calls their answers; it works on the first."""

    handle: Any
    given: dict[Any, _Piece] = field(default_factory=dict[Any, _Piece])
    is_ready: bool = False


@final
class RayCrew(Generic[Models]):
    """Workers of a cluster.

    Args:
        ray: the package.
        load: loads their models.
        n: how many workers.
        share: what each of them asks for, by Ray's names.
    """

    def __init__(self, ray: Any, load: Callable[[], Models], n: int, share: Mapping[str, Any]) -> None:
        self._ray, self._share = ray, share
        self._load = ray.put(load)
        self._sent: dict[int, _Sent] = {}
        self._library, self._n_lent = self._founded(), 0
        self._members = [self._hired(_Piece()) for _ in range(n)]

    def facts(self, task: Task[Models, Any, Any]) -> Mapping[str, Any]:
        """What the results of a task depend on, as the first worker says that is ready."""
        sent = self._send(task)
        if sent.facts is None:
            for _ in self._worked(iter([_Piece(sent)]), 1, False, lambda: False):
                pass
        assert sent.facts is not None, "whoever begins a task says what it depends on"
        return sent.facts

    def run(
        self,
        task: Task[Models, Item, Result],
        items: Iterable[Item],
        at_once: int,
        *,
        in_order: bool = False,
        until: Callable[[], bool] = lambda: False,
    ) -> Iterator[Result]:
        """Do a task in pieces of so many items; what a worker was given that dies is done again by another one."""
        self.facts(task)
        sent = self._send(task)
        pieces = (_Piece(sent, number, some) for number, some in enumerate(_in_pieces(items, at_once)))
        window = 2 * _AHEAD * len(self._members)
        return (result for results in self._worked(pieces, window, in_order, until) for result in results)

    def lend(self, shelf: Shelf) -> Shelf:
        """Open it once more in a process beside this one, which answers the workers."""
        self._n_lent += 1
        lent: Any = Lent(partial(ask, self._library, self._n_lent, [self._ray.put(shelf)]), methods_of(shelf))
        return lent

    def dismiss(self) -> None:
        """Let all go, whatever they are doing."""
        for handle in [self._library, *(member.handle for member in self._members)]:
            self._ray.kill(handle)

    def _send(self, task: Any) -> _Sent:
        if id(task) not in self._sent:  # the task is kept beside it, lest another gets its id
            self._sent[id(task)] = _Sent(len(self._sent), task, self._ray.put(task))
        return self._sent[id(task)]

    def _founded(self) -> Any:
        """A library on this machine: now, so that it is there when it is asked."""
        here = self._ray.get_runtime_context().get_node_id()
        beside = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(here, soft=False)
        placed_here = {"num_cpus": 0, "scheduling_strategy": beside}
        return self._ray.remote(Library).options(**placed_here, max_restarts=-1, max_task_retries=-1).remote()

    def _hired(self, loading: _Piece) -> _Member:
        n_threads = max(1, int(self._share["num_cpus"]))
        handle = self._ray.remote(Worker).options(**self._share).remote(self._load, n_threads, str(Path.cwd()))
        return _Member(handle, {handle.load.remote(): loading})

    def _worked(
        self, pieces: Iterator[_Piece], window: int, in_order: bool, until: Callable[[], bool]
    ) -> Iterator[Sequence[Any]]:
        """Hand out pieces and take in what comes of them; no more than so many are on their way, or wait for others."""
        again, done = deque[_Piece](), dict[int, Sequence[Any]]()
        flying, turn, is_over = set[_Piece](), 0, False
        while True:
            is_over = is_over or until()
            while len(flying) + len(done) < window and (member := self._free()) is not None:
                piece = again.popleft() if again else None if is_over else next(pieces, None)
                if piece is None:
                    is_over = True
                    break
                self._give(member, piece)
                flying.add(piece)
            if is_over and not flying and not again:
                return
            for piece, results in self._answered(flying):
                flying.remove(piece)
                if results is None:
                    again.append(piece)
                else:
                    done[piece.number] = results
            while done and (not in_order or turn in done):
                yield done.pop(turn if in_order else next(iter(done)))
                turn += 1

    def _free(self) -> _Member | None:
        """Whoever has least to do, if that is little."""
        ready = [member for member in self._members if member.is_ready and len(member.given) < _AHEAD]
        return min(ready, key=lambda member: len(member.given), default=None)

    def _give(self, member: _Member, piece: _Piece) -> None:
        assert piece.task is not None, "models are loaded by whoever is hired"
        answer = member.handle.do.remote(piece.task.number, [piece.task.reference], piece.items)
        member.given[answer] = piece

    def _answered(self, awaited: Set[_Piece]) -> Iterator[tuple[_Piece, Sequence[Any] | None]]:
        """Those pieces that are awaited, with their results, or without any if the worker died that had them."""
        whose = {answer: member for member in self._members for answer in member.given}
        # Not without end, so that Ctrl-C is noticed.
        ready, _ = self._ray.wait(list(whose), num_returns=1, timeout=_LOOK_S)
        for reference in ready:
            member = whose[reference]
            try:
                answer: Answer = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError:  # a mistake of ours, which another worker would make again
                raise
            except self._ray.exceptions.RayError as error:
                yield from ((piece, None) for piece in self._replace(member, error) if piece in awaited)
                continue
            piece = member.given.pop(reference)
            if piece.task is None:
                self._checked(piece, answer)
                member.is_ready = True
            elif piece in awaited:  # others are of a task that nobody goes on with
                yield piece, self._checked(piece, answer)

    def _checked(self, piece: _Piece, answer: Answer) -> Sequence[Any]:
        """What an answer holds, if it fits what others answer."""
        if answer.error is not None:
            raise answer.error
        sent = piece.task
        if sent is not None and sent.facts is None:
            sent.facts = answer.facts
        elif sent is not None and sent.facts != answer.facts:
            name, one, other = _difference(sent.facts, answer.facts)
            raise UnusableCluster(
                f"workers that differ in {name}: one has {one}, and another {other}",
                expected="the same models, images and versions with all of them",
            )
        return answer.results

    def _replace(self, member: _Member, error: Exception) -> list[_Piece]:
        """Hire another one in the place of a worker that died; what it was given is to be done again."""
        lost = list(member.given.values())
        lost[0].deaths += 1
        why = str(error).strip().splitlines()
        if lost[0].deaths >= _MOST_DEATHS:
            raise UnusableCluster(
                f"{_MOST_DEATHS} workers died, one after another, {_doing(lost[0])}: {why[-1] if why else error!r}",
                expected="machines with enough memory, and the same seesay, Python and Ray on all of them",
                remedy="ask for fewer workers (--workers), or for less at a time (--batch-size)",
            )
        self._ray.kill(member.handle)  # it may only have been out of reach
        loading = lost[0] if lost[0].task is None else _Piece()
        self._members[self._members.index(member)] = self._hired(loading)
        return [piece for piece in lost if piece.task is not None]


def _doing(piece: _Piece) -> str:
    return "loading the models" if piece.task is None else "doing the same piece of work"


def _difference(some: Mapping[str, Any] | None, others: Mapping[str, Any]) -> tuple[str, Any, Any]:
    some = some or {}
    name = next(name for name in {**some, **others} if some.get(name) != others.get(name))
    return name, some.get(name), others.get(name)


def _in_pieces(items: Iterable[Item], at_once: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while some := list(islice(rest, at_once)):
        yield some
