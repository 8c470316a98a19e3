"""Parse the bodies of POST /orders and POST /orders/bulk.

Only the order's shape is checked here; its input is checked later, against its task.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from chalicelib import building, config, ids
from chalicelib.errors import InvalidOrder, pointer_to
from chalicelib.execution.json_depth import MAX_DEPTH
from chalicelib.orders import UNKNOWN
from chalicelib.web.bodies import LATEST_S, NewOrder
from chalicelib.web.http import Request
from chalicelib.web.problems import Problem
from chalicelib.web.strict_json import parse
from chalicelib.web.times import RFC3339_FORM, time_of

_MARGIN = 16_384  # bytes that a body may have beside its input
_RUN_AT_RULE = "run_at must be a time such as 2030-01-31T09:00:00Z (RFC 3339)"
_RULES = {  # clearer than msgspec's own messages
    "task": "task is required and must be a string",
    "delay_s": f"delay_s must be a number of seconds from 0 to {LATEST_S}",
    "run_at": f"{_RUN_AT_RULE}: {RFC3339_FORM}",
    "after": "after must be a list of ids of orders",
    "when": "when must be success or end",
    "notify": "notify must be a list of names of webhook endpoints",
}

_NAMES = sorted(NewOrder.__struct_fields__)


def parse_new_order(request: Request, owner: str) -> building.NewOrder:
    """Return the order that a request places. Its id is derived from the Idempotency-Key, if any.

    Raises Problem or InvalidOrder if the body, the key or a member is invalid.
    """
    document = json_body(request, config.settings().max_input_bytes + _MARGIN)
    key = idempotency_key(request)
    return new_order(document, ids.id_of(owner, key) if key else None)


def new_order(document: Any, order_id: str | None) -> building.NewOrder:
    """Return the order that a JSON document asks for. Raises InvalidOrder."""
    body = _new_order(document)
    return building.NewOrder(
        body.task,
        body.input,
        _delay_s(body.delay_s),
        _run_at(body.run_at),
        order_id,
        tuple(dict.fromkeys(id.upper() for id in body.after)),
        "success" if body.when is UNSET else body.when,
        tuple(dict.fromkeys(body.notify)),
    )


def json_body(request: Request, max_bytes: int, max_depth: int = MAX_DEPTH) -> Any:
    """Return the decoded JSON of a request's body. Raises Problem."""
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
    return parse(request.body, max_depth)


def _new_order(document: Any) -> NewOrder:
    """Convert the JSON document. Raises InvalidOrder."""
    if not isinstance(document, dict):
        raise InvalidOrder('an order must be an object: {"task": ..., "input": {...}}')
    _check_names(document)
    try:
        return msgspec.convert(document, NewOrder)
    except msgspec.ValidationError as error:
        member = next((name for name in _RULES if f"`$.{name}" in str(error)), "task")
        raise InvalidOrder(_RULES[member], f"/{member}") from None


def _check_names(document: dict[str, Any]) -> None:
    unknown = sorted(document.keys() - _NAMES)
    if unknown:
        raise InvalidOrder(
            f"unknown member {unknown[0]!r}; an order may have {', '.join(_NAMES)}",
            pointer_to(unknown[0]),
        )
    if "delay_s" in document and "run_at" in document:
        raise InvalidOrder("delay_s and run_at can't be combined; send one of them", "/run_at")
    if document.get("after") and not document.keys().isdisjoint(("delay_s", "run_at")):
        raise InvalidOrder("after can't be combined with delay_s or run_at", "/after")
    if "when" in document and not document.get("after"):
        raise InvalidOrder("when needs after, the orders that must end first", "/when")


def _delay_s(delay_s: float | UnsetType | None) -> float | None:
    """Return whole seconds as an int, as they were sent: the order's fingerprint depends on it."""
    if delay_s is UNSET or delay_s is None:
        return None
    return int(delay_s) if delay_s.is_integer() else delay_s


def _run_at(text: str | UnsetType | None) -> int | None:
    if text is UNSET or text is None:
        return None
    try:
        moment = time_of(text)
    except ValueError as error:
        raise InvalidOrder(f"{_RUN_AT_RULE}: {error}", "/run_at") from None
    if moment >= UNKNOWN:
        raise InvalidOrder("run_at must be before the year 9999", "/run_at")
    return moment


def idempotency_key(request: Request) -> str | None:
    """Return the Idempotency-Key without its quotes, None without one. Raises Problem."""
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
