"""GET /openapi.json: the API's description, generated from the operations and the tasks."""

from __future__ import annotations

from typing import Any

from chalicelib.web import problems, schemas
from chalicelib.web.http import Request, Response, json_response
from chalicelib.web.operations import OPERATIONS, STANDING, Answer, Operation

_ABOUT = (
    "A client places an order and gets a reference number; a worker runs the task; the client"
    " polls.\nErrors are problems (RFC 9457), identified by their `type`."
    " Every route answers OPTIONS."
)
_LICENSE = {"name": "Apache License 2.0", "identifier": "Apache-2.0"}


def show(request: Request, owner: str) -> Response:
    """Serve GET /openapi.json."""
    return json_response(200, document(request.url("")))


def document(base_url: str) -> dict[str, Any]:
    """Return the description as an OpenAPI 3.1 document."""
    paths: dict[str, dict[str, Any]] = {}
    for route, operation in OPERATIONS.items():
        method, path = route.split()
        paths.setdefault(path, {})[method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Orderline", "version": "1", "description": _ABOUT, "license": _LICENSE},
        "servers": [{"url": base_url}],
        "paths": paths,
        "components": {
            "schemas": schemas.components(),
            "headers": {
                name: {"description": text, "schema": {"type": "string"}}
                for name, text in schemas.HEADERS.items()
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    description: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "security": [{"token": []}] if operation.scope else [],
        "parameters": [_parameter(name) for name in operation.parameters],
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
            "content": {"application/json": {"schema": _ref(operation.body)}},
        }
    return description


def _parameter(name: str) -> dict[str, Any]:
    location, text, schema = schemas.PARAMETERS[name]
    parameter = {
        "name": name,
        "in": location,
        "description": text,
        "schema": schema,
        "required": location == "path",
    }
    if name == "include":  # one parameter with commas, not one for each value
        parameter |= {"style": "form", "explode": False}
    return parameter


def _answer(answer: Answer) -> dict[str, Any]:
    content = {kind: {"schema": {"type": "string"}} for kind in answer.text_types}
    if answer.body:
        content["application/json"] = {"schema": _ref(answer.body)}
    response: dict[str, Any] = {
        "description": answer.meaning,
        "headers": _headers(answer.headers),
    }
    if content:
        response["content"] = content
    return response


def _problems(names: tuple[str, ...]) -> dict[str, Any]:
    """Return the problem responses by status; a status may have several types."""
    by_status: dict[int, list[str]] = {}
    for name in names:
        by_status.setdefault(problems.TYPES[name][0], []).append(name)
    return {str(status): _problem(of_status) for status, of_status in sorted(by_status.items())}


def _problem(names: list[str]) -> dict[str, Any]:
    # Beside the reference, not in an allOf: validators read both, and generators that read only one
    # of them still find the class
    schema = {
        **_ref("Problem"),
        "properties": {"type": {"enum": [f"/problems/{name}" for name in names]}},
    }
    return {
        "description": "; ".join(f"{name}: {problems.TYPES[name][1]}" for name in names),
        "headers": _headers(
            tuple(header for name in names for header in problems.HEADERS.get(name, {}))
        ),
        "content": {"application/problem+json": {"schema": schema}},
    }


def _headers(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*names, *STANDING)}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
