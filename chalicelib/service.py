"""Place, cancel, stop and retry orders.

The row is written first and the message is sent second, so an accepted order is durable even while
SQS is down.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from chalicelib import clock, config, ending, files, ids, logs, orders, queue
from chalicelib.clock import SECOND, Micros
from chalicelib.dispatch import Dispatch, plan
from chalicelib.errors import (
    ConditionFailed,
    FileMissing,
    FileUnavailable,
    InvalidInput,
    KeyReused,
    NoJSON,
    NotCancellable,
    NotFound,
    NotRetryable,
    TooLarge,
    Unavailable,
)
from chalicelib.execution.file import complete
from chalicelib.execution.signature import as_json
from chalicelib.orders import Order, Status
from chalicelib.table import slots, stops, transitions
from chalicelib.tasks import Task, find, lane_of

_MAX_CANCEL_TRIES = 4
MAX_DIRECT_DEPTH = 10  # follow-ups in a chain before the sweeper sends the next one


@dataclass(frozen=True)
class NewOrder:
    """A request to place an order."""

    task: str
    """Name of the task to run."""
    input: Any
    """The task's keyword arguments, as decoded JSON."""
    delay_s: float | None = None
    """Seconds from now until the first attempt; None: `run_at` decides."""
    run_at: Micros | None = None
    """Earliest time of the first attempt; None: at once."""
    id: str | None = None
    """Reference number; None: a random one."""

    def fingerprint(self) -> str:
        """Return a hash that is equal for equal requests, whatever the order of their members."""
        request = [self.task, self.input, self.delay_s, self.run_at]
        return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Placed:
    """An accepted order."""

    order: Order
    """The order as it is in the table."""
    replayed: bool
    """True if an earlier request with the same id had placed it."""


def place(owner: str, new_order: NewOrder, parent: Order | None = None) -> Placed:
    """Check the input, write the row and send the message: two AWS calls, none if it is refused.

    An input with files takes a call more for each, a task with per_minute one for the slot. Raises
    UnknownTask, InvalidInput, FileMissing, TooLarge, KeyReused; Unavailable if it is unknown
    whether the row was written.
    """
    try:
        order, dispatch = _build_order(owner, new_order, parent)
    except (FileMissing, FileUnavailable):
        if accepted := _accepted_before(owner, new_order):
            return accepted
        raise
    if per_minute := find(order.task).per_minute:
        # A parent's later attempt repeats its follow-ups, which would waste their slots
        repeated = parent is not None and (parent.attempts > 1 or parent.retry_round > 0)
        if repeated and (accepted := _accepted_before(owner, new_order)):
            return accepted
        order, dispatch = _with_slot(order, dispatch, per_minute)
    stored = transitions.insert(order)
    replayed = stored.fence != order.fence
    if not replayed:
        logs.event("order_accepted", order=order.id, task=order.task)
        _send(order, dispatch)
    elif stored.fingerprint != order.fingerprint:
        raise KeyReused(KeyReused.__doc__)
    return Placed(stored, replayed)


def _with_slot(order: Order, dispatch: Dispatch, per_minute: float) -> tuple[Order, Dispatch]:
    """Reserve the slot of a new order. It is the last thing before the row is written.

    The worker reserves it if the order runs later, since all others would wait for it too, and if
    the sweeper sends the message.
    """
    if order.run_at or dispatch.delay_s is None:
        return order, dispatch
    slot_at = slots.reserve(order.task, per_minute)
    dispatch = plan(order.id, clock.now(), order.run_at, slot_at)
    check = {"check_at": dispatch.check_at, "check_shard": dispatch.check_shard}
    return replace(order, slot_at=slot_at, **check), dispatch


def _accepted_before(owner: str, new_order: NewOrder) -> Placed | None:
    """Return the order that an earlier, equal request placed, or None."""
    stored = transitions.get(owner, new_order.id) if new_order.id else None
    if stored is None or stored.fingerprint != new_order.fingerprint():
        return None
    return Placed(stored, replayed=True)


def follow_up_id(parent: Order, name: str) -> str:
    """Return the id of a follow-up; the same parent and name always give the same id."""
    return ids.id_of(parent.owner, parent.id, str(parent.created_at), name)


def follow_up(parent: Order, task: str, value: Any, name: str) -> Order:
    """Place an order for a running one, its parent.

    Raises the errors of `place`, and InvalidInput if the value can't be written as JSON.
    """
    try:
        value = json.loads(as_json(value))
    except NoJSON as error:
        raise InvalidInput(f"the input is not valid JSON: {error}", "/input") from error
    new_order = NewOrder(task, value, id=follow_up_id(parent, name))
    return place(parent.owner, new_order, parent).order


def with_texts(order: Order, with_input: bool = False) -> Order:
    """Return an order with its result, and its input if asked for, also if they are in files.

    Raises Unavailable.
    """
    if order.result_file is None and not (with_input and order.input_file):
        return order
    store = files.OrderFiles(order.owner)
    if order.result_file:
        order = replace(order, result=store.text("", order.result_file))
    if with_input:
        order = replace(order, input=store.text(order.input, order.input_file))
    return order


def cancel(owner: str, order_id: str, stop_running: bool = True) -> Order:
    """Cancel a pending order, or ask a running one to stop; repeating it has no effect.

    Raises NotFound; NotCancellable if the order has ended otherwise, or runs and `stop_running` is
    False; Unavailable if the order keeps changing meanwhile.
    """
    order = _existing_order(owner, order_id)
    for _ in range(_MAX_CANCEL_TRIES):
        if order.status is Status.CANCELLED or (stop_running and order.stopping):
            return order
        try:
            if order.status in orders.CANCEL.sources:
                cancelled = transitions.cancel(order)
                ending.log(cancelled)
                return cancelled
            if not stop_running or order.status.final:
                raise NotCancellable(order.status.value, stop_running)
            logs.event("stop_requested", order=order.id, task=order.task)
            return stops.stop(order)
        except ConditionFailed as refusal:  # a worker was faster: decide by the row as it is now
            order = refusal.row or order
    raise Unavailable("the order keeps changing; try again")


def retry(owner: str, order_id: str) -> Order:
    """Run a failed or cancelled order again under its old id.

    Raises NotFound, NotRetryable, UnknownTask, and FileMissing if a file of its input may be gone.
    """
    order = _existing_order(owner, order_id)
    if order.status not in orders.RETRY.sources:
        raise NotRetryable(order.status.value)
    _renew_files(order, find(order.task))
    dispatch = plan(order.id, clock.now(), order.run_at)
    try:
        retried = transitions.retry(order, dispatch)
    except ConditionFailed as refusal:
        raise NotRetryable((refusal.row or order).status.value) from None
    _send(retried, dispatch)
    return retried


def _build_order(owner: str, new_order: NewOrder, parent: Order | None) -> tuple[Order, Dispatch]:
    """Check a request; return the order to store, and how its message will be sent."""
    task = find(new_order.task)
    now = clock.now()
    run_at = now + int(new_order.delay_s * SECOND) if new_order.delay_s else new_order.run_at
    run_at = run_at if run_at and run_at > now else None
    value = new_order.input
    if found := task.signature.check(value):
        files.check(owner, found, run_at or now)
        value = json.loads(json.dumps(value))  # a copy: the fingerprint is of what was sent
        complete(value, found)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    input_file = _spill(owner, text, run_at or now)
    order_id = new_order.id or ids.new_id()
    depth = parent.depth + 1 if parent else 0
    dispatch = plan(order_id, now, run_at)
    if depth and depth % MAX_DIRECT_DEPTH == 0:
        # Lambda stops a function that triggers itself through a queue some 16 times in a row. A
        # message from the sweeper starts a new count:
        # https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
        dispatch = replace(dispatch, check_at=now, delay_s=None)
    order = Order(
        owner=owner,
        id=order_id,
        task=new_order.task,
        input="" if input_file else text,
        input_file=input_file,
        status=Status.PENDING,
        created_at=now,
        updated_at=now,
        run_at=run_at,
        max_attempts=task.max_attempts,
        fingerprint=new_order.fingerprint(),
        fence=ids.new_fence(),
        check_at=dispatch.check_at,
        check_shard=dispatch.check_shard,
        parent=parent.id if parent else None,
        depth=depth,
    )
    return order, dispatch


def _spill(owner: str, text: str, run_at: Micros) -> str | None:
    """Store a large input in a file. Return the file's id, or None if the row will hold the input.

    An order that runs after the file's end has its input in the row. Raises TooLarge.
    """
    settings = config.settings()
    size = len(text.encode())
    if size > settings.max_input_bytes:
        raise TooLarge(f"{settings.max_input_bytes} bytes of JSON (the setting MAX_INPUT_BYTES)")
    if size <= settings.spill_bytes:
        return None
    if files.lasts_until(run_at):
        return files.OrderFiles(owner).save_text(text)
    if size > config.MAX_INLINE_BYTES:
        raise TooLarge(
            f"{config.MAX_INLINE_BYTES} bytes of JSON if the order runs so late that a file would"
            " be deleted before (the setting FILE_DAYS)"
        )
    return None


def _renew_files(order: Order, task: Task) -> None:
    """Make the files of an order outlive another round. Raises FileMissing if one is gone."""
    run_at = max(clock.now(), order.run_at or 0)
    if order.input_file:
        files.keep(order.owner, order.input_file, run_at, "/input")
    if task.signature.file_hints:
        text = with_texts(order, with_input=True).input
        files.check(order.owner, task.signature.files(text), run_at)


def _send(order: Order, dispatch: Dispatch) -> None:
    """Send the order's message. If that fails, the order stays accepted: the sweeper sends it."""
    if dispatch.delay_s is None:
        return
    try:
        queue.send(order, dispatch.delay_s, lane_of(order.task))
    except Unavailable as error:
        logs.event("send_failed", order=order.id, reason=str(error))


def _existing_order(owner: str, order_id: str) -> Order:
    order = transitions.get(owner, order_id)
    if order is None:
        raise NotFound(NotFound.__doc__)
    return order
