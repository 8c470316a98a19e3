"""JSON Schemas of requests and responses, and the parameters and headers by name.

The schemas of inputs are generated from the tasks.
"""

from __future__ import annotations

from typing import Any

import msgspec

from chalicelib import orders, tasks
from chalicelib.orders import Status
from chalicelib.tasks import Task
from chalicelib.web.body import LATEST_S
from chalicelib.web.problems import TYPES
from chalicelib.web.query import DEFAULT_LIMIT, INCLUDABLE, MAX_LIMIT

Schema = dict[str, Any]
_TIME: Schema = {"type": "string", "format": "date-time"}
_URL: Schema = {"type": "string", "format": "uri"}
_ANYTHING: Schema = {"type": "object", "additionalProperties": True}
_STATUS: Schema = {"type": "string", "enum": [status.value for status in Status]}

PARAMETERS: dict[str, tuple[str, str, Schema]] = {
    "order_id": (
        "path",
        "The order's id, in upper or lower case",
        {"type": "string", "minLength": 1},
    ),
    "file": ("path", "A file of the board", {"type": "string", "minLength": 1}),
    "include": (
        "query",
        "Members that are left out by default",
        {"type": "array", "items": {"type": "string", "enum": list(INCLUDABLE)}, "minItems": 1},
    ),
    "status": (
        "query",
        "Only orders of this status; may be repeated",
        {"type": "array", "items": _STATUS},
    ),
    "task": ("query", "Only orders of this task", {"type": "string"}),
    "limit": (
        "query",
        f"The maximum number of orders; values above {MAX_LIMIT} mean {MAX_LIMIT}",
        {"type": "integer", "minimum": 1, "default": DEFAULT_LIMIT},
    ),
    "cursor": ("query", "From the previous page's `next`, unchanged", {"type": "string"}),
    "Idempotency-Key": (
        "header",
        "1 to 255 visible ASCII characters, with or without quotes: same key, same order",
        {"type": "string", "pattern": '^(?!""$)[!-~]{1,255}$'},
    ),
    "Prefer": (
        "header",
        "`wait=N`: wait up to N seconds for the order to finish (RFC 7240)",
        {"type": "string", "examples": ["wait=1"]},
    ),
    "If-None-Match": ("header", "ETags that the client has", {"type": "string"}),
}

HEADERS: dict[str, str] = {
    "Location": "The order's URL",
    "Retry-After": "Seconds until the next poll; absent once the order is final",
    "ETag": "A strong tag that changes with every write",
    "Link": 'The next page, rel="next"',
    "Idempotency-Replayed": "`true` if an earlier request with this key had placed the order",
    "Preference-Applied": "The part of Prefer that was honoured",
    "WWW-Authenticate": "The challenge, with the token's error if it has one (RFC 6750)",
    "Cache-Control": "`no-store`, or `private, no-cache` beside an ETag",
    "X-Request-Id": "The client's, or one from the platform; in the logs too",
    "Vary": "Authorization, Origin",
    "Content-Security-Policy": "Loads nothing, except on the board and the docs page",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "HTTPS only",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def components() -> dict[str, Schema]:
    """Return every schema by its name."""
    brief = _order()
    full = {
        **brief,
        "properties": {**brief["properties"], **_large()},
        "required": [*brief["required"], "result"],
    }
    variants, inputs = _new_orders()
    return {
        **inputs,
        **variants,
        "NewOrder": {"oneOf": [_ref(name) for name in variants]},
        "Order": full,
        "OrderInList": brief,
        "Page": _object(items={"type": "array", "items": _ref("OrderInList")}, next_=_URL),
        "Tasks": _object(
            items={
                "type": "array",
                "items": _object(
                    name={"type": "string"},
                    description={"type": "string"},
                    input_schema=_ANYTHING,
                    max_attempts={"type": "integer"},
                    timeout_s={"type": ["number", "null"]},
                ),
            }
        ),
        "Problem": _problem(),
        "Health": _object(status={"type": "string", "const": "ok"}),
        "Anything": _ANYTHING,
    }


def _problem() -> Schema:
    return _object(
        type={
            "type": "string",
            "enum": [f"/problems/{name}" for name in TYPES],
            # Names for code generators
            "x-enum-varnames": [name.upper().replace("-", "_") for name in TYPES],
        },
        title={"type": "string"},
        status={"type": "integer"},
        detail={"type": "string"},
        request_id={"type": "string"},
        pointer_={"type": "string"},
        known_={"type": "array", "items": {"type": "string"}},
        order_status_=_STATUS,
        scope_={"type": "string"},
    )


def _new_orders() -> tuple[dict[str, Schema], dict[str, Schema]]:
    """Return a schema for each task's orders, and the types that their inputs refer to.

    Generators make a class of each schema. The names are prefixed and without titles, since a task,
    or a type in its hints, may have the name of one of our own schemas.
    """
    known = tasks.known().values()
    references, types = msgspec.json.schema_components(
        [task.signature.input_type for task in known],
        ref_template="#/components/schemas/Input_{name}",
    )
    inputs = {f"Input_{name}": _without_title(schema) for name, schema in types.items()}
    variants = {}
    for task, reference in zip(known, references, strict=True):
        input_schema = inputs.pop(reference["$ref"].rpartition("/")[2])
        variants[f"NewOrder_{task.name}"] = _new_order(task, input_schema)
    return variants, inputs


def _without_title(schema: Schema) -> Schema:
    return {name: value for name, value in schema.items() if name != "title"}


def _new_order(task: Task, input_schema: Schema) -> Schema:
    needs_input = not task.signature.accepts({})
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "task": {"type": "string", "const": task.name},
            "input": input_schema,
            "delay_s": {"type": ["number", "null"], "minimum": 0, "maximum": LATEST_S},
            "run_at": _or_null(_TIME),
        },
        "required": ["task", "input"] if needs_input else ["task"],
        "not": {"properties": {"delay_s": {}, "run_at": {}}, "required": ["delay_s", "run_at"]},
    }


def _order() -> Schema:
    return _object(
        id={"type": "string", "pattern": "^[0-9A-Z]{26}$"},
        task={"type": "string"},
        status={
            **_STATUS,
            "description": " ".join(
                f"{status.value}: {orders.MEANING[status]}" for status in Status
            ),
        },
        done={"type": "boolean"},
        attempts={"type": "integer"},
        max_attempts={"type": "integer"},
        created_at=_TIME,
        updated_at=_TIME,
        run_at=_or_null(_TIME),
        error=_or_null(
            _object(
                code={"type": "string"}, message={"type": "string"}, attempt={"type": "integer"}
            )
        ),
        progress=_or_null(_object(percent={"type": "integer"}, word={"type": "string"})),
        expires_at=_or_null(_TIME),
        links=_object(
            self=_URL,
            cancel=_URL,
            retry=_URL,
            parent_=_URL,
            follow_ups_={"type": "array", "items": _URL},
        ),
    )


def _large() -> dict[str, Schema]:
    """Return the members that a list leaves out."""
    return {
        "result": {"description": "The task's return value"},
        "input": {"description": "With ?include=input"},
        "history": {
            "description": "With ?include=history: the attempts",
            "type": "array",
            "items": _object(
                started_at=_TIME, ended_at=_or_null(_TIME), code=_or_null({"type": "string"})
            ),
        },
    }


def _object(**members: Schema) -> Schema:
    """Return the schema of an object; a member whose name ends in _ is optional."""
    return {
        "type": "object",
        "properties": {name.rstrip("_"): schema for name, schema in members.items()},
        "required": [name for name in members if not name.endswith("_")],
    }


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
