# ruff: noqa: ARG005 (each clause takes the same parameters)
"""The table of transitions in the model: sources, target and the clauses of each condition.

test_table.py compares it with orders.TRANSITIONS and with the conditions that the code sends to
DynamoDB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.model.state import DUE, Process, Row

PENDING = "PENDING"
RUNNING = "RUNNING"
SUCCESS = "SUCCESS"
FAILED = "FAILED"
CANCELLED = "CANCELLED"


@dataclass(frozen=True)
class Rule:
    """A row of the table. No sources: any status. No target: the status does not change."""

    sources: tuple[str, ...]
    target: str | None
    clauses: tuple[str, ...]


RULES = {
    "T1": Rule((), PENDING, ("absent or expired",)),
    "T3": Rule(
        (PENDING, RUNNING),
        RUNNING,
        ("waits or lease over", "attempts", "run_at", "task", "no stop"),
    ),
    "T4": Rule((RUNNING,), SUCCESS, ("fence",)),
    "T5": Rule((RUNNING,), PENDING, ("fence", "no stop")),
    "T6": Rule((RUNNING,), FAILED, ("fence",)),
    "T7": Rule((PENDING, RUNNING), FAILED, ("fence", "lease")),
    "T8": Rule((PENDING,), CANCELLED, ("retry_round",)),
    "T9": Rule((PENDING, RUNNING), None, ("fence", "requeue_count", "check_at", "due", "lease")),
    "T10": Rule((PENDING, RUNNING), None, ("lease",)),
    "T11": Rule((FAILED, CANCELLED), PENDING, ("retry_round", "not expired")),
    "T12": Rule((RUNNING,), None, ("fence",)),
    "T13": Rule((PENDING,), None, ("fence",)),
    "T14": Rule((RUNNING,), None, ("fence", "no stop")),
    "T15": Rule((RUNNING,), CANCELLED, ("fence", "to be stopped")),
    "T16": Rule((PENDING, RUNNING), CANCELLED, ("fence", "lease", "to be stopped")),
    # Of several orders: tests/model/fan_in.py
    "T17": Rule((PENDING, RUNNING), None, ("fence",)),
    "T18": Rule((PENDING,), None, ("waits",)),
    "T19": Rule((PENDING,), None, ("waits for none", "time unknown")),
}
# A claim of a task with per_minute: in the slot of the row, or in one that was just reserved
IN_SLOT = replace(RULES["T3"], clauses=(*RULES["T3"].clauses, "slot"))
# The release from a prerequisite that did not succeed
IN_ROUND = replace(RULES["T18"], clauses=(*RULES["T18"].clauses, "retry_round"))
WITH_SLOT = replace(RULES["T3"], clauses=(*RULES["T3"].clauses, "fence"))


@dataclass(frozen=True)
class Config:
    """The bounds of a scenario, and the mutation of a weakened one."""

    workers: int = 2
    sweepers: int = 1
    dead_letters: int = 1
    services: int = 1
    faults: int = 2
    messages: int = 3
    places: int = 1
    cancels: int = 0
    retries: int = 0
    stops: int = 0
    batch: int = 1
    max_attempts: int = 2
    max_receives: int = 3  # 0: no limit
    progress: bool = False
    deep_queue: bool = False  # the sweeper's budget is used up: it checks only overdue orders
    later: str = ""  # near or far: placed with a run_at; sweeper: left to the sweeper
    task: str = "known"  # unknown, unknown to the worker
    backoffs: tuple[str, ...] = ()  # long ones, beside the short one: near, far
    slots: tuple[str, ...] = ()  # that a reservation may give: open, near, far; (): no limit
    mutation: str = ""
    rules: dict[str, Rule] = field(default_factory=lambda: RULES)

    def without(self, transition: str, clause: str) -> Config:
        """Return a weakened copy: a transition lacks a clause."""
        rule = self.rules[transition]
        left = tuple(name for name in rule.clauses if name != clause)
        return replace(self, rules={**self.rules, transition: replace(rule, clauses=left)})

    def also_from(self, transition: str, source: str) -> Config:
        """Return a weakened copy: a transition may leave another status too."""
        rule = replace(self.rules[transition], sources=(*self.rules[transition].sources, source))
        return replace(self, rules={**self.rules, transition: rule})


CLAUSES: dict[str, Callable[[Config, Row, Process], bool]] = {
    "absent or expired": lambda config, row, process: not row.status or row.expires == "past",
    "waits or lease over": lambda config, row, process: (
        row.status == PENDING or row.lease == "over"
    ),
    "attempts": lambda config, row, process: row.attempts < config.max_attempts,
    "run_at": lambda config, row, process: not row.run_at,
    "fence": lambda config, row, process: process.mine,
    "lease": lambda config, row, process: row.lease != "live",
    "retry_round": lambda config, row, process: process.retry_round == row.retry_round,
    "due": lambda config, row, process: row.check_at in DUE,
    "slot": lambda config, row, process: (
        row.attempts > 0
        or row.slot in ("open", "used")
        or (row.slot == "late" and config.mutation == "T3 accepts a late slot")
    ),
    "no stop": lambda config, row, process: not row.stop,
    "to be stopped": lambda config, row, process: row.stop,
    "waits": lambda config, row, process: True,
    "waits for none": lambda config, row, process: True,
    "time unknown": lambda config, row, process: True,
    "not expired": lambda config, row, process: row.expires == "set",
    # Each message of ours names the row's task. A claim for another task fails, and is then
    # repeated for the task of the row.
    "task": lambda config, row, process: True,
    # Weaker than the fence, which changes with each write: no property depends on them
    "requeue_count": lambda config, row, process: True,
    "check_at": lambda config, row, process: True,
}


def condition_holds(config: Config, transition: str, row: Row, process: Process) -> bool:
    """Return True if the condition of this process's write holds for the row."""
    rule = config.rules[transition]
    if rule.sources and row.status not in rule.sources:
        return False
    return all(CLAUSES[clause](config, row, process) for clause in rule.clauses)


def is_free(row: Row) -> bool:
    """Return True if the order is live and no lease holds it."""
    return row.status in (PENDING, RUNNING) and row.lease != "live"


def has_terminal_error(config: Config, row: Row) -> bool:
    """Return True if no attempt may follow, as orders.terminal_error does."""
    return row.attempts >= config.max_attempts or row.too_old
