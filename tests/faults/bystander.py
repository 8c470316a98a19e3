"""What must hold at every step: looks at each row as it is written and at each run of a task as it starts.

The edges it allows are those of docs/reliability.md, written here a second time on purpose: the code's own table is
compared with it by a test, so that neither changes alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from chalicelib.orders import Order, Status

EDGES = {
    (None, Status.PENDING),
    (Status.PENDING, Status.RUNNING),
    (Status.RUNNING, Status.RUNNING),
    (Status.RUNNING, Status.PENDING),
    (Status.RUNNING, Status.SUCCESS),
    (Status.RUNNING, Status.FAILED),
    (Status.PENDING, Status.FAILED),
    (Status.PENDING, Status.CANCELLED),
    (Status.PENDING, Status.PENDING),
    (Status.FAILED, Status.PENDING),
    (Status.CANCELLED, Status.PENDING),
}


@dataclass
class Run:
    """A run of a task: until when its lease holds."""

    round: int
    attempt: int
    lease_until: int
    over: bool = False


@dataclass
class Bystander:
    """Raises AssertionError, with what it saw, at the step that breaks a promise."""

    clock: Callable[[], int]
    before: dict[str, Order] = field(default_factory=dict)
    runs: dict[str, list[Run]] = field(default_factory=dict)
    withdrawn: set[tuple[str, int]] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)

    def forget(self) -> None:
        for memory in (self.before, self.runs, self.withdrawn, self.broken):
            memory.clear()

    def written(self, row: Order) -> None:
        old = self.before.get(row.key)
        self.before[row.key] = row
        self._must(
            (old.status if old else None, row.status) in EDGES, "an edge of the table", old, row
        )
        if old is not None:
            self._must(row.version == old.version + 1, "each write counts", old, row)
            self._must(
                row.input == old.input and row.created_at == old.created_at,
                "the order stays itself",
                old,
                row,
            )
            if old.status.final:
                self._must(
                    row.retry_round == old.retry_round + 1,
                    "a final order changes by a retry alone",
                    old,
                    row,
                )
            else:
                self._must(
                    row.retry_round == old.retry_round, "a round ends before the next", old, row
                )
            if row.requeue_count > old.requeue_count:
                self._must(
                    (old.check_at or 0) <= self.clock(),
                    "nothing is sent again before it is due",
                    old,
                    row,
                )
        self._shape(row)

    def _shape(self, row: Order) -> None:
        if row.status.final:
            self._must(
                row.check_at is None and row.check_shard is None and row.lease_until is None,
                "no timer",
                row,
            )
            self._must(row.expires_at is not None, "a final order expires", row)
        else:
            self._must(row.expires_at is None, "no live order expires", row)
            self._must(
                row.check_at is not None and row.check_shard is not None,
                "a live order has a timer",
                row,
            )
            self._must(
                (row.lease_until is not None) == (row.status is Status.RUNNING),
                "a lease when it runs",
                row,
            )
        self._must(row.attempts <= row.max_attempts, "no attempt too many", row)
        self._must(
            row.status is not Status.SUCCESS or row.result is not None,
            "a success has its result",
            row,
        )
        self._must(
            row.status is not Status.FAILED or row.error is not None,
            "a failure has its reason",
            row,
        )

    def started(self, key: str, attempt: int) -> Run:
        """A task starts. The row is as its claim left it, or somebody else has it already."""
        row, runs = self.before[key], self.runs.setdefault(key, [])
        now = self.clock()
        self._must(row.run_at is None or row.run_at <= now, "no order runs before its time", row)
        self._must(
            (key, row.retry_round) not in self.withdrawn, "a cancelled order never runs", row
        )
        same = [run for run in runs if (run.round, run.attempt) == (row.retry_round, attempt)]
        self._must(not same, "no attempt runs twice", row)
        self._must(
            all(run.over or run.lease_until < now for run in runs), "one run within a lease", row
        )
        runs.append(Run(row.retry_round, attempt, row.lease_until or 0))
        return runs[-1]

    def cancelled(self, row: Order) -> None:
        self.withdrawn.add((row.key, row.retry_round))

    def ended(self, row: Order) -> None:
        """The end of a scenario."""
        self._must(row.status.final, "every order ends", row)
        runs = [run for run in self.runs.get(row.key, []) if run.round == row.retry_round]
        self._must(len(runs) <= row.max_attempts, "a round has at most its attempts", row)
        if row.status is Status.SUCCESS:
            self._must(
                row.result == f'"{row.retry_round}.{row.attempts}"',
                "the result is the current attempt's",
                row,
            )
            self._must(
                (row.key, row.retry_round) not in self.withdrawn,
                "a cancelled order never succeeds",
                row,
            )
        assert not self.broken, "\n".join(self.broken)

    def _must(self, holds: bool, what: str, *rows: Order | None) -> None:
        """Noted rather than raised: a raise inside an AWS call would look like a fault of AWS's and be handled."""
        if not holds:
            self.broken.append(f"broken: {what}: {' -> '.join(map(str, rows))}")
