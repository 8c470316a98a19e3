# ruff: noqa: ARG005 (a clause takes what every clause takes)
"""The design's table as the model walks it: per transition the statuses it leaves, the one it leads to, its clauses.

test_table.py holds it against orders.TRANSITIONS and against the conditions that the code sends to DynamoDB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.model.state import DUE, Proc, Row

PENDING, RUNNING, SUCCESS, FAILED, CANCELLED = (
    "PENDING",
    "RUNNING",
    "SUCCESS",
    "FAILED",
    "CANCELLED",
)


@dataclass(frozen=True)
class Rule:
    """One row of the table. No sources: the status isn't asked. No target: it stays."""

    sources: tuple[str, ...]
    target: str | None
    clauses: tuple[str, ...]


RULES = {
    "T1": Rule((), PENDING, ("absent or expired",)),
    "T3": Rule((PENDING, RUNNING), RUNNING, ("waits or lease over", "attempts", "run_at", "task")),
    "T4": Rule((RUNNING,), SUCCESS, ("fence",)),
    "T5": Rule((RUNNING,), PENDING, ("fence",)),
    "T6": Rule((RUNNING,), FAILED, ("fence",)),
    "T7": Rule((PENDING, RUNNING), FAILED, ("fence", "lease")),
    "T8": Rule((PENDING,), CANCELLED, ("retry_round",)),
    "T9": Rule((PENDING, RUNNING), None, ("fence", "requeue_count", "check_at", "due", "lease")),
    "T10": Rule((PENDING, RUNNING), None, ("lease",)),
    "T11": Rule((FAILED, CANCELLED), PENDING, ("retry_round", "not expired")),
    "T12": Rule((RUNNING,), None, ("fence",)),
}


@dataclass(frozen=True)
class Config:
    """The bounds of a walk, and what is bent for a mutation. `later`: near, far, or sweeper: placed, and left to it."""

    workers: int = 2
    sweepers: int = 1
    dead: int = 1
    intakes: int = 1
    faults: int = 2
    messages: int = 3
    places: int = 1
    cancels: int = 0
    retries: int = 0
    batch: int = 1
    max_attempts: int = 2
    max_receives: int = 3
    progress: bool = False
    deep: bool = False  # the sweeper's budget is always used up: only what is overdue by an hour is looked at
    later: str = ""
    task: str = "known"  # unknown, unknown to the worker
    twist: str = ""
    rules: dict[str, Rule] = field(default_factory=lambda: RULES)

    def without(self, label: str, clause: str) -> Config:
        rule = self.rules[label]
        left = tuple(name for name in rule.clauses if name != clause)
        return replace(self, rules={**self.rules, label: replace(rule, clauses=left)})

    def also_from(self, label: str, source: str) -> Config:
        rule = self.rules[label]
        return replace(
            self, rules={**self.rules, label: replace(rule, sources=(*rule.sources, source))}
        )


CLAUSES: dict[str, Callable[[Config, Row, Proc], bool]] = {
    "absent or expired": lambda c, r, p: not r.status or r.expires == "past",
    "waits or lease over": lambda c, r, p: r.status == PENDING or r.lease == "over",
    "attempts": lambda c, r, p: r.attempts < c.max_attempts,
    "run_at": lambda c, r, p: not r.run_at,
    "fence": lambda c, r, p: p.mine,
    "lease": lambda c, r, p: r.lease != "live",
    "retry_round": lambda c, r, p: p.n == r.retry_round,
    "due": lambda c, r, p: r.due in DUE,
    "not expired": lambda c, r, p: r.expires == "set",
    # Every message of ours names the row's task; a stranger's claim is refused, and made again for the row's own
    "task": lambda c, r, p: True,
    # Weaker than the fence, which changes with each write: nothing here rests on them
    "requeue_count": lambda c, r, p: True,
    "check_at": lambda c, r, p: True,
}


def holds(c: Config, label: str, r: Row, p: Proc) -> bool:
    """Whether the write's condition holds for this row, sent by this function."""
    rule = c.rules[label]
    if rule.sources and r.status not in rule.sources:
        return False
    return all(CLAUSES[clause](c, r, p) for clause in rule.clauses)


def loose(r: Row) -> bool:
    """Neither final nor absent, and nobody holds it."""
    return r.status in (PENDING, RUNNING) and r.lease != "live"


def has_terminal_error(c: Config, r: Row) -> bool:
    """No attempt will mend it: orders.terminal_error."""
    return r.attempts >= c.max_attempts or r.old
