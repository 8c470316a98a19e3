"""Orderline in another test suite: Chalice's test client, empty contexts, generated events."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest
from chalice.test import Client

import app as orderline
from chalicelib import config, queue
from chalicelib.tasks import Context, task
from testkit import Cloud


class FixedContext:
    """A context as a test might write one: it always returns the same value."""

    def __init__(self, value: Any) -> None:
        self.get_remaining_time_in_millis = lambda: value


CONTEXTS = [
    None,
    MagicMock(),
    object(),
    FixedContext(None),
    FixedContext("3000"),
    FixedContext(float("nan")),
    FixedContext(float("inf")),
    FixedContext(10**12),
    FixedContext(30_000.0),
]
NAMES = [
    "None",
    "MagicMock",
    "object",
    "gives None",
    "gives text",
    "NaN",
    "infinite",
    "31 years",
    "30 s",
]


def receive_bodies(cloud: Cloud) -> list[str]:
    """Return the bodies of the messages in the queue."""
    messages = cloud.sqs.receive_message(QueueUrl=queue.url(), MaxNumberOfMessages=10)["Messages"]
    return [message["Body"] for message in messages]


@pytest.mark.parametrize("context", CONTEXTS, ids=NAMES)
def test_an_order_runs_with_any_context(cloud: Cloud, context: Any) -> None:
    limits: list[float] = []

    @task
    def limited(order: Context) -> None:
        limits.append(order.time_left_s())

    order_ids = [cloud.place("limited")["id"] for _ in range(2)]
    event = Client(orderline.app).events.generate_sqs_event(receive_bodies(cloud))

    assert orderline.order_worker(event, context) == {"batchItemFailures": []}

    assert {cloud.get(order_id)["status"] for order_id in order_ids} == {"SUCCESS"}
    assert all(20 < limit < 900 for limit in limits)
    assert orderline.order_sweeper({}, context)["resent"] == 0
    assert orderline.dead_letters({"Records": []}, context) == {"batchItemFailures": []}


def test_two_orders_in_one_event_of_chalices_client_both_run(cloud: Cloud) -> None:
    """Ignore the 3 s of Chalice's own context, which it never enforces: 42 pieces take 3.5 s."""
    order_ids = [cloud.place("cook_nuggets", {"pieces": pieces})["id"] for pieces in (42, 1)]
    client = Client(orderline.app)

    event = client.events.generate_sqs_event(receive_bodies(cloud))
    assert client.lambda_.invoke("order_worker", event).payload == {"batchItemFailures": []}

    assert [cloud.get(order_id)["status"] for order_id in order_ids] == ["SUCCESS", "SUCCESS"]
    assert config.settings().worker_timeout_s > 3
