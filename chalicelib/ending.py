"""End orders, and start those that wait for them.

The function that writes the end of an order then releases its dependents. A crash in between is
healed by the order's own message, by a repeated request, or by the timer of each dependent:
`settle` is one procedure for all, and safe to repeat.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from chalicelib import clock, ids, logs, orders, queue
from chalicelib.clock import SECOND
from chalicelib.dispatch import plan
from chalicelib.errors import ConditionFailed, NoTimeLeft, Unavailable, UnreadableOrder
from chalicelib.orders import Failure, Order, Status
from chalicelib.table import batch_get, fan_in, stops, transitions
from chalicelib.tasks import lane_of
from chalicelib.webhooks import rounds
from chalicelib.webhooks.rounds import DELIVER

MAX_DIRECT_DEPTH = 10  # orders in a chain before the sweeper sends the next one
# After it, a prerequisite without a row counts as gone; it is longer than any request takes
GONE_AFTER_S = 900
RESERVE_S = 0.3  # stop releasing when the function has less time left
_NOT_RUN = "did not run: "
_MAX_TRIES = 100  # each lost try means that another function got on
Sends = Callable[[Order], bool]
"""Decides whether the message of a ready order is sent now; if not, the sweeper sends it."""


def at_once(order: Order) -> bool:
    """Send now: the caller is not triggered by the queue."""
    return True


def never(order: Order) -> bool:
    """Leave the message to the sweeper."""
    return False


def as_worker_of(origin: Order) -> Sends:
    """Return what a worker may send that handles the message of an order.

    Lambda stops a function that triggers itself through a queue some 16 times in a row. A message
    from the sweeper starts a new count:
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
    """
    return lambda order: order.depth // MAX_DIRECT_DEPTH <= origin.depth // MAX_DIRECT_DEPTH


def give_up(order: Order, error: Failure, sends: Sends = at_once) -> None:
    """Fail an order that no worker holds. Raises ConditionFailed if it has changed."""
    ended(transitions.give_up(order, error), sends)


def cancel_stopped(order: Order, sends: Sends = at_once) -> None:
    """Cancel an order that is to be stopped, and that no worker holds.

    Raises ConditionFailed if it has changed.
    """
    ended(stops.cancel_stopped(order), sends)


def ended(order: Order, sends: Sends = at_once) -> None:
    """Log that an order became final, which counts it, and release its dependents.

    Raises Unavailable; the order has ended all the same.
    """
    log(order)
    wake(order, sends)


def log(order: Order, **attempt: logs.Value) -> None:
    """Log that an order became final, which counts it; `attempt`: members of one that ended it."""
    members: dict[str, logs.Value] = {
        "order": order.id,
        "owner": logs.hashed(order.owner),
        "task": order.task,
        "status": order.status.value,
        "code": order.error.code if order.error else None,
    }
    logs.event("order_ended", **members | attempt)


def wake(
    order: Order, sends: Sends = at_once, time_left_s: Callable[[], float] = lambda: math.inf
) -> None:
    """Release the dependents of a final order, and of those that fail because of it.

    Raises Unavailable, also if there is too little time left: what is left is done by the next
    call, or by the dependents' own timers.
    """
    todo = [order]
    while todo:
        final = todo.pop()
        for dependent in sorted(final.dependents):
            if time_left_s() < RESERVE_S:
                raise NoTimeLeft("no time is left to release all dependents")
            try:
                failed = _wake_one(final, dependent, sends)
            except UnreadableOrder:  # a newer version's; it must not stop the others
                logs.event("row_unreadable", order=dependent)
                continue
            if failed:
                todo.append(failed)


def settle(
    order: Order, prerequisites: Mapping[str, Order] | None = None, sends: Sends = at_once
) -> Order:
    """Bring a waiting order up to date with its prerequisites. Return the order as it is now.

    It joins those that are open, releases those that ended, and fails the order if one ended as it
    must not. Raises Unavailable.

    Args:
        order: the order as it was just read or written
        prerequisites: those of `order.waits_for` as they were just read; None: read them
        sends: whether to send the message if the order can run
    """
    before = order
    order = _settle(order, None, prerequisites, sends)
    if order.status.final and not before.status.final:
        wake(order, sends)
    return order


def _wake_one(final: Order, dependent: str, sends: Sends) -> Order | None:
    """Release one dependent. Return it if that made it final."""
    key = ids.key_of(final.owner, dependent)
    if final.status is Status.SUCCESS:  # for good, so nothing needs to be read
        _release(key, frozenset({final.id}), None, sends)
        return None
    before = batch_get.orders(final.owner, [dependent]).get(dependent)
    if before is None or before.status.final:
        return None
    after = _settle(before, final.id, None, sends)
    return after if after.status.final else None


def _settle(
    order: Order,
    only: str | None,
    prerequisites: Mapping[str, Order] | None,
    sends: Sends,
) -> Order:
    """Do as `settle`, for all prerequisites or only for one; without the dependents' dependents."""
    for _ in range(_MAX_TRIES):
        pending = order.waits_for & {only} if only else order.waits_for
        if not order.waiting or (order.waits_for and not pending):
            return order
        if not order.waits_for:  # a crash came between the last release and this
            return _make_ready(order, sends)
        if prerequisites is None:
            prerequisites = batch_get.orders(order.owner, pending)
        try:
            if order.task == DELIVER:
                return _settle_delivery(order, prerequisites, sends)
            return _settle_with(order, pending, prerequisites, sends)
        except ConditionFailed as refusal:  # another prerequisite ended meanwhile
            if refusal.row is None:
                return order
            order, prerequisites = refusal.row, None
    raise Unavailable("the order keeps changing; try again")


def _settle_with(
    order: Order, pending: Iterable[str], prerequisites: Mapping[str, Order], sends: Sends
) -> Order:
    """Join, release or fail an order by its prerequisites as they are.

    Raises ConditionFailed if it is to fail, and has changed.
    """
    over, error = _look(order, pending, prerequisites)
    if error:
        failed = transitions.give_up(order, error)
        log(failed)
        return failed
    if over:
        return _release(order.key, over, order.retry_round, sends) or order
    return order


def _settle_delivery(delivery: Order, rows: Mapping[str, Order], sends: Sends) -> Order:
    """Release a delivery once the round that it tells of has ended.

    One that its order does not name is cancelled, but not before the request that placed it must
    have ended: it may be about to name it. Raises ConditionFailed if it has changed.
    """
    (order_id,) = delivery.waits_for
    row = rows.get(order_id)
    if row and rounds.is_named(delivery, row):
        if not rounds.has_ended(delivery, row):
            return delivery
        released = _release(delivery.key, delivery.waits_for, delivery.retry_round, sends)
        return released or delivery
    if _is_fresh(delivery):
        return delivery
    cancelled = transitions.cancel(delivery)
    log(cancelled)
    return cancelled


def _is_fresh(order: Order) -> bool:
    """Return True while the request that placed an order may still be running."""
    return clock.now() - order.created_at <= GONE_AFTER_S * SECOND


def _look(
    order: Order, pending: Iterable[str], prerequisites: Mapping[str, Order]
) -> tuple[frozenset[str], Failure | None]:
    """Return which prerequisites have ended, and the error if one ended as it must not."""
    over: set[str] = set()
    for id in sorted(pending):
        row = prerequisites.get(id)
        row = _join(row, order.id) if row else None
        if row is None:
            if not _is_fresh(order):
                message = f"the order {id}, for which this one waits, does not exist any more"
                return frozenset(over), orders.failure(order, "prerequisite_gone", message)
        elif row.status.final:
            if order.when == "success" and row.status is not Status.SUCCESS:
                return frozenset(over), _prerequisite_failed(order, row)
            over.add(id)
    return frozenset(over), None


def _prerequisite_failed(order: Order, prerequisite: Order) -> Failure:
    message = f"the order {prerequisite.id}, for which this one waits, "
    error = prerequisite.error
    if error and error.code == "prerequisite_failed":  # name the first cause only
        message += _NOT_RUN + error.message.rpartition(_NOT_RUN)[2]
    else:
        message += f"ended {prerequisite.status.value}" + (f" ({error.message})" if error else "")
    return orders.failure(order, "prerequisite_failed", message)


def _join(prerequisite: Order, dependent: str) -> Order | None:
    """Let the end of an open prerequisite release a dependent. Return the prerequisite's row.

    If it is final, it has ended before it knew the dependent. None: it is gone.
    """
    row: Order | None = prerequisite
    while row and not row.status.final and dependent not in row.dependents:
        try:
            row = fan_in.join(row, dependent)
        except ConditionFailed as refusal:  # it was claimed, put back or ended meanwhile
            row = refusal.row
    return row


def _release(key: str, over: frozenset[str], retry_round: int | None, sends: Sends) -> Order | None:
    """Release an order from prerequisites that ended; if it waits for no other, let it run.

    Return its row, None if there is none.
    """
    row: Order | None
    try:
        row = fan_in.release(key, over, retry_round)
    except ConditionFailed as refusal:  # it is released already, final, or in another round
        row = refusal.row
    if row is None or not row.waiting or row.waits_for:
        return row
    return _make_ready(row, sends)


def _make_ready(order: Order, sends: Sends) -> Order:
    """Let an order run, then send its message."""
    dispatch = plan(order.id, clock.now(), None)
    if not sends(order):
        dispatch = dispatch.by_sweeper(clock.now())
    try:
        row = fan_in.ready(order, dispatch)
    except ConditionFailed as refusal:
        return refusal.row or order
    logs.event("order_ready", order=order.id, task=order.task)
    if dispatch.delay_s is not None:
        try_send(row, dispatch.delay_s)
    return row


def try_send(order: Order, delay_s: int) -> None:
    """Send the order's message. If that fails, the order stays accepted: the sweeper sends it."""
    try:
        queue.send(order, delay_s, lane_of(order.task))
    except Unavailable as error:
        logs.event("send_failed", order=order.id, reason=str(error))
