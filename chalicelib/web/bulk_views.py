"""The views for many orders in one request."""

from __future__ import annotations

from typing import Any

from chalicelib import building, bulk, ids
from chalicelib.auth import WRITE
from chalicelib.errors import InvalidOrder, pointer_to
from chalicelib.execution.json_depth import MAX_DEPTH
from chalicelib.web import bulk_bodies, parameters
from chalicelib.web.bulk_bodies import MAX_ORDERS
from chalicelib.web.http import Request, Response, json_response
from chalicelib.web.new_order import idempotency_key, json_body, new_order
from chalicelib.web.operations import Answer, api
from chalicelib.web.problems import Problem

MAX_BYTES = 2**20
_MAX_CANCEL_BYTES = 2**16
_WRAPPERS = 2  # levels around each order: the body and its list
_REQUEST = ("invalid-json", "too-large", "unsupported-media-type", "invalid-order")


@api.operation(
    "POST /orders/bulk",
    scope=WRITE,
    body=bulk_bodies.NewOrders,
    parameters=(parameters.BULK_KEY,),
    answers={
        200: Answer("Which orders are placed, and why others are not", bulk_bodies.PlacedOrders)
    },
    problems=("idempotency-key-invalid", *_REQUEST),
)
def place_orders(request: Request, owner: str) -> Response:
    """Place up to 1,000 orders."""
    key = idempotency_key(request)
    if key is None:
        raise Problem(
            "idempotency-key-invalid",
            "Send an Idempotency-Key: a bulk that is repeated without one would place all again.",
        )
    document = json_body(request, MAX_BYTES, MAX_DEPTH + _WRAPPERS)
    requests = [
        _parsed(each, ids.id_of(owner, key, "bulk", str(n)))
        for n, each in enumerate(_items(document, "orders"))
    ]
    outcomes = bulk.place(owner, requests, request.time_left_s)
    return json_response(200, bulk_bodies.placed_orders(outcomes, request))


@api.operation(
    "POST /orders/cancel",
    scope=WRITE,
    body=bulk_bodies.OrdersToCancel,
    answers={
        200: Answer("Which orders are cancelled or asked to stop", bulk_bodies.CancelledOrders)
    },
    problems=_REQUEST,
)
def cancel_orders(request: Request, owner: str) -> Response:
    """Cancel up to 1,000 orders, and ask those that run to stop."""
    document = json_body(request, _MAX_CANCEL_BYTES)
    order_ids = _items(document, "ids", "running")
    for n, each in enumerate(order_ids):
        if not isinstance(each, str):
            raise InvalidOrder("an id must be a string", pointer_to("ids", str(n)))
    running = document.get("running", "stop")
    if running not in ("stop", "refuse"):
        raise InvalidOrder("running must be stop or refuse", "/running")
    references = [(owner, ids.canonical(each)) for each in order_ids]
    outcomes = bulk.cancel(references, running == "stop", request.time_left_s)
    return json_response(200, bulk_bodies.cancelled_orders(order_ids, outcomes, request))


def _items(document: Any, name: str, *optional: str) -> list[Any]:
    """Return the list of this name in a body, which has no other members but the optional ones.

    Raises InvalidOrder.
    """
    items = document.get(name) if isinstance(document, dict) else None
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_ORDERS:
        raise InvalidOrder(
            f'the body must be an object {{"{name}": [...]}} with 1 to {MAX_ORDERS} items',
            f"/{name}",
        )
    unknown = sorted(document.keys() - {name, *optional})
    if unknown:
        raise InvalidOrder(
            f"unknown member {unknown[0]!r}; the body may have {', '.join((name, *optional))}",
            pointer_to(unknown[0]),
        )
    return items


def _parsed(document: Any, order_id: str) -> building.NewOrder | InvalidOrder:
    try:
        return new_order(document, order_id)
    except InvalidOrder as error:
        return error
