"""Messages that are sent in batches."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib import queue
from chalicelib.orders import Order
from chalicelib.outbox import Outbox
from chalicelib.tasks import task
from testkit import Cloud, Wire


def unsent(cloud: Cloud, number: int) -> list[Order]:
    """Place orders, and delete their messages."""
    ids = [cloud.place("cook_nuggets", {"pieces": 6})["id"] for _ in range(number)]
    cloud.sqs.purge_queue(QueueUrl=queue.url())
    return [cloud.order(id) for id in ids]


def statuses(cloud: Cloud) -> set[str]:
    return {row.status.value for row in cloud.rows()}


def test_each_ten_messages_take_one_call(cloud: Cloud, wire: Wire) -> None:
    placed = unsent(cloud, 23)
    wire.calls.clear()

    with Outbox() as outbox:
        for order in placed:
            outbox.add(order, 0)

    assert wire.calls == ["SendMessageBatch"] * 3
    cloud.drain()
    assert statuses(cloud) == {"SUCCESS"}


def test_a_message_keeps_its_delay(cloud: Cloud) -> None:
    now, later = unsent(cloud, 2)

    with Outbox() as outbox:
        outbox.add(now, 0)
        outbox.add(later, 60)

    cloud.drain()
    assert cloud.get(now.id)["status"] == "SUCCESS"
    assert cloud.get(later.id)["status"] == "PENDING"
    cloud.clock.advance(61)
    cloud.drain()
    assert cloud.get(later.id)["status"] == "SUCCESS"


def test_each_message_goes_to_its_lane(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANES", json.dumps({"heavy": 300}))
    cloud.sqs.create_queue(QueueName="orderline-dev-orders-heavy")

    @task(lane="heavy")
    def lift() -> None: ...

    light, heavy = cloud.place("cook_nuggets", {"pieces": 6}), cloud.place("lift")
    with Outbox() as outbox:
        outbox.add(cloud.order(light["id"]), 0)
        outbox.add(cloud.order(heavy["id"]), 0)

    assert (cloud.messages(), cloud.messages(lane="heavy")) == (2, 2)


def test_orders_of_an_unsent_batch_are_logged_and_left_to_the_sweeper(
    cloud: Cloud, wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    placed = unsent(cloud, 3)
    wire.breaks("SendMessageBatch")

    with Outbox() as outbox:
        for order in placed:
            outbox.add(order, 0)

    assert {line["order"] for line in send_failures(capsys)} == {order.id for order in placed}
    cloud.clock.advance(200)
    cloud.sweep()
    cloud.drain()
    assert statuses(cloud) == {"SUCCESS"}


def test_a_message_that_sqs_refuses_does_not_stop_the_others(
    cloud: Cloud, wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = unsent(cloud, 2)

    def refused(answer: Any) -> Any:
        failed = [{"Id": "1", "Code": "InternalError", "SenderFault": False}]
        return {"Successful": answer["Successful"][:1], "Failed": failed}

    wire.answers("SendMessageBatch", refused)
    with Outbox() as outbox:
        outbox.add(good, 0)
        outbox.add(bad, 0)

    (line,) = send_failures(capsys)
    assert (line["order"], line["reason"]) == (bad.id, "InternalError")


def send_failures(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line for line in lines if line["event"] == "send_failed"]
