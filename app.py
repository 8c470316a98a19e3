"""The handlers of all triggers: HTTP, queues and the schedule. Each is one call into chalicelib.

Event handlers must live in this file. Chalice deploys a Blueprint's handlers under the Blueprint's
own module, which never imports this one. Handler names are public: resources in
.chalice/resources.yaml are named after them.
"""

from __future__ import annotations

from typing import Any

from chalice.app import Chalice, LambdaFunctionEvent, Response, SQSEvent

from chalicelib.auth import READ, WRITE
from chalicelib.execution.time_limit import time_left
from chalicelib.functions.dead_letters import settle
from chalicelib.functions.sweeper import sweep
from chalicelib.functions.worker import work
from chalicelib.web import board, docs, headers, http, openapi, views

app = Chalice(app_name="orderline")
ANY_TYPE = ["*/*"]  # the views check the content type, and answer in problem+json


@app.route("/orders", methods=["POST"], content_types=ANY_TYPE)
def place_order() -> Response:
    return _respond(views.handle(views.place, WRITE, _request()))


@app.route("/orders", methods=["GET"], content_types=ANY_TYPE)
def list_orders() -> Response:
    return _respond(views.handle(views.index, READ, _request()))


@app.route("/orders/{order_id}", methods=["GET"], content_types=ANY_TYPE)
def show_order(order_id: str) -> Response:  # the view reads it from the request
    return _respond(views.handle(views.show, READ, _request()))


@app.route("/orders/{order_id}/cancel", methods=["POST"], content_types=ANY_TYPE)
def cancel_order(order_id: str) -> Response:
    return _respond(views.handle(views.cancel, WRITE, _request()))


@app.route("/orders/{order_id}/retry", methods=["POST"], content_types=ANY_TYPE)
def retry_order(order_id: str) -> Response:
    return _respond(views.handle(views.retry, WRITE, _request()))


@app.route("/tasks", methods=["GET"], content_types=ANY_TYPE)
def list_tasks() -> Response:
    return _respond(views.handle(views.task_list, READ, _request()))


@app.route("/board", methods=["GET"], content_types=ANY_TYPE)
def show_board() -> Response:
    return _respond(views.handle(board.page, None, _request()))


@app.route("/board/{file}", methods=["GET"], content_types=ANY_TYPE)
def board_file(file: str) -> Response:
    return _respond(views.handle(board.file, None, _request()))


@app.route("/openapi.json", methods=["GET"], content_types=ANY_TYPE)
def openapi_json() -> Response:
    return _respond(views.handle(openapi.show, None, _request()))


@app.route("/docs", methods=["GET"], content_types=ANY_TYPE)
def docs_page() -> Response:
    return _respond(views.handle(docs.show, None, _request()))


@app.route("/health", methods=["GET"], content_types=ANY_TYPE)
def health() -> Response:
    return _respond(views.handle(views.health, None, _request()))


def preflight(**params: str) -> Response:
    return _respond(headers.preflight(_request(), ", ".join(app.routes[_request().route])))


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
    )


def _respond(response: http.Response) -> Response:
    return Response(response.body, headers=dict(response.headers), status_code=response.status)
