"""The intake: takes, cancels and retries orders. The row first, then the message: accepted is durable, even with SQS
down.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

from chalicelib import config, logs, orders, queue
from chalicelib.errors import (
    ConditionFailed,
    InvalidInput,
    KeyReused,
    NoJSON,
    NotCancellable,
    NotFound,
    NotRetryable,
    TooLarge,
    Unavailable,
)
from chalicelib.execution.signature import as_json
from chalicelib.orders import SECOND, Dispatch, Order, Status
from chalicelib.table import transitions
from chalicelib.tasks import find

MAX_DIRECT_DEPTH = 10


@dataclass(frozen=True)
class NewOrder:
    """A request for an order. `run_at` in microseconds since 1970, or `delay_s` from now; `id` None: a random one."""

    task: str
    input: Any
    delay_s: float | None = None
    run_at: int | None = None
    id: str | None = None

    def fingerprint(self) -> str:
        """The same for the same request, however its members were ordered."""
        request = [self.task, self.input, self.delay_s, self.run_at]
        return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Placed:
    """An accepted order. `replayed`: an earlier request of the same id had placed it."""

    order: Order
    replayed: bool


def place(owner: str, wanted: NewOrder, parent: Order | None = None) -> Placed:
    """Check the input, write the row, send the message: 2 AWS calls, and none if the order is refused.

    Raises UnknownTask, InvalidInput, TooLarge, KeyReused; Unavailable if it is unknown whether the row was written.
    """
    order, dispatch = _made(owner, wanted, parent)
    kept = transitions.insert(order)
    if kept.fence == order.fence:
        logs.event("order_accepted", order=order.id, task=order.task)
        _send(order, dispatch)
    elif kept.fingerprint != order.fingerprint:
        raise KeyReused(KeyReused.__doc__)
    return Placed(kept, replayed=kept.fence != order.fence)


def follow_up_id(parent: Order, name: str) -> str:
    """Return the id of a running order's follow-up: the same parent and name always give the same order."""
    return orders.id_of(parent.owner, parent.id, str(parent.created_at), name)


def follow_up(parent: Order, task: str, value: Any, name: str) -> Order:
    """Place an order in the name of a running one. Raises as `place`; InvalidInput for what JSON can't carry, too."""
    try:
        value = json.loads(as_json(value))
    except NoJSON as error:
        raise InvalidInput(f"the input is not valid JSON: {error}", "/input") from error
    return place(parent.owner, NewOrder(task, value, id=follow_up_id(parent, name)), parent).order


def cancel(owner: str, order_id: str) -> Order:
    """Withdraw an order that waits; again is harmless. Raises NotFound, NotCancellable."""
    seen = _existing(owner, order_id)
    if seen.status in orders.CANCEL.sources:
        try:
            return transitions.cancel(seen)
        except ConditionFailed as refusal:
            seen = refusal.row or seen
    if seen.status is not Status.CANCELLED:
        raise NotCancellable(seen.status.value)
    return seen


def retry(owner: str, order_id: str) -> Order:
    """Another round for an order that failed or was cancelled, under its old id. Raises NotFound, NotRetryable."""
    seen = _existing(owner, order_id)
    if seen.status not in orders.RETRY.sources:
        raise NotRetryable(seen.status.value)
    find(seen.task)
    dispatch = _dispatch(seen.id, orders.now(), seen.run_at)
    try:
        order = transitions.retry(seen, dispatch)
    except ConditionFailed as refusal:
        raise NotRetryable((refusal.row or seen).status.value) from None
    _send(order, dispatch)
    return order


def _made(owner: str, wanted: NewOrder, parent: Order | None) -> tuple[Order, Dispatch]:
    """The order that is wanted, checked, and how it will be sent."""
    task = find(wanted.task)
    task.signature.check(wanted.input)
    text = json.dumps(wanted.input, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > config.settings().max_input_bytes:
        raise TooLarge(config.settings().max_input_bytes)
    now, order_id = orders.now(), wanted.id or orders.new_id()
    depth = parent.depth + 1 if parent else 0
    run_at = now + int(wanted.delay_s * SECOND) if wanted.delay_s else wanted.run_at
    run_at = run_at if run_at and run_at > now else None
    dispatch = _dispatch(order_id, now, run_at)
    if depth and depth % MAX_DIRECT_DEPTH == 0:
        # Lambda stops a function whose messages come back to it through a queue some 16 times in a row. The sweeper's
        # message begins a new row: https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
        dispatch = replace(dispatch, check_at=now, delay_s=None)
    return Order(
        owner=owner,
        id=order_id,
        task=wanted.task,
        input=text,
        status=Status.PENDING,
        created_at=now,
        updated_at=now,
        run_at=run_at,
        max_attempts=task.max_attempts,
        fingerprint=wanted.fingerprint(),
        fence=orders.new_fence(),
        check_at=dispatch.check_at,
        check_shard=dispatch.check_shard,
        parent=parent.id if parent else None,
        depth=depth,
    ), dispatch


def _dispatch(order_id: str, now: int, run_at: int | None) -> Dispatch:
    return orders.dispatch(
        order_id, now, run_at, config.settings().resend_after_s, config.settings().due_shards
    )


def _send(order: Order, dispatch: Dispatch) -> None:
    """T2. If it fails the order stands all the same: the row is due, and the sweeper sends it."""
    if dispatch.delay_s is None:
        return
    try:
        queue.send(order, dispatch.delay_s)
    except Unavailable as fault:
        logs.event("send_failed", order=order.id, reason=str(fault))


def _existing(owner: str, order_id: str) -> Order:
    order = transitions.get(owner, order_id)
    if order is None:
        raise NotFound(NotFound.__doc__)
    return order
