"""What a task may know of the order that it runs for, and do in its name."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic  # bound here: a task may leave time.monotonic patched
from typing import Any

REPORT_EVERY_S = 1.0


class Context:
    """A task takes it by a parameter with this type: `def export(order: Context, year: int) -> str`.

    id        the order's reference number
    attempt   1 for the first
    key       the same for every attempt of this order: hand it as an idempotency key to what the task calls
    """

    def __init__(
        self,
        id: str,
        attempt: int,
        key: str,
        limit_s: float,
        report: Callable[[dict[str, Any]], None],
        place: Callable[[str, Any, str], str],
    ) -> None:
        self.id, self.attempt, self.key = id, attempt, key
        self._ends = monotonic() + limit_s
        self._report, self._place = report, place
        self._reported = float("-inf")

    def time_left_s(self) -> float:
        """Seconds until this attempt is ended with time_limit."""
        return self._ends - monotonic()

    def progress(self, percent: float, word: str = "") -> None:
        """Show how far the task is: 0 to 100, and a word. What comes within a second of the last is dropped."""
        now = monotonic()
        if now - self._reported >= REPORT_EVERY_S:
            self._reported = now
            self._report({"percent": round(min(max(percent, 0), 100)), "word": word[:100]})

    def place(self, task: str, input: Any = None, name: str = "") -> str:
        """Place a follow-up order and return its id. `name` (the task's, if left out) tells this order's follow-ups
        apart: whichever attempt asks again under the same name gets the same order. Raises as POST /orders refuses.
        """
        return self._place(task, {} if input is None else input, name or task)
