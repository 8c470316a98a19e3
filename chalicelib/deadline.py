"""A soft deadline: ends a task shortly before Lambda would kill it, so that its attempt has a reason."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_AGAIN_S = 0.25  # a task that swallowed the first alarm hears another


class TimeLimit(BaseException):
    """The task's time is up. No Exception, so that a task's `except Exception` does not swallow it."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raises TimeLimit in the block once its seconds are over: pure Python at once, a C call when it returns.

    Only the main thread can be interrupted; that is where Lambda runs a handler. Elsewhere the block just runs.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    running = [True]

    def ring(signum: int, frame: FrameType | None) -> None:
        if running:
            raise TimeLimit

    before = signal.signal(signal.SIGALRM, ring)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), _AGAIN_S)
            yield
        finally:
            running.clear()
    finally:  # a second one, for an alarm that rings just before the first has cleared
        running.clear()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
