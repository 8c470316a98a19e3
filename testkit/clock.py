"""Virtual time for the app and the mocked queue; it moves only when a test moves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from unittest.mock import patch


class Clock:
    """A clock that moves by a microsecond with each read, so that no two orders have one time."""

    def __init__(self, start: int = 1_800_000_000_000_000) -> None:
        self._now = start
        self._actions: list[tuple[int, Callable[[], object]]] = []
        self.slept: list[float] = []

    def __call__(self) -> int:
        self._now += 1
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += int(seconds * 1_000_000)

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Run the action after these seconds, while the app sleeps, as another worker would."""
        self._actions.append((self._now + int(seconds * 1_000_000), action))

    def sleep(self, seconds: float) -> None:
        """Move the time instead of sleeping, and run the actions that become due."""
        self.slept.append(seconds)
        until = self._now + int(seconds * 1_000_000)
        for entry in sorted(self._actions, key=lambda entry: entry[0]):
            moment, action = entry
            if moment <= until:
                self._actions.remove(entry)
                self._now = max(self._now, moment)
                action()
        self._now = max(self._now, until)

    def _utcnow(self) -> datetime:
        return datetime.fromtimestamp(self._now / 1_000_000, timezone.utc).replace(tzinfo=None)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Replace the clocks of the app, and of moto's queue and bucket."""
        with (
            patch("chalicelib.clock.now", self),
            patch("chalicelib.web.wait.sleep", self.sleep),
            patch("moto.sqs.models.unix_time_millis", lambda: self() / 1000),
            patch("moto.s3.models.utcnow", self._utcnow),
        ):
            yield
