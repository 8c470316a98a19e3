"""The invariants of an operator's retries, checked at each write of a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from chalicelib.clock import SECOND
from chalicelib.orders import Order, Status

Must = Callable[..., None]
BROKEN = "broken"  # the only task whose orders an operator retries


@dataclass(frozen=True)
class Press:
    """What an operator asked for once, however often the request was sent."""

    before: int
    """Only orders that failed before this time are to be retried."""
    over_s: int = 0
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
    owner_retries: Counter[str] = field(default_factory=Counter)
    """How often the owner may have retried an order, by key."""

    def forget(self) -> None:
        self.presses.clear()
        self.owner_retries.clear()

    def check_write(self, old: Order | None, row: Order) -> None:
        """Compare a row that was just written with its previous state."""
        if row.task != BROKEN or not self.presses or old is None:
            return
        by_owner = self.owner_retries[row.key]
        self.must(
            row.retry_round <= len(self.presses) + by_owner,
            "a press starts at most one round of an order",
            old,
            row,
        )
        if old.status.final and not by_owner:
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
