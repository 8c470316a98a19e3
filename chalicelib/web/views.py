"""The views, one function per route: each takes a Request and its owner, and returns a Response."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import unquote, urlencode

from chalicelib import building, clock, ids, service, tasks
from chalicelib.auth import READ, WRITE
from chalicelib.errors import NotFound
from chalicelib.orders import Order
from chalicelib.table import by_time, transitions
from chalicelib.web import bodies, cursor, etag, parameters, wait
from chalicelib.web.http import Request, Response, json_response
from chalicelib.web.new_order import parse_new_order
from chalicelib.web.operations import Answer, api
from chalicelib.web.parameters import IF_NONE_MATCH, ORDER_ID, PREFER
from chalicelib.web.times import retry_after_s

_PLACED = ("Location", "Retry-After", "ETag", "Idempotency-Replayed", "Preference-Applied")
_SHOWN = ("ETag", "Retry-After", "Preference-Applied")
_NOT_MODIFIED = Answer("Not modified", headers=("ETag",))


@api.operation(
    "POST /orders",
    scope=WRITE,
    body=bodies.NewOrder,
    parameters=(parameters.IDEMPOTENCY_KEY, PREFER),
    answers={
        202: Answer(
            "Accepted and stored: it will end with a result or an error", bodies.Order, _PLACED
        ),
        200: Answer(
            "Accepted and already finished: the client preferred to wait", bodies.Order, _PLACED
        ),
    },
    problems=(
        "invalid-parameter",
        "invalid-json",
        "idempotency-key-invalid",
        "too-large",
        "unsupported-media-type",
        "invalid-order",
        "unknown-task",
        "invalid-input",
        "file-missing",
        "idempotency-key-reused",
    ),
)
def place_order(request: Request, owner: str) -> Response:
    """Place an order."""
    placed = service.place(owner, parse_new_order(request, owner))
    wait_s = wait.requested_s(request)

    def read() -> Order | None:
        return transitions.get(owner, placed.order.id)

    order = wait.until(_is_final, placed.order, read, wait_s) or placed.order
    own_headers = wait.applied(wait_s)
    if placed.replayed:
        own_headers["Idempotency-Replayed"] = "true"
    return _accepted(order, request, own_headers, 200 if wait_s and _is_final(order) else 202)


@api.operation(
    "GET /orders/{order_id}",
    scope=READ,
    parameters=(ORDER_ID, parameters.INCLUDE, PREFER, IF_NONE_MATCH),
    answers={
        200: Answer("The order, whatever its status", bodies.Order, _SHOWN),
        304: Answer("Not modified: If-None-Match names the current ETag", headers=_SHOWN),
    },
    problems=("invalid-parameter", "not-found"),
)
def show_order(request: Request, owner: str) -> Response:
    """Show an order."""
    include = parameters.include(request)
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
    tag = etag.of_order(order, include)
    body = functools.partial(_order_body, order, request, include)
    return _conditional_json(request, tag, body, own_headers)


@api.operation(
    "GET /orders",
    scope=READ,
    parameters=(
        parameters.STATUS,
        parameters.TASK,
        parameters.LIMIT,
        parameters.CURSOR,
        IF_NONE_MATCH,
    ),
    answers={
        200: Answer("A page; the last one has no `next`", bodies.Page, ("ETag", "Link")),
        304: _NOT_MODIFIED,
    },
    problems=("invalid-parameter", "invalid-cursor"),
)
def list_orders(request: Request, owner: str) -> Response:
    """List the owner's orders, newest first."""
    statuses = parameters.statuses(request)
    task = parameters.single(request, "task")
    limit = parameters.limit(request)
    filters = [("status", status.value) for status in sorted(statuses)]
    if task is not None:
        filters.append(("task", task))
    bound = [f"{name}={value}" for name, value in filters]
    start = parameters.single(request, "cursor")
    after = None if start is None else cursor.decode(start, owner, bound)
    fits = (lambda order: order.status in statuses) if statuses else None
    page = by_time.page(owner, limit, after, task, fits)
    content = bodies.Page([bodies.order_in_list(order, request) for order in page.orders])
    own_headers = {}
    if page.end is not None:
        next_cursor = cursor.encode(page.end, owner, bound)
        query = urlencode([*filters, ("limit", str(limit)), ("cursor", next_cursor)])
        content.next = request.url(f"/orders?{query}")
        own_headers["Link"] = f'<{content.next}>; rel="next"'
    tag = etag.of_list(page.orders, content.next or None)
    return _conditional_json(request, tag, lambda: content, own_headers)


@api.operation(
    "POST /orders/{order_id}/cancel",
    scope=WRITE,
    parameters=(ORDER_ID, parameters.RUNNING),
    answers={
        200: Answer("The order is cancelled", bodies.Order, ("ETag",)),
        202: Answer("The running task is asked to stop", bodies.Order, ("Retry-After", "ETag")),
    },
    problems=("invalid-parameter", "not-found", "not-cancellable"),
)
def cancel_order(request: Request, owner: str) -> Response:
    """Cancel an order. If it runs, ask its task to stop."""
    order = service.cancel(owner, _order_id(request), parameters.stop_running(request))
    own_headers = {"ETag": etag.of_order(order), **_retry_after(order)}
    status = 202 if order.stopping else 200
    return json_response(status, _order_body(order, request), own_headers)


@api.operation(
    "POST /orders/{order_id}/retry",
    scope=WRITE,
    parameters=(ORDER_ID,),
    answers={
        202: Answer(
            "Accepted; the order keeps its id", bodies.Order, ("Location", "Retry-After", "ETag")
        )
    },
    problems=("not-found", "not-retryable", "unknown-task", "file-missing"),
)
def retry_order(request: Request, owner: str) -> Response:
    """Retry an order that failed or was cancelled."""
    return _accepted(service.retry(owner, _order_id(request)), request, {})


@api.operation("GET /tasks", scope=READ, answers={200: Answer("The tasks", bodies.Tasks)})
def list_tasks(request: Request, owner: str) -> Response:
    """List the tasks, with the JSON Schema of each input."""
    return json_response(200, bodies.Tasks([bodies.task(each) for each in tasks.known().values()]))


@api.operation(
    "GET /openapi.json", scope=None, answers={200: Answer("OpenAPI 3.1", dict[str, Any])}
)
def openapi_json(request: Request, owner: str) -> Response:
    """Get this description."""
    from chalicelib.web import openapi

    return json_response(200, openapi.document(api, request.url("")))


@api.operation(
    "GET /docs", scope=None, answers={200: Answer("The page", text_types=("text/html",))}
)
def docs_page(request: Request, owner: str) -> Response:
    """Show the API documentation."""
    from chalicelib.web import docs, openapi

    return docs.response(openapi.document(api, request.url("")))


@api.operation("GET /health", scope=None, answers={200: Answer("It answers", bodies.Health)})
def health(request: Request, owner: str) -> Response:
    """Check that the HTTP function answers."""
    return json_response(200, bodies.Health("ok"))  # without a call to AWS


def _accepted(
    order: Order, request: Request, own_headers: Mapping[str, str], status: int = 202
) -> Response:
    """Return the response to a place or a retry."""
    body = _order_body(order, request)
    all_headers = {
        "Location": body.links.self,
        "ETag": etag.of_order(order),
        **_retry_after(order),
        **own_headers,
    }
    return json_response(status, body, all_headers)


def _conditional_json(
    request: Request, tag: str, body: Callable[[], Any], own_headers: Mapping[str, str]
) -> Response:
    """Return 200 with the body, or 304 if the client has it. Caches must revalidate."""
    all_headers = {"ETag": tag, "Cache-Control": "private, no-cache", **own_headers}
    if etag.matches(request.headers.get("if-none-match"), tag):
        return Response(304, "", all_headers)
    return json_response(200, body(), all_headers)


def _order_body(order: Order, request: Request, include: Collection[str] = ()) -> bodies.Order:
    """Return an order's body. Raises Unavailable if a large result can't be read now."""
    return bodies.order(building.with_texts(order, "input" in include), request, include)


def _retry_after(order: Order) -> dict[str, str]:
    """Return the Retry-After header of an order that is not final."""
    return {} if _is_final(order) else {"Retry-After": str(retry_after_s(order, clock.now()))}


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
    order_id = ids.canonical(unquote(request.params["order_id"]))
    if not ids.is_id(order_id):
        raise NotFound(NotFound.__doc__)
    return order_id
