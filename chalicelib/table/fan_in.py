"""Write the transitions of an order that waits for others, its prerequisites (fan-in).

A set in the waiting order's row has the prerequisites that have not ended, and a set in each
prerequisite's row the orders that wait for it. Sets make every step safe to repeat: a counter would
be wrong after a duplicate.
"""

from __future__ import annotations

from chalicelib import clock, orders
from chalicelib.dispatch import Dispatch
from chalicelib.orders import Order
from chalicelib.table.conditional_write import update
from chalicelib.table.transitions import held_by


def join(prerequisite: Order, dependent: str) -> Order:
    """Add an order to those that a prerequisite's end releases; the worker's fence stays.

    Raises ConditionFailed if the prerequisite has ended, or was claimed or put back since the read.
    """
    where, values = held_by(prerequisite)
    return update(
        prerequisite.key,
        orders.JOIN,
        clock.now(),
        where,
        {**values, ":dependents": frozenset({dependent})},
        sets={"fence": prerequisite.fence},
        clause=" ADD dependents :dependents",
    )


def release(key: str, ended: frozenset[str], retry_round: int | None) -> Order:
    """Remove prerequisites that have ended from what an order waits for.

    Raises ConditionFailed if it does not wait, or not in the retry round. Only prerequisites that
    succeeded need no round: any other may be retried, and the order too, which waits again.
    """
    where = "attribute_exists(waits_for)"
    values: dict[str, object] = {":ended": ended}
    if retry_round is not None:
        where += " AND retry_round = :retry_round"
        values[":retry_round"] = retry_round
    return update(
        key, orders.RELEASE, clock.now(), where, values, sets={}, clause=" DELETE waits_for :ended"
    )


def ready(order: Order, dispatch: Dispatch) -> Order:
    """Let an order run that waits for no other any more, before its message is sent.

    Raises ConditionFailed if it is ready already, or waits again.
    """
    now = clock.now()
    return update(
        order.key,
        orders.READY,
        now,
        "attribute_not_exists(waits_for) AND run_at = :unknown",
        {":unknown": orders.UNKNOWN},
        sets={
            "run_at": now,
            "requeue_count": 0,
            "check_at": dispatch.check_at,
            "check_shard": dispatch.check_shard,
        },
    )
