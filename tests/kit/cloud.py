"""A whole Orderline in one process: moto for AWS, Chalice's test client for HTTP, and the event source mapping by hand.

`drain()` does what Lambda's mapping does: receives batches, hands them to the handler, deletes what it acknowledges,
lets the rest come back when its visibility is over; the queue moves to the dead letters what was received too often.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import boto3
from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from botocore.exceptions import HTTPClientError
from chalice.test import Client
from moto import mock_aws
from moto.core.models import botocore_stubber

import app as orderline
from chalicelib import auth, config, queue
from chalicelib.aws import sigv4
from chalicelib.orders import SECOND, Order, key_of
from chalicelib.table import transitions
from chalicelib.table.items import decode_order
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
        self.dynamodb, self.sqs = _client("dynamodb"), _client("sqs")
        self.parameters = template.create(
            config.settings().stack, self.dynamodb, self.sqs, **parameters
        )
        self.dead_url: str = self.sqs.get_queue_url(QueueName=config.settings().dead_queue)[
            "QueueUrl"
        ]
        self.client = Client(
            orderline.app, stage_name="dev", project_dir=str(template.RESOURCES.parents[1])
        )
        self.token = self.new_token("kit")

    def new_token(self, client: str, **options: Any) -> str:
        """An access token of a client, stored as `python -m cli token create` stores it."""
        text, token = auth.issue(client, **options)
        self.dynamodb.put_item(TableName=config.settings().tokens_table, Item=auth.encode(token))
        return text

    def http(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Reply:
        """A request with the kit's token, unless the headers bring another. A body that is no bytes is sent as JSON."""
        given = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            **(headers or {}),
        }
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
        order = transitions.get(client, order_id)
        assert order is not None, f"no order {order_id}"
        return order

    def claim(self, order_id: str, lease_s: float, client: str = "kit") -> Order:
        """A worker takes the order and is never heard of again."""
        task = self.order(order_id, client).task
        return transitions.claim(
            key_of(client, order_id), task, self.clock() + int(lease_s * SECOND)
        )

    def bury(self, order_id: str, client: str = "kit") -> None:
        """A dead letter of the order's arrives."""
        body = {
            "v": queue.VERSION,
            "pk": key_of(client, order_id),
            "task": self.order(order_id, client).task,
        }
        self.sqs.send_message(QueueUrl=self.dead_url, MessageBody=json.dumps(body))

    def garble(self, order_id: str) -> None:
        """Its row gets a status that this code doesn't know, PAUSED: a newer version's, or somebody's hand."""
        self.dynamodb.update_item(
            TableName=config.settings().orders_table,
            Key={"pk": {"S": key_of("kit", order_id)}},
            UpdateExpression="SET #status = :odd",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":odd": {"S": "PAUSED"}},
        )

    def rows(self) -> list[Order]:
        """Every order of the table; the rows of ticks begin with #."""
        items = self.dynamodb.scan(TableName=config.settings().orders_table)["Items"]
        return [decode_order(item) for item in items if not item["pk"]["S"].startswith("#")]

    def deliver(
        self, batch: int = 1, time_left_s: float = 60, dead: bool = False
    ) -> tuple[int, int] | None:
        """One turn of the mapping: (messages delivered, messages kept), or None if none is visible."""
        url, handler = (
            (self.dead_url, orderline.dead_letters)
            if dead
            else (queue.url(), orderline.order_worker)
        )
        messages = self.sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=batch,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        if not messages:
            return None
        event = {"Records": [_record(message) for message in messages]}
        answer = handler(event, LambdaContext(time_left_s))
        kept = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        if not kept <= {message["MessageId"] for message in messages}:
            kept = {
                message["MessageId"] for message in messages
            }  # an unknown identifier fails the whole batch
        for message in messages:
            if message["MessageId"] not in kept:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return len(messages), len(kept)

    def drain(self, batch: int = 1, time_left_s: float = 60, dead: bool = False) -> Ended:
        """Deliver until nothing is visible. What is hidden stays: advance the clock, drain again. `dead`: from the
        dead-letter queue, to the function that settles them."""
        batches = kept = 0
        while turn := self.deliver(batch, time_left_s, dead):
            batches, kept = batches + 1, kept + turn[1]
        return Ended(batches, kept)

    def sweep(self, time_left_s: float = 60) -> dict[str, Any]:
        """The schedule fires. Returns what the sweeper did."""
        event = {
            "version": "0",
            "account": "",
            "region": REGION,
            "detail": {},
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "time": "",
            "id": "",
            "resources": [],
        }
        swept: dict[str, Any] = orderline.order_sweeper(event, LambdaContext(time_left_s))
        return swept

    def messages(self, dead: bool = False) -> int:
        """How many messages the queue holds, hidden ones included."""
        url = self.dead_url if dead else queue.url()
        names = [f"ApproximateNumberOfMessages{which}" for which in ("", "NotVisible", "Delayed")]
        counts = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(count) for count in counts.values())


@functools.lru_cache(maxsize=2)
def _client(service: str) -> Any:
    """The kit's own, for every test: making one takes longer than most tests. Moto answers whichever mock is on."""
    return boto3.client(service, region_name=REGION)


def _record(message: dict[str, Any]) -> dict[str, Any]:
    """A received message as Lambda's SQS event shows it."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "md5OfBody": message["MD5OfBody"],
        "messageAttributes": {
            name: {"stringValue": value["StringValue"], "dataType": value["DataType"]}
            for name, value in message.get("MessageAttributes", {}).items()
        },
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:123456789012:orders",
        "awsRegion": REGION,
    }


@contextmanager
def running(**parameters: int) -> Iterator[Cloud]:
    """A fresh cloud with its tables and queues, a clock that stands still, and clients of its own."""
    clock = Clock()
    environment = {"AWS_ENDPOINT_URL": "", "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
    with patch.dict("os.environ", environment), mock_aws(), clock.installed():
        auth.forget()
        with patch.object(sigv4.Client, "_exchange", _moto):
            yield Cloud(clock, **parameters)


def _moto(client: sigv4.Client, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    """Moto answers what the app signs itself too: over the same seam, so the wire and its faults are there as well."""
    request = AWSPreparedRequest(
        "POST", f"{client.url}/", HTTPHeaders.from_pairs(headers.items()), body, False
    )
    try:
        answer: Any = botocore_stubber("before-send", request)
    except HTTPClientError as fault:
        raise TimeoutError from fault
    return answer.status_code, answer.content
