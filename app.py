"""The handlers of all triggers: HTTP, queues and the schedule. Each is one call into chalicelib.

Event handlers must live in this file. Chalice deploys a Blueprint's handlers under the Blueprint's
own module, which never imports this one. Handler names are public: resources in
.chalice/resources.yaml are named after them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from chalice.app import Chalice, LambdaFunctionEvent, Response, SQSEvent

from chalicelib.execution.time_limit import time_left
from chalicelib.functions import deliveries  # noqa: F401  registers the task

# The handler of this function in Lambda; elsewhere all are served. A function imports its own parts
# only, since each import makes every cold start longer:
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
HANDLER = os.environ.get("_HANDLER", "")

if HANDLER in ("", "app.app"):
    from chalicelib.web import (
        bulk_views,  # noqa: F401  declares operations
        file_views,  # noqa: F401  declares operations
        headers,
        http,
        operator_page,  # noqa: F401  declares operations
        operator_views,  # noqa: F401  declares operations
        payload,
        views,  # noqa: F401  declares operations
    )
    from chalicelib.web.operations import Operation, api, handle
if HANDLER in ("", "app.order_worker"):
    from chalicelib.functions.worker import work
if HANDLER in ("", "app.dead_letters"):
    from chalicelib.functions.dead_letters import settle
if HANDLER in ("", "app.order_sweeper"):
    from chalicelib.functions.sweeper import sweep


class Orderline(Chalice):
    """Chalice, which knows only REST APIs, behind HTTP APIs and function URLs too."""

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        if payload.is_v2(event):
            event = payload.rest_event(event, self.routes)
        if isinstance(event, http.Response):  # there is no such route
            return _respond(event).to_dict()
        return super().__call__(event, context)


app = Orderline(app_name="orderline")
ANY_TYPE = ["*/*"]  # the views check the content type, and answer in problem+json


def _handler(operation: Operation) -> Callable[..., Response]:
    def handler(**params: str) -> Response:  # the view reads them from the request
        return _respond(handle(operation, _request()))

    return handler


def preflight(**params: str) -> Response:
    return _respond(headers.preflight(_request(), ", ".join(app.routes[_request().route])))


if HANDLER in ("", "app.app"):
    for _operation in api.values():
        app.route(
            _operation.path, methods=[_operation.method], content_types=ANY_TYPE, name=_operation.id
        )(_handler(_operation))
    for _path in list(app.routes):
        app.route(_path, methods=["OPTIONS"], content_types=ANY_TYPE)(preflight)


@app.on_sqs_message(queue_arn="set-in-resources.yaml", name="order_worker")
def order_worker(event: SQSEvent) -> dict[str, Any]:
    return work(event.to_dict().get("Records", []), time_left(event.context))


@app.on_sqs_message(queue_arn="set-in-resources.yaml", name="dead_letters")
def dead_letters(event: SQSEvent) -> dict[str, Any]:
    return settle(event.to_dict().get("Records", []))


@app.schedule("rate(1 minute)", name="order_sweeper")
def order_sweeper(event: LambdaFunctionEvent) -> dict[str, Any]:
    return vars(sweep(time_left(event.context)))


# Chalice's own class requires all members of a scheduled event. We read none of them, and the test
# button of the AWS console sends an event without them.
order_sweeper.event_class = LambdaFunctionEvent


def _request() -> http.Request:
    """Convert Chalice's current request."""
    request: Any = app.current_request
    query = request.query_params
    fields = {name.lower(): value for name, value in request.headers.items()}
    aws_id = request.context.get("requestId") or request.lambda_context.aws_request_id
    return http.Request(
        method=request.method,
        route=request.context["resourcePath"],
        path=request.context["path"],
        headers=fields,
        query={name: query.getlist(name) for name in query} if query else {},
        params=request.uri_params or {},
        body=request.raw_body or b"",
        id=headers.request_id(fields, aws_id),
        time_left_s=time_left(app.lambda_context, http.TIMEOUT_S),
    )


def _respond(response: http.Response) -> Response:
    return Response(response.body, headers=dict(response.headers), status_code=response.status)
