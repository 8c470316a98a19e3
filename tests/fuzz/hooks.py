"""Correct the generated cases for what the description can't say.

A made-up cursor is refused, and so is an Idempotency-Key that was used for another request, a file
that is not stored, one over MAX_FILE_BYTES, the size 1.0, which only JSON Schema calls an integer,
an order, a task or a webhook endpoint that does not exist, the year 9999, and a retry of what fails
in the future. So valid cases are sent without a cursor, with a new key for each that was used, with
a small size, with a small picture inline as any file, after no other order, and up to now; invalid
cases stay as they are.
"""

from __future__ import annotations

import uuid
from typing import Any

import schemathesis

_used_keys: set[str] = set()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    case.query.pop("cursor", None)
    key = case.headers.get("Idempotency-Key")
    if key is not None and key in _used_keys:
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    _used_keys.add(key)
    if isinstance(case.body, dict):
        if "sha256" in case.body and isinstance(case.body.get("size"), (int, float)):
            case.body["size"] = int(min(case.body["size"], 1_000_000))
        if case.path == "/operator/retry":
            case.body = _of_a_known_task(case.body)
        elif "task" in case.body:
            case.body = _without_references(case.body)
        case.body = _with_inline_files(case.body)


def _without_references(order: dict[str, Any]) -> dict[str, Any]:
    """Return a new order that names nothing which may not exist, and no time in the year 9999."""
    left_out = {"after", "when", "notify"}
    if str(order.get("run_at")).startswith("9999"):
        left_out.add("run_at")
    return {name: value for name, value in order.items() if name not in left_out}


def _of_a_known_task(retry: dict[str, Any]) -> dict[str, Any]:
    """Return a retry of a task that exists, from the start of its list, up to now."""
    task = {"task": "cook_nuggets"} if "task" in retry else {}
    left_out = {"after", "failed_before"}
    return {name: value for name, value in {**retry, **task}.items() if name not in left_out}


def _with_inline_files(value: Any) -> Any:
    """Return the value with a small picture in place of each file."""
    if isinstance(value, list):
        return [_with_inline_files(member) for member in value]
    if not isinstance(value, dict):
        return value
    if value.keys() & {"file", "base64"} or value.keys() & {"name", "type", "size"} == value.keys():
        return {"base64": "YQ==", "type": "image/png"}
    return {name: _with_inline_files(member) for name, member in value.items()}
