"""Signals that are held back until a batch is done."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from seesay.interruption import gently_interrupted


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Python's own, whatever the tests were started with."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_only_noted(number: signal.Signals) -> None:
    with gently_interrupted() as is_interrupted:
        assert not is_interrupted()
        os.kill(os.getpid(), number)
        assert is_interrupted()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_the_second_one_ends_it_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), gently_interrupted():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with gently_interrupted() as is_interrupted:
        os.kill(os.getpid(), signal.SIGINT)
        assert not is_interrupted()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_other_threads_hold_nothing_back() -> None:
    found: list[bool] = []

    def work() -> None:
        with gently_interrupted() as is_interrupted:
            found.append(is_interrupted())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]
