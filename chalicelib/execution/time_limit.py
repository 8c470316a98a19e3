"""How long an invocation has, and a soft deadline: it ends a task shortly before Lambda would kill it."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic  # bound here: a task may leave time.monotonic patched
from types import FrameType
from typing import Any

from chalicelib import config

MAX_INVOCATION_S = 900  # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_AGAIN_S = 0.25  # a task that swallowed the first alarm hears another


class TimeLimit(BaseException):
    """The task's time is up. No Exception, so that a task's `except Exception` does not swallow it."""


def time_left(context: Any) -> Callable[[], float]:
    """Return a function that gives the seconds until Lambda ends this invocation.

    Outside Lambda nothing ends it, and a test's context may say nothing: None, a MagicMock, or Chalice's test client,
    whose context says 3 s of every function. Then an invocation has WORKER_TIMEOUT_S.
    """
    ends = monotonic() + config.settings().worker_timeout_s

    def seconds() -> float:
        if type(context).__module__ != "chalice.local":
            read = getattr(context, "get_remaining_time_in_millis", lambda: None)()
            if isinstance(read, (int, float)) and math.isfinite(read):
                return min(max(read / 1000, 0), MAX_INVOCATION_S)
        return ends - monotonic()

    return seconds


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
