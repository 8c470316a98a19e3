"""One function a route. Each takes a Request and its client, and returns a Response or raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chalicelib import auth, config, intake, orders, store, tasks
from chalicelib.errors import InvalidOrder, NotFound, pointer_to
from chalicelib.intake import Wanted
from chalicelib.orders import Order
from chalicelib.web import problems
from chalicelib.web.http import Request, Response, json_response
from chalicelib.web.problems import Problem
from chalicelib.web.render import order_json, retry_after_s, task_json, time_of
from chalicelib.web.strict_json import parse

_MAX_LIST = 100
_MEMBERS = {"task", "input", "delay_s", "run_at"}
_LATEST_S = 10 * 366 * 86400  # ten years; what is later is rather a mistake
_BODY_MARGIN = 4096  # what a body may have beside its input


def answer(view: Callable[[Request, str], Response], scope: str | None, request: Request) -> Response:
    """A view's response; or the problem that its fault becomes. The token comes before anything else."""
    try:
        client = auth.authenticate(request.headers.get("authorization"), scope) if scope else ""
        return view(request, client)
    except Exception as fault:
        return problems.response(fault, request)


def place(request: Request, client: str) -> Response:
    """POST /orders"""
    key = _idempotency_key(request)
    wanted = _wanted(_json_body(request), orders.id_of(client, key) if key else None)
    placed = intake.place(client, wanted)
    headers = {"Idempotency-Replayed": "true"} if placed.replayed else {}
    return _accepted(placed.order, request, headers)


def cancel(request: Request, client: str) -> Response:
    """POST /orders/{order_id}/cancel"""
    return json_response(200, order_json(intake.cancel(client, _order_id(request)), request))


def retry(request: Request, client: str) -> Response:
    """POST /orders/{order_id}/retry"""
    return _accepted(intake.retry(client, _order_id(request)), request, {})


def show(request: Request, client: str) -> Response:
    """GET /orders/{order_id}"""
    order = store.get(client, _order_id(request))
    if order is None:
        raise NotFound(NotFound.__doc__)
    headers = {} if order.status.final else {"Retry-After": str(retry_after_s(order, orders.now()))}
    return json_response(200, order_json(order, request), headers)


def newest(request: Request, client: str) -> Response:
    """GET /orders"""
    found = store.newest(client, _limit(request))
    return json_response(200, {"items": [order_json(order, request, brief=True) for order in found]})


def task_list(request: Request, client: str) -> Response:
    """GET /tasks"""
    return json_response(200, {"items": [task_json(task) for task in tasks.known().values()]})


def health(request: Request, client: str) -> Response:
    """GET /health: that the function answers; it asks nothing of AWS."""
    return json_response(200, {"status": "ok"})


def _json_body(request: Request) -> Any:
    most = config.SETTINGS.max_input_bytes + _BODY_MARGIN
    if len(request.body) > most:
        raise Problem("too-large", f"The body has {len(request.body)} bytes; at most {most} are read.")
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Problem("unsupported-media-type", f"The body is {media_type!r}; send `Content-Type: application/json`.")
    return parse(request.body)


def _accepted(order: Order, request: Request, headers: dict[str, str]) -> Response:
    headers = {"Location": request.url(f"/orders/{order.id}"), "Retry-After": str(retry_after_s(order, orders.now())),
               **headers}
    return json_response(202, order_json(order, request), headers)


def _order_id(request: Request) -> str:
    """The id in the path, in either case. What can't be an id is not looked up."""
    order_id = request.params["order_id"].upper()
    if not orders.is_id(order_id):
        raise NotFound(NotFound.__doc__)
    return order_id


def _wanted(body: Any, order_id: str | None) -> Wanted:
    """The order that a body asks for; its input is checked later, by its task."""
    if not isinstance(body, dict):
        raise InvalidOrder('an order is an object: {"task": ..., "input": {...}}')
    unknown = sorted(set(body) - _MEMBERS)
    if unknown:
        raise InvalidOrder(f"an order has no member {unknown[0]!r}; it has {', '.join(sorted(_MEMBERS))}",
                           pointer_to(unknown[0]))
    if not isinstance(body.get("task"), str):
        raise InvalidOrder("an order names its task, as a string", "/task")
    if "delay_s" in body and "run_at" in body:
        raise InvalidOrder("an order has delay_s or run_at, not both", "/run_at")
    return Wanted(body["task"], body.get("input", {}), _delay_s(body), _run_at(body), order_id)


def _delay_s(body: dict[str, Any]) -> float | None:
    delay_s = body.get("delay_s")
    if delay_s is None or (isinstance(delay_s, (int, float)) and not isinstance(delay_s, bool)
                           and 0 <= delay_s <= _LATEST_S):
        return delay_s
    raise InvalidOrder(f"delay_s is a number of seconds from 0 to {_LATEST_S}", "/delay_s")


def _run_at(body: dict[str, Any]) -> int | None:
    text = body.get("run_at")
    if text is None:
        return None
    try:
        return time_of(text)
    except ValueError as fault:
        raise InvalidOrder(f"run_at is a time such as 2030-01-31T09:00:00Z (RFC 3339): {fault}", "/run_at") from None


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    bare = key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key
    if not 1 <= len(bare) <= 255 or not all("!" <= letter <= "~" for letter in bare):
        raise Problem("idempotency-key-invalid", "An Idempotency-Key has 1 to 255 visible ASCII characters.")
    return bare


def _limit(request: Request) -> int:
    text = request.query.get("limit", ["50"])[-1]
    digits = text.lstrip("0")[:9]
    if not (text.isascii() and text.isdigit() and digits):
        raise Problem("invalid-parameter", f"limit={text[:40]!r}: it is a whole number from 1 to {_MAX_LIST}.")
    return min(int(digits), _MAX_LIST)
