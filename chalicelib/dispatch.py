"""Decide how an order gets to the queue: now, with a delay, by the sweeper, or after others."""

from __future__ import annotations

import zlib

from msgspec import Struct

from chalicelib import config
from chalicelib.clock import SECOND, Micros, ceil_div
from chalicelib.orders import CLOCK_SKEW_S, UNKNOWN

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-delay-queues.html
MAX_DELAY_S = 900
# The longest backoff for which a message is hidden. A hidden message counts as in flight, and with
# 120,000 in flight SQS delivers none; a delayed one does not count:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_HIDDEN: Micros = 60 * SECOND
# Prefixes of the due index's partitions
QUEUED = "queued"  # has a message in the queue
SCHEDULED = "scheduled"  # waits for the sweeper to send its message
# A kind of its own, so that a version that does not know such orders leaves them alone
WAITING = "waiting"  # waits for other orders
FAILED = "failed"  # has failed; the sweeper never asks for it
# A failure is one write to the index, an order that succeeds two, and orders are of several tasks.
# So fewer partitions are enough, and an operator's overview asks each of every task
_DUE_SHARDS_PER_FAILURE_SHARD = 4
_MAX_FAILURE_SHARDS = 8


class Dispatch(Struct, frozen=True):
    """The way of an order to the queue."""

    check_at: Micros
    """Time of the sweeper's next check."""
    check_shard: str
    """Partition of the due index."""
    delay_s: int | None
    """Delay in seconds with which to send the message now; None: the sweeper sends it later."""

    def by_sweeper(self, now: Micros) -> Dispatch:
        """Return the dispatch of an order whose message the next sweep sends."""
        return Dispatch(now, self.check_shard, None)


def failure_shards(task: str) -> list[str]:
    """Return the due index's partitions that list the failed orders of a task."""
    quarter = ceil_div(config.settings().due_shards, _DUE_SHARDS_PER_FAILURE_SHARD)
    count = min(quarter, _MAX_FAILURE_SHARDS)
    return [f"{FAILED}#{task}#{n}" for n in range(count)]


def failure_shard(task: str, order_id: str) -> str:
    """Return the due index's partition that lists an order once it has failed."""
    shards = failure_shards(task)
    return shards[zlib.crc32(order_id.encode()) % len(shards)]


def plan(
    order_id: str,
    now: Micros,
    run_at: Micros | None,
    slot_at: Micros | None = None,
    wait_s: int | None = None,
) -> Dispatch:
    """Return the way of an order to the queue.

    SQS delays a message by at most 15 minutes; an order that runs later than that waits in the due
    index. Clocks differ, so a message is delayed a little longer than the order must wait. It would
    miss a slot, so the worker keeps the message of a slot that is early.

    Args:
        order_id: spreads orders over the partitions of the due index
        now: the current time
        run_at: the earliest time of the first attempt; None: at once
        slot_at: the slot of a task with per_minute; None: no slot. Of it and `run_at` the later
            counts: a slot is not before the first attempt's time, but before a backoff's
        wait_s: seconds after which the sweeper checks an order that could have run; None: the
            setting RESEND_AFTER_S
    """
    settings = config.settings()
    wait_s = settings.resend_after_s if wait_s is None else wait_s
    if run_at == UNKNOWN:
        return Dispatch(now + wait_s * SECOND, _shard(WAITING, order_id), None)
    start = max(slot_at or 0, run_at or 0)
    skew_s = 0 if start == slot_at else CLOCK_SKEW_S
    ahead = max(0, start - now)
    delay_s = ceil_div(ahead, SECOND) + skew_s if ahead else 0
    if delay_s > MAX_DELAY_S:
        return Dispatch(_send_at(start), _shard(SCHEDULED, order_id), None)
    return Dispatch(now + ahead + wait_s * SECOND, _shard(QUEUED, order_id), delay_s)


def after_backoff(order_id: str, now: Micros, backoff: Micros) -> Dispatch:
    """Return the way of an order to its next attempt.

    Its message is hidden for a short backoff, but leaves the queue for a long one: the sweeper will
    send another, with a delay.
    """
    run_at = now + backoff
    if is_long(backoff):
        return Dispatch(max(now, _send_at(run_at)), _shard(SCHEDULED, order_id), None)
    check_at = run_at + config.settings().resend_after_s * SECOND
    return Dispatch(check_at, _shard(QUEUED, order_id), ceil_div(backoff, SECOND))


def is_long(backoff: Micros) -> bool:
    """Return True if an order's message leaves the queue for a backoff."""
    return backoff > MAX_HIDDEN


def _send_at(start: Micros) -> Micros:
    """Return the earliest time at which SQS can delay a message until `start`."""
    return start - (MAX_DELAY_S - CLOCK_SKEW_S) * SECOND


def _shard(kind: str, order_id: str) -> str:
    return f"{kind}#{zlib.crc32(order_id.encode()) % config.settings().due_shards}"
