"""Each route's parameters and responses, as data.

/openapi.json and /docs are generated from it, and tests compare it with the app.
"""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.auth import READ, WRITE
from chalicelib.web.headers import SECURITY

BOARD_TYPES = ("text/html", "text/css", "text/javascript", "image/svg+xml")
STANDING = (*SECURITY, "Vary", "X-Request-Id", "Cache-Control")


@dataclass(frozen=True)
class Answer:
    """A successful status of an operation.

    meaning     its description
    body        the name of its JSON body's schema
    headers     beside STANDING
    text_types  the content types of a body that is not JSON
    """

    meaning: str
    body: str | None = None
    headers: tuple[str, ...] = ()
    text_types: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operation:
    """A method of a route.

    id        its handler in app.py
    scope     that the access token needs; None if the route is public
    answers   the successful statuses
    problems  the problem types beside those of every route
    body      the name of the request body's schema
    cloud     whether it calls AWS, which may be unavailable
    """

    id: str
    summary: str
    scope: str | None
    answers: dict[int, Answer]
    problems: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    body: str | None = None
    cloud: bool = True

    @property
    def all_problems(self) -> tuple[str, ...]:
        """The problem types of this operation, those of every route included."""
        access = ("unauthorized", "invalid-token", "insufficient-scope") if self.scope else ()
        cloud = ("unreadable-order", "unavailable") if self.cloud else ()
        return (*access, *self.problems, "too-many-requests", "internal", *cloud)


_KNOWN = Answer(
    "Not modified: If-None-Match names the current ETag",
    None,
    ("ETag", "Retry-After", "Preference-Applied"),
)
_PAGE_KNOWN = Answer("Not modified", None, ("ETag",))
_PLACED = ("Location", "Retry-After", "ETag", "Idempotency-Replayed", "Preference-Applied")

OPERATIONS: dict[str, Operation] = {
    "POST /orders": Operation(
        "place_order",
        "Place an order",
        WRITE,
        {
            202: Answer(
                "Accepted and stored: it will end with a result or an error", "Order", _PLACED
            ),
            200: Answer(
                "Accepted and already finished: the client preferred to wait", "Order", _PLACED
            ),
        },
        (
            "invalid-parameter",
            "invalid-json",
            "idempotency-key-invalid",
            "too-large",
            "unsupported-media-type",
            "invalid-order",
            "unknown-task",
            "invalid-input",
            "idempotency-key-reused",
        ),
        ("Idempotency-Key", "Prefer"),
        "NewOrder",
    ),
    "GET /orders": Operation(
        "list_orders",
        "List the owner's orders, newest first",
        READ,
        {
            200: Answer("A page; the last one has no `next`", "Page", ("ETag", "Link")),
            304: _PAGE_KNOWN,
        },
        ("invalid-parameter", "invalid-cursor"),
        ("status", "task", "limit", "cursor", "If-None-Match"),
    ),
    "GET /orders/{order_id}": Operation(
        "show_order",
        "Show an order",
        READ,
        {
            200: Answer(
                "The order, whatever its status",
                "Order",
                ("ETag", "Retry-After", "Preference-Applied"),
            ),
            304: _KNOWN,
        },
        ("invalid-parameter", "not-found"),
        ("order_id", "include", "Prefer", "If-None-Match"),
    ),
    "POST /orders/{order_id}/cancel": Operation(
        "cancel_order",
        "Cancel an order that has not started",
        WRITE,
        {200: Answer("The order is cancelled", "Order", ("ETag",))},
        ("not-found", "not-cancellable"),
        ("order_id",),
    ),
    "POST /orders/{order_id}/retry": Operation(
        "retry_order",
        "Retry an order that failed or was cancelled",
        WRITE,
        {
            202: Answer(
                "Accepted; the order keeps its id", "Order", ("Location", "Retry-After", "ETag")
            )
        },
        ("not-found", "not-retryable", "unknown-task"),
        ("order_id",),
    ),
    "GET /tasks": Operation(
        "list_tasks",
        "List the tasks, with the JSON Schema of each input",
        READ,
        {200: Answer("The tasks", "Tasks")},
    ),
    "GET /board": Operation(
        "show_board",
        "Show the board",
        None,
        {200: Answer("The page", headers=("ETag",), text_types=("text/html",)), 304: _PAGE_KNOWN},
        (),
        ("If-None-Match",),
        cloud=False,
    ),
    "GET /board/{file}": Operation(
        "board_file",
        "Get a file of the board",
        None,
        {200: Answer("The file", headers=("ETag",), text_types=BOARD_TYPES), 304: _PAGE_KNOWN},
        ("not-found",),
        ("file", "If-None-Match"),
        cloud=False,
    ),
    "GET /openapi.json": Operation(
        "openapi_json",
        "Get this description",
        None,
        {200: Answer("OpenAPI 3.1", "Anything")},
        cloud=False,
    ),
    "GET /docs": Operation(
        "docs_page",
        "Show the API documentation",
        None,
        {200: Answer("The page", text_types=("text/html",))},
        cloud=False,
    ),
    "GET /health": Operation(
        "health",
        "Check that the HTTP function answers",
        None,
        {200: Answer("It answers", "Health")},
        cloud=False,
    ),
}
