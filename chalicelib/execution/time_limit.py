"""The time limit of a task, which ends an attempt shortly before Lambda would kill the function."""

from __future__ import annotations

import math
import signal
import threading
from _signal import signal as set_handler  # a tenth of signal.signal's time: no enums
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic  # bound here: a task may leave time.monotonic patched
from types import FrameType
from typing import Any

from chalicelib import config

MAX_INVOCATION_S = 900  # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_REPEAT_S = 0.25  # fire again in case the task swallowed the first one


class TimeLimit(BaseException):
    """The task's time is up.

    It derives from BaseException, so that a task's `except Exception` does not swallow it.
    """


def time_left(context: Any, default_s: float | None = None) -> Callable[[], float]:
    """Return a function that returns the seconds until Lambda ends this invocation.

    Without a usable context an invocation has `default_s`, or WORKER_TIMEOUT_S: outside Lambda, and
    in tests with a context of None, a MagicMock, or that of Chalice's test client, which has 3 s
    for any function.
    """
    end = monotonic() + (config.settings().worker_timeout_s if default_s is None else default_s)
    left_ms: Callable[[], Any] = getattr(context, "get_remaining_time_in_millis", lambda: None)
    if type(context).__module__ == "chalice.local" or not _is_finite(left_ms()):
        return lambda: end - monotonic()
    return lambda: min(max(left_ms() / 1000, 0), MAX_INVOCATION_S)


def _is_finite(number: Any) -> bool:
    return isinstance(number, (int, float)) and math.isfinite(number)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise TimeLimit in the block after `seconds`, or when the C call running then returns.

    Only the main thread can be interrupted, which is where Lambda runs handlers. In other threads
    the block runs without a limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    running = [True]

    def raise_time_limit(signum: int, frame: FrameType | None) -> None:
        if running:
            raise TimeLimit

    previous_handler = set_handler(signal.SIGALRM, raise_time_limit)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001), _REPEAT_S)
            yield
        finally:
            running.clear()
    finally:  # again, for an alarm that fires before the inner block has cleared the list
        running.clear()
        signal.setitimer(signal.ITIMER_REAL, 0)
        set_handler(signal.SIGALRM, previous_handler)
