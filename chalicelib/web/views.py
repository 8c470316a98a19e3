"""The views, one function per route: each takes a Request and its owner, and returns a Response."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlencode

from chalicelib import auth, logs, orders, service, tasks
from chalicelib.errors import NotFound
from chalicelib.orders import Order
from chalicelib.table import by_time, transitions
from chalicelib.web import body, cursor, etag, headers, problems, query, wait
from chalicelib.web.http import Request, Response, json_response
from chalicelib.web.render import brief_json, order_json, retry_after_s, task_json


def handle(
    view: Callable[[Request, str], Response], scope: str | None, request: Request
) -> Response:
    """Authenticate the request, call its view, and turn an error into a problem response.

    `scope` is what the access token must allow; None for a public route, whose owner is "".
    """
    with logs.bound(request=request.id):
        try:
            owner = auth.authenticate(request.headers.get("authorization"), scope) if scope else ""
            with logs.bound(owner=logs.hashed(owner)):
                response = view(request, owner)
        except Exception as error:
            response = problems.response(error, request)
    return headers.with_default_headers(response, request)


def place(request: Request, owner: str) -> Response:
    """Serve POST /orders."""
    query.check(request)
    placed = service.place(owner, body.parse_new_order(request, owner))
    wait_s = wait.requested_s(request)

    def read() -> Order | None:
        return transitions.get(owner, placed.order.id)

    order = wait.until(_is_final, placed.order, read, wait_s) or placed.order
    own_headers = wait.applied(wait_s)
    if placed.replayed:
        own_headers["Idempotency-Replayed"] = "true"
    return _accepted(order, request, own_headers, 200 if wait_s and _is_final(order) else 202)


def show(request: Request, owner: str) -> Response:
    """Serve GET /orders/{order_id}."""
    query.check(request, "include")
    include = query.include(request)
    known_tags = request.headers.get("if-none-match")
    order_id = _order_id(request)
    wait_s = wait.requested_s(request)

    def is_new(order: Order) -> bool:
        tag = etag.of_order(order, include)
        return _is_final(order) or (known_tags is not None and not etag.matches(known_tags, tag))

    def read() -> Order | None:
        return transitions.get(owner, order_id)

    order = _require(wait.until(is_new, _require(read()), read, wait_s, reads=1))
    own_headers = {**_retry_after(order), **wait.applied(wait_s)}
    return _conditional_json(
        request, etag.of_order(order, include), order_json(order, request, include), own_headers
    )


def index(request: Request, owner: str) -> Response:
    """Serve GET /orders: one page of the owner's orders, newest first."""
    query.check(request, "status", "task", "limit", "cursor")
    statuses = query.statuses(request)
    task = query.single(request, "task")
    limit = query.limit(request)
    filters = [("status", status.value) for status in sorted(statuses)]
    if task is not None:
        filters.append(("task", task))
    bound = [f"{name}={value}" for name, value in filters]
    start = query.single(request, "cursor")
    after = None if start is None else cursor.decode(start, owner, bound)
    fits = (lambda order: order.status in statuses) if statuses else None
    page = by_time.page(owner, limit, after, task, fits)
    content: dict[str, Any] = {"items": [brief_json(order, request) for order in page.orders]}
    own_headers = {}
    if page.end is not None:
        next_cursor = cursor.encode(page.end, owner, bound)
        parameters = [*filters, ("limit", str(limit)), ("cursor", next_cursor)]
        content["next"] = request.url(f"/orders?{urlencode(parameters)}")
        own_headers["Link"] = f'<{content["next"]}>; rel="next"'
    tag = etag.of_list(page.orders, content.get("next"))
    return _conditional_json(request, tag, content, own_headers)


def cancel(request: Request, owner: str) -> Response:
    """Serve POST /orders/{order_id}/cancel."""
    order = service.cancel(owner, _order_id(request))
    return json_response(200, order_json(order, request), {"ETag": etag.of_order(order)})


def retry(request: Request, owner: str) -> Response:
    """Serve POST /orders/{order_id}/retry."""
    return _accepted(service.retry(owner, _order_id(request)), request, {})


def task_list(request: Request, owner: str) -> Response:
    """Serve GET /tasks."""
    return json_response(200, {"items": [task_json(task) for task in tasks.known().values()]})


def health(request: Request, owner: str) -> Response:
    """Serve GET /health. It does not call AWS."""
    return json_response(200, {"status": "ok"})


def _accepted(
    order: Order, request: Request, own_headers: Mapping[str, str], status: int = 202
) -> Response:
    """Return the response to a place or a retry."""
    all_headers = {
        "Location": request.url(f"/orders/{order.id}"),
        "ETag": etag.of_order(order),
        **_retry_after(order),
        **own_headers,
    }
    return json_response(status, order_json(order, request), all_headers)


def _conditional_json(
    request: Request, tag: str, content: Any, own_headers: Mapping[str, str]
) -> Response:
    """Return 200 with the content, or 304 if the client has it. Caches must revalidate."""
    all_headers = {"ETag": tag, "Cache-Control": "private, no-cache", **own_headers}
    if etag.matches(request.headers.get("if-none-match"), tag):
        return Response(304, "", all_headers)
    return json_response(200, content, all_headers)


def _retry_after(order: Order) -> dict[str, str]:
    """Return the Retry-After header of an order that is not final."""
    return {} if _is_final(order) else {"Retry-After": str(retry_after_s(order, orders.now()))}


def _is_final(order: Order) -> bool:
    return order.status.final


def _require(order: Order | None) -> Order:
    """Return the order. Raises NotFound if it is None."""
    if order is None:
        raise NotFound(NotFound.__doc__)
    return order


def _order_id(request: Request) -> str:
    """Return the id in the path, in upper case. Raises NotFound if it can't be an id.

    API Gateway decodes the path's percent-encoding, Chalice's own server doesn't.
    """
    text = unquote(request.params["order_id"])
    order_id = text.upper()
    if not text.isascii() or not orders.is_id(order_id):
        raise NotFound(NotFound.__doc__)
    return order_id
