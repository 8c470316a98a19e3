"""One function a route. Each takes a Request and its client, and returns a Response or raises."""

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


def answer(
    view: Callable[[Request, str], Response], scope: str | None, request: Request
) -> Response:
    """A view's response; or the problem that its fault becomes. The token comes before anything else."""
    with logs.bound(request=request.id):
        try:
            owner = auth.authenticate(request.headers.get("authorization"), scope) if scope else ""
            with logs.bound(owner=logs.hashed(owner)):
                response = view(request, owner)
        except Exception as fault:
            response = problems.response(fault, request)
    return headers.dressed(response, request)


def place(request: Request, owner: str) -> Response:
    """POST /orders"""
    query.check(request)
    placed = service.place(owner, body.wanted(request, owner))
    wait_s = wait.wanted_s(request)
    order = (
        wait.until(_final, placed.order, lambda: transitions.get(owner, placed.order.id), wait_s)
        or placed.order
    )
    said = {"Idempotency-Replayed": "true"} if placed.replayed else {}
    return _accepted(
        order, request, {**said, **wait.applied(wait_s)}, 200 if wait_s and _final(order) else 202
    )


def show(request: Request, owner: str) -> Response:
    """GET /orders/{order_id}"""
    query.check(request, "include")
    include, known, order_id = (
        query.include(request),
        request.headers.get("if-none-match"),
        _order_id(request),
    )
    wait_s = wait.wanted_s(request)

    def told(order: Order) -> bool:
        return _final(order) or (
            known is not None and not etag.matches(known, etag.of_order(order, include))
        )

    def read() -> Order | None:
        return transitions.get(owner, order_id)

    order = _found(wait.until(told, _found(read()), read, wait_s, reads=1))
    said = {**_again(order), **wait.applied(wait_s)}
    return _unless_known(
        request, etag.of_order(order, include), order_json(order, request, include), said
    )


def index(request: Request, owner: str) -> Response:
    """GET /orders: one page of the client's orders, the newest first."""
    query.check(request, "status", "task", "limit", "cursor")
    statuses, task, limit = (
        query.statuses(request),
        query.single(request, "task"),
        query.limit(request),
    )
    filters = [("status", status.value) for status in sorted(statuses)] + (
        [] if task is None else [("task", task)]
    )
    bound = [f"{name}={value}" for name, value in filters]
    given = query.single(request, "cursor")
    after = None if given is None else cursor.place_of(given, owner, bound)
    page = by_time.page(
        owner, limit, after, task, (lambda order: order.status in statuses) if statuses else None
    )
    shown: dict[str, Any] = {"items": [brief_json(order, request) for order in page.orders]}
    said = {}
    if page.end is not None:
        again = [*filters, ("limit", str(limit)), ("cursor", cursor.made(page.end, owner, bound))]
        shown["next"] = request.url(f"/orders?{urlencode(again)}")
        said["Link"] = f'<{shown["next"]}>; rel="next"'
    return _unless_known(request, etag.of_list(page.orders, shown.get("next")), shown, said)


def cancel(request: Request, owner: str) -> Response:
    """POST /orders/{order_id}/cancel"""
    order = service.cancel(owner, _order_id(request))
    return json_response(200, order_json(order, request), {"ETag": etag.of_order(order)})


def retry(request: Request, owner: str) -> Response:
    """POST /orders/{order_id}/retry"""
    return _accepted(service.retry(owner, _order_id(request)), request, {})


def task_list(request: Request, owner: str) -> Response:
    """GET /tasks"""
    return json_response(200, {"items": [task_json(task) for task in tasks.known().values()]})


def health(request: Request, owner: str) -> Response:
    """GET /health: that the function answers; it asks nothing of AWS."""
    return json_response(200, {"status": "ok"})


def _accepted(
    order: Order, request: Request, said: Mapping[str, str], status: int = 202
) -> Response:
    said = {
        "Location": request.url(f"/orders/{order.id}"),
        "ETag": etag.of_order(order),
        **_again(order),
        **said,
    }
    return json_response(status, order_json(order, request), said)


def _unless_known(request: Request, tag: str, shown: Any, said: Mapping[str, str]) -> Response:
    """200 with what is shown, or 304 if the client has it. It may keep it, and asks each time."""
    said = {"ETag": tag, "Cache-Control": "private, no-cache", **said}
    if etag.matches(request.headers.get("if-none-match"), tag):
        return Response(304, "", dict(said))
    return json_response(200, shown, said)


def _again(order: Order) -> dict[str, str]:
    """When to ask again, while there is something to wait for."""
    return {} if _final(order) else {"Retry-After": str(retry_after_s(order, orders.now()))}


def _final(order: Order) -> bool:
    return order.status.final


def _found(order: Order | None) -> Order:
    if order is None:
        raise NotFound(NotFound.__doc__)
    return order


def _order_id(request: Request) -> str:
    """The id in the path, in either case. What can't be an id is not looked up. API Gateway decodes the path's escapes,
    Chalice's own server doesn't."""
    order_id = unquote(request.params["order_id"])
    if not order_id.isascii() or not orders.is_id(order_id := order_id.upper()):
        raise NotFound(NotFound.__doc__)
    return order_id
