"""A whole Orderline in one process: moto for AWS, Chalice's test client for HTTP, no Lambda.

`drain()` replaces Lambda's event source mapping: it receives batches, passes them to the handler
and deletes the messages that the handler acknowledges. The others come back after their visibility
timeout, and the queue moves them to the dead-letter queue if they were received too often.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote, urlsplit

import boto3
import pytest
from chalice.test import Client
from moto import mock_aws

import app as orderline
from chalicelib import auth, config, queue, secrets
from chalicelib.clock import SECOND
from chalicelib.ids import key_of
from chalicelib.orders import Order
from chalicelib.table import slots, transitions
from chalicelib.table.items import decode_order
from chalicelib.webhooks import endpoints
from testkit import moto_caches, signed, template
from testkit.clock import Clock
from testkit.events import LambdaContext, record, scheduled

REGION = "us-east-1"

moto_caches.install()


@dataclass(frozen=True)
class Reply:
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Ended:
    """The result of a drain: the batches that it delivered, and the messages that stayed."""

    batches: int
    kept: int


class Cloud:
    """The fixture. `client` is Chalice's test client; `place` and `get` use the kit's token."""

    def __init__(self, clock: Clock, **parameters: int) -> None:
        self.clock = clock
        self.dynamodb = _client("dynamodb")
        self.sqs = _client("sqs")
        self.s3 = _client("s3")
        self.parameters = template.create(
            config.settings().stack, self.dynamodb, self.sqs, **parameters
        )
        self.s3.create_bucket(Bucket=config.settings().files_bucket)
        dead_queue = self.sqs.get_queue_url(QueueName=config.settings().dead_queue)
        self.dead_url: str = dead_queue["QueueUrl"]
        self.client = Client(
            orderline.app, stage_name="dev", project_dir=str(template.RESOURCES.parents[1])
        )
        self.token = self.new_token("kit")

    def secret(self, name: str, value: str) -> None:
        """Declare and store a secret, which `secrets.get` returns until the test ends."""
        declared = {**config.settings().secret_parameters, name: f"/kit/{name}"}
        os.environ["SECRETS"] = json.dumps(declared)  # restored after the test
        _client("ssm").put_parameter(
            Name=declared[name], Value=value, Type="SecureString", Overwrite=True
        )
        secrets.forget()

    def new_token(self, owner: str, **options: Any) -> str:
        """Create an access token of an owner, stored as `python -m dev token create` stores it."""
        text, token = auth.issue(owner, **options)
        self.dynamodb.put_item(TableName=config.settings().tokens_table, Item=auth.encode(token))
        return text

    def http(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Reply:
        """Send a request, with the kit's token unless `headers` has one; send the body as JSON.

        A body of bytes is sent as it is.
        """
        all_headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            **(headers or {}),
        }
        raw = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        answer = self.client.http.request(method, path, headers=all_headers, body=raw or b"")
        return Reply(answer.status_code, dict(answer.headers), answer.body.decode())

    def place(self, task: str, input: Any = None, headers: dict[str, str] | None = None) -> Any:
        """Place an order with POST /orders, and return it; a refusal fails the test."""
        reply = self.http("POST", "/orders", {"task": task, "input": input or {}}, headers)
        assert reply.status == 202, reply.body
        return reply.json

    def get(self, order_id: str) -> Any:
        """Return the order as GET /orders/{id} shows it."""
        return self.http("GET", f"/orders/{order_id}").json

    def upload(self, content: bytes, type: str = "application/octet-stream") -> str:
        """Upload a file as a client does, and return its id; a refusal fails the test.

        moto checks no presigned URL, so this checks that S3 would take these bytes.
        """
        digest = hashlib.sha256(content)
        file = {"sha256": digest.hexdigest(), "size": len(content), "type": type}
        reply = self.http("POST", "/files", file)
        assert reply.status == 200, reply.body
        if upload := reply.json["upload"]:
            checksum = base64.b64encode(digest.digest()).decode()
            assert upload["headers"] == {
                "content-length": str(len(content)),
                "content-type": type,
                "x-amz-checksum-sha256": checksum,
            }
            bucket, key = location(upload["url"])
            self.s3.put_object(
                Bucket=bucket, Key=key, Body=content, ContentType=type, ChecksumSHA256=checksum
            )
        return digest.hexdigest()

    def download(self, file_id: str) -> bytes:
        """Download a file as a client does; a refusal fails the test."""
        reply = self.http("GET", f"/files/{file_id}")
        assert reply.status == 303, reply.body
        bucket, key = location(reply.json["url"])
        content: bytes = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def order(self, order_id: str, owner: str = "kit") -> Order:
        """Return the order's whole row."""
        order = transitions.get(owner, order_id)
        assert order is not None, f"no order {order_id}"
        return order

    def claim(self, order_id: str, lease_s: float, owner: str = "kit") -> Order:
        """Claim the order as a worker that then crashes."""
        task = self.order(order_id, owner).task
        lease_until = self.clock() + int(lease_s * SECOND)
        return transitions.claim(key_of(owner, order_id), task, lease_until)

    def bury(self, order_id: str, owner: str = "kit") -> None:
        """Send a message of the order to the dead-letter queue."""
        body = {
            "v": queue.VERSION,
            "pk": key_of(owner, order_id),
            "task": self.order(order_id, owner).task,
        }
        self.sqs.send_message(QueueUrl=self.dead_url, MessageBody=json.dumps(body))

    def garble(self, order_id: str) -> None:
        """Set the status PAUSED, which this code doesn't know, as a newer version might."""
        self.dynamodb.update_item(
            TableName=config.settings().orders_table,
            Key={"pk": {"S": key_of("kit", order_id)}},
            UpdateExpression="SET #status = :odd",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":odd": {"S": "PAUSED"}},
        )

    def rows(self) -> list[Order]:
        """Return every order of the table; the keys of ticks begin with #."""
        items = self.dynamodb.scan(TableName=config.settings().orders_table)["Items"]
        return [decode_order(item) for item in items if not item["pk"]["S"].startswith("#")]

    def deliver(
        self,
        batch: int = 1,
        time_left_s: float | None = None,
        dead: bool = False,
        lane: str = config.DEFAULT_LANE,
    ) -> tuple[int, int] | None:
        """Deliver one batch of a lane, or of the dead-letter queue.

        `time_left_s` is the lane's timeout by default. Return (messages delivered, messages kept),
        or None if none is visible.
        """
        url, handler = (
            (self.dead_url, orderline.dead_letters)
            if dead
            else (queue.url(lane), orderline.order_worker)
        )
        messages = self.sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=batch,
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        if not messages:
            return None
        event = {"Records": [record(message, REGION) for message in messages]}
        context = LambdaContext(time_left_s or config.settings().timeouts[lane])
        with pytest.MonkeyPatch.context() as patches:  # other threads read the environment too
            if lane != config.DEFAULT_LANE:
                patches.setitem(os.environ, "LANE", lane)
            answer = handler(event, context)
        kept = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        if not kept <= {message["MessageId"] for message in messages}:
            # An unknown identifier fails the whole batch
            kept = {message["MessageId"] for message in messages}
        for message in messages:
            if message["MessageId"] not in kept:
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return len(messages), len(kept)

    def drain(
        self,
        batch: int = 1,
        time_left_s: float | None = None,
        dead: bool = False,
        lane: str | None = None,
    ) -> Ended:
        """Deliver until no message is visible; advance the clock and drain again for hidden ones.

        `lane` delivers only that lane, `dead` the dead-letter queue to its own function.
        """
        lanes = [lane] if lane else list(config.settings().timeouts)
        batches = 0
        kept = 0
        while delivered := [
            counts for each in lanes if (counts := self.deliver(batch, time_left_s, dead, each))
        ]:
            batches += len(delivered)
            kept += sum(counts[1] for counts in delivered)
        return Ended(batches, kept)

    def sweep(self, time_left_s: float = 60) -> dict[str, Any]:
        """Run the sweeper as its schedule does, and return its result."""
        result: dict[str, Any] = orderline.order_sweeper(
            scheduled(REGION), LambdaContext(time_left_s)
        )
        return result

    def messages(self, dead: bool = False, lane: str = config.DEFAULT_LANE) -> int:
        """Return the number of messages in a lane's queue, hidden ones included."""
        url = self.dead_url if dead else queue.url(lane)
        names = [f"ApproximateNumberOfMessages{suffix}" for suffix in ("", "NotVisible", "Delayed")]
        counts = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(count) for count in counts.values())


@functools.lru_cache(maxsize=4)
def _client(service: str) -> Any:
    """Return one client for all tests, which is faster; moto answers with the current mock."""
    return boto3.client(service, region_name=REGION)


def location(url: str) -> tuple[str, str]:
    """Return the bucket and the key of an object's URL."""
    host, path = urlsplit(url)[1:3]
    return host.partition(".s3.")[0], unquote(path[1:])


@contextmanager
def running(**parameters: int) -> Iterator[Cloud]:
    """Run a new cloud with its tables and queues, and with a clock that tests move."""
    clock = Clock()
    environment = {"AWS_ENDPOINT_URL": "", "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
    with patch.dict("os.environ", environment), mock_aws(), clock.installed():
        auth.forget()
        endpoints.forget()
        secrets.forget()
        slots.forget()
        with signed.installed():
            yield Cloud(clock, **parameters)
