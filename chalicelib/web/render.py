"""An order and a task as the API shows them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from datetime import datetime, timedelta, timezone
from typing import Any

from chalicelib.orders import SECOND, Order
from chalicelib.tasks import Task
from chalicelib.web.http import Request

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_LONGEST_S = 30


def order_json(order: Order, request: Request, include: Collection[str] = ()) -> dict[str, Any]:
    """The order in an answer, with its input and history only if they are asked for."""
    shown = {
        **brief_json(order, request),
        "result": json.loads(order.result) if order.result is not None else None,
    }
    if "input" in include:
        shown["input"] = json.loads(order.input)
    if "history" in include:
        shown["history"] = [_attempt(attempt) for attempt in order.history]
    return shown


def brief_json(order: Order, request: Request) -> dict[str, Any]:
    """The order in a list: without its result, which may be large."""
    own = request.url(f"/orders/{order.id}")
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
        "links": _links(order, request, own),
    }


def _attempt(attempt: dict[str, Any]) -> dict[str, Any]:
    """One entry of the history. `ended_at` is null for an attempt that runs, or was never heard of again."""
    return {
        "started_at": time_text(attempt["start"]),
        "ended_at": time_text(attempt.get("end")),
        "code": attempt.get("code"),
    }


def _links(order: Order, request: Request, own: str) -> dict[str, Any]:
    links: dict[str, Any] = {"self": own, "cancel": f"{own}/cancel", "retry": f"{own}/retry"}
    if order.parent:
        links["parent"] = request.url(f"/orders/{order.parent}")
    if order.follow_ups:
        links["follow_ups"] = [request.url(f"/orders/{id}") for id in order.follow_ups]
    return links


def task_json(task: Task) -> dict[str, Any]:
    return {
        "name": task.name,
        "description": task.description,
        "input_schema": task.signature.schema(),
        "max_attempts": task.max_attempts,
        "timeout_s": task.timeout_s,
    }


def retry_after_s(order: Order, now: int) -> int:
    """When to ask again: soon for a young order, later for an old one (1, 2, 4, 8, 16, 30 s). An order for later is
    young when it may run, and worth a look every half minute until then."""
    ahead_s = -(-(order.began_at - now) // SECOND)
    if ahead_s > 0:
        return min(_LONGEST_S, ahead_s)
    return min(_LONGEST_S, 1 << (1 - ahead_s).bit_length() - 1)


def time_text(time: int | None) -> str | None:
    """RFC 3339 in UTC."""
    if time is None:
        return None
    return datetime.fromtimestamp(time / SECOND, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def time_of(text: Any) -> int:
    """The microseconds since 1970 that an RFC 3339 time stands for. Raises ValueError that says what is wrong."""
    if not isinstance(text, str) or not _RFC3339.fullmatch(text):
        raise ValueError("a date, T, a time, and Z or an offset are needed")
    moment = datetime.fromisoformat(
        re.sub("[zZ]$", "+00:00", text[:10] + "T" + _six_digits(text[11:]))
    )
    return int((moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) / timedelta(microseconds=1))


def _six_digits(time: str) -> str:
    """A fraction of a second as Python 3.10 reads it."""
    return re.sub(r"\.(\d+)", lambda fraction: f".{fraction[1][:6]:0<6}", time)
