"""Virtual time: the app's clock and the mocked queue's are one, and move only when a test says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch


class Clock:
    """Stands still at a moment, a microsecond on with each look, so that no two orders are of the same time."""

    def __init__(self, start: int = 1_800_000_000_000_000) -> None:
        self._now = start
        self._planned: list[tuple[int, Callable[[], object]]] = []
        self.slept: list[float] = []

    def __call__(self) -> int:
        self._now += 1
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += int(seconds * 1_000_000)

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Do it when so much time has passed, while the app sleeps: a worker that ends an order, say."""
        self._planned.append((self._now + int(seconds * 1_000_000), action))

    def sleep(self, seconds: float) -> None:
        """What the app does instead of sleeping: time passes, and what was planned happens."""
        self.slept.append(seconds)
        until = self._now + int(seconds * 1_000_000)
        for plan in sorted(self._planned, key=lambda plan: plan[0]):
            if plan[0] <= until:
                self._planned.remove(plan)
                self._now = max(self._now, plan[0])
                plan[1]()
        self._now = max(self._now, until)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Moto stamps messages and hides them by its own clock: it is moved along."""
        with (
            patch("chalicelib.orders.now", self),
            patch("chalicelib.web.wait.sleep", self.sleep),
            patch("moto.sqs.models.unix_time_millis", lambda: self() / 1000),
        ):
            yield
