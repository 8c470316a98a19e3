"""The outcome of an attempt: what it is, how it is recorded, and when the next attempt follows."""

from __future__ import annotations

import random

from chalicelib import config, orders
from chalicelib.clock import SECOND, Micros, ceil_div
from chalicelib.dispatch import is_long
from chalicelib.errors import (
    ConditionFailed,
    DeliveryFailed,
    FileUnavailable,
    InvalidInput,
    NoJSON,
    TryLater,
)
from chalicelib.execution.outcome import Stop, Success
from chalicelib.execution.time_limit import TimeLimit
from chalicelib.files import OrderFiles
from chalicelib.orders import Failure, Order
from chalicelib.queue import Ack, Keep
from chalicelib.table import stops, transitions
from chalicelib.tasks import Task


def code(outcome: Success | Failure | Stop) -> str | None:
    """Return the code of an attempt's outcome, for the log."""
    match outcome:
        case Failure(code):
            return code
        case Stop():
            return "stopped"
    return None


def of_result(order: Order, result: str, files: OrderFiles) -> Success | Failure:
    """Return the outcome of a result, stored in a file if it is large."""
    settings = config.settings()
    size = len(result.encode())
    if size > settings.max_result_bytes:
        sentence = f"the result has {size} bytes; the maximum is {settings.max_result_bytes}"
        return orders.failure(order, "result_too_large", sentence)
    return (
        Success(result) if size <= settings.spill_bytes else Success(None, files.save_text(result))
    )


def of_error(order: Order, task: Task, limit_s: float, error: BaseException) -> Failure:
    """Return the failure that an error of the attempt means."""
    transient = False
    retry_after_s = 0
    match error:
        case TimeLimit():
            code = "time_limit"
            sentence = f"the task exceeded its time limit of {limit_s:.1f} s"
            transient = True
        case NoJSON():
            code = "result_not_json"
            sentence = f"the result is not valid JSON: {error}"
        case FileUnavailable():
            code = "file_unavailable"
            sentence = str(error)
            transient = True
        case InvalidInput():
            code = "invalid_input"
            sentence = f"{error} ({error.pointer})"
        case DeliveryFailed():
            code = error.code
            sentence = str(error)
            transient = task.retries(error)
            retry_after_s = error.seconds if isinstance(error, TryLater) else 0
        case _:
            code = "task_error"
            sentence = _describe(error)
            transient = task.retries(error)
    return orders.failure(order, code, sentence, transient, retry_after_s)


def backoff(order: Order, task: Task, outcome: Success | Failure | Stop) -> Micros | None:
    """Return the wait before the next attempt; None if this was the last."""
    match outcome:
        case Failure(transient=True) if order.attempts < order.max_attempts:
            # Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
            max_backoff_s = min(task.max_backoff_s, task.backoff_s * 2 ** (order.attempts - 1))
            backoff_s = random.uniform(0, max_backoff_s)
            return int(max(backoff_s, outcome.retry_after_s) * SECOND)
    return None


def record(order: Order, outcome: Success | Failure | Stop, backoff: Micros | None) -> Order:
    """Record the outcome of an attempt. Raises ConditionFailed if the claim was lost."""
    match outcome:
        case Success(result, result_file):
            return transitions.succeed(order, result, result_file)
        case Stop():
            return stops.end_stopped(order, None)
        case Failure() if backoff is not None:
            return _put_back(order, outcome, backoff)
        case Failure():
            return transitions.fail(order, outcome)


def message_after(backoff: Micros) -> Ack | Keep:
    """Return what becomes of the message of an order that is put back.

    After a long backoff the sweeper sends another.
    """
    return Ack() if is_long(backoff) else Keep(ceil_div(backoff, SECOND), "retry")


def _put_back(order: Order, error: Failure, backoff: Micros) -> Order:
    """Schedule another attempt, unless the order is to be stopped: then it ends."""
    try:
        return transitions.put_back(order, error, backoff)
    except ConditionFailed as refusal:
        if refusal.row is None or not refusal.row.stopping:
            raise
        return stops.end_stopped(order, error)


def _describe(error: BaseException) -> str:
    """Return the error's type and message."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # its own __str__ raises
        return type(error).__name__
