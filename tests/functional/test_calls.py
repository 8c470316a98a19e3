"""The exact calls to AWS of each route, no more and no fewer."""

from __future__ import annotations

import json

import pytest

from chalicelib import config
from chalicelib.tasks import task
from testkit import Cloud, Wire

SIX = {"task": "cook_nuggets", "input": {"pieces": 6}}


@pytest.fixture(autouse=True)
def _known_token(cloud: Cloud, wire: Wire) -> None:
    """Cache the token, so that no test counts its read; see the first test."""
    cloud.http("GET", "/tasks")
    assert wire.calls == ["GetItem"]
    wire.calls.clear()


def test_a_token_is_read_once_a_minute(cloud: Cloud, wire: Wire) -> None:
    for _ in range(3):
        cloud.http("GET", "/tasks")
    assert wire.calls == []

    cloud.clock.advance(61)
    cloud.http("GET", "/tasks")
    assert wire.calls == ["GetItem"]


def test_an_unknown_token_is_read_once_a_minute_too(cloud: Cloud, wire: Wire) -> None:
    for _ in range(3):
        cloud.http("GET", "/tasks", headers={"Authorization": "Bearer ol_00000000_" + "0" * 64})

    assert wire.calls == ["GetItem"]


def test_an_order_from_post_to_success_takes_four_calls(cloud: Cloud, wire: Wire) -> None:
    cloud.place("cook_nuggets", {"pieces": 6})
    cloud.drain()

    assert wire.calls == ["PutItem", "SendMessage", "UpdateItem", "UpdateItem"]


def test_a_failed_attempt_is_a_claim_a_write_and_a_visibility_change(
    cloud: Cloud, wire: Wire
) -> None:
    @task
    def burn() -> None:
        raise ValueError

    cloud.place("burn")
    cloud.deliver()

    assert wire.calls == [
        "PutItem",
        "SendMessage",
        "UpdateItem",
        "UpdateItem",
        "ChangeMessageVisibility",
    ]


def test_a_duplicate_message_is_one_refused_write(cloud: Cloud, wire: Wire) -> None:
    cloud.place("cook_nuggets", {"pieces": 6})
    message = wire.requests[-1]
    cloud.drain()
    wire.calls.clear()

    cloud.sqs.send_message(**message)
    cloud.drain()

    assert wire.calls == ["SendMessage", "UpdateItem"]


def test_a_repeated_post_is_one_refused_write(cloud: Cloud, wire: Wire) -> None:
    for _ in range(2):
        cloud.http("POST", "/orders", SIX, {"Idempotency-Key": "k"})

    assert wire.calls == ["PutItem", "SendMessage", "PutItem"]


@pytest.mark.parametrize(
    ("method", "path", "body", "calls"),
    [
        ("GET", "/orders/" + "0" * 26, None, ["GetItem"]),
        ("GET", "/orders/nonsense", None, []),
        ("GET", "/orders", None, ["Query"]),
        ("GET", "/orders?limit=0", None, []),
        ("GET", "/tasks", None, []),
        ("GET", "/health", None, []),
        ("POST", "/orders", b"{", []),
        ("POST", "/orders", {"task": "unheard_of"}, []),
        ("POST", "/orders", {"task": "cook_nuggets", "input": {}}, []),
    ],
)
def test_each_route_makes_these_calls(
    cloud: Cloud, wire: Wire, method: str, path: str, body: object, calls: list[str]
) -> None:
    cloud.http(method, path, body)

    assert wire.calls == calls


def test_a_list_of_any_length_is_two_calls(cloud: Cloud, wire: Wire) -> None:
    for _ in range(3):
        cloud.place("cook_nuggets", {"pieces": 6})
    wire.calls.clear()

    assert len(cloud.http("GET", "/orders").json["items"]) == 3

    assert wire.calls == ["Query", "BatchGetItem"]


def test_an_order_is_read_consistently(cloud: Cloud, wire: Wire) -> None:
    order = cloud.place("cook_nuggets", {"pieces": 6})
    cloud.get(order["id"])

    assert wire.requests[-1]["ConsistentRead"] is True


def test_the_row_of_a_small_order_is_under_one_kilobyte(cloud: Cloud) -> None:
    cloud.place("cook_nuggets", {"pieces": 6})
    cloud.drain()

    (item,) = cloud.dynamodb.scan(TableName=config.settings().orders_table)["Items"]
    assert len(json.dumps(item)) < 1024
