"""The invariants of orders that wait for others, checked at each write of a row.

They are those of the model, tests/model/fan_in.py. A prerequisite counts as ended if it was final
when the round of the waiting order began, or became final since. The round begins when the request
that places or retries the order reads the prerequisites.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from chalicelib import ids
from chalicelib.clock import SECOND
from chalicelib.orders import UNKNOWN, Order, Status
from chalicelib.webhooks.rounds import DELIVER

Must = Callable[..., None]
MAX_TIMER = 3600 * SECOND


@dataclass
class FanInChecker:
    """What every order has been, and since when each waiting one waits."""

    clock: Callable[[], int]
    must: Must
    """Record a broken invariant, and the rows that show it, if its first argument is False."""
    rows: dict[str, Order]
    """The last state of every order by key."""
    moment: int = 0
    """Number of writes so far."""
    statuses: dict[str, list[tuple[int, Status]]] = field(default_factory=dict)
    """Every status that an order has had, and the moment from which it had it, by key."""
    began: dict[tuple[str, int], int] = field(default_factory=dict)
    """The moment at which a round of a waiting order began, by key and round."""
    unneeded: Counter[str] = field(default_factory=Counter)
    """How often the sweeper looked at a waiting order although those before it had ended, by id."""
    _read_at: dict[int, int] = field(default_factory=dict)
    """The moment of the last read of prerequisites, by thread."""

    def forget(self) -> None:
        self.moment = 0
        for each in (self.statuses, self.began, self.unneeded, self._read_at):
            each.clear()

    def record_read(self) -> None:
        """Record that this thread has just read prerequisites."""
        self._read_at[threading.get_ident()] = self.moment

    def check_write(self, old: Order | None, row: Order) -> None:
        """Compare a row that was just written with its previous state."""
        self.moment += 1
        if old is None or old.status is not row.status:
            self.statuses.setdefault(row.key, []).append((self.moment, row.status))
        self._check_dependents(old, row)
        if not row.after:
            self.must(not row.waiting, "only an order after others waits", row)
            return
        if row.task == DELIVER:  # it waits for the end of one round: see webhook_invariants.py
            return
        if old is None or row.retry_round > old.retry_round:
            read_at = self._read_at.get(threading.get_ident(), self.moment)
            self.began[row.key, row.retry_round] = read_at
        self._check_waiting(old, row)
        if old is not None and row.attempts > old.attempts:
            self.must(self.all_ended(row), "it starts after those before it", old, row)
        if row.status is Status.FAILED and row.error:
            self._check_reason(row, row.error.code)

    def _check_dependents(self, old: Order | None, row: Order) -> None:
        if old is None:
            return
        self.must(old.after == row.after, "`after` never changes", old, row)
        self.must(old.dependents <= row.dependents, "no dependent is forgotten", old, row)
        is_retry = row.retry_round > old.retry_round  # which names its deliveries
        if old.dependents != row.dependents and not is_retry:
            self.must(
                not row.status.final and (old.status, old.fence) == (row.status, row.fence),
                "a join leaves the status and the fencing token",
                old,
                row,
            )

    def _check_waiting(self, old: Order | None, row: Order) -> None:
        new_round = old is None or row.retry_round > old.retry_round
        self.must(row.waits_for <= frozenset(row.after or ()), "it waits for those in `after`", row)
        self.must(
            not row.waits_for or row.waiting or row.status.final,
            "an order that waits for others can't run",
            row,
        )
        if row.waiting:
            self.must(
                (row.check_at or UNKNOWN) <= self.clock() + MAX_TIMER,
                "a waiting order is looked at within the hour",
                row,
            )
        if new_round or old is None:
            return
        self.must(not row.waiting or old.waiting, "it waits once in a round", old, row)
        self.must(
            all(self.has_ended(row, id) for id in old.waits_for - row.waits_for),
            "it is released from those that have ended",
            old,
            row,
        )
        if old.waiting and row.status is Status.PENDING and not row.waiting:
            self.must(self.all_ended(row), "it is ready after those before it", old, row)
        if old.waiting and row.requeue_count > old.requeue_count and self.is_decided(old):
            self.unneeded[row.id] += 1

    def _check_reason(self, row: Order, code: str) -> None:
        if code == "prerequisite_failed":
            self.must(
                row.when == "success" and any(self._has_failed(row, id) for id in row.after or ()),
                "it fails because one before it ended without success",
                row,
            )
        if code == "prerequisite_gone":
            self.must(
                any(self._is_gone(row, id) for id in row.after or ()),
                "it fails because one before it is gone",
                row,
            )

    def is_decided(self, row: Order) -> bool:
        """Return True if those before the order let it run, or can't any more."""
        failed = row.when == "success" and any(self._has_failed(row, id) for id in row.waits_for)
        return self.all_ended(row) or failed

    def all_ended(self, row: Order) -> bool:
        """Return True if every order before this one has ended as it must, in its round."""
        return all(self.has_ended(row, id) for id in row.after or ())

    def has_ended(self, row: Order, prerequisite: str) -> bool:
        """Return True if an order ended as it must since the round of the other one began."""
        wanted = [Status.SUCCESS] if row.when == "success" else [s for s in Status if s.final]
        return any(status in wanted for status in self._statuses(row, prerequisite))

    def _has_failed(self, row: Order, prerequisite: str) -> bool:
        return any(
            status in (Status.FAILED, Status.CANCELLED)
            for status in self._statuses(row, prerequisite)
        )

    def _is_gone(self, row: Order, prerequisite: str) -> bool:
        found = self.rows.get(ids.key_of(row.owner, prerequisite))
        return found is None or found.expired(self.clock())

    def _statuses(self, row: Order, prerequisite: str) -> list[Status]:
        """Return the statuses that a prerequisite has had since the round of an order began."""
        since = self.began.get((row.key, row.retry_round), 0)
        statuses = self.statuses.get(ids.key_of(row.owner, prerequisite), [])
        first = max((n for n, (moment, _) in enumerate(statuses) if moment <= since), default=0)
        return [status for _, status in statuses[first:]]

    def check_end(self, row: Order, attempts_to_spare: bool, undisturbed: bool) -> None:
        """Check a waiting order at the end of a scenario.

        Args:
            row: the order
            attempts_to_spare: True if one fault was injected at most
            undisturbed: True if none was, and the flow itself broke nothing
        """
        if not row.after or row.task == DELIVER:  # a stray delivery waits for 15 minutes
            return
        unneeded = self.unneeded[row.id]
        self.must(not undisturbed or unneeded == 0, "no sweep is needed if nothing breaks", row)
        self.must(not attempts_to_spare or unneeded <= 2, "two sweeps heal any fault", row)
