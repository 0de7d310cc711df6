"""Ctrl-C or SIGTERM during long work: the first ends it after the batch, a second one at once."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # what people press, and what job schedulers send before they kill


@contextmanager
def gently_interrupted() -> Generator[Callable[[], bool]]:
    """Hold back the first Ctrl-C or SIGTERM.

    Outside the main thread, where Python hands out no signals, nothing is held back; nor is what the process was told
    to ignore.

    Yields:
        A function that says whether there was one; whoever asks then tidies up and raises KeyboardInterrupt.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(_number: int, _frame: FrameType | None) -> None:
        asked.set()
        put_back()

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        put_back()
