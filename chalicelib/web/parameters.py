"""The parameters of requests: each described once, and those of the query parsed strictly.

Ignoring a misspelt filter would return the wrong orders.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from chalicelib.orders import Status
from chalicelib.web.http import Request
from chalicelib.web.problems import Problem

INCLUDABLE = ("input", "history")
MAX_LIMIT = 100
DEFAULT_LIMIT = 50


class Parameter(Struct, frozen=True):
    """A parameter of an operation.

    location     path, query or header
    description  for OpenAPI and /docs
    schema       JSON Schema of its value
    required     True if a request must have it, as it must those of the path
    """

    name: str
    location: str
    description: str
    schema: dict[str, Any]
    required: bool = False


ORDER_ID = Parameter(
    "order_id",
    "path",
    "The order's id, in upper or lower case",
    {"type": "string", "minLength": 1},
)
FILE_ID = Parameter(
    "sha256",
    "path",
    "The SHA-256 of the file's bytes, in hexadecimal",
    {"type": "string", "minLength": 1},
)
NAME = Parameter(
    "name",
    "query",
    "Save the file under this name; without one a browser shows a picture",
    {"type": "string"},
)
FILE = Parameter("file", "path", "A file of the page", {"type": "string", "minLength": 1})
INCLUDE = Parameter(
    "include",
    "query",
    "Members that are left out by default",
    {"type": "array", "items": {"type": "string", "enum": list(INCLUDABLE)}, "minItems": 1},
)
STATUS = Parameter(
    "status",
    "query",
    "Only orders of this status; may be repeated",
    {"type": "array", "items": {"type": "string", "enum": [status.value for status in Status]}},
)
TASK = Parameter("task", "query", "Only orders of this task", {"type": "string"})
RUNNING = Parameter(
    "running",
    "query",
    "`refuse`: answer 409 if the order runs. Default: `stop`, ask the running task to stop",
    {"type": "string", "enum": ["stop", "refuse"], "default": "stop"},
)
LIMIT = Parameter(
    "limit",
    "query",
    f"The maximum number of orders; values above {MAX_LIMIT} mean {MAX_LIMIT}",
    {"type": "integer", "minimum": 1, "default": DEFAULT_LIMIT},
)
CURSOR = Parameter(
    "cursor", "query", "From the previous page's `next`, unchanged", {"type": "string"}
)
IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "header",
    "1 to 255 visible ASCII characters, with or without quotes: same key, same order",
    {"type": "string", "pattern": '^(?!""$)[!-~]{1,255}$'},
)
BULK_KEY = Parameter(
    "Idempotency-Key",
    "header",
    "As for one order; it names each order together with its index",
    IDEMPOTENCY_KEY.schema,
    required=True,
)
PREFER = Parameter(
    "Prefer",
    "header",
    "`wait=N`: wait up to N seconds for the order to finish (RFC 7240)",
    {"type": "string", "examples": ["wait=1"]},
)
ACCEPT = Parameter(
    "Accept",
    "header",
    "`application/json`: answer 200 instead of 303, for scripts of web pages",
    {"type": "string"},
)
IF_NONE_MATCH = Parameter(
    "If-None-Match", "header", "ETags that the client has", {"type": "string"}
)


def check_query(request: Request, parameters: Iterable[Parameter]) -> None:
    """Reject unknown query parameters. Raises Problem `invalid-parameter`."""
    known = [parameter.name for parameter in parameters if parameter.location == "query"]
    for name in request.query:
        if name not in known:
            raise invalid(f"unknown parameter {name[:40]!r}; known: {', '.join(known) or 'none'}")


def include(request: Request) -> frozenset[str]:
    """Return the members named by `?include=input,history`, which are left out by default."""
    texts = request.query.get("include", [])
    names = frozenset(name for text in texts for name in text.split(","))
    for name in names.difference(INCLUDABLE):
        raise invalid(
            f"include={name[:40]!r}: must be {' or '.join(INCLUDABLE)}, or both with a comma"
        )
    return names


def stop_running(request: Request) -> bool:
    """Return whether a running order is to be stopped: `?running=stop`, the default, or refuse."""
    text = single(request, "running")
    if text not in (None, "stop", "refuse"):
        raise invalid(f"running={text[:40]!r}: must be stop or refuse")
    return text != "refuse"


def limit(request: Request) -> int:
    """Return the page size: `?limit=` up to MAX_LIMIT, or DEFAULT_LIMIT."""
    text = single(request, "limit")
    if text is None:
        return DEFAULT_LIMIT
    digits = text.lstrip("0")[:9]
    if not (text.isascii() and text.isdigit() and digits):
        raise invalid(f"limit={text[:40]!r}: must be a whole number from 1 to {MAX_LIMIT}")
    return min(int(digits), MAX_LIMIT)


def statuses(request: Request) -> frozenset[Status]:
    """Return the statuses of `?status=PENDING&status=RUNNING`; empty means all."""
    known = {status.value: status for status in Status}
    for text in request.query.get("status", []):
        if text not in known:
            raise invalid(f"status={text[:40]!r}: must be one of {', '.join(known)}")
    return frozenset(known[text] for text in request.query.get("status", []))


def single(request: Request, name: str) -> str | None:
    """Return the value of a parameter that may not be repeated, or None."""
    values = request.query.get(name, [])
    if len(values) > 1:
        raise invalid(f"{name} was sent {len(values)} times; send it once")
    return values[0] if values else None


def invalid(detail: str) -> Problem:
    """Return the problem of a parameter."""
    return Problem("invalid-parameter", f"{detail}.")
