"""A whole Orderline in one process: moto for AWS, Chalice's test client for HTTP, and the event source mapping by hand.

`drain()` does what Lambda's mapping does: receives batches, hands them to the handler, deletes what it acknowledges,
lets the rest come back when its visibility is over; the queue moves to the dead letters what was received too often.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import boto3
from chalice.test import Client
from moto import mock_aws

import app as orderline
from chalicelib import auth, aws, config, queue, rows, store
from chalicelib.orders import Order
from tests.kit import template
from tests.kit.clock import Clock

REGION = "us-east-1"


@dataclass(frozen=True)
class Reply:
    """What HTTP answered."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Ended:
    """What a drain did: the batches it delivered, and the messages that the handler kept."""

    batches: int
    kept: int


class LambdaContext:
    """Lambda's context object, as far as handlers read it."""

    aws_request_id = "00000000-0000-4000-8000-000000000000"
    function_name = "order_worker"

    def __init__(self, time_left_s: float) -> None:
        self._time_left_s = time_left_s

    def get_remaining_time_in_millis(self) -> int:
        return int(self._time_left_s * 1000)


class Cloud:
    """The fixture. `client` is Chalice's test client, `place` and `get` speak HTTP with the kit's own token."""

    def __init__(self, clock: Clock, **parameters: int) -> None:
        self.clock = clock
        self.dynamodb: Any = boto3.client("dynamodb", region_name=REGION)
        self.sqs: Any = boto3.client("sqs", region_name=REGION)
        self.parameters = template.create(config.SETTINGS.stack, self.dynamodb, self.sqs, **parameters)
        self.client = Client(orderline.app, stage_name="dev", project_dir=str(template.RESOURCES.parents[1]))
        self.token = self.new_token("kit")

    def new_token(self, client: str, **options: Any) -> str:
        """An access token of a client, stored as `python -m cli token create` stores it."""
        text, token = auth.issue(client, **options)
        self.dynamodb.put_item(TableName=config.SETTINGS.tokens_table, Item=auth.encode(token))
        return text

    def http(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        """A request with the kit's token, unless the headers bring another. A body that is no bytes is sent as JSON."""
        given = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **(headers or {})}
        raw = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        answer = self.client.http.request(method, path, headers=given, body=raw or b"")
        return Reply(answer.status_code, dict(answer.headers), answer.body.decode())

    def place(self, task: str, input: Any = None, headers: dict[str, str] | None = None) -> Any:
        """POST /orders, accepted. Returns the order as the answer shows it."""
        reply = self.http("POST", "/orders", {"task": task, "input": input or {}}, headers)
        assert reply.status == 202, reply.body
        return reply.json

    def get(self, order_id: str) -> Any:
        """GET /orders/{id}"""
        return self.http("GET", f"/orders/{order_id}").json

    def order(self, order_id: str, client: str = "kit") -> Order:
        """The order's row, whole."""
        order = store.get(client, order_id)
        assert order is not None, f"no order {order_id}"
        return order

    def rows(self) -> list[Order]:
        """Every row of the table."""
        return [rows.decode_order(item) for item in self.dynamodb.scan(TableName=config.SETTINGS.orders_table)["Items"]]

    def deliver(self, batch: int = 1, time_left_s: float = 60) -> tuple[int, int] | None:
        """One turn of the mapping: (messages delivered, messages kept), or None if none is visible."""
        messages = self.sqs.receive_message(
            QueueUrl=queue.url(), MaxNumberOfMessages=batch, AttributeNames=["All"], MessageAttributeNames=["All"],
        ).get("Messages", [])
        if not messages:
            return None
        event = {"Records": [_record(message) for message in messages]}
        answer = orderline.order_worker(event, LambdaContext(time_left_s))
        kept = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        if not kept <= {message["MessageId"] for message in messages}:
            kept = {message["MessageId"] for message in messages}  # an unknown identifier fails the whole batch
        for message in messages:
            if message["MessageId"] not in kept:
                self.sqs.delete_message(QueueUrl=queue.url(), ReceiptHandle=message["ReceiptHandle"])
        return len(messages), len(kept)

    def drain(self, batch: int = 1, time_left_s: float = 60) -> Ended:
        """Deliver until nothing is visible. What is hidden stays: advance the clock, drain again."""
        batches = kept = 0
        while turn := self.deliver(batch, time_left_s):
            batches, kept = batches + 1, kept + turn[1]
        return Ended(batches, kept)

    def messages(self, dead: bool = False) -> int:
        """How many messages the queue holds, hidden ones included."""
        url = self.sqs.get_queue_url(QueueName=config.SETTINGS.dead_queue)["QueueUrl"] if dead else queue.url()
        names = [f"ApproximateNumberOfMessages{which}" for which in ("", "NotVisible", "Delayed")]
        counts = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(count) for count in counts.values())


def _record(message: dict[str, Any]) -> dict[str, Any]:
    """A received message as Lambda's SQS event shows it."""
    return {
        "messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"], "body": message["Body"],
        "attributes": message["Attributes"], "messageAttributes": {}, "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs", "eventSourceARN": f"arn:aws:sqs:{REGION}:123456789012:orders", "awsRegion": REGION,
    }


@contextmanager
def running(**parameters: int) -> Iterator[Cloud]:
    """A fresh cloud with its tables and queues, a clock that stands still, and clients of its own."""
    clock = Clock()
    environment = {"AWS_ENDPOINT_URL": "", "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
    with patch.dict("os.environ", environment), mock_aws(), clock.installed():
        for remembered in (aws.client, queue._ask):
            remembered.cache_clear()
        auth.forget()
        yield Cloud(clock, **parameters)
