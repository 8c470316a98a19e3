"""Parse the body of POST /orders.

Only the order's shape is checked here; its input is checked later, against its task.
"""

from __future__ import annotations

from typing import Any

from chalicelib import config, orders
from chalicelib.errors import InvalidOrder, pointer_to
from chalicelib.service import NewOrder
from chalicelib.web.http import Request
from chalicelib.web.problems import Problem
from chalicelib.web.render import time_of
from chalicelib.web.strict_json import parse

MEMBERS = {"task", "input", "delay_s", "run_at"}
LATEST_S = 10 * 366 * 86400  # maximum delay: ten years; a longer one is probably a mistake
_LAST = 253_402_300_799 * orders.SECOND  # the latest time that a response can represent
_MARGIN = 4096  # bytes that a body may have beside its input


def parse_new_order(request: Request, owner: str) -> NewOrder:
    """Return the order that a request places. Its id is derived from the Idempotency-Key, if any.

    Raises Problem or InvalidOrder if the body, the key or a member is invalid.
    """
    body = _json_body(request)
    if not isinstance(body, dict):
        raise InvalidOrder('an order must be an object: {"task": ..., "input": {...}}')
    _check_members(body)
    key = _idempotency_key(request)
    order_id = orders.id_of(owner, key) if key else None
    return NewOrder(body["task"], body.get("input", {}), _delay_s(body), _run_at(body), order_id)


def _json_body(request: Request) -> Any:
    max_bytes = config.settings().max_input_bytes + _MARGIN
    if len(request.body) > max_bytes:
        raise Problem(
            "too-large", f"The body has {len(request.body)} bytes; the maximum is {max_bytes}."
        )
    media_type = (
        request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    )
    if media_type != "application/json":
        raise Problem(
            "unsupported-media-type",
            f"The body is {media_type!r}; send `Content-Type: application/json`.",
        )
    return parse(request.body)


def _check_members(body: dict[str, Any]) -> None:
    unknown = sorted(set(body) - MEMBERS)
    if unknown:
        raise InvalidOrder(
            f"unknown member {unknown[0]!r}; an order may have {', '.join(sorted(MEMBERS))}",
            pointer_to(unknown[0]),
        )
    if not isinstance(body.get("task"), str):
        raise InvalidOrder("task is required and must be a string", "/task")
    if "delay_s" in body and "run_at" in body:
        raise InvalidOrder("delay_s and run_at can't be combined; send one of them", "/run_at")


def _delay_s(body: dict[str, Any]) -> float | None:
    delay_s = body.get("delay_s")
    if delay_s is None or (
        isinstance(delay_s, (int, float))
        and not isinstance(delay_s, bool)
        and 0 <= delay_s <= LATEST_S
    ):
        return delay_s
    raise InvalidOrder(f"delay_s must be a number of seconds from 0 to {LATEST_S}", "/delay_s")


def _run_at(body: dict[str, Any]) -> int | None:
    text = body.get("run_at")
    if text is None:
        return None
    try:
        moment = time_of(text)
    except ValueError as error:
        raise InvalidOrder(
            f"run_at must be a time such as 2030-01-31T09:00:00Z (RFC 3339): {error}", "/run_at"
        ) from None
    if moment > _LAST:
        raise InvalidOrder("run_at must be before the year 10000", "/run_at")
    return moment


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    unquoted = key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key
    if not 1 <= len(unquoted) <= 255 or not all("!" <= letter <= "~" for letter in unquoted):
        raise Problem(
            "idempotency-key-invalid",
            "An Idempotency-Key must have 1 to 255 visible ASCII characters.",
        )
    return unquoted
