"""Error responses as application/problem+json (RFC 9457).

A new kind of problem is one row of TYPES. An operation names those that it can answer with.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from chalicelib import errors, logs
from chalicelib.web import bodies
from chalicelib.web.http import Request, Response, json_response

_SOON = {"Retry-After": "2"}
_TYPE = "/problems/"  # begins the type of each problem


def _challenge(*parts: str) -> dict[str, str]:
    """Return a challenge as in RFC 6750, section 3.1."""
    return {"WWW-Authenticate": ", ".join(['Bearer realm="orderline"', *parts])}


class ProblemType(Struct, frozen=True):
    """A kind of problem.

    error    the error that is answered with it, and those derived from it that have no own row;
             None if only Problem or API Gateway names it
    headers  of its responses, besides those of all; {scope} stands for the problem's member
    """

    status: int
    title: str
    error: type[errors.OrderlineError] | None = None
    headers: dict[str, str] = {}


TYPES: dict[str, ProblemType] = {
    "invalid-json": ProblemType(400, "Malformed JSON"),
    "invalid-cursor": ProblemType(400, "Invalid cursor"),
    "invalid-parameter": ProblemType(400, "Invalid parameter"),
    "idempotency-key-invalid": ProblemType(400, "Invalid Idempotency-Key"),
    "unauthorized": ProblemType(401, "Missing access token", errors.Unauthorized, _challenge()),
    "invalid-token": ProblemType(
        401, "Invalid token", errors.InvalidToken, _challenge('error="invalid_token"')
    ),
    "insufficient-scope": ProblemType(
        403,
        "Insufficient scope",
        errors.InsufficientScope,
        _challenge('error="insufficient_scope"', 'scope="{scope}"'),
    ),
    "not-found": ProblemType(404, "Not found", errors.NotFound),
    "method-not-allowed": ProblemType(405, "Method not allowed"),
    "not-cancellable": ProblemType(409, "Order can't be cancelled", errors.NotCancellable),
    "not-retryable": ProblemType(409, "Order can't be retried", errors.NotRetryable),
    "too-large": ProblemType(413, "Request too large", errors.TooLarge),
    "unsupported-media-type": ProblemType(415, "Unsupported media type"),
    "invalid-order": ProblemType(422, "Invalid order", errors.InvalidOrder),
    "invalid-file": ProblemType(422, "Invalid file"),
    "unknown-task": ProblemType(422, "Unknown task", errors.UnknownTask),
    "invalid-input": ProblemType(422, "Invalid input", errors.InvalidInput),
    "file-missing": ProblemType(422, "File missing", errors.FileMissing),
    "idempotency-key-reused": ProblemType(422, "Idempotency-Key already used", errors.KeyReused),
    "too-many-requests": ProblemType(429, "Too many requests", None, _SOON),
    "internal": ProblemType(500, "Internal server error"),
    "unreadable-order": ProblemType(500, "Unreadable order", errors.UnreadableOrder),
    "unavailable": ProblemType(503, "Service unavailable", errors.Unavailable, _SOON),
}
_NAMES = {row.error: name for name, row in TYPES.items() if row.error}


class Problem(Exception):
    """An invalid request, detected in web/. `name` is a key of TYPES."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(detail)
        self.name = name


def response(error: Exception, request: Request) -> Response:
    """Return the problem of an error. An unexpected one is logged with its traceback, not shown."""
    body = body_of(error, request)
    if body is None:
        logs.exception("internal", route=request.route)
        detail = "Unexpected error; see the logs of this request_id."
        body = _body("internal", detail, request, {})
    return _response(body)


def body_of(error: Exception, request: Request) -> bodies.Problem | None:
    """Return the body of an error's problem, None if the error is unexpected."""
    if isinstance(error, Problem):
        return _body(error.name, str(error), request, {})
    if isinstance(error, errors.OrderlineError) and (name := name_of(type(error))):
        return _body(name, str(error), request, _members(error))
    return None


def name_of(error: type[BaseException]) -> str | None:
    """Return the problem type of a class of errors, or of the nearest of its bases."""
    return next((_NAMES[base] for base in error.__mro__ if base in _NAMES), None)


def _members(error: Exception) -> dict[str, Any]:
    """Return those attributes of an error that are members of a problem."""
    known = bodies.Problem.__struct_fields__
    return {name: value for name, value in vars(error).items() if name in known}


def _body(name: str, detail: str, request: Request, members: dict[str, Any]) -> bodies.Problem:
    row = TYPES[name]
    return bodies.Problem(
        type=_TYPE + name,
        title=row.title,
        status=row.status,
        detail=detail,
        request_id=request.id,
        **members,
    )


def _response(body: bodies.Problem) -> Response:
    name = body.type.removeprefix(_TYPE)
    if body.status >= 500:  # Lambda's metrics don't count an error that was answered
        logs.event("http_failed", status=body.status, problem=name, reason=body.detail)
    headers = {key: text.format(scope=body.scope) for key, text in TYPES[name].headers.items()}
    headers["Content-Type"] = "application/problem+json"
    return json_response(body.status, body, headers)
