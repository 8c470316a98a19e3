"""The handlers of all triggers: HTTP, queues and the schedule. Each is one call into chalicelib.

Event handlers must live in this file. Chalice deploys a Blueprint's handlers under the Blueprint's
own module, which never imports this one. Handler names are public: resources in
.chalice/resources.yaml are named after them.
"""

from __future__ import annotations

import os
from typing import Any

from chalice.app import Chalice, LambdaFunctionEvent, SQSEvent
from msgspec.structs import asdict

from chalicelib.execution.time_limit import time_left
from chalicelib.functions import deliveries  # noqa: F401  registers the task

# The handler of this function in Lambda; elsewhere all are served. A function imports its own parts
# only, since each import makes every cold start longer:
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
HANDLER = os.environ.get("_HANDLER", "")

if HANDLER in ("", "app.app"):
    from chalicelib.web import (
        headers,
        http,
        payload,
        views,  # noqa: F401  declares operations
    )
    from chalicelib.web.operations import api, methods
if HANDLER in ("", "app.order_worker"):
    from chalicelib.functions.worker import work
if HANDLER in ("", "app.dead_letters"):
    from chalicelib.functions.dead_letters import settle
if HANDLER in ("", "app.order_sweeper"):
    from chalicelib.functions.sweeper import sweep


class Orderline(Chalice):
    """Chalice, whose own dispatch is left to routes that you add.

    It takes a sixth of the CPU of a poll, and knows only REST APIs.
    """

    def __call__(self, event: Any, context: Any) -> dict[str, Any]:
        if payload.is_v2(event):
            event = payload.rest_event(event, {**self.routes, **methods()})
        if isinstance(event, http.Response):  # there is no such route
            return payload.reply(event)
        return payload.answer(event, context) or super().__call__(event, context)


app = Orderline(app_name="orderline")

if not HANDLER:  # Chalice's template and its local server need the routes, but call no view
    api.load()
    for _path, _methods in methods().items():
        for _method in _methods:
            _operation = api.get(f"{_method} {_path}")
            app.route(
                _path,
                methods=[_method],
                content_types=["*/*"],  # the views check it, and answer in problem+json
                name=_operation.id if _operation else "preflight",
            )(_operation.view if _operation else headers.preflight)


@app.on_sqs_message(queue_arn="set-in-resources.yaml", name="order_worker")
def order_worker(event: SQSEvent) -> dict[str, Any]:
    return work(event.to_dict().get("Records", []), time_left(event.context))


@app.on_sqs_message(queue_arn="set-in-resources.yaml", name="dead_letters")
def dead_letters(event: SQSEvent) -> dict[str, Any]:
    return settle(event.to_dict().get("Records", []))


@app.schedule("rate(1 minute)", name="order_sweeper")
def order_sweeper(event: LambdaFunctionEvent) -> dict[str, Any]:
    return asdict(sweep(time_left(event.context)))


# Chalice's own class requires all members of a scheduled event. We read none of them, and the test
# button of the AWS console sends an event without them.
order_sweeper.event_class = LambdaFunctionEvent
