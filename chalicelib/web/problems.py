"""Error responses as application/problem+json (RFC 9457).

One table has the problem types, another one maps errors to them.
"""

from __future__ import annotations

from typing import Any

from chalicelib import errors, logs
from chalicelib.web.http import Request, Response, json_response

TYPES: dict[str, tuple[int, str]] = {
    "invalid-json": (400, "Malformed JSON"),
    "invalid-cursor": (400, "Invalid cursor"),
    "invalid-parameter": (400, "Invalid parameter"),
    "idempotency-key-invalid": (400, "Invalid Idempotency-Key"),
    "unauthorized": (401, "Missing access token"),
    "invalid-token": (401, "Invalid token"),
    "insufficient-scope": (403, "Insufficient scope"),
    "not-found": (404, "Not found"),
    "method-not-allowed": (405, "Method not allowed"),
    "not-cancellable": (409, "Order can't be cancelled"),
    "not-retryable": (409, "Order can't be retried"),
    "too-large": (413, "Request too large"),
    "unsupported-media-type": (415, "Unsupported media type"),
    "invalid-order": (422, "Invalid order"),
    "unknown-task": (422, "Unknown task"),
    "invalid-input": (422, "Invalid input"),
    "idempotency-key-reused": (422, "Idempotency-Key already used"),
    "too-many-requests": (429, "Too many requests"),
    "internal": (500, "Internal server error"),
    "unreadable-order": (500, "Unreadable order"),
    "unavailable": (503, "Service unavailable"),
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
# Challenges as in RFC 6750, section 3.1. {scope} is replaced by the problem's member of that name.
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
    """An invalid request, detected in web/. `name` is a key of TYPES."""

    def __init__(self, name: str, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.name = name
        self.detail = detail
        self.members = members


def response(error: Exception, request: Request) -> Response:
    """Return the problem of an error. An unexpected one is logged with its traceback, not shown."""
    if isinstance(error, Problem):
        return _response(error.name, error.detail, request, error.members)
    if isinstance(error, errors.OrderlineError) and type(error) in _NAMES:
        return _response(_NAMES[type(error)], str(error), request, _members(error))
    logs.exception("internal", route=request.route)
    return _response("internal", "Unexpected error; see the logs of this request_id.", request, {})


def _members(error: Exception) -> dict[str, Any]:
    """Return the problem's own members, beside those of every problem."""
    members: dict[str, Any] = {}
    if isinstance(error, errors.InvalidOrder):
        members["pointer"] = error.pointer
    if isinstance(error, errors.UnknownTask):
        members["known"] = error.known
    if isinstance(error, errors.InsufficientScope):
        members["scope"] = error.scope
    if isinstance(error, (errors.NotCancellable, errors.NotRetryable)):
        members["order_status"] = error.order_status
    return members


def _response(name: str, detail: str, request: Request, members: dict[str, Any]) -> Response:
    status, title = TYPES[name]
    if status >= 500:  # Lambda's metrics don't count an error that was answered
        logs.event("http_failed", status=status, problem=name, reason=detail)
    body = {
        "type": f"/problems/{name}",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request.id,
    }
    headers = {header: text.format(**members) for header, text in HEADERS.get(name, {}).items()}
    headers["Content-Type"] = "application/problem+json"
    return json_response(status, {**body, **members}, headers)
