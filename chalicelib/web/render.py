"""Render orders and tasks as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from datetime import datetime, timedelta, timezone
from typing import Any

from chalicelib.orders import SECOND, Order, ceil_div
from chalicelib.tasks import Task
from chalicelib.web.http import Request

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_MAX_RETRY_AFTER_S = 30


def order_json(order: Order, request: Request, include: Collection[str] = ()) -> dict[str, Any]:
    """Return an order as JSON, with input and history only if they are in `include`."""
    body = {
        **brief_json(order, request),
        "result": json.loads(order.result) if order.result is not None else None,
    }
    if "input" in include:
        body["input"] = json.loads(order.input)
    if "history" in include:
        body["history"] = [_attempt(attempt) for attempt in order.history]
    return body


def brief_json(order: Order, request: Request) -> dict[str, Any]:
    """Return an order as JSON in a list: without its result, which may be large."""
    url = request.url(f"/orders/{order.id}")
    return {
        "id": order.id,
        "task": order.task,
        "status": order.status.value,
        "done": order.status.final,
        "attempts": order.attempts,
        "max_attempts": order.max_attempts,
        "created_at": time_text(order.created_at),
        "updated_at": time_text(order.updated_at),
        "run_at": time_text(order.run_at),
        "error": order.error,
        "progress": order.progress,
        "expires_at": time_text(order.expires_at * SECOND if order.expires_at else None),
        "links": _links(order, request, url),
    }


def _attempt(attempt: dict[str, Any]) -> dict[str, Any]:
    """Return one entry of the history.

    `ended_at` is null while the attempt runs, and for good if it crashed.
    """
    return {
        "started_at": time_text(attempt["start"]),
        "ended_at": time_text(attempt.get("end")),
        "code": attempt.get("code"),
    }


def _links(order: Order, request: Request, url: str) -> dict[str, Any]:
    links: dict[str, Any] = {"self": url, "cancel": f"{url}/cancel", "retry": f"{url}/retry"}
    if order.parent:
        links["parent"] = request.url(f"/orders/{order.parent}")
    if order.follow_ups:
        links["follow_ups"] = [request.url(f"/orders/{id}") for id in order.follow_ups]
    return links


def task_json(task: Task) -> dict[str, Any]:
    """Return a task as JSON, with the JSON Schema of its input."""
    return {
        "name": task.name,
        "description": task.description,
        "input_schema": task.signature.schema(),
        "max_attempts": task.max_attempts,
        "timeout_s": task.timeout_s,
    }


def retry_after_s(order: Order, now: int) -> int:
    """Return after how many seconds to poll again: the older the order, the later (1, 2, 4 ... 30).

    A delayed order's age counts from its run_at; before that, poll at most every 30 seconds.
    """
    ahead_s = ceil_div(order.began_at - now, SECOND)
    if ahead_s > 0:
        return min(_MAX_RETRY_AFTER_S, ahead_s)
    return min(_MAX_RETRY_AFTER_S, 1 << (1 - ahead_s).bit_length() - 1)


def time_text(time: int | None) -> str | None:
    """Return a time in microseconds since 1970 as RFC 3339 in UTC."""
    if time is None:
        return None
    return datetime.fromtimestamp(time / SECOND, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def time_of(text: Any) -> int:
    """Return an RFC 3339 time as microseconds since 1970. Raises ValueError with the reason."""
    if not isinstance(text, str) or not _RFC3339.fullmatch(text):
        raise ValueError("expected a date, T, a time, and Z or an offset")
    moment = datetime.fromisoformat(
        re.sub("[zZ]$", "+00:00", text[:10] + "T" + _six_digits(text[11:]))
    )
    return int((moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) / timedelta(microseconds=1))


def _six_digits(time: str) -> str:
    """Give the fraction of a second six digits, as Python 3.10 requires."""
    return re.sub(r"\.(\d+)", lambda fraction: f".{fraction[1][:6]:0<6}", time)
