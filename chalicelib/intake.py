"""The intake: takes a client's order. The row first, then the message: accepted is durable, even with SQS down."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from chalicelib import config, logs, orders, queue, store
from chalicelib.errors import KeyReused, TooLarge, Unavailable
from chalicelib.orders import SECOND, Order, Status
from chalicelib.tasks import find


@dataclass(frozen=True)
class Placed:
    """An accepted order. `replayed`: an earlier request with the same Idempotency-Key had placed it."""

    order: Order
    replayed: bool


def place(client: str, task_name: str, value: Any, key: str | None = None) -> Placed:
    """Check the input, write the row, send the message: 2 AWS calls, and none if the order is refused.

    Raises UnknownTask, InvalidInput, TooLarge, KeyReused; Unavailable if it is unknown whether the row was written.
    """
    task = find(task_name)
    task.signature.check(value)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > config.SETTINGS.max_input_bytes:
        raise TooLarge(config.SETTINGS.max_input_bytes)
    now = orders.now()
    order = Order(
        client=client, id=orders.id_of(client, key) if key else orders.new_id(), task=task_name, input=text,
        status=Status.PENDING, created_at=now, updated_at=now, max_attempts=task.max_attempts,
        fingerprint=_fingerprint(task_name, value), writer=orders.new_writer(),
        due_at=now + config.SETTINGS.grace_s * SECOND, due_shard="sent#0",
    )
    kept = store.insert(order)
    if kept.writer != order.writer:
        return _replay(order, kept)
    _send(order)
    return Placed(order, replayed=False)


def _replay(order: Order, earlier: Order) -> Placed:
    if earlier.fingerprint != order.fingerprint:
        raise KeyReused(KeyReused.__doc__)
    return Placed(earlier, replayed=True)


def _send(order: Order) -> None:
    """T2. If it fails the order stands all the same: the row is due, and the sweeper sends it."""
    try:
        queue.send(order)
    except Unavailable as fault:
        logs.event("send_failed", order=order.id, reason=str(fault))


def _fingerprint(*request: Any) -> str:
    """The same for the same request, however its members were ordered."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:32]
