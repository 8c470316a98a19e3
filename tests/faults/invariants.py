"""The invariants of every step, checked at each write of a row and at each start of a task.

EDGES repeats the transitions of docs/reliability.md on purpose. A test compares it with the code's
own table, so neither can change alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from chalicelib import config
from chalicelib.clock import SECOND
from chalicelib.dispatch import FAILED, failure_shard
from chalicelib.orders import UNKNOWN, Order, Status
from chalicelib.tasks import is_built_in
from tests.faults.bulk_invariants import BulkChecker
from tests.faults.fan_in_invariants import FanInChecker

EDGES = {
    (None, Status.PENDING),
    (Status.PENDING, Status.RUNNING),
    (Status.RUNNING, Status.RUNNING),
    (Status.RUNNING, Status.PENDING),
    (Status.RUNNING, Status.SUCCESS),
    (Status.RUNNING, Status.FAILED),
    (Status.PENDING, Status.FAILED),
    (Status.PENDING, Status.CANCELLED),
    (Status.RUNNING, Status.CANCELLED),
    (Status.PENDING, Status.PENDING),
    (Status.FAILED, Status.PENDING),
    (Status.CANCELLED, Status.PENDING),
}


DAY = 86_400 * SECOND


def lifetime() -> int:
    """Return for how long S3 keeps a file after its last upload."""
    return config.settings().file_days * DAY


def named_files(text: str | None) -> list[str]:
    """Return the ids of the files in the JSON of an input or a result."""
    return re.findall(r'"file": ?"([0-9a-f]{64})"', text or "")


@dataclass
class Run:
    """One run of a task, and the time at which its lease ends."""

    round: int
    attempt: int
    lease_until: int
    ended: bool = False


@dataclass
class InvariantChecker:
    """The last state of every order, its runs, and the invariants that were broken so far."""

    clock: Callable[[], int]
    files: Callable[[], Mapping[str, int]]
    """Ids of the stored files, and the times of their last uploads."""
    read_text: Callable[[str], str]
    """Text of a stored file; empty if the file is not stored."""
    per_minute: int
    """Orders with a slot that may start in any minute."""
    rows: dict[str, Order] = field(default_factory=dict)
    runs: dict[str, list[Run]] = field(default_factory=dict)
    cancelled_rounds: set[tuple[str, int]] = field(default_factory=set)
    slots: list[int] = field(default_factory=list)
    """Slots that a first attempt has used."""
    starts: list[int] = field(default_factory=list)
    """Times of first attempts that need a slot."""
    broken: list[str] = field(default_factory=list)
    fan_in: FanInChecker = field(init=False)
    """The invariants of orders that wait for others."""
    bulk: BulkChecker = field(init=False)
    """The invariants of an operator's retries."""

    def __post_init__(self) -> None:
        self.fan_in = FanInChecker(self.clock, self._must, self.rows)
        self.bulk = BulkChecker(self._must)

    def forget(self) -> None:
        self.fan_in.forget()
        self.bulk.forget()
        self.rows.clear()
        self.runs.clear()
        self.cancelled_rounds.clear()
        self.slots.clear()
        self.starts.clear()
        self.broken.clear()

    def check_write(self, row: Order) -> None:
        """Compare a row that was just written with its previous state."""
        old = self.rows.get(row.key)
        self.rows[row.key] = row
        self._must(
            (old.status if old else None, row.status) in EDGES,
            "the transition is in the table",
            old,
            row,
        )
        if old is not None:
            self._must(
                row.version == old.version + 1, "each write increments the version", old, row
            )
            self._must(
                (row.input, row.input_file, row.created_at)
                == (old.input, old.input_file, old.created_at),
                "the input and created_at never change",
                old,
                row,
            )
            if old.status.final:
                self._must(
                    row.retry_round == old.retry_round + 1,
                    "only a retry changes a final order",
                    old,
                    row,
                )
            else:
                self._must(
                    row.retry_round == old.retry_round,
                    "a round ends before the next",
                    old,
                    row,
                )
                self._must(
                    old.waiting or row.began_at == old.began_at,
                    "an order does not get younger within a round",
                    old,
                    row,
                )
            self._check_stop(old, row)
            if row.requeue_count > old.requeue_count:
                self._must(
                    (old.check_at or 0) <= self.clock(),
                    "no order is requeued before it is due",
                    old,
                    row,
                )
            if old.status.final:
                self._check_accepted_files(row)
        else:
            self._check_accepted_files(row)
        self.fan_in.check_write(old, row)
        self.bulk.check_write(old, row)
        if row.task == "paced" and old and (old.attempts, row.attempts) == (0, 1):
            self._check_start(row)
        self._check_files(row)
        self._check_attributes(row)

    def _check_stop(self, old: Order, row: Order) -> None:
        """Check that no attempt starts once the owner asked to stop, and that the stop is asked."""
        same_round = row.retry_round == old.retry_round
        self._must(
            not (old.stop_at and same_round and row.attempts > old.attempts),
            "no attempt starts after a stop",
            old,
            row,
        )
        self._must(
            (old.status, row.status) != (Status.RUNNING, Status.CANCELLED) or bool(old.stop_at),
            "only a stop cancels a running order",
            old,
            row,
        )
        self._must(
            old.stop_at == row.stop_at or old.stop_at is None or not same_round,
            "a stop is never taken back",
            old,
            row,
        )
        self._must(
            old.stop_at == row.stop_at or row.stop_at is None or old.fence == row.fence,
            "a stop leaves the fencing token",
            old,
            row,
        )

    def _check_start(self, row: Order) -> None:
        """Check the first attempt of an order with a slot, which was claimed now."""
        start = row.history[-1].start
        slot_at = row.slot_at or 0
        distance = (60 + 5) * SECOND // self.per_minute
        self._must(
            0 <= start - slot_at < 3 * SECOND, "a first attempt starts within 3 s of its slot", row
        )
        self._must(
            all(abs(slot_at - other) >= distance for other in self.slots),
            "slots are a step apart, and none is used twice",
            row,
        )
        self.slots.append(slot_at)
        self.starts.append(start)
        self._must(
            sum(start - 60 * SECOND < other <= start for other in self.starts) <= self.per_minute,
            "no minute has more starts than per_minute",
            row,
        )

    def _check_accepted_files(self, row: Order) -> None:
        """Check that the files of an order that is accepted now will outlive it."""
        settings = config.settings()
        runs_at = self.clock() if row.run_at == UNKNOWN else max(self.clock(), row.run_at or 0)
        needed_until = runs_at + (settings.max_age_s + settings.retention_s) * SECOND
        for file in self._input_files(row):
            self._must(
                self.files().get(file, 0) + lifetime() >= needed_until,
                "an accepted order's file outlives it",
                row,
            )

    def _check_files(self, row: Order) -> None:
        stored = self.files()
        self._must(
            all(file in stored for file in self._input_files(row)),
            "the files of an order's input are stored",
            row,
        )
        self._must(
            all(file in stored for file in self._result_files(row)),
            "the files of a result are stored before it is recorded",
            row,
        )

    def _input_files(self, row: Order) -> list[str]:
        """Return the ids of the files that hold a row's input or that the input names."""
        return self._files_of(row.input, row.input_file)

    def _result_files(self, row: Order) -> list[str]:
        """Return the ids of the files that hold a row's result or that the result names."""
        return self._files_of(row.result, row.result_file)

    def _files_of(self, text: str | None, text_file: str | None) -> list[str]:
        if text_file is None:
            return named_files(text)
        return [text_file, *named_files(self.read_text(text_file))]

    def _check_attributes(self, row: Order) -> None:
        self._must(
            (row.input == "") == (row.input_file is not None),
            "an input is either in the row or in a file",
            row,
        )
        self._must(
            row.result is None or row.result_file is None,
            "a result is either in the row or in a file",
            row,
        )
        if row.status.final:
            failed = row.status is Status.FAILED
            entry = (row.updated_at, failure_shard(row.task, row.id)) if failed else (None, None)
            self._must(
                (row.check_at, row.check_shard) == entry and row.lease_until is None,
                "a final order has no timer; a failed one is listed among its task's failures",
                row,
            )
            self._must(row.expires_at is not None, "a final order expires", row)
        else:
            self._must(row.expires_at is None, "a live order does not expire", row)
            self._must(
                row.check_at is not None and row.check_shard is not None,
                "a live order has a timer",
                row,
            )
            self._must(
                not str(row.check_shard).startswith(f"{FAILED}#"),
                "no live order is listed as failed",
                row,
            )
            self._must(
                (row.lease_until is not None) == (row.status is Status.RUNNING),
                "an order has a lease exactly while it runs",
                row,
            )
        self._must(row.attempts <= row.max_attempts, "attempts never exceed max_attempts", row)
        self._must(
            row.status is not Status.SUCCESS
            or row.result is not None
            or row.result_file is not None,
            "a success has its result",
            row,
        )
        self._must(
            row.status is not Status.FAILED or row.error is not None,
            "a failure has its error",
            row,
        )

    def start_run(self, key: str, attempt: int) -> Run:
        """Check and record the start of a task.

        The row is as this attempt's claim left it, unless another worker has claimed it since.
        """
        row = self.rows[key]
        runs = self.runs.setdefault(key, [])
        now = self.clock()
        self._must(row.run_at is None or row.run_at <= now, "no order runs before its time", row)
        self._must(
            (key, row.retry_round) not in self.cancelled_rounds, "a cancelled order never runs", row
        )
        duplicates = [run for run in runs if (run.round, run.attempt) == (row.retry_round, attempt)]
        self._must(not duplicates, "no attempt runs twice", row)
        self._must(
            all(run.ended or run.lease_until < now for run in runs),
            "at most one run within a lease",
            row,
        )
        runs.append(Run(row.retry_round, attempt, row.lease_until or 0))
        return runs[-1]

    def record_cancel(self, row: Order) -> None:
        """Record a confirmed cancellation: this round of the order must never run."""
        self.cancelled_rounds.add((row.key, row.retry_round))

    def check_end(self, row: Order) -> None:
        """Check an order at the end of a scenario; raises AssertionError if anything was broken."""
        self._must(row.status.final, "every order ends", row)
        if row.expires_at and row.expires_at > self.clock():
            self._check_files(row)
        runs = [run for run in self.runs.get(row.key, []) if run.round == row.retry_round]
        self._must(len(runs) <= row.max_attempts, "a round runs at most max_attempts times", row)
        if row.status is Status.SUCCESS and not is_built_in(row.task):
            text = self.read_text(row.result_file) if row.result_file else row.result
            self._must(
                _is_result_of_last_attempt(row, text), "the result is the last attempt's", row
            )
            self._must(
                (row.key, row.retry_round) not in self.cancelled_rounds,
                "a cancelled order never succeeds",
                row,
            )
        assert not self.broken, "\n".join(self.broken)

    def _must(self, holds: bool, invariant: str, *rows: Order | None) -> None:
        """Record a broken invariant.

        It does not raise: inside an AWS call that would look like an AWS error and be handled.
        """
        if not holds:
            self.broken.append(f"broken: {invariant}: {' -> '.join(map(str, rows))}")


def _is_result_of_last_attempt(row: Order, result_text: str | None) -> bool:
    """Compare a result with the one that the tasks of `World` return in a row's last attempt."""
    text = f"{row.retry_round}.{row.attempts}"
    result = json.loads(result_text or "null")
    if isinstance(result, list):  # the task `large` adds a text to its file
        result = result[0]
    if isinstance(result, dict):
        return bool(result["file"] == hashlib.sha256(text.encode()).hexdigest())
    return bool(result == text)
