"""The context of a task: the running order's data, and the actions that a task may take for it."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic  # bound here: a task may leave time.monotonic patched
from typing import Any

from chalicelib.orders import Progress

REPORT_EVERY_S = 1.0  # shortest time between two reports of progress


class Context:
    """The context of a running task.

    A task gets it by a parameter of this type: `def export(order: Context, year: int) -> str`.

    Attributes:
        id: the order's reference number
        attempt: number of the running attempt, from 1
        key: idempotency key to pass to services that the task calls; equal for all attempts of a
            retry round
    """

    def __init__(
        self,
        id: str,
        attempt: int,
        key: str,
        limit_s: float,
        report: Callable[[Progress], None],
        place: Callable[[str, Any, str], str],
    ) -> None:
        """Create a context, as the worker or a test does.

        Args:
            id: the order's reference number
            attempt: number of the attempt, from 1
            key: idempotency key for services that the task calls
            limit_s: seconds from now until the attempt is ended
            report: stores the progress
            place: places a follow-up of a task, an input and a name; returns its id
        """
        self.id = id
        self.attempt = attempt
        self.key = key
        self._end = monotonic() + limit_s
        self._report = report
        self._place = place
        self._reported_at = float("-inf")

    def time_left_s(self) -> float:
        """Return the seconds until this attempt is ended with the error `time_limit`."""
        return self._end - monotonic()

    def progress(self, percent: float, word: str = "") -> None:
        """Report progress: 0 to 100 percent, and a word.

        A report within a second of the last one is dropped.
        """
        now = monotonic()
        if now - self._reported_at >= REPORT_EVERY_S:
            self._reported_at = now
            self._report(Progress(round(min(max(percent, 0), 100)), word[:100]))

    def place(self, task: str, input: Any = None, name: str = "") -> str:
        """Place a follow-up order and return its id.

        `name` identifies the follow-up within this order; the default is the task's name. Placing
        the same name again, in this or a later attempt, returns the same order. Raises the errors
        of POST /orders.
        """
        return self._place(task, {} if input is None else input, name or task)
