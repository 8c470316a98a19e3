"""Errors as application/problem+json (RFC 9457): one table of types, one of what each error becomes."""

from __future__ import annotations

from typing import Any

from chalicelib import errors, logs
from chalicelib.web.http import Request, Response, json_response

TYPES: dict[str, tuple[int, str]] = {
    "invalid-json": (400, "The body is no JSON"),
    "invalid-cursor": (400, "The cursor can't be used"),
    "invalid-parameter": (400, "A parameter is wrong"),
    "idempotency-key-invalid": (400, "The Idempotency-Key can't be read"),
    "unauthorized": (401, "An access token is needed"),
    "invalid-token": (401, "Invalid token"),
    "insufficient-scope": (403, "Insufficient scope"),
    "not-found": (404, "Not found"),
    "method-not-allowed": (405, "This route doesn't know the method"),
    "not-cancellable": (409, "The order can't be cancelled any more"),
    "not-retryable": (409, "The order can't be retried"),
    "too-large": (413, "Too large"),
    "unsupported-media-type": (415, "The body must be application/json"),
    "invalid-order": (422, "The order is wrong"),
    "unknown-task": (422, "No such task"),
    "invalid-input": (422, "The input doesn't fit the task"),
    "idempotency-key-reused": (422, "The Idempotency-Key belongs to another request"),
    "too-many-requests": (429, "Too many requests"),
    "internal": (500, "A fault of ours"),
    "unreadable-order": (500, "The order can't be read"),
    "unavailable": (503, "AWS isn't there"),
}

_NAMES: dict[type[errors.OrderlineError], str] = {
    errors.InvalidOrder: "invalid-order",
    errors.InvalidInput: "invalid-input",
    errors.UnknownTask: "unknown-task",
    errors.TooLarge: "too-large",
    errors.KeyReused: "idempotency-key-reused",
    errors.NotFound: "not-found",
    errors.NotCancellable: "not-cancellable",
    errors.NotRetryable: "not-retryable",
    errors.Unauthorized: "unauthorized",
    errors.UnreadableOrder: "unreadable-order",
    errors.InvalidToken: "invalid-token",
    errors.InsufficientScope: "insufficient-scope",
    errors.Unavailable: "unavailable",
    errors.NoCloud: "unavailable",
}
# The challenges are RFC 6750's (section 3.1). {scope} is filled in from the problem's member of that name.
HEADERS = {
    "unauthorized": {"WWW-Authenticate": 'Bearer realm="orderline"'},
    "invalid-token": {"WWW-Authenticate": 'Bearer realm="orderline", error="invalid_token"'},
    "insufficient-scope": {
        "WWW-Authenticate": 'Bearer realm="orderline", error="insufficient_scope", scope="{scope}"'
    },
    "unavailable": {"Retry-After": "2"},
    "too-many-requests": {"Retry-After": "2"},
}


class Problem(Exception):
    """A fault of the request itself, found in web/."""

    def __init__(self, name: str, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.name, self.detail, self.members = name, detail, members


def response(fault: Exception, request: Request) -> Response:
    """The problem that a fault becomes. What nobody expected is logged with its traceback and shown without."""
    if isinstance(fault, Problem):
        return _response(fault.name, fault.detail, request, fault.members)
    if type(fault) in _NAMES:
        return _response(_NAMES[type(fault)], str(fault), request, _members(fault))  # type: ignore[index]
    logs.exception("internal", route=request.route)
    return _response(
        "internal", "Something broke here; it is logged under the request's id.", request, {}
    )


def _members(fault: Exception) -> dict[str, Any]:
    members: dict[str, Any] = {}
    if isinstance(fault, errors.InvalidOrder):
        members["pointer"] = fault.pointer
    if isinstance(fault, errors.UnknownTask):
        members["known"] = fault.known
    if isinstance(fault, errors.InsufficientScope):
        members["scope"] = fault.scope
    if isinstance(fault, (errors.NotCancellable, errors.NotRetryable)):
        members["order_status"] = fault.order_status
    return members


def _response(name: str, detail: str, request: Request, members: dict[str, Any]) -> Response:
    status, title = TYPES[name]
    if status >= 500:  # Lambda counts no error for an answer
        logs.event("http_failed", status=status, problem=name, reason=detail)
    body = {
        "type": f"/problems/{name}",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request.id,
    }
    own = {header: text.format(**members) for header, text in HEADERS.get(name, {}).items()}
    return json_response(
        status, {**body, **members}, {"Content-Type": "application/problem+json", **own}
    )
