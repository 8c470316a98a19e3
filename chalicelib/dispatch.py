"""Decide how an order gets to the queue: now, with a delay, by the sweeper, or after others."""

from __future__ import annotations

import zlib

from msgspec import Struct

from chalicelib import config
from chalicelib.clock import SECOND, Micros, ceil_div
from chalicelib.orders import CLOCK_SKEW_S, UNKNOWN

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-delay-queues.html
MAX_DELAY_S = 900
# Prefixes of the due index's partitions
QUEUED = "queued"  # has a message in the queue
SCHEDULED = "scheduled"  # waits for the sweeper to send its message
# A kind of its own, so that a version that does not know such orders leaves them alone
WAITING = "waiting"  # waits for other orders
FAILED = "failed"  # has failed; the sweeper never asks for it
# A failure is one write to the index, an order that succeeds two: so fewer partitions are enough
_DUE_SHARDS_PER_FAILURE_SHARD = 4


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
    count = ceil_div(config.settings().due_shards, _DUE_SHARDS_PER_FAILURE_SHARD)
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
        slot_at: the slot of a task with per_minute, which is not before `run_at`; None: no slot
        wait_s: seconds after which the sweeper checks an order that could have run; None: the
            setting RESEND_AFTER_S
    """
    settings = config.settings()
    wait_s = settings.resend_after_s if wait_s is None else wait_s
    shard = zlib.crc32(order_id.encode()) % settings.due_shards
    if run_at == UNKNOWN:
        return Dispatch(now + wait_s * SECOND, f"{WAITING}#{shard}", None)
    skew_s = 0 if slot_at else CLOCK_SKEW_S
    ahead = max(0, (slot_at or run_at or 0) - now)
    delay_s = ceil_div(ahead, SECOND) + skew_s if ahead else 0
    if delay_s > MAX_DELAY_S:
        send_at = now + ahead - (MAX_DELAY_S - CLOCK_SKEW_S) * SECOND
        return Dispatch(send_at, f"{SCHEDULED}#{shard}", None)
    return Dispatch(now + ahead + wait_s * SECOND, f"{QUEUED}#{shard}", delay_s)
