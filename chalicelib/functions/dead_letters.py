"""Settles dead letters: messages that the queue gave up on. Their orders end with a reason, or get another message."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from chalicelib import config, logs, orders, queue
from chalicelib.errors import ConditionFailed
from chalicelib.orders import Order
from chalicelib.queue import Message
from chalicelib.table import transitions
from chalicelib.tasks import known


def settle(records: list[Any]) -> dict[str, list[dict[str, str]]]:
    """Settle a batch of the dead-letter queue's records. Returns Lambda's partial batch response.

    It sends nothing: Lambda stops functions that feed the queue which feeds them. The sweeper sends.
    """
    return queue.process(records, lambda message, _: _settle(message))


def _settle(message: Message) -> bool:
    order = transitions.read(message.key) if message.key else None
    now = orders.now()
    logs.event("dead_letter", status=order.status.value if order else None)
    if order is None or order.status.final or order.held(now):
        return True  # nothing to end, or somebody is at it: the row's own timer stands
    error = _terminal_error(order, now)
    with suppress(ConditionFailed):
        if error:
            transitions.give_up(order, error)
        else:
            transitions.postpone(
                order,
                orders.dispatch(
                    order.id,
                    now,
                    order.run_at,
                    config.settings().resend_after_s,
                    config.settings().due_shards,
                ),
            )
    return True


def _terminal_error(order: Order, now: int) -> dict[str, Any] | None:
    if order.task not in known():
        return orders.failure(
            order, "unknown_task", f"this version knows no task {order.task!r}: was it renamed?"
        )
    return orders.terminal_error(order, now, config.settings().max_age_s)
