"""What a task may know of the order that it runs for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Context:
    """A task takes it by a parameter with this type: `def export(order: Context, year: int) -> str`."""

    id: str
    attempt: int
    """1 for the first."""
    key: str
    """The same for every attempt of this order: pass it on as an idempotency key to what the task calls."""
    time_left_s: Callable[[], float]
    """Seconds until the soft deadline ends this attempt."""
