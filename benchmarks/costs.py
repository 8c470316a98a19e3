"""Count the calls, units and dollars of an order, and their growth, on a mocked cloud."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from typing import Any

from moto.dynamodb.models import dynamodb_backends
from moto.sqs.models import sqs_backends
from msgspec import structs

import app as orderline
from chalicelib import config, queue, tasks
from chalicelib.table.items import encode_order
from testkit.cloud import REGION, Cloud, running
from testkit.events import LambdaContext
from testkit.registry import restored
from testkit.wire import Wire, tapped
from tests.kit.calls import recorded
from tests.kit.units import Meter

# Prices in us-east-1, November 2025, in dollars for a million
PRICES = {
    "api_gateway_request": 3.50,  # https://aws.amazon.com/api-gateway/pricing/ (REST)
    "http_api_request": 1.00,  # the same page (HTTP APIs; of more than 512 KB: one per 512 KB)
    "function_url_request": 0.0,  # https://aws.amazon.com/lambda/pricing/ names no price of theirs
    "lambda_request": 0.20,  # https://aws.amazon.com/lambda/pricing/
    "lambda_gb_s": 13.3334,  # arm64
    "sqs_request": 0.40,  # https://aws.amazon.com/sqs/pricing/ (standard)
    "write_unit": 0.625,  # https://aws.amazon.com/dynamodb/pricing/on-demand/
    "read_unit": 0.125,
    "s3_put": 5.00,  # https://aws.amazon.com/s3/pricing/ (standard)
    "s3_get": 0.40,  # also HEAD
    "s3_gb_month": 23_000.0,
    "transfer_gb": 90_000.0,  # from AWS to the internet; into AWS it is free
    "log_gb": 500_000.0,  # https://aws.amazon.com/cloudwatch/pricing/
}
# Of each front, by the template's parameter Front
FRONT_PRICES = {
    "rest": PRICES["api_gateway_request"],
    "http": PRICES["http_api_request"],
    "url": PRICES["function_url_request"],
}
# Assumed, not measured on AWS: billed durations at 512 MB, and Lambda's own log lines of a run
BILLED_S = {"POST": 0.025, "worker": 0.025, "poll": 0.012}
READ_PHOTO_S = 0.05  # added to a run of the worker
MEMORY_GB = 0.5
PLATFORM_LOG_BYTES = 350
LARGE = "x" * 60 * 1024
PHOTO_BYTES = 3_000_000


@dataclass(frozen=True)
class Flow:
    """Calls of one order by step, and the units and log bytes of all steps."""

    calls: dict[str, list[str]]
    write_units: int
    read_units: float
    log_bytes: int

    @property
    def order_calls(self) -> int:
        return len(self.calls["POST"]) + len(self.calls["worker"])


@dataclass
class Scene:
    """Mocked cloud in which an order is processed step by step, whatever waits in the queue."""

    cloud: Cloud
    wire: Wire
    logged: io.StringIO = field(default_factory=io.StringIO)

    def flow(self, text: str = "") -> Flow:
        self.cloud.http("GET", "/tasks")  # the token is read once a minute
        self.wire.calls.clear()
        self.logged.seek(0)
        self.logged.truncate()
        meter = Meter(self.cloud, self.wire)
        order: dict[str, Any] = {}
        steps = {
            "POST": lambda: order.update(self.cloud.place("weigh", {"text": text})),
            "worker": lambda: self.work(self._last_body()),
            "poll": lambda: self.cloud.get(order["id"]),
        }
        calls = {name: self._calls(step) for name, step in steps.items()}
        assert self.cloud.order(order["id"]).status.final
        flow = Flow(calls, sum(meter.writes), sum(meter.reads[:1]), len(self.logged.getvalue()))
        return replace(
            flow,
            calls={
                **calls,
                "list page": self._calls(lambda: self.cloud.http("GET", "/orders")),
                "sweep": self._calls(self.cloud.sweep),
            },
        )

    def _calls(self, step: Any) -> list[str]:
        before = len(self.wire.calls)
        step()
        return self.wire.calls[before:]

    def _last_body(self) -> str:
        """Return the body of the message that was sent last."""
        return next(
            str(request["MessageBody"])
            for request in reversed(self.wire.requests)
            if "MessageBody" in request
        )

    def work(self, body: str) -> None:
        """Process a message, in an event as the mapping sends it."""
        record = {
            "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",  # as long as AWS's in each line
            "receiptHandle": "r",
            "body": body,
            "attributes": {"ApproximateReceiveCount": "1"},
            "messageAttributes": {
                "request": {"stringValue": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"}
            },
        }
        response = orderline.order_worker({"Records": [record]}, LambdaContext(60))
        assert response == {"batchItemFailures": []}

    def fill(self, number: int) -> None:
        """Add `number` other orders of the same owner, all done."""
        order = self.cloud.order(self.cloud.place("weigh", {"text": ""})["id"])
        self.work(self._last_body())
        backend = dynamodb_backends["123456789012"][REGION]
        done = self.cloud.order(order.id)
        for n in range(number):
            item = encode_order(
                structs.replace(done, id=f"{n:026d}", created_at=done.created_at - n - 1)
            )
            backend.put_item(config.settings().orders_table, item)

    def wait(self, number: int) -> None:
        """Add `number` messages to the queue, which no worker receives."""
        backend = sqs_backends["123456789012"][REGION]
        backlog = backend.get_queue(config.settings().orders_queue)
        message = backend.send_message(backlog.name, "{}")
        backlog._messages.extend([message] * (number - 1))


@contextmanager
def scene() -> Iterator[Scene]:
    with restored(), running() as cloud:
        tasks.task(weigh)
        queue.url()
        with tapped() as wire:
            mocked = Scene(cloud, wire)
            with redirect_stdout(mocked.logged):
                yield mocked


def weigh(text: str) -> int:
    return len(text)


def flow(text: str = "", rows: int = 0, messages: int = 0) -> Flow:
    """Process one order with this input, after adding `rows` orders and `messages` messages."""
    with scene() as mocked:
        if rows:
            mocked.fill(rows)
        if messages:
            mocked.wait(messages)
        return mocked.flow(text)


def count_bytes(photo: tasks.File) -> int:
    return len(photo.read())


def photo_requests() -> Counter[str]:
    """Count the requests to S3 for a photo that is uploaded, ordered and read, by IAM action."""
    content = bytes(PHOTO_BYTES)
    with (
        redirect_stdout(io.StringIO()),
        restored(),
        running() as cloud,
        recorded() as recorder,
    ):
        tasks.task(count_bytes)
        with recorder.of("photo"):
            file_id = cloud.upload(content)
            recorder.use("PUT", f"https://{config.settings().files_bucket}.s3./kit/{file_id}")
            order = cloud.place("count_bytes", {"photo": {"file": file_id}})
            cloud.drain()
        assert cloud.get(order["id"])["result"] == PHOTO_BYTES
    return Counter(call.action for call in recorder.calls if call.action.startswith("s3:"))


def photo_dollars(requests: Counter[str]) -> dict[str, float]:
    """Return the dollars that a million orders cost more if each has a photo of its own.

    The last member, `one download`, is added if a client downloads a file as large.
    """
    gb = PHOTO_BYTES / 1e9
    billed_s = BILLED_S["POST"] + READ_PHOTO_S
    return {
        "S3 requests": requests["s3:PutObject"] * PRICES["s3_put"]
        + requests["s3:GetObject"] * PRICES["s3_get"],
        "S3 storage": gb * config.DEFAULTS.file_days / 30 * PRICES["s3_gb_month"],
        "API Gateway": PRICES["api_gateway_request"],
        "Lambda": PRICES["lambda_request"] + billed_s * MEMORY_GB * PRICES["lambda_gb_s"],
        "one download": gb * PRICES["transfer_gb"]
        + 2 * PRICES["s3_get"]
        + PRICES["api_gateway_request"]
        + PRICES["lambda_request"]
        + BILLED_S["poll"] * MEMORY_GB * PRICES["lambda_gb_s"],
    }


def dollars(flow: Flow, front: str = "rest") -> dict[str, float]:
    """Return the dollars per million orders with one poll each, by service."""
    runs = len(BILLED_S)
    return {
        "API Gateway": 2 * FRONT_PRICES[front],
        "DynamoDB": flow.write_units * PRICES["write_unit"] + flow.read_units * PRICES["read_unit"],
        "SQS": 3 * PRICES["sqs_request"],  # sent, received, deleted
        "Lambda": runs * PRICES["lambda_request"]
        + sum(BILLED_S.values()) * MEMORY_GB * PRICES["lambda_gb_s"],
        "Logs": (flow.log_bytes + runs * PLATFORM_LOG_BYTES) / 1e9 * PRICES["log_gb"],
    }
