"""Virtual time: the app's clock and the mocked queue's are one, and move only when a test says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch


class Clock:
    """Stands still at a moment, a microsecond on with each look, so that no two orders are of the same time."""

    def __init__(self, start: int = 1_800_000_000_000_000) -> None:
        self._now = start

    def __call__(self) -> int:
        self._now += 1
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += int(seconds * 1_000_000)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Moto stamps messages and hides them by its own clock: it is moved along."""
        with patch("chalicelib.orders.now", self), patch("moto.sqs.models.unix_time_millis", lambda: self() / 1000):
            yield
