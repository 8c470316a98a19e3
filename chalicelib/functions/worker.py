"""The worker: claims the order that a message names, runs its task, finishes it.

What becomes of the message is decided here: acknowledged (Lambda deletes it), or kept and visible again after a while.
An order is claimed just before its task runs, so what waits behind it in a batch is not held.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from time import monotonic  # bound here: a task may leave time.monotonic patched
from typing import Any

from chalicelib import config, logs, orders, queue, service
from chalicelib.errors import (
    ConditionFailed,
    InvalidInput,
    InvalidOrder,
    NoJSON,
    Unavailable,
    UnknownTask,
)
from chalicelib.execution.context import Context
from chalicelib.execution.time_limit import TimeLimit, deadline
from chalicelib.orders import SECOND, Order, Status
from chalicelib.queue import Message
from chalicelib.table import transitions
from chalicelib.tasks import Task, find

MARGIN_S = 0.6  # what the finish needs after the soft deadline, before Lambda's own
LEASE_MARGIN_S = 2  # clocks may differ by so much
MAX_FOLLOW_UPS = (
    3500  # of all attempts: their ids are in the row, 27 bytes each; see config.MAX_ROW_BYTES
)

Error = dict[str, Any]


def work(records: list[Any], time_left_s: Callable[[], float]) -> dict[str, list[dict[str, str]]]:
    """Run the orders that a batch of SQS records names, one after the other. Return Lambda's partial batch response."""
    half_s = time_left_s() / 2
    return queue.process(
        records, lambda message, first: _settle(message, time_left_s, 0 if first else half_s)
    )


def _settle(message: Message, time_left_s: Callable[[], float], needed_s: float) -> bool:
    """Claim the message's order and run it. `needed_s`: the time that a task without a timeout_s must have; 0 for the
    first of a batch, which runs with whatever there is, or a long task would never run."""
    try:
        task = find(message.task)
    except UnknownTask:
        task = None
    if task is None or message.key is None or message.version != queue.VERSION:
        # An old worker just after a deploy, or a stranger's message: a newer worker may know better
        return _keep(message, min(60, 5 * 2 ** (message.receives - 1)), "unknown_task_or_version")
    if needed_s:
        needed_s = task.timeout_s or needed_s
    if time_left_s() <= needed_s + MARGIN_S:
        return _keep(message, 0, "no_time_left")
    lease_until = orders.now() + int((time_left_s() + LEASE_MARGIN_S) * SECOND)
    try:
        order = transitions.claim(message.key, task.name, lease_until)
    except ConditionFailed as refusal:
        if (
            refusal.row and refusal.row.task != task.name
        ):  # not our message: the row decides what runs
            return _settle(replace(message, task=refusal.row.task), time_left_s, needed_s)
        return _refused(message, refusal.row)
    return _attempt(order, task, message, time_left_s)


def _refused(message: Message, row: Order | None) -> bool:
    """The claim met an order that it can't take. The first reason that holds decides."""
    now = orders.now()
    if row is None or row.status.final or (row.run_at or 0) > now:
        logs.event("claim_refused", status=row.status.value if row else None)
        return True
    if row.held(now):
        return _keep(message, ((row.lease_until or 0) - now) // SECOND + 1, "live_lease")
    error = orders.terminal_error(row, now, config.settings().max_age_s)
    if error is None:
        return _keep(
            message, 0, "claim_again"
        )  # what stood in the way ended just after the claim was refused
    with suppress(ConditionFailed):
        transitions.give_up(row, error)
    return True


def _attempt(order: Order, task: Task, message: Message, time_left_s: Callable[[], float]) -> bool:
    logs.event(
        "attempt_began",
        task=task.name,
        attempt=order.attempts,
        age_ms=(order.updated_at - order.began_at) // 1000,
    )
    began = monotonic()
    limit_s = min(task.timeout_s or float("inf"), time_left_s() - MARGIN_S)
    placed: list[str] = []
    result, error, again = _run(order, task, limit_s, _context(order, limit_s, placed))
    order = replace(order, follow_ups=tuple(dict.fromkeys([*order.follow_ups, *placed])))
    try:
        ended = _finish(order, task, result, error, again)
    except ConditionFailed:
        logs.event("finish_refused", task=task.name, attempt=order.attempts)
        return True
    logs.event(
        "attempt_ended",
        task=task.name,
        attempt=order.attempts,
        status=ended.status.value,
        code=error["code"] if error else None,
        duration_ms=round((monotonic() - began) * 1000, 1),
    )
    if ended.status is not Status.PENDING:
        return True
    wait_us = (ended.check_at or 0) - ended.updated_at - config.settings().resend_after_s * SECOND
    return _keep(message, -(-wait_us // SECOND), "retry")


def _context(order: Order, limit_s: float, placed: list[str]) -> Context:
    """The order's context. What the task places is noted, for the links in the order's row."""

    def report(progress: dict[str, Any]) -> None:
        with suppress(Unavailable):  # the next report may be seen
            transitions.report(order, progress)

    links = {*order.follow_ups}

    def place(task: str, value: Any, name: str) -> str:
        if len(links) >= MAX_FOLLOW_UPS and service.follow_up_id(order, name) not in links:
            raise InvalidOrder(
                f"an order places at most {MAX_FOLLOW_UPS} others; let one of them place the rest"
            )
        placed.append(service.follow_up(order, task, value, name).id)
        links.add(placed[-1])
        return placed[-1]

    key = f"{order.id}.{order.created_at}.{order.retry_round}"
    return Context(order.id, order.attempts, key, limit_s, report, place)


def _run(
    order: Order, task: Task, limit_s: float, context: Context
) -> tuple[str, Error | None, bool]:
    """One attempt: its result, or its error and whether another attempt may mend it."""
    try:
        with deadline(limit_s):
            result = task.run(order.input, context)
    except TimeLimit:
        return (
            "",
            orders.failure(
                order, "time_limit", f"it ran for its limit of {limit_s:.1f} s and was ended"
            ),
            True,
        )
    except NoJSON as fault:
        return (
            "",
            orders.failure(order, "result_not_json", f"the result is not valid JSON: {fault}"),
            False,
        )
    except InvalidInput as fault:
        return "", orders.failure(order, "invalid_input", f"{fault} ({fault.pointer})"), False
    except (
        BaseException
    ) as fault:  # SystemExit and its like too: no task ends the worker, and the batch with it
        return "", orders.failure(order, "task_error", _sentence(fault)), task.retries(fault)
    size, most = len(result.encode()), config.settings().max_result_bytes
    if size > most:
        sentence = f"the result has {size} bytes; at most {most} are kept"
        return "", orders.failure(order, "result_too_large", sentence), False
    return result, None, False


def _finish(order: Order, task: Task, result: str, error: Error | None, again: bool) -> Order:
    if error is None:
        return transitions.succeed(order, result)
    if again and order.attempts < order.max_attempts:
        # Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        most_s = min(task.max_backoff_s, task.backoff_s * 2 ** (order.attempts - 1))
        return transitions.put_back(order, error, random.uniform(0, most_s))
    return transitions.fail(order, error)


def _keep(message: Message, seconds: int, reason: str) -> bool:
    """Not acknowledged; visible after so many seconds. If that can't be said, the queue's own timeout does it."""
    logs.event("message_kept", reason=reason, seconds=seconds)
    try:
        queue.hide(message, seconds)
    except Unavailable:
        logs.event("hide_failed")
    return False


def _sentence(fault: BaseException) -> str:
    try:
        return f"{type(fault).__name__}: {fault}"
    except Exception:  # its own __str__ is at fault too
        return type(fault).__name__
