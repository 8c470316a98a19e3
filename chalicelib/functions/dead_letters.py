"""Process dead letters, the messages that SQS gave up on.

Their orders fail with a reason, or get another message.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from chalicelib import clock, config, ending, logs, orders, queue
from chalicelib.clock import Micros
from chalicelib.dispatch import plan
from chalicelib.errors import ConditionFailed
from chalicelib.orders import Failure, Order
from chalicelib.queue import Ack, Message
from chalicelib.table import transitions
from chalicelib.tasks import exists


def settle(records: list[Any]) -> dict[str, list[dict[str, str]]]:
    """Process a batch of the dead-letter queue's records. Return Lambda's partial batch response.

    Nothing is sent here, since Lambda stops recursive loops: a function that sends to a queue which
    leads back to it. The sweeper sends the new messages.
    """
    return queue.process(records, lambda message, _: _process_dead_letter(message))


def _process_dead_letter(message: Message) -> Ack:
    """Fail the message's order or give it a new check time."""
    order = transitions.read(message.key) if message.key else None
    now = clock.now()
    logs.event("dead_letter", status=order.status.value if order else None)
    if order is not None and order.status.final:
        ending.wake(order, ending.never)
    if order is None or order.status.final or order.held(now):
        return Ack()  # nothing to do, or a worker holds it: its check time in the due index applies
    error = _terminal_error(order, now)
    with suppress(ConditionFailed):
        if order.stopping:
            ending.cancel_stopped(order, ending.never)
        elif error:
            ending.give_up(order, error, ending.never)
        else:
            transitions.postpone(order, plan(order.id, now, order.run_at, order.slot_at))
    return Ack()


def _terminal_error(order: Order, now: Micros) -> Failure | None:
    if not exists(order.task):
        return orders.failure(
            order, "unknown_task", f"this version has no task {order.task!r}; was it renamed?"
        )
    return orders.terminal_error(order, now, config.settings().max_age_s)
