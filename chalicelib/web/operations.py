"""What each route takes and answers, as data: /openapi.json and /docs are made of it, and tests hold it to the app."""

from __future__ import annotations

from dataclasses import dataclass, field

from chalicelib.auth import READ, WRITE
from chalicelib.web.headers import SECURITY

BOARD_TYPES = ("text/html", "text/css", "text/javascript", "image/svg+xml")
STANDING = (*SECURITY, "Vary", "X-Request-Id", "Cache-Control")


@dataclass(frozen=True)
class Answer:
    """One status that is no problem: its meaning, the schema of its JSON body, headers beside STANDING, or text."""

    meaning: str
    body: str | None = None
    headers: tuple[str, ...] = ()
    text_types: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operation:
    """One method of one route. `id`: its handler in app.py. `problems`: beside those of any route."""

    id: str
    summary: str
    scope: str | None
    answers: dict[int, Answer]
    problems: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    body: str | None = None
    cloud: bool = field(default=True)
    """Whether it asks AWS, which may not be there."""

    @property
    def all_problems(self) -> tuple[str, ...]:
        strangers = ("unauthorized", "invalid-token", "insufficient-scope") if self.scope else ()
        absent = ("unreadable-order", "unavailable") if self.cloud else ()
        return (*strangers, *self.problems, "too-many-requests", "internal", *absent)


_KNOWN = Answer(
    "The client has it already: its If-None-Match names this ETag",
    None,
    ("ETag", "Retry-After", "Preference-Applied"),
)
_PAGE_KNOWN = Answer("The client has it already", None, ("ETag",))
_PLACED = ("Location", "Retry-After", "ETag", "Idempotency-Replayed", "Preference-Applied")

OPERATIONS: dict[str, Operation] = {
    "POST /orders": Operation(
        "place_order",
        "Place an order",
        WRITE,
        {
            202: Answer(
                "Accepted, and durable: it will end, with a result or a reason", "Order", _PLACED
            ),
            200: Answer(
                "Accepted, and over already: the client preferred to wait", "Order", _PLACED
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
        "List the client's orders, the newest first",
        READ,
        {
            200: Answer("A page; without `next` it was the last", "Page", ("ETag", "Link")),
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
                "The order, whatever its status: the read worked",
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
        "Withdraw an order that waits",
        WRITE,
        {200: Answer("It is cancelled, now or before", "Order", ("ETag",))},
        ("not-found", "not-cancellable"),
        ("order_id",),
    ),
    "POST /orders/{order_id}/retry": Operation(
        "retry_order",
        "Give an order that failed or was cancelled another round",
        WRITE,
        {
            202: Answer(
                "It waits again, under its old id", "Order", ("Location", "Retry-After", "ETag")
            )
        },
        ("not-found", "not-retryable", "unknown-task"),
        ("order_id",),
    ),
    "GET /tasks": Operation(
        "list_tasks",
        "What can be ordered, with the JSON Schema of each input",
        READ,
        {200: Answer("The tasks", "Tasks")},
    ),
    "GET /board": Operation(
        "show_board",
        "The board",
        None,
        {200: Answer("The page", headers=("ETag",), text_types=("text/html",)), 304: _PAGE_KNOWN},
        (),
        ("If-None-Match",),
        cloud=False,
    ),
    "GET /board/{file}": Operation(
        "board_file",
        "The board's files",
        None,
        {200: Answer("The file", headers=("ETag",), text_types=BOARD_TYPES), 304: _PAGE_KNOWN},
        ("not-found",),
        ("file", "If-None-Match"),
        cloud=False,
    ),
    "GET /openapi.json": Operation(
        "openapi_json",
        "This description",
        None,
        {200: Answer("OpenAPI 3.1", "Anything")},
        cloud=False,
    ),
    "GET /docs": Operation(
        "docs_page",
        "A page for people, made from it",
        None,
        {200: Answer("The page", text_types=("text/html",))},
        cloud=False,
    ),
    "GET /health": Operation(
        "health",
        "Whether the function answers",
        None,
        {200: Answer("It does", "Health")},
        cloud=False,
    ),
}
