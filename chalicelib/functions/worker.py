"""The worker: claim the order that a message names, run its task, record the outcome.

For each message the worker answers Ack, and Lambda deletes it, or Keep, and SQS delivers it again.
An order is claimed just before its task runs, so that the orders behind it in the batch stay free
for other workers.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from time import monotonic  # bound here: a task may leave time.monotonic patched
from typing import Any

from msgspec.structs import replace

from chalicelib import clock, config, ending, logs, orders, queue
from chalicelib.clock import SECOND, Micros, ceil_div
from chalicelib.errors import ConditionFailed, NoTimeLeft, UnknownTask
from chalicelib.execution.context import Context, Stopped
from chalicelib.execution.outcome import Stop, Success
from chalicelib.execution.time_limit import deadline
from chalicelib.files import OrderFiles
from chalicelib.functions import outcomes, rate
from chalicelib.functions.actions import OrderActions
from chalicelib.orders import Failure, Order
from chalicelib.queue import Ack, Keep, Message
from chalicelib.table import transitions
from chalicelib.tasks import Task, find, lane_of

MARGIN_S = 0.6  # reserved for the finish, between the task's time limit and Lambda's own
RELEASE_AGAIN_S = 2  # after a release of dependents that could not be finished
LEASE_MARGIN_S = 2  # maximum difference between two workers' clocks


def work(records: list[Any], time_left_s: Callable[[], float]) -> dict[str, list[dict[str, str]]]:
    """Run the orders of a batch of SQS records. Return Lambda's partial batch response."""
    half_s = time_left_s() / 2
    return queue.process(
        records,
        lambda message, first: _process_message(message, time_left_s, 0 if first else half_s),
    )


def _process_message(
    message: Message, time_left_s: Callable[[], float], needed_s: float
) -> Ack | Keep:
    """Claim the message's order and run it.

    `needed_s` is the time in seconds that must be left for a task without a timeout_s. It is 0 for
    the first message of a batch, which always runs: otherwise a long task might never run.
    """
    try:
        task = find(message.task)
    except UnknownTask:
        task = None
    if task is None or message.key is None or message.version != queue.VERSION:
        # A newer worker may know the task: during a deploy old and new workers run side by side
        delay_s = min(60, 5 * 2 ** (message.receives - 1))
        return Keep(delay_s, "unknown_task_or_version")
    lane = lane_of(task.name)
    if lane != config.settings().lane:  # it has moved while this message waited
        queue.forward(message, task.name, lane)
        return Ack()
    if needed_s:
        needed_s = task.timeout_s or needed_s
    if time_left_s() <= needed_s + MARGIN_S:
        return Keep(0, "no_time_left")
    lease_until = clock.now() + int((time_left_s() + LEASE_MARGIN_S) * SECOND)
    claim = transitions.claim_in_slot if task.per_minute else transitions.claim
    try:
        order = claim(message.key, task.name, lease_until)
    except ConditionFailed as error:
        # The message's task is a hint; the row's task is the one to run
        if error.row and error.row.task != task.name:
            corrected = replace(message, task=error.row.task)
            return _process_message(corrected, time_left_s, needed_s)
        claimed = _handle_failed_claim(error.row, task, lease_until, time_left_s)
        if not isinstance(claimed, Order):
            return claimed
        order = claimed
    return _run_attempt(order, task, time_left_s)


def _handle_failed_claim(
    row: Order | None, task: Task, lease_until: Micros, time_left_s: Callable[[], float]
) -> Order | Ack | Keep:
    """Acknowledge or keep the message of an order that can't be claimed.

    Return the order, claimed, if it only lacked a slot and there is one now.
    """
    now = clock.now()
    if row is None or row.status.final:
        logs.event("claim_refused", status=row.status.value if row else None)
        # The worker that ended it may have died before it did this
        return _wake(row, time_left_s) if row else Ack()
    if wait := _wait(row, now):
        return wait
    error = orders.terminal_error(row, now, config.settings().max_age_s)
    if not row.stopping and error is None:
        if task.per_minute and rate.needs_slot(row):
            return rate.take_slot(row, task.per_minute, lease_until)
        # The reason disappeared just after the claim failed
        return Keep(0, "claim_again")
    with suppress(ConditionFailed):
        if row.stopping:
            ending.cancel_stopped(row, ending.as_worker_of(row))
        elif error:
            ending.give_up(row, error, ending.as_worker_of(row))
    return Ack()


def _wake(order: Order, time_left_s: Callable[[], float]) -> Ack | Keep:
    """Release the dependents of a final order, or keep its message to finish that soon.

    Raises Unavailable, which keeps the message for the queue's visibility timeout.
    """
    try:
        ending.wake(order, ending.as_worker_of(order), time_left_s)
    except NoTimeLeft:
        return Keep(RELEASE_AGAIN_S, "release_again")
    return Ack()


def _wait(row: Order, now: Micros) -> Ack | Keep | None:
    """Return what becomes of the message of an order that is not due, or held; None if neither."""
    early = (row.run_at or 0) - now
    if early > orders.CLOCK_SKEW_S * SECOND:
        logs.event("claim_refused", status=row.status.value)
        return Ack()  # it gets another message in time
    if early > 0:  # our clock is behind
        return Keep(ceil_div(early, SECOND), "run_at_ahead")
    if row.held(now):
        return Keep(((row.lease_until or 0) - now) // SECOND + 1, "live_lease")
    return None


def _run_attempt(order: Order, task: Task, time_left_s: Callable[[], float]) -> Ack | Keep:
    """Run the task of a claimed order and record the outcome."""
    logs.event(
        "attempt_began",
        task=task.name,
        attempt=order.attempts,
        age_ms=(order.updated_at - order.began_at) // 1000,
    )
    started = monotonic()
    limit_s = min(task.timeout_s or float("inf"), time_left_s() - MARGIN_S)
    with closing(OrderFiles(order.owner)) as files:
        actions = OrderActions(order, files)
        outcome = _run_task(order, task, limit_s, actions, files)
    order = replace(order, follow_ups=tuple(actions.follow_ups))
    backoff = outcomes.backoff(order, task, outcome)
    try:
        updated = outcomes.record(order, outcome, backoff)
    except ConditionFailed:
        logs.event("finish_refused", task=task.name, attempt=order.attempts)
        return Ack()
    attempt: dict[str, logs.Value] = {
        "attempt": order.attempts,
        "code": outcomes.code(outcome),
        "duration_ms": round((monotonic() - started) * 1000, 1),
    }
    if updated.status.final:
        ending.log(updated, **attempt)
        return _wake(updated, time_left_s)
    logs.event("attempt_ended", task=task.name, status=updated.status.value, **attempt)
    return outcomes.message_after(backoff or 0)


def _run_task(
    order: Order, task: Task, limit_s: float, actions: OrderActions, files: OrderFiles
) -> Success | Failure | Stop:
    """Run the task once, until its time limit."""
    key = f"{order.id}.{order.created_at}.{order.retry_round}"
    context = Context(order.id, order.attempts, key, limit_s, actions)
    try:
        with deadline(limit_s):
            text = files.text(order.input, order.input_file)
            return outcomes.of_result(order, task.run(text, context, files), files)
    except Stopped as error:  # a task might raise it by itself
        return Stop() if context.heard_stop else outcomes.of_error(order, task, limit_s, error)
    except BaseException as error:  # SystemExit too: a task must not end the worker and the batch
        return outcomes.of_error(order, task, limit_s, error)
