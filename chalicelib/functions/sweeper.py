"""The sweeper: sends again what is overdue, sends what was for later, places the orders of periodic tasks.

It runs on a schedule and may run twice at once: every step is a conditional write on the row as it was read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chalicelib import config, logs, orders, queue
from chalicelib.errors import ConditionFailed, Unavailable
from chalicelib.functions import periodic
from chalicelib.orders import QUEUED, SCHEDULED, SECOND, Order
from chalicelib.table import by_due, transitions

RESERVE_S = 5  # of the function's time is left when it stops: the rest waits for the next sweep
LONG_OVERDUE = 3600 * SECOND
MIN_RESEND_BUDGET = 100  # so many messages may be too many


@dataclass
class Swept:
    """What a sweep did."""

    resent: int = 0
    ended: int = 0
    untouched: int = 0
    largest_overdue_s: int = 0


def sweep(time_left_s: Callable[[], float]) -> Swept:
    """Look at every order that is due, the longest overdue first, until all are seen or the time is nearly over."""
    swept = Swept()
    for part in (_sweep_later, _sweep_sent, _place_ticks):
        try:
            part(swept, time_left_s)
        except Unavailable as fault:  # of this part; another may fare better
            logs.event("aws_unavailable", reason=str(fault))
    logs.event("swept", **vars(swept))
    return swept


def _sweep_later(swept: Swept, time_left_s: Callable[[], float]) -> None:
    for shard in by_due.shards(SCHEDULED):
        _sweep(shard, swept, float("inf"), time_left_s)


def _sweep_sent(swept: Swept, time_left_s: Callable[[], float]) -> None:
    budget = _budget()
    for shard in by_due.shards(QUEUED):
        budget = _sweep(shard, swept, budget, time_left_s)


def _place_ticks(swept: Swept, time_left_s: Callable[[], float]) -> None:
    periodic.place_ticks(orders.now())


def _budget() -> float:
    """How many messages may be sent again: no more than overdue orders can lack, given those that wait already.

    So a backlog is never multiplied: a worker that is merely slow finds each order's message once.
    """
    waiting = queue.depth()
    if not waiting:
        return float("inf")
    now = orders.now()
    return (
        max(MIN_RESEND_BUDGET, sum(by_due.count(shard, now) for shard in by_due.shards(QUEUED)))
        - waiting
    )


def _sweep(shard: str, swept: Swept, budget: float, time_left_s: Callable[[], float]) -> float:
    """One partition. Returns what is left of the budget."""
    now = orders.now()
    for key, check_at in by_due.overdue(shard, now):
        if time_left_s() < RESERVE_S or (budget <= 0 and now - check_at < LONG_OVERDUE):
            break
        swept.largest_overdue_s = max(swept.largest_overdue_s, (now - check_at) // SECOND)
        try:
            budget -= _look_at(key, swept)
        except Unavailable:
            raise
        except (
            Exception
        ):  # a row that can't be read, say: it is always the first, and must not hide all others
            logs.exception("sweep_fault", key=key)
    return budget


def _look_at(key: str, swept: Swept) -> int:
    """One order that is due. Returns how many messages were sent for it."""
    order, now = transitions.read(key), orders.now()
    if order is None or order.status.final or order.held(now) or (order.check_at or 0) > now:
        return 0
    try:
        if error := orders.terminal_error(order, now, config.settings().max_age_s):
            transitions.give_up(order, error)
            swept.ended += 1
            return 0
        _resend(order, now)
    except ConditionFailed:  # another sweeper, a worker, a client was faster
        swept.untouched += 1
        return 0
    swept.resent += 1
    return 1


def _resend(order: Order, now: int) -> None:
    """T9, then T2: a crash between them costs a wait, never the order."""
    wait_s = min(config.settings().resend_after_s * 2**order.requeue_count, 3600)
    dispatch = orders.dispatch(order.id, now, order.run_at, wait_s, config.settings().due_shards)
    moved = transitions.resend(order, dispatch)
    if dispatch.delay_s is not None:
        queue.send(moved, dispatch.delay_s)
