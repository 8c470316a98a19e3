"""Mutants of the sweeper's batches and of its limits."""

from __future__ import annotations

from tests.faults.mutant import one

SWEEP_MUTANTS = (
    one(
        "only one partition of the due index is swept",
        "table/by_due.py",
        "range(config.settings().due_shards)",
        "range(1)",
    ),
    one(
        "the partitions are swept one after another",
        "table/by_due.py",
        "return heapq.merge(*entries, key=lambda entry: entry[1])",
        "return (entry for each in entries for entry in each)",
    ),
    one(
        "a sweep goes on though its messages are not sent",
        "functions/checks.py",
        "    if outbox.failed:",
        "    if outbox.failed < 0:",
    ),
    one(
        "a sweeper writes without time left to send",
        "functions/checks.py",
        "        if time_left_s() < RESERVE_S:",
        "        if time_left_s() < 0:",
    ),
    one(
        "scheduled orders take all the time of a sweep",
        "functions/sweeper.py",
        "rest_s = time_left_s() / 4",
        "rest_s = time_left_s() / 400",
    ),
    one(
        "the sweeper counts every overdue order",
        "functions/budgets.py",
        "most=waiting + MAX_RESENT)",
        "most=None)",
    ),
)
