"""End orders that no worker holds, and do what the end of every order needs."""

from __future__ import annotations

from chalicelib import logs
from chalicelib.orders import Failure, Order
from chalicelib.table import stops, transitions


def give_up(order: Order, error: Failure) -> None:
    """Fail an order that no worker holds. Raises ConditionFailed if it has changed."""
    log(transitions.give_up(order, error))


def cancel_stopped(order: Order) -> None:
    """Cancel an order that is to be stopped, and that no worker holds.

    Raises ConditionFailed if it has changed.
    """
    log(stops.cancel_stopped(order))


def log(order: Order) -> None:
    """Log that an order became final, which counts it."""
    logs.event(
        "order_ended",
        order=order.id,
        owner=logs.hashed(order.owner),
        task=order.task,
        status=order.status.value,
        code=order.error.code if order.error else None,
    )
