"""Retry failed orders of all owners, for an operator.

Only orders that failed before a given time are retried, so a request may be repeated: what has
failed again since is left alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import islice

from msgspec import Struct

from chalicelib import bulk, clock, service
from chalicelib.bulk import TimeLeft
from chalicelib.clock import SECOND, Micros
from chalicelib.errors import NotFound, NotRetryable, OrderlineError, Unavailable
from chalicelib.orders import Order, Status
from chalicelib.outbox import Outbox
from chalicelib.table import batch_get, failures
from chalicelib.table.failures import Failure

MAX_COUNT = 10_000  # where `count` stops
Outcome = Order | OrderlineError | None
"""The retried order, why it is not retried, or None if it is not FAILED any more."""


class Retried(Struct, frozen=True):
    """What became of failed orders.

    outcomes  by the order's row key, in the order of the request or of their failures
    end       the entry after which to go on; None if there are no more
    """

    outcomes: dict[str, Outcome]
    end: Failure | None


def count(task: str, since: Micros, before: Micros) -> int:
    """Return how many orders of a task failed in [since, before), at most MAX_COUNT."""
    return failures.count(task, since, before, MAX_COUNT)


def retry_failed(
    task: str,
    since: Micros,
    before: Micros,
    limit: int,
    time_left_s: TimeLeft,
    over_s: float = 0,
    after: Failure | None = None,
) -> Retried:
    """Retry the orders of a task that failed in [since, before), the oldest failure first.

    Raises Unavailable if not even the first could be tried.

    Args:
        task: the name of the task
        since: the earliest time of the failure
        before: the time before which they failed
        limit: the maximum number of orders to look at
        time_left_s: the seconds until the function is ended
        over_s: seconds from now over which to spread their first attempts
        after: the entry where the call before ended; None for the first call
    """
    listed = failures.listed(task, max(since, after.at) if after else since, before)
    rest = (entry for entry in listed if after is None or entry > after)
    entries = list(islice(rest, limit + 1))
    outcomes = _retry([entry.key for entry in entries[:limit]], before, over_s, time_left_s)
    by_key = {entry.key: entry for entry in entries}
    tried = [by_key[key] for key, each in outcomes.items() if not isinstance(each, Unavailable)]
    is_last = len(tried) == len(entries)
    return Retried(outcomes, None if is_last or not tried else tried[-1])


def retry_chosen(
    keys: Sequence[str], before: Micros, time_left_s: TimeLeft, over_s: float = 0
) -> Retried:
    """Retry the orders with these row keys, if they failed before a time; as `retry_failed`."""
    return Retried(_retry(keys, before, over_s, time_left_s, chosen=True), None)


def _retry(
    keys: Sequence[str],
    before: Micros,
    over_s: float,
    time_left_s: TimeLeft,
    chosen: bool = False,
) -> dict[str, Outcome]:
    now = clock.now()
    keys = list(dict.fromkeys(keys))
    rows = batch_get.current(keys)
    with Outbox() as outbox:

        def retry_one(key: str) -> Order | None:
            order = rows.get(key)
            if order is None or order.expired(now):
                raise NotFound("there is no such order, or it has expired")
            status = order.status
            if status is Status.FAILED and order.updated_at < before:
                run_at = now + int(over_s * SECOND * _share(order.id)) if over_s else None
                return service.retry_row(order, run_at, outbox.add)
            if not chosen:
                return None  # the index lags behind the table
            if status is Status.FAILED:
                raise NotRetryable(status.value, "it has failed again since")
            # A repetition must not restart an order that was cancelled since
            reason = f"only an order that failed can be retried here; this one is {status.value}"
            raise NotRetryable(status.value, reason)

        return dict(zip(keys, bulk.each(keys, retry_one, time_left_s), strict=True))


def _share(order_id: str) -> float:
    """Return a number in [0, 1) that spreads orders evenly."""
    return zlib.crc32(order_id.encode()) / 2**32
