"""One function a route. Each takes a Request and its client, and returns a Response or raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chalicelib import auth, config, intake, orders, store, tasks
from chalicelib.errors import InvalidOrder, NotFound
from chalicelib.web import problems
from chalicelib.web.http import Request, Response, json_response
from chalicelib.web.problems import Problem
from chalicelib.web.render import order_json, retry_after_s, task_json
from chalicelib.web.strict_json import parse

_MAX_LIST = 100
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
    wanted = _order_wanted(_json_body(request))
    placed = intake.place(client, wanted["task"], wanted.get("input", {}), _idempotency_key(request))
    order = placed.order
    headers = {"Location": request.url(f"/orders/{order.id}"), "Retry-After": str(retry_after_s(order, orders.now()))}
    if placed.replayed:
        headers["Idempotency-Replayed"] = "true"
    return json_response(202, order_json(order, request), headers)


def show(request: Request, client: str) -> Response:
    """GET /orders/{order_id}"""
    order = store.get(client, request.params["order_id"].upper())
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


def _order_wanted(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise InvalidOrder('an order is an object: {"task": ..., "input": {...}}')
    unknown = sorted(set(body) - {"task", "input"})
    if unknown:
        raise InvalidOrder(f"an order has no member {unknown[0]!r}; it has task and input", f"/{unknown[0]}")
    if not isinstance(body.get("task"), str):
        raise InvalidOrder("an order names its task, as a string", "/task")
    return body


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
    if not (text.isascii() and text.isdigit() and int(text[:9]) >= 1):
        raise Problem("invalid-parameter", f"limit={text[:40]!r}: it is a whole number from 1 to {_MAX_LIST}.")
    return min(int(text[:9]), _MAX_LIST)
