"""The views of an operator, who sees and retries the orders of all owners."""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import unquote, urlencode

import msgspec
from msgspec import UNSET, Struct, UnsetType

from chalicelib import building, bulk, clock, ids, operators, overview
from chalicelib.auth import ADMIN, OWNER_NAME
from chalicelib.clock import SECOND, Micros
from chalicelib.errors import InvalidOrder, NotFound, UnknownTask
from chalicelib.table import transitions
from chalicelib.table.failures import Failure
from chalicelib.tasks import known
from chalicelib.web import bulk_bodies, cursor, operator_bodies, parameters
from chalicelib.web.http import Request, Response, json_response
from chalicelib.web.new_order import json_body
from chalicelib.web.operations import Answer, api
from chalicelib.web.parameters import ORDER_ID, Parameter
from chalicelib.web.times import time_of

T = TypeVar("T", bound=Struct)
_MAX_BYTES = 2**16
_MAX_TASK = 100  # characters; DynamoDB rejects keys of over 2,048 bytes
_CLOCKS_DIFFER: Micros = 60 * SECOND
_BODY = ("invalid-json", "too-large", "unsupported-media-type", "invalid-order")
_TIME = {"type": "string", "format": "date-time"}
_NAME_SCHEMA = {"type": "string", "pattern": f"^{OWNER_NAME.pattern}$"}
_OWNER = Parameter("owner", "query", "Only orders of this owner", _NAME_SCHEMA)
_OF_TASK = Parameter(
    "task", "query", "Only orders of this task", {"type": "string", "maxLength": _MAX_TASK}
)
_OWNER_IN_PATH = Parameter("owner", "path", "The order's owner", {"type": "string", "minLength": 1})
_CODE = Parameter("code", "query", "Only orders with this code of their error", {"type": "string"})
_SINCE = Parameter("since", "query", "Failed at this time or later. Default: 24 hours ago", _TIME)
_UNTIL = Parameter("until", "query", "Failed before this time. Default: now", _TIME)
_WHOSE = Parameter("owner", "query", "Whose orders. Default: the token's owner", _NAME_SCHEMA)


@api.operation(
    "GET /operator/overview",
    scope=ADMIN,
    answers={200: Answer("The state of the stack", operator_bodies.Overview)},
    problems=("invalid-parameter",),
)
def show_overview(request: Request, owner: str) -> Response:
    """Show what waits, runs, is overdue and has failed."""
    return json_response(200, operator_bodies.overview_of(overview.overview()))


@api.operation(
    "GET /operator/failures",
    scope=ADMIN,
    parameters=(
        _OF_TASK,
        _OWNER,
        _CODE,
        _SINCE,
        _UNTIL,
        parameters.LIMIT,
        parameters.CURSOR,
    ),
    answers={200: Answer("A page; the last one has no `next`", operator_bodies.FailedPage)},
    problems=("invalid-parameter", "invalid-cursor"),
)
def list_failures(request: Request, owner: str) -> Response:
    """List failed orders of all owners, the newest failure first."""
    task, subject, code = _task(request), _subject(request), parameters.single(request, "code")
    now = clock.now()
    since = _time(request, "since", now - overview.DAY)
    until = _time(request, "until", now + 1)  # what has failed just now too
    limit = parameters.limit(request)
    names = ("task", "owner", "code", "since", "until")
    filters = [(name, value) for name in names if (value := parameters.single(request, name))]
    bound = [f"{name}={value}" for name, value in filters]
    start = parameters.single(request, "cursor")
    after = None if start is None else Failure.parse(cursor.decode(start, owner, bound))
    tasks = known() if task is None else [task]
    page = overview.failed(tasks, since, until, limit, after, subject, code)
    content = operator_bodies.FailedPage(
        [operator_bodies.failed_order(order, request) for order in page.orders]
    )
    if page.end:
        next_cursor = cursor.encode(page.end.text, owner, bound)
        query = urlencode([*filters, ("limit", str(limit)), ("cursor", next_cursor)])
        content.next = request.url(f"/operator/failures?{query}")
    return json_response(200, content)


@api.operation(
    "GET /operator/durations",
    scope=ADMIN,
    parameters=(_WHOSE, _OF_TASK),
    answers={200: Answer("The durations", operator_bodies.Durations)},
    problems=("invalid-parameter",),
)
def show_durations(request: Request, owner: str) -> Response:
    """Show how long an owner's latest orders waited and ran."""
    subject = _subject(request) or owner
    sample = overview.sample(subject, _task(request))
    return json_response(200, operator_bodies.durations(subject, sample))


@api.operation(
    "GET /operator/orders/{owner}/{order_id}",
    scope=ADMIN,
    parameters=(_OWNER_IN_PATH, ORDER_ID, parameters.INCLUDE),
    answers={200: Answer("The order, whatever its status", operator_bodies.OwnedOrder)},
    problems=("invalid-parameter", "not-found"),
)
def show_owned_order(request: Request, owner: str) -> Response:
    """Show an order of any owner."""
    include = parameters.include(request)
    subject, text = (unquote(request.params[name]) for name in ("owner", "order_id"))
    order_id = ids.canonical(text)
    valid = ids.is_id(order_id) and OWNER_NAME.fullmatch(subject)
    order = transitions.get(subject, order_id) if valid else None
    if order is None:
        raise NotFound("this owner has no order with this reference number")
    order = building.with_texts(order, "input" in include)
    return json_response(200, operator_bodies.owned_order(order, request, include))


@api.operation(
    "POST /operator/retry",
    scope=ADMIN,
    body=operator_bodies.FailedOrders,
    answers={200: Answer("How many orders were retried", operator_bodies.RetriedOrders)},
    problems=(*_BODY, "unknown-task"),
)
def retry_orders(request: Request, owner: str) -> Response:
    """Retry failed orders of any owners: all of a task since a time, or some by their ids."""
    body = _failed_orders(json_body(request, _MAX_BYTES))
    before = _failed_before(body)
    if body.orders is not UNSET:
        keys = [ids.key_of(each.owner, ids.canonical(each.id)) for each in body.orders]
        chosen = operators.retry_chosen(keys, before, request.time_left_s, body.over_s)
        return json_response(200, operator_bodies.retried(chosen, before, request))
    task = str(body.task)
    if task not in known():
        raise UnknownTask(task, list(known()))
    since = _member(body.failed_since, "failed_since", before)
    if body.dry_run:
        count = operators.count(task, since, before)
        more = count >= operators.MAX_COUNT
        return json_response(200, operator_bodies.counted(count, more, before))
    limit = operator_bodies.MAX_ORDERS if body.limit is UNSET else body.limit
    result = operators.retry_failed(
        task, since, before, limit, request.time_left_s, body.over_s, _after(body.after)
    )
    return json_response(200, operator_bodies.retried(result, before, request))


@api.operation(
    "POST /operator/cancel",
    scope=ADMIN,
    body=operator_bodies.OwnedToCancel,
    answers={
        200: Answer(
            "Which orders are cancelled or asked to stop", operator_bodies.CancelledOwnedOrders
        )
    },
    problems=_BODY,
)
def cancel_owned_orders(request: Request, owner: str) -> Response:
    """Cancel orders of any owners, and ask those that run to stop."""
    body = _converted(json_body(request, _MAX_BYTES), operator_bodies.OwnedToCancel)
    references = [(each.owner, ids.canonical(each.id)) for each in body.orders]
    outcomes = bulk.cancel(references, body.running == "stop", request.time_left_s)
    given = [each.id for each in body.orders]
    plain = bulk_bodies.cancelled_orders(given, outcomes, request)
    items = [
        operator_bodies.CancelledOwned(
            owner=each.owner, **{name: getattr(item, name) for name in item.__struct_fields__}
        )
        for each, item in zip(body.orders, plain.items, strict=True)
    ]
    totals = (plain.cancelled, plain.stopping, plain.refused, plain.unknown)
    return json_response(200, operator_bodies.CancelledOwnedOrders(items, *totals))


def _failed_orders(document: Any) -> operator_bodies.FailedOrders:
    """Return the body of a retry, which names either a task or orders. Raises InvalidOrder."""
    body = _converted(document, operator_bodies.FailedOrders)
    if body.orders is UNSET:
        if body.task is UNSET or body.failed_since is UNSET:
            raise InvalidOrder("send task and failed_since, or orders", "/task")
        return body
    of_task = ("task", "failed_since", "limit", "after", "dry_run")
    if wrong := next((name for name in of_task if name in document), None):
        raise InvalidOrder(f"{wrong} can't be combined with orders", f"/{wrong}")
    return body


def _converted(document: Any, type: type[T]) -> T:
    """Convert a JSON document to a body. Raises InvalidOrder."""
    try:
        return msgspec.convert(document, type)
    except msgspec.ValidationError as error:
        reason, _, at = str(error).partition(" - at `$")
        raise InvalidOrder(reason[:200], _pointer(at.rstrip("`"))) from None


def _pointer(path: str) -> str:
    """Return msgspec's path to a member, such as `.orders[...].id`, as a JSON pointer."""
    return "/" + path.partition("[")[0].lstrip(".").replace(".", "/") if path else ""


def _subject(request: Request) -> str | None:
    """Return the owner that the query names, or None. Raises Problem."""
    name = parameters.single(request, "owner")
    if name is not None and not OWNER_NAME.fullmatch(name):
        raise parameters.invalid(f"owner={name[:40]!r}: a name has 1 to 40 of a-z, 0-9 and -")
    return name


def _task(request: Request) -> str | None:
    """Return the task that the query names, or None; it may be one that is gone. Raises Problem."""
    name = parameters.single(request, "task")
    if name is not None and len(name) > _MAX_TASK:
        raise parameters.invalid(f"task={name[:40]!r}...: must have at most {_MAX_TASK} characters")
    return name


def _time(request: Request, name: str, default: Micros) -> Micros:
    """Return a time of the query. Raises Problem."""
    text = parameters.single(request, name)
    if text is None:
        return default
    try:
        return time_of(text)
    except ValueError as error:
        raise parameters.invalid(f"{name}={text[:40]!r}: {error}") from None


def _failed_before(body: operator_bodies.FailedOrders) -> Micros:
    """Return the time before which orders must have failed. Raises InvalidOrder."""
    before = _member(body.failed_before, "failed_before", clock.now())
    if before > clock.now() + _CLOCKS_DIFFER:
        # What fails again before that time would be retried again and again
        raise InvalidOrder("failed_before must not be in the future", "/failed_before")
    return before


def _member(text: str | UnsetType, name: str, default: Micros) -> Micros:
    """Return a time of the body. Raises InvalidOrder."""
    if text is UNSET:
        return default
    try:
        return time_of(text)
    except ValueError as error:
        reason = f"{name} must be a time such as 2030-01-31T09:00:00Z (RFC 3339): {error}"
        raise InvalidOrder(reason, f"/{name}") from None


def _after(text: str | UnsetType) -> Failure | None:
    """Return where to go on. Raises InvalidOrder."""
    if text is UNSET:
        return None
    try:
        return Failure.parse(text)
    except ValueError:
        raise InvalidOrder("after must be the `next` of the response before", "/after") from None
