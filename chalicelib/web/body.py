"""What a POST /orders asks for: strict about the shape; the input itself is checked later, by its task."""

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
LATEST_S = 10 * 366 * 86400  # ten years; what is later is rather a mistake
_LAST = 253_402_300_799 * orders.SECOND  # the last moment that an answer could show
_MARGIN = 4096  # what a body may have beside its input


def wanted(request: Request, owner: str) -> NewOrder:
    """The order that a request is for. Its id comes from the Idempotency-Key, if there is one."""
    body = _json_body(request)
    if not isinstance(body, dict):
        raise InvalidOrder('an order is an object: {"task": ..., "input": {...}}')
    _check_members(body)
    key = _idempotency_key(request)
    order_id = orders.id_of(owner, key) if key else None
    return NewOrder(body["task"], body.get("input", {}), _delay_s(body), _run_at(body), order_id)


def _json_body(request: Request) -> Any:
    most = config.settings().max_input_bytes + _MARGIN
    if len(request.body) > most:
        raise Problem(
            "too-large", f"The body has {len(request.body)} bytes; at most {most} are read."
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
            f"an order has no member {unknown[0]!r}; it has {', '.join(sorted(MEMBERS))}",
            pointer_to(unknown[0]),
        )
    if not isinstance(body.get("task"), str):
        raise InvalidOrder("an order names its task, as a string", "/task")
    if "delay_s" in body and "run_at" in body:
        raise InvalidOrder("an order has delay_s or run_at, not both", "/run_at")


def _delay_s(body: dict[str, Any]) -> float | None:
    delay_s = body.get("delay_s")
    if delay_s is None or (
        isinstance(delay_s, (int, float))
        and not isinstance(delay_s, bool)
        and 0 <= delay_s <= LATEST_S
    ):
        return delay_s
    raise InvalidOrder(f"delay_s is a number of seconds from 0 to {LATEST_S}", "/delay_s")


def _run_at(body: dict[str, Any]) -> int | None:
    text = body.get("run_at")
    if text is None:
        return None
    try:
        moment = time_of(text)
    except ValueError as fault:
        raise InvalidOrder(
            f"run_at is a time such as 2030-01-31T09:00:00Z (RFC 3339): {fault}", "/run_at"
        ) from None
    if moment > _LAST:
        raise InvalidOrder("run_at is before the year 10000", "/run_at")
    return moment


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    bare = key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key
    if not 1 <= len(bare) <= 255 or not all("!" <= letter <= "~" for letter in bare):
        raise Problem(
            "idempotency-key-invalid", "An Idempotency-Key has 1 to 255 visible ASCII characters."
        )
    return bare
