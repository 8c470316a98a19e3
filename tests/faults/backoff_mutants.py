"""Mutants of long backoffs, for which an order leaves the queue."""

from __future__ import annotations

from tests.faults.mutant import one

BACKOFF_MUTANTS = (
    one(
        "the message of a long backoff stays in the queue",
        "functions/outcomes.py",
        "return Ack() if is_long(backoff) else Keep",
        "return Keep",
    ),
    one(
        "an attempt starts before a long backoff is over",
        "table/transitions.py",
        '{"run_at": now + backoff, "runnable_since"',
        '{"runnable_since"',
    ),
    one(
        "a long backoff makes an order young again",
        "table/transitions.py",
        ', "runnable_since": order.began_at}',
        "}",
    ),
    one(
        "an order is sent a day after its long backoff",
        "dispatch.py",
        "max(now, _send_at(run_at))",
        "run_at + 86400 * SECOND",
    ),
    one(
        "a slot that is over ends a long backoff",
        "dispatch.py",
        "start = max(slot_at or 0, run_at or 0)",
        "start = slot_at or run_at or 0",
    ),
    one(
        "an owner's retry waits for the backoff of the round before",
        "table/retries.py",
        "if current.after or current.runnable_since:",
        "if current.after:",
    ),
    one(
        "an owner's retry keeps the age of the round before",
        "table/retries.py",
        '"lease_until", "runnable_since")',
        '"lease_until")',
    ),
)
