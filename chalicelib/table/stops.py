"""Stop orders: a request in the row, which the running task hears, and the ends that follow it.

A request keeps the status and the fencing token, so the attempt that runs can still finish: if its
result comes first, it stands. No further attempt starts, since a claim and a put back need a row
without `stop_at`.
"""

from __future__ import annotations

from chalicelib import clock, config, orders
from chalicelib.aws.client import client, translated
from chalicelib.clock import SECOND
from chalicelib.orders import Failure, Order
from chalicelib.table.conditional_write import end, update
from chalicelib.table.items import Values, encode
from chalicelib.table.transitions import NOT_HELD, ended, follow_ups, held_by


def stop(current: Order) -> Order:
    """Ask the running attempt of an order to stop.

    If its worker has died, the sweeper ends the order soon after the lease, and not only the next
    delivery of the message. Raises ConditionFailed if the attempt has ended since the order was
    read, or another request came first.
    """
    now = clock.now()
    where, values = held_by(current)
    return update(
        current.key,
        orders.STOP,
        now,
        f"{where} AND attribute_not_exists(stop_at)",
        values,
        sets={
            "stop_at": now,
            "fence": current.fence,
            "check_at": (current.lease_until or now) + SECOND,
        },
    )


def is_asked(order: Order) -> bool:
    """Return True if a running attempt is to stop, or has lost its claim. Raises Unavailable.

    The read is consistent: an older row may have been another attempt's, or of a stopped round.
    """
    with translated():
        response = client("dynamodb").get_item(
            TableName=config.settings().orders_table,
            Key={"pk": encode(order.key)},
            ConsistentRead=True,
            ProjectionExpression="stop_at, fence",
        )
    row = response.get("Item", {})
    return "stop_at" in row or row.get("fence") != encode(order.fence)


def end_stopped(order: Order, error: Failure | None) -> Order:
    """Record that a running attempt was stopped, or that it failed after the request.

    Raises ConditionFailed if this attempt lost its claim, or nobody asked to stop the order.
    """
    now = clock.now()
    history = ended(order, now, error.code if error else "stopped")
    sets: Values = {"history": history, **follow_ups(order), **({"error": error} if error else {})}
    where, values = held_by(order)
    where += " AND attribute_exists(stop_at)"
    return end(order, orders.END_STOPPED, now, where, values, sets)


def cancel_stopped(current: Order) -> Order:
    """Cancel an order that is to be stopped, and that no worker holds.

    Raises ConditionFailed if the row changed since it was read.
    """
    now = clock.now()
    where = f"fence = :fence AND {NOT_HELD} AND attribute_exists(stop_at)"
    values = {":fence": current.fence, ":now": now}
    return end(current, orders.CANCEL_STOPPED, now, where, values, {})
