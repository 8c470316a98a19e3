"""An order and a task as the API shows them."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from chalicelib.orders import SECOND, Order
from chalicelib.tasks import Task
from chalicelib.web.http import Request


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
        "links": {"self": own},
    }
    if brief:
        del shown["result"]
    return shown


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
