"""The events of API Gateway and function URLs as requests, and responses as their answers.

An event of payload format 2.0, of HTTP APIs and function URLs, is first made one of a REST API. A
REST API finds the route before it calls the function. The other two send every request, so that
finding the route, and answering that there is none, is done here.
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qs

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.execution.time_limit import time_left
from chalicelib.web import headers, problems
from chalicelib.web.http import TIMEOUT_S, Request, Response
from chalicelib.web.operations import api, handle, methods
from chalicelib.web.problems import Problem

Routes = Mapping[str, Collection[str]]
"""The methods of each path, such as /orders/{order_id}."""


class Match(Struct, frozen=True):
    """A path of the API that fits a request, and the values of its parameters."""

    route: str
    params: dict[str, str]


def answer(event: Mapping[str, Any], context: Any) -> dict[str, Any] | None:
    """Answer a REST API's event, or return None if it is for no operation of ours."""
    of_gateway = event.get("requestContext", {})
    method, path = of_gateway.get("httpMethod"), of_gateway.get("resourcePath")
    if method == "OPTIONS" and path in methods():
        return reply(headers.preflight(request(event, context), ", ".join(methods()[path])))
    operation = api.find(f"{method} {path}")
    return reply(handle(operation, request(event, context))) if operation else None


def request(event: Mapping[str, Any], context: Any) -> Request:
    """Return the request of a REST API's event; `context` is Lambda's."""
    of_gateway = event["requestContext"]
    fields = {name.lower(): value for name, value in (event["headers"] or {}).items()}
    body = event.get("body") or b""
    if isinstance(body, str):  # a lone surrogate makes it bytes that are not valid UTF-8
        encoded = event.get("isBase64Encoded")
        body = base64.b64decode(body) if encoded else body.encode(errors="surrogatepass")
    return Request(
        method=of_gateway["httpMethod"],
        route=of_gateway["resourcePath"],
        path=of_gateway["path"],
        headers=fields,
        query=event.get("multiValueQueryStringParameters") or {},
        params=event.get("pathParameters") or {},
        body=body,
        id=headers.request_id(fields, of_gateway.get("requestId") or context.aws_request_id),
        time_left_s=time_left(context, TIMEOUT_S),
    )


def reply(response: Response) -> dict[str, Any]:
    """Return what Lambda returns to API Gateway, or to Chalice's local server."""
    return {
        "statusCode": response.status,
        "headers": response.headers,
        "multiValueHeaders": {},
        "body": response.body,
    }


def is_v2(event: Mapping[str, Any]) -> bool:
    """Return True for an event of payload format 2.0; a REST API's has no version."""
    return event.get("version") == "2.0"


def rest_event(event: Mapping[str, Any], routes: Routes) -> dict[str, Any] | Response:
    """Return the event as a REST API sends it, or the answer to a request without a route."""
    context = event["requestContext"]
    method: str = context["http"]["method"]
    path: str = event["rawPath"]
    match = find(path, routes)
    if match is None or method not in routes[match.route]:
        fields = {name.lower(): value for name, value in event["headers"].items()}
        request_id = headers.request_id(fields, context.get("requestId", ""))
        request = Request(method, "", path, fields, id=request_id)
        return no_route(request, routes[match.route] if match else ())
    return {
        "headers": event["headers"],
        "multiValueQueryStringParameters": _query(event.get("rawQueryString", "")),
        "pathParameters": match.params or None,
        "stageVariables": event.get("stageVariables"),
        "body": event.get("body"),
        "isBase64Encoded": event.get("isBase64Encoded", False),
        "requestContext": {
            **context,
            "resourcePath": match.route,
            "httpMethod": method,
            "path": path,
        },
    }


def find(path: str, routes: Routes) -> Match | None:
    """Return the route of a path, or None. A path without parameters precedes one with them."""
    parts = path.removesuffix("/").split("/")
    for route in sorted(routes):
        names = route.split("/")
        pairs = list(zip(names, parts, strict=False))
        if len(names) == len(parts) and all(
            _is_parameter(name) or name == part for name, part in pairs
        ):
            return Match(route, {name[1:-1]: part for name, part in pairs if _is_parameter(name)})
    return None


def no_route(request: Request, methods: Collection[str]) -> Response:
    """Return 405 with the methods that the path has, or 404 if it has none."""
    if methods:
        allowed = ", ".join(sorted(methods))
        problem = Problem("method-not-allowed", f"This route knows {allowed}.")
    else:
        problem = Problem("not-found", "There is no such route; GET /docs lists them.")
    response = headers.with_default_headers(problems.response(problem, request), request)
    more = {"Allow": allowed} if methods else {}
    return replace(response, headers={**response.headers, **more})


def _is_parameter(name: str) -> bool:
    return name.startswith("{")


def _query(text: str) -> dict[str, list[str]] | None:
    """Return the values of each parameter, empty ones too; None without any, as AWS does."""
    return parse_qs(text, keep_blank_values=True) or None
