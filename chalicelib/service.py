"""Place, cancel, stop and retry orders.

The row is written first and the message is sent second, so an accepted order is durable even while
SQS is down.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from chalicelib import clock, ending, ids, logs, notify, orders, prerequisites
from chalicelib.building import NewOrder, build, renew_files, with_slot
from chalicelib.clock import Micros
from chalicelib.dispatch import Dispatch, plan
from chalicelib.errors import (
    ConditionFailed,
    FileMissing,
    FileUnavailable,
    InvalidInput,
    InvalidNotify,
    InvalidOrder,
    InvalidPrerequisite,
    KeyReused,
    NoJSON,
    NotCancellable,
    NotFound,
    NotRetryable,
    Unavailable,
    UnknownTask,
)
from chalicelib.execution.signature import as_json
from chalicelib.orders import UNKNOWN, Order, Status
from chalicelib.table import batch_get, retries, stops, transitions
from chalicelib.tasks import TOGETHER, find, known
from chalicelib.webhooks.rounds import DELIVER

_MAX_CANCEL_TRIES = 4
MAX_DELIVERIES = 1000  # of all rounds: their ids are in the row
Send = Callable[[Order, int], None]
"""Sends the message of an order with a delay in seconds, now or soon. Never raises."""


class Placed(Struct, frozen=True):
    """An accepted order."""

    order: Order
    """The order as it is in the table."""
    replayed: bool
    """True if an earlier request with the same id had placed it."""


def place(
    owner: str,
    new_order: NewOrder,
    parent: Order | None = None,
    send: Send = ending.try_send,
    again: bool = False,
) -> Placed:
    """Check the input, write the row and send the message: two AWS calls, none if it is refused.

    An input with files takes a call more for each, a task with per_minute one for the slot, a
    webhook one for its delivery. An order that waits for others is settled instead of sent. Raises
    UnknownTask, InvalidInput, InvalidPrerequisite, InvalidNotify, FileMissing, TooLarge, KeyReused;
    Unavailable if it is unknown whether the row was written.

    `send` sends the message once the row is written; `again`: an earlier request has probably
    placed the order.
    """
    if new_order.task == DELIVER:
        raise UnknownTask(DELIVER, list(known()))
    try:
        rows = prerequisites.check(owner, new_order.after, new_order.when)
        names = notify.check(owner, new_order.task, new_order.notify)
        order, dispatch = build(owner, new_order, parent, rows)
    except (FileMissing, FileUnavailable, InvalidPrerequisite, InvalidNotify):
        if accepted := _accepted_before(owner, new_order):
            return accepted
        raise
    # A parent's later attempt repeats its follow-ups, as a client may repeat a request with a key.
    # That would waste slots and deliveries
    repeated = parent.attempts > 1 or parent.retry_round > 0 if parent else again or bool(names)
    wasteful = names or find(order.task).per_minute
    if repeated and wasteful and (accepted := _accepted_before(owner, new_order)):
        return accepted
    placed = _write(order, dispatch, names, send)
    if not placed.order.waiting:
        return placed
    sends = ending.as_worker_of(parent) if parent else ending.at_once
    stored = _settled(placed.order, None if placed.replayed else rows, sends)
    return Placed(stored, placed.replayed)


def _write(order: Order, dispatch: Dispatch, names: Sequence[str], send: Send) -> Placed:
    """Write the deliveries of an order and then its row, and send its message."""
    deliveries = notify.place(order, names, 0)
    if per_minute := find(order.task).per_minute:
        order, dispatch = with_slot(order, dispatch, per_minute)
    order = replace(order, dependents=notify.ids_of(deliveries))
    stored = transitions.insert(order)
    replayed = stored.fence != order.fence
    if replayed:
        notify.withdraw(deliveries, stored)
        if stored.fingerprint != order.fingerprint:
            raise KeyReused(KeyReused.__doc__)
    else:
        logs.event("order_accepted", order=order.id, task=order.task)
        _send(order, dispatch, send)
    return Placed(stored, replayed)


def _settled(
    order: Order, rows: Mapping[str, Order] | None = None, sends: ending.Sends = ending.at_once
) -> Order:
    """Settle a waiting order. If that fails, it stays accepted: the sweeper settles it."""
    try:
        return ending.settle(order, rows, sends)
    except Unavailable as error:
        logs.event("settle_failed", order=order.id, reason=str(error))
        return order


def _accepted_before(owner: str, new_order: NewOrder) -> Placed | None:
    """Return the order that an earlier, equal request placed, or None."""
    return replayed(transitions.get(owner, new_order.id) if new_order.id else None, new_order)


def replayed(stored: Order | None, new_order: NewOrder) -> Placed | None:
    """Return the order that has the request's id if an equal request placed it, or None."""
    if stored is None or stored.fingerprint != new_order.fingerprint():
        return None
    return Placed(stored, replayed=True)


def follow_up_id(parent: Order, name: str) -> str:
    """Return the id of a follow-up; the same parent and name always give the same id."""
    return ids.id_of(parent.owner, parent.id, str(parent.created_at), name)


def follow_up(
    parent: Order, task: str, value: Any, name: str, after: Sequence[str], when: str
) -> Order:
    """Place an order for a running one, its parent.

    Raises the errors of `place`, and InvalidInput if the value can't be written as JSON.
    """
    try:
        value = json.loads(as_json(value))
    except NoJSON as error:
        raise InvalidInput(f"the input is not valid JSON: {error}", "/input") from error
    new_order = NewOrder(task, value, id=follow_up_id(parent, name), after=tuple(after), when=when)
    try:
        return place(parent.owner, new_order, parent).order
    except KeyReused as error:
        raise InvalidOrder(
            f"this order has placed another follow-up under the name {name!r}; give each a name"
        ) from error


def cancel(owner: str, order_id: str, stop_running: bool = True) -> Order:
    """Cancel a pending order, or ask a running one to stop; repeating it has no effect.

    Raises NotFound; NotCancellable if the order has ended otherwise, or runs and `stop_running` is
    False; Unavailable if the order keeps changing meanwhile.
    """
    order = _existing_order(owner, order_id)
    for _ in range(_MAX_CANCEL_TRIES):
        if order.status is Status.CANCELLED:
            ending.wake(order)  # an earlier request may have failed before it did this
        if order.status is Status.CANCELLED or (stop_running and order.stopping):
            return order
        try:
            if order.status in orders.CANCEL.sources:
                cancelled = transitions.cancel(order)
                ending.ended(cancelled)
                return cancelled
            if not stop_running or order.status.final:
                raise NotCancellable(order.status.value, stop_running)
            stopping = stops.stop(order)
            logs.event("stop_requested", order=order.id, task=order.task)
            return stopping
        except ConditionFailed as refusal:  # a worker was faster: decide by the row as it is now
            order = refusal.row or order
    raise Unavailable("the order keeps changing; try again")


def retry(owner: str, order_id: str) -> Order:
    """Run a failed or cancelled order again under its old id.

    Raises NotFound, NotRetryable, UnknownTask, and FileMissing if a file of its input may be gone.
    """
    return retry_row(_existing_order(owner, order_id))


def retry_row(order: Order, run_at: Micros | None = None, send: Send = ending.try_send) -> Order:
    """Run an order again as `retry` does, given its row as it was just read.

    `run_at` is the earliest time of the first attempt; None: as it was placed, or at once if that
    is over. `send` sends the message once the row is written.
    """
    if order.status not in orders.RETRY.sources:
        raise NotRetryable(order.status.value)
    if len(order.dependents) > MAX_DELIVERIES:
        reason = f"it has told webhooks {MAX_DELIVERIES} times; place a new order instead"
        raise NotRetryable(order.status.value, reason)
    # An order that has run was due already, and the backoff of that round does not count
    run_at = run_at or (None if order.after or order.runnable_since else order.run_at)
    order = replace(order, run_at=run_at)
    renew_files(order, find(order.task))
    _retry_groups(order)
    waits_for = prerequisites.of_retry(order)
    deliveries = notify.place(
        order, notify.of(order.owner, order.task, order.notify or ()), order.retry_round + 1
    )
    dispatch = plan(order.id, clock.now(), UNKNOWN if waits_for else run_at)
    try:
        retried = retries.retry(order, dispatch, waits_for, notify.ids_of(deliveries))
    except ConditionFailed as refusal:
        notify.withdraw(deliveries, refusal.row)
        raise NotRetryable((refusal.row or order).status.value) from None
    if retried.waiting:
        return _settled(retried)  # by rows that are read after the write
    _send(retried, dispatch, send)
    return retried


def _retry_groups(order: Order) -> None:
    """Retry the groups that an order waits for, whose own prerequisites may have been retried.

    Their owner has not placed them: they stand for more prerequisites than a row can name.
    """
    for row in batch_get.orders(order.owner, order.after or ()).values():
        if row.task == TOGETHER and row.status in orders.RETRY.sources:
            with suppress(NotRetryable):
                retry(order.owner, row.id)


def _send(order: Order, dispatch: Dispatch, send: Send) -> None:
    if dispatch.delay_s is not None:
        send(order, dispatch.delay_s)


def _existing_order(owner: str, order_id: str) -> Order:
    order = transitions.get(owner, order_id)
    if order is None:
        raise NotFound(NotFound.__doc__)
    return order
