"""The sweeper: requeue overdue orders, send scheduled ones, place the orders of periodic tasks.

It runs every minute and may run twice at once: each step is a conditional write on the row as read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chalicelib import clock, config, ending, logs, orders, queue
from chalicelib.clock import SECOND, Micros
from chalicelib.dispatch import QUEUED, SCHEDULED, WAITING, plan
from chalicelib.errors import ConditionFailed, Unavailable
from chalicelib.functions import periodic
from chalicelib.orders import Order
from chalicelib.table import by_due, transitions
from chalicelib.tasks import lane_of

RESERVE_S = 5  # stop when the function has less time left; the rest waits for the next sweep
# An order overdue this long is requeued even without a budget
LONG_OVERDUE: Micros = 3600 * SECOND
# Messages that may still be resent, by lane; a lane that is not there has no limit
Budgets = dict[str, float]
UNREACHABLE = float("-inf")  # the budget of a lane whose queue can't be asked
MAX_RESEND_S = 3600  # longest time between two checks of an order
MIN_RESEND_BUDGET = 100  # may always be resent, even if some turn out to be duplicates


@dataclass
class SweepResult:
    """The result of a sweep.

    resent             messages sent, and orders checked that wait for others
    ended              orders that failed, out of attempts or out of time, or were stopped
    untouched          orders that changed before the sweeper could write
    largest_overdue_s  the age in seconds of the longest overdue check
    """

    resent: int = 0
    ended: int = 0
    untouched: int = 0
    largest_overdue_s: int = 0


def sweep(time_left_s: Callable[[], float]) -> SweepResult:
    """Check every order that is due, longest overdue first, until all are done or time runs out."""
    result = SweepResult()
    for step in (_sweep_scheduled, _sweep_queued, _place_ticks, _sweep_waiting):
        try:
            step(result, time_left_s)
        except Unavailable as error:  # a failing step does not stop the others
            logs.event("aws_unavailable", reason=str(error))
    logs.event("swept", **vars(result))
    return result


def _sweep_scheduled(result: SweepResult, time_left_s: Callable[[], float]) -> None:
    for shard in by_due.shards(SCHEDULED):
        _sweep(shard, result, {}, time_left_s)


def _sweep_waiting(result: SweepResult, time_left_s: Callable[[], float]) -> None:
    """Settle orders that wait for others. It comes last: it only heals what a crash left."""
    for shard in by_due.shards(WAITING):
        _sweep(shard, result, {}, time_left_s)


def _sweep_queued(result: SweepResult, time_left_s: Callable[[], float]) -> None:
    budgets = _resend_budgets()
    for shard in by_due.shards(QUEUED):
        _sweep(shard, result, budgets, time_left_s)


def _place_ticks(result: SweepResult, time_left_s: Callable[[], float]) -> None:
    periodic.place_ticks(clock.now())


def _resend_budgets() -> Budgets:
    """Return how many messages may be resent in each lane: the overdue orders less the messages.

    This keeps a backlog from being multiplied: when workers are merely slow, most overdue orders
    still have a message in the queue. A lane without a waiting message has no limit, and no budget.
    """
    budgets: Budgets = {}
    waiting: dict[str, int] = {}
    for lane in config.settings().timeouts:
        try:
            waiting[lane] = queue.depth(lane)
        except Unavailable as error:  # a queue that is gone does not stop the other lanes
            logs.event("aws_unavailable", reason=str(error))
            budgets[lane] = UNREACHABLE
    if not any(waiting.values()):
        return budgets
    now = clock.now()
    overdue = by_due.count(by_due.shards(QUEUED), now)
    # The overdue orders are those of all lanes, and so are the messages that most of them have
    rest = overdue - sum(waiting.values())
    for lane, count in waiting.items():
        if count:
            budgets[lane] = max(MIN_RESEND_BUDGET - count, rest)
    return budgets


def _sweep(
    shard: str, result: SweepResult, budgets: Budgets, time_left_s: Callable[[], float]
) -> None:
    """Sweep one shard of the due index, and take what is resent from the budgets."""
    now = clock.now()
    all_lanes = config.settings().timeouts
    unreachable = {lane: each for lane, each in budgets.items() if each == UNREACHABLE}
    for key, check_at in by_due.overdue(shard, now):
        if time_left_s() < RESERVE_S:
            break
        within = unreachable if now - check_at >= LONG_OVERDUE else budgets
        if all(within.get(lane, 1) <= 0 for lane in all_lanes):
            break
        result.largest_overdue_s = max(result.largest_overdue_s, (now - check_at) // SECOND)
        try:
            _check_order(key, result, within)
        except Unavailable:
            raise
        except Exception:
            # For example a row that can't be read. It stays the longest overdue, so it must not
            # stop the sweep of all others
            logs.exception("sweep_failed", key=key)


def _check_order(key: str, result: SweepResult, budgets: Budgets) -> None:
    """Fail or resend an order if it is still due, and its lane has a budget."""
    order = transitions.read(key)
    now = clock.now()
    if order is None or order.status.final or order.held(now) or (order.check_at or 0) > now:
        return
    lane = lane_of(order.task)
    try:
        if order.stopping:
            ending.cancel_stopped(order)
            result.ended += 1
        elif error := orders.terminal_error(order, now, config.settings().max_age_s):
            ending.give_up(order, error)
            result.ended += 1
        elif budgets.get(lane, 1) > 0:
            _resend(order, lane, now)
            result.resent += 1
            if lane in budgets:
                budgets[lane] -= 1
    except ConditionFailed:  # another sweeper, a worker or the owner was faster
        result.untouched += 1


def _resend(order: Order, lane: str, now: Micros) -> None:
    """Record the requeue, then send: a crash in between delays the order, but does not lose it."""
    wait_s = min(config.settings().resend_after_s * 2**order.requeue_count, MAX_RESEND_S)
    dispatch = plan(order.id, now, order.run_at, order.slot_at, wait_s)
    updated = transitions.resend(order, dispatch)
    if updated.waiting:
        ending.settle(updated)
    if dispatch.delay_s is not None:
        queue.send(updated, dispatch.delay_s, lane)
