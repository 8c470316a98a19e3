"""The bodies of requests and responses, as Structs: they render each response and describe it.

/openapi.json has their JSON Schemas, with the descriptions below. A new member is a field here and
its value in the function that fills it. A member of type UnsetType is left out while it is UNSET.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from chalicelib import orders, tasks
from chalicelib.clock import SECOND
from chalicelib.execution.file import DEFAULT_TYPE, MEDIA_TYPE_PATTERN
from chalicelib.orders import MEANING, Status
from chalicelib.prerequisites import MAX_AFTER
from chalicelib.web.http import Request
from chalicelib.web.times import next_start, time_text

LATEST_S = 10 * 366 * 86400  # maximum delay: ten years; a longer one is probably a mistake

Id = Annotated[str, Meta(pattern="^[0-9A-Z]{26}$")]
FileId = Annotated[
    str,
    Meta(
        pattern="^[0-9a-f]{64}$",
        max_length=64,
        description="SHA-256 of the bytes, in hexadecimal",
    ),
]
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Url = Annotated[str, Meta(extra_json_schema={"format": "uri"})]
StatusName = Annotated[str, Meta(extra_json_schema={"enum": [status.value for status in Status]})]
_STATUSES = " ".join(f"{status.value}: {MEANING[status]}" for status in Status)


class NewOrder(Struct, forbid_unknown_fields=True):
    """An order to place; its `input` is described by the task's own schema."""

    task: str
    input: Any = {}
    delay_s: Annotated[float, Meta(ge=0, le=LATEST_S)] | UnsetType | None = UNSET
    run_at: Time | UnsetType | None = UNSET
    after: Annotated[
        list[Annotated[str, Meta(max_length=26)]],
        Meta(
            description="Ids of orders that must end first",
            extra_json_schema={"maxItems": MAX_AFTER},  # checked later, with a better message
        ),
    ] = []
    when: Annotated[
        Literal["success", "end"] | UnsetType,
        Meta(description="How they must end; `end`: in any way. Default: success"),
    ] = UNSET
    notify: Annotated[
        list[Annotated[str, Meta(max_length=40)]],
        Meta(description="Names of webhook endpoints to tell of its end"),
    ] = []


class OrderError(Struct):
    """Why the order failed, or why its last attempt did."""

    code: str
    message: str
    attempt: int


class Progress(Struct):
    """How far the running task has come, by its own report."""

    percent: int
    word: str


class Attempt(Struct):
    """One attempt. `ended_at` is null while it runs, and for good if it crashed."""

    started_at: Time
    ended_at: Time | None
    code: Annotated[str | None, Meta(description="The error's code; null without an error")]


class Links(Struct):
    """URLs of the order, and of those that it belongs to."""

    self: Url
    cancel: Url
    retry: Url
    parent: Annotated[Url | UnsetType, Meta(description="The order whose task placed it")] = UNSET
    follow_ups: Annotated[list[Url] | UnsetType, Meta(description="What its task placed")] = UNSET
    after: Annotated[list[Url] | UnsetType, Meta(description="The orders that it starts after")] = (
        UNSET
    )
    dependents: Annotated[list[Url] | UnsetType, Meta(description="What starts after it")] = UNSET


class OrderInList(Struct, kw_only=True):
    """An order without its result, which may be large."""

    id: Id
    task: str
    lane: Annotated[str, Meta(description="The lane in which its task runs now")]
    status: Annotated[StatusName, Meta(description=_STATUSES)]
    done: Annotated[bool, Meta(description="True once the status is final")]
    stopping: Annotated[
        bool, Meta(description="True once it is to be stopped; no further attempt starts")
    ]
    attempts: Annotated[int, Meta(description="Attempts started since the last retry")]
    max_attempts: int
    created_at: Time
    updated_at: Time
    run_at: Annotated[
        Time | None,
        Meta(description="Earliest time of the first attempt, or of one after a long backoff"),
    ]
    waits_for: Annotated[int, Meta(description="Number of orders that must end first")]
    when: Annotated[
        Literal["success", "end"] | None,
        Meta(description="How they must end; null: it waits for none"),
    ]
    notify: Annotated[list[str], Meta(description="Webhook endpoints that it named")]
    error: OrderError | None
    progress: Progress | None
    expires_at: Annotated[Time | None, Meta(description="When the order will be deleted")]
    links: Links


class Order(OrderInList, kw_only=True):
    """An order."""

    result: Annotated[Any, Meta(description="The task's return value")]
    input: Annotated[Any | UnsetType, Meta(description="With ?include=input")] = UNSET
    history: Annotated[
        list[Attempt] | UnsetType, Meta(description="With ?include=history: the latest attempts")
    ] = UNSET


class Page(Struct):
    """A page of a list of orders."""

    items: list[OrderInList]
    next: Annotated[Url | UnsetType, Meta(description="Absent on the last page")] = UNSET


class Task(Struct):
    """A task that orders can name."""

    name: str
    description: str
    input_schema: Annotated[dict[str, Any], Meta(description="JSON Schema 2020-12")]
    lane: Annotated[str, Meta(description="The queue and the worker that run it")]
    max_attempts: int
    timeout_s: float | None
    per_minute: Annotated[
        float | None, Meta(description="Maximum of orders that start in any 60 seconds")
    ]


class Tasks(Struct):
    """All tasks."""

    items: list[Task]


class Problem(Struct, kw_only=True):
    """An error response (RFC 9457). Errors of the domain fill the optional members."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    pointer: Annotated[
        str | UnsetType, Meta(description="JSON pointer (RFC 6901) to the wrong member")
    ] = UNSET
    known: Annotated[list[str] | UnsetType, Meta(description="The tasks that exist")] = UNSET
    order_status: StatusName | UnsetType = UNSET
    scope: Annotated[str | UnsetType, Meta(description="The scope that the token lacks")] = UNSET


class NewFile(Struct, forbid_unknown_fields=True):
    """A file to upload."""

    sha256: FileId
    size: Annotated[int, Meta(ge=0, description="In bytes")]
    type: Annotated[
        str,
        Meta(
            description="Media type, such as image/png",
            extra_json_schema={"pattern": MEDIA_TYPE_PATTERN},
        ),
    ] = DEFAULT_TYPE


class Upload(Struct):
    """A request that uploads the file to S3. Send its headers, and no access token."""

    method: Literal["PUT"]
    url: Url
    headers: Annotated[dict[str, str], Meta(description="Send them as they are")]
    expires_at: Time


class FileUpload(Struct):
    """A file's id, and how to upload it."""

    file: FileId
    upload: Annotated[Upload | None, Meta(description="null: the file is stored already")]


class FileDownload(Struct):
    """A stored file. `url` needs no access token until it expires."""

    file: FileId
    size: Annotated[int, Meta(description="In bytes")]
    type: str
    url: Url
    expires_at: Time


class Health(Struct):
    """The function answers."""

    status: Literal["ok"]


def order(order: orders.Order, request: Request, include: Collection[str] = ()) -> Order:
    """Return an order's body, with input and history only if they are in `include`."""
    return Order(
        **_members_in_list(order, request),
        result=None if order.result is None else Raw(order.result),
        input=Raw(order.input) if "input" in include else UNSET,
        history=[_attempt(entry) for entry in order.history] if "history" in include else UNSET,
    )


def order_in_list(order: orders.Order, request: Request) -> OrderInList:
    """Return an order's body in a list."""
    return OrderInList(**_members_in_list(order, request))


def _members_in_list(order: orders.Order, request: Request) -> dict[str, Any]:
    error, progress = order.error, order.progress
    return {
        "id": order.id,
        "task": order.task,
        "lane": tasks.lane_of(order.task),
        "status": order.status.value,
        "done": order.status.final,
        "stopping": order.stopping,
        "attempts": order.attempts,
        "max_attempts": order.max_attempts,
        "created_at": time_text(order.created_at),
        "updated_at": time_text(order.updated_at),
        "run_at": time_text(next_start(order)),
        "waits_for": len(order.waits_for) if order.waiting else 0,
        "when": order.when,
        "notify": list(order.notify or ()),
        "error": error and OrderError(error.code, error.message, error.attempt),
        "progress": progress and Progress(progress.percent, progress.word),
        "expires_at": time_text(order.expires_at * SECOND if order.expires_at else None),
        "links": _links(order, request),
    }


def task(task: tasks.Task) -> Task:
    """Return a task's body."""
    return Task(
        task.name,
        task.description,
        task.signature.schema(),
        task.lane,
        task.max_attempts,
        task.timeout_s,
        task.per_minute,
    )


def _attempt(attempt: orders.Attempt) -> Attempt:
    return Attempt(time_text(attempt.start), time_text(attempt.end), attempt.code)


def _links(order: orders.Order, request: Request) -> Links:
    url = request.url(f"/orders/{order.id}")
    links = Links(url, f"{url}/cancel", f"{url}/retry")
    if order.parent:
        links.parent = request.url(f"/orders/{order.parent}")
    if order.after:
        links.after = [request.url(f"/orders/{id}") for id in order.after]
    if order.dependents:
        links.dependents = [request.url(f"/orders/{id}") for id in sorted(order.dependents)]
    if order.follow_ups:
        links.follow_ups = [request.url(f"/orders/{id}") for id in order.follow_ups]
    return links
