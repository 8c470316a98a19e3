"""POST /orders, accepted: the answer, the stored row and the worker's message."""

from __future__ import annotations

import json
import re
from typing import Any

import app as orderline
from chalicelib import clock, ids, queue
from chalicelib.tasks import task
from testkit import Cloud, Wire
from testkit.events import LambdaContext


def gateway_event(
    cloud: Cloud, method: str, path: str, route: str, body: str | None = None, **more: Any
) -> Any:
    """Return a request as API Gateway passes it to the function, behind the stage `api`."""
    return {
        "requestContext": {
            "httpMethod": method,
            "path": f"/api{path}",
            "resourcePath": route,
            "stage": "api",
            "requestId": "the-gateways-id",
            "identity": {"sourceIp": "203.0.113.9"},
        },
        "headers": {
            "Host": "abc123.execute-api.eu-west-1.amazonaws.com",
            "X-Forwarded-Proto": "https",
            "Authorization": f"Bearer {cloud.token}",
            "Content-Type": "application/json",
        },
        "pathParameters": None,
        "multiValueQueryStringParameters": None,
        "stageVariables": None,
        "body": body,
        "isBase64Encoded": False,
        **more,
    }


def test_an_accepted_order_is_202_with_the_order_and_its_location(cloud: Cloud) -> None:
    reply = cloud.http(
        "POST",
        "/orders",
        {"task": "cook_nuggets", "input": {"pieces": 6}},
        {"Host": "localhost:8000"},
    )

    assert reply.status == 202
    order = reply.json
    own = f"http://localhost:8000/orders/{order['id']}"
    assert reply.headers["Location"] == own
    assert reply.headers["Retry-After"] == "1"
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Cache-Control"] == "no-store"
    assert ids.is_id(order["id"])
    assert re.fullmatch(r"2027-01-15T08:00:00\.0000\d\dZ", order["created_at"])  # the kit's clock
    assert order["updated_at"] == order["created_at"]
    assert order == order | {
        "task": "cook_nuggets",
        "status": "PENDING",
        "done": False,
        "attempts": 0,
        "max_attempts": 5,
        "run_at": None,
        "result": None,
        "error": None,
        "progress": None,
        "expires_at": None,
        "links": {"self": own, "cancel": f"{own}/cancel", "retry": f"{own}/retry"},
    }


def test_an_accepted_order_is_stored(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", {"pieces": 6})

    row = cloud.order(order["id"])
    assert (row.owner, row.input, row.status.value, row.version) == (
        "kit",
        '{"pieces":6}',
        "PENDING",
        1,
    )
    assert row.check_at == row.created_at + 120 * clock.SECOND
    assert row.expires_at is None


def test_a_message_has_only_the_orders_key_and_task_and_is_grouped_by_owner(
    cloud: Cloud,
) -> None:
    order = cloud.place("cook_nuggets", {"pieces": 6})

    (message,) = cloud.sqs.receive_message(QueueUrl=queue.url(), AttributeNames=["All"])["Messages"]
    assert json.loads(message["Body"]) == {
        "v": 1,
        "pk": f"kit#{order['id']}",
        "task": "cook_nuggets",
    }
    assert message["Attributes"]["MessageGroupId"] == "kit"


def test_links_have_the_gateways_stage_and_scheme(cloud: Cloud) -> None:
    body = '{"task": "cook_nuggets", "input": {"pieces": 6}}'

    post = gateway_event(cloud, "POST", "/orders", "/orders", body)
    accepted = orderline.app(post, LambdaContext(29))

    order = json.loads(accepted["body"])
    link = f"https://abc123.execute-api.eu-west-1.amazonaws.com/api/orders/{order['id']}"
    assert accepted["statusCode"] == 202
    assert accepted["headers"]["Location"] == order["links"]["self"] == link

    event = gateway_event(
        cloud,
        "GET",
        f"/orders/{order['id']}",
        "/orders/{order_id}",
        pathParameters={"order_id": order["id"]},
    )
    reply = orderline.app(event, LambdaContext(29))
    assert json.loads(reply["body"])["links"]["self"] == link


def test_behind_the_gateway_a_problem_has_the_gateways_request_id(cloud: Cloud) -> None:
    answer = orderline.app(
        gateway_event(cloud, "POST", "/orders", "/orders", "{"), LambdaContext(29)
    )

    assert answer["statusCode"] == 400
    assert json.loads(answer["body"])["request_id"] == "the-gateways-id"


def test_a_body_that_the_gateway_sent_as_base64_is_read(cloud: Cloud) -> None:
    body = "eyJ0YXNrIjogImNvb2tfbnVnZ2V0cyIsICJpbnB1dCI6IHsicGllY2VzIjogNn19"  # the same order

    event = gateway_event(cloud, "POST", "/orders", "/orders", body, isBase64Encoded=True)

    assert orderline.app(event, LambdaContext(29))["statusCode"] == 202


def test_a_task_without_parameters_needs_no_input(cloud: Cloud) -> None:
    @task
    def ping() -> str:
        return "pong"

    reply = cloud.http("POST", "/orders", {"task": "ping"})

    assert reply.status == 202
    cloud.drain()
    assert cloud.get(reply.json["id"])["result"] == "pong"


def test_text_of_every_script_is_returned_unchanged(cloud: Cloud) -> None:
    @task
    def echo(text: str) -> str:
        return text

    text = 'Grüße, 你好, 😀, \u2028, \x00, "quoted", [{'
    order = cloud.place("echo", {"text": text})
    cloud.drain()

    assert cloud.get(order["id"])["result"] == text


def test_an_order_is_accepted_when_its_message_cannot_be_sent(cloud: Cloud, wire: Wire) -> None:
    wire.breaks("SendMessage")

    order = cloud.place("cook_nuggets", {"pieces": 6})

    assert cloud.messages() == 0
    assert cloud.order(order["id"]).check_at is not None  # the sweeper will send it


def test_a_content_type_with_a_charset_or_in_capitals_is_accepted(cloud: Cloud) -> None:
    body = {"task": "cook_nuggets", "input": {"pieces": 6}}

    reply = cloud.http("POST", "/orders", body, {"Content-Type": "Application/JSON; charset=utf-8"})

    assert reply.status == 202
