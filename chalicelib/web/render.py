"""An order and a task as the API shows them."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any

from chalicelib.orders import SECOND, Order
from chalicelib.tasks import Task
from chalicelib.web.http import Request

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def order_json(order: Order, request: Request, brief: bool = False) -> dict[str, Any]:
    """The order in an answer. In lists (`brief`) it comes without its result, which may be large."""
    own = request.url(f"/orders/{order.id}")
    shown = {
        "id": order.id, "task": order.task, "status": order.status.value, "done": order.status.final,
        "attempts": order.attempts, "max_attempts": order.max_attempts,
        "created_at": time_text(order.created_at), "updated_at": time_text(order.updated_at),
        "run_at": time_text(order.run_at),
        "result": json.loads(order.result) if order.result is not None else None,
        "error": order.error, "progress": order.progress,
        "expires_at": time_text(order.expires_at * SECOND if order.expires_at else None),
        "links": _links(order, request, own),
    }
    if brief:
        del shown["result"]
    return shown


def _links(order: Order, request: Request, own: str) -> dict[str, Any]:
    links: dict[str, Any] = {"self": own, "cancel": f"{own}/cancel", "retry": f"{own}/retry"}
    if order.parent:
        links["parent"] = request.url(f"/orders/{order.parent}")
    if order.follow_ups:
        links["follow_ups"] = [request.url(f"/orders/{id}") for id in order.follow_ups]
    return links


def task_json(task: Task) -> dict[str, Any]:
    return {"name": task.name, "description": task.description, "input_schema": task.signature.schema(),
            "max_attempts": task.max_attempts, "timeout_s": task.timeout_s}


def retry_after_s(order: Order, now: int) -> int:
    """When to ask again: soon for a young order, later for an old one (1, 2, 4, 8 s)."""
    age_s = max(0, now - order.created_at) // SECOND
    return min(8, 1 << int(age_s + 1).bit_length() - 1)


def time_text(time: int | None) -> str | None:
    """RFC 3339 in UTC."""
    if time is None:
        return None
    return datetime.fromtimestamp(time / SECOND, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def time_of(text: Any) -> int:
    """The microseconds since 1970 that an RFC 3339 time stands for. Raises ValueError that says what is wrong."""
    if not isinstance(text, str) or not _RFC3339.fullmatch(text):
        raise ValueError("a date, T, a time, and Z or an offset are needed")
    moment = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text[:10] + "T" + _six_digits(text[11:])))
    return int((moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) / timedelta(microseconds=1))


def _six_digits(time: str) -> str:
    """A fraction of a second as Python 3.10 reads it."""
    return re.sub(r"\.(\d+)", lambda fraction: f".{fraction[1][:6]:0<6}", time)
