"""The invariants of an operator's retries, checked at each write of a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from chalicelib.clock import SECOND
from chalicelib.orders import Order, Status

Must = Callable[..., None]


@dataclass(frozen=True)
class Press:
    """What an operator asked for once, however often the request was sent."""

    before: int
    """Only orders that failed before this time are to be retried."""
    over_s: float
    """Over which to spread their first attempts."""

    def covers(self, failed: Order, retried: Order) -> bool:
        """Return True if it asked for this retry."""
        if failed.updated_at >= self.before:
            return False
        if not self.over_s:
            return retried.run_at is None or retried.run_at <= retried.updated_at
        ahead = (retried.run_at or 0) - retried.updated_at
        return abs(ahead) <= self.over_s * SECOND


@dataclass
class BulkChecker:
    """What operators asked for, and the rounds that they may have started."""

    must: Must
    """Record a broken invariant, and the rows that show it, if its first argument is False."""
    presses: list[Press] = field(default_factory=list)
    owner_retries: int = 0
    """How often the owner of the orders may have retried any of them meanwhile."""

    def forget(self) -> None:
        self.presses.clear()
        self.owner_retries = 0

    def check_write(self, old: Order | None, row: Order) -> None:
        """Compare a row that was just written with its previous state."""
        if not self.presses or old is None:
            return
        self.must(
            row.retry_round <= len(self.presses) + self.owner_retries,
            "a press starts at most one round of an order",
            old,
            row,
        )
        if old.status.final and not self.owner_retries:
            self.must(
                old.status is Status.FAILED,
                "an operator's retry restarts no cancelled order",
                old,
                row,
            )
            self.must(
                any(press.covers(old, row) for press in self.presses),
                "an operator's retry leaves alone what failed after the press, and is spread",
                old,
                row,
            )
