"""Ctrl-C during long work: the first ends it after the batch, a second one at once."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def gently_interrupted() -> Generator[Callable[[], bool]]:
    """Hold back the first Ctrl-C.

    Outside the main thread, where Python hands out no signals, nothing is held back.

    Yields:
        A function that says whether there was one; whoever asks then tidies up and raises KeyboardInterrupt.
    """
    asked = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    if not is_main or before in (signal.SIG_IGN, None):
        yield asked.is_set
        return
    signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
