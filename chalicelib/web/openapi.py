"""GET /openapi.json: the API's description, generated from the operations and the tasks."""

from __future__ import annotations

from typing import Any

from chalicelib.web import bodies, problems, schemas
from chalicelib.web.headers import SECURITY
from chalicelib.web.operations import Answer, Api, Operation
from chalicelib.web.parameters import Parameter

_ABOUT = (
    "A client places an order and gets a reference number; a worker runs the task; the client"
    " polls.\nErrors are problems (RFC 9457), identified by their `type`."
    " Every route answers OPTIONS."
)
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
_STANDING = (*SECURITY, "Vary", "X-Request-Id", "Cache-Control")  # of every response
_LICENSE = {"name": "Apache License 2.0", "identifier": "Apache-2.0"}


def document(api: Api, base_url: str) -> dict[str, Any]:
    """Return the description as an OpenAPI 3.1 document."""
    paths: dict[str, dict[str, Any]] = {}
    api.load()
    for operation in api.values():
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Orderline", "version": "1", "description": _ABOUT, "license": _LICENSE},
        "servers": [{"url": base_url}],
        "paths": paths,
        "components": {
            "schemas": schemas.components(api),
            "headers": {
                name: {"description": text, "schema": {"type": "string"}}
                for name, text in HEADERS.items()
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    description: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "security": [{"token": []}] if operation.scope else [],
        "parameters": [_parameter(each) for each in operation.parameters],
        "responses": {
            **{str(status): _answer(answer) for status, answer in operation.answers.items()},
            **_problems(operation.all_problems),
        },
    }
    if operation.scope:
        description["description"] = f"The token needs the scope `{operation.scope}`."
    if operation.body:
        description["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas.of(operation.body)}},
        }
    return description


def _parameter(parameter: Parameter) -> dict[str, Any]:
    description = {
        "name": parameter.name,
        "in": parameter.location,
        "description": parameter.description,
        "schema": parameter.schema,
        "required": parameter.location == "path" or parameter.required,
    }
    if parameter.name == "include":  # one parameter with commas, not one for each value
        description |= {"style": "form", "explode": False}
    return description


def _answer(answer: Answer) -> dict[str, Any]:
    content = {kind: {"schema": {"type": "string"}} for kind in answer.text_types}
    if answer.body:
        content["application/json"] = {"schema": schemas.of(answer.body)}
    response: dict[str, Any] = {
        "description": answer.description,
        "headers": _headers(answer.headers),
    }
    if content:
        response["content"] = content
    return response


def _problems(names: tuple[str, ...]) -> dict[str, Any]:
    """Return the problem responses by status; a status may have several types."""
    by_status: dict[int, list[str]] = {}
    for name in names:
        by_status.setdefault(problems.TYPES[name].status, []).append(name)
    return {str(status): _problem(of_status) for status, of_status in sorted(by_status.items())}


def _problem(names: list[str]) -> dict[str, Any]:
    # Beside the reference, not in an allOf: validators read both, and generators that read only one
    # of them still find the class
    schema = {
        **schemas.of(bodies.Problem),
        "properties": {"type": {"enum": [f"/problems/{name}" for name in names]}},
    }
    return {
        "description": "; ".join(f"{name}: {problems.TYPES[name].title}" for name in names),
        "headers": _headers(
            tuple(header for name in names for header in problems.TYPES[name].headers)
        ),
        "content": {"application/problem+json": {"schema": schema}},
    }


def _headers(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*names, *_STANDING)}
