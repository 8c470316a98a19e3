"""The orders queue: send, decode, hide. A message names an order and nothing else."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from typing import Any

from chalicelib import config, logs
from chalicelib.aws import client, translated
from chalicelib.orders import Order

VERSION = 1


@dataclass(frozen=True)
class Message:
    """What a record of Lambda's SQS event holds. `receives` is a hint, never a fence. `key` is None if unreadable."""

    id: str
    receipt: str
    receives: int
    key: str | None
    task: str
    version: int
    request: str | None = None

    def about(self) -> dict[str, str | None]:
        """How log lines name it: the message, its order, a hash of the client, and the request that placed it."""
        client, _, order = (self.key or "").partition("#")
        return {"message": self.id, "order": order or None, "client": logs.hashed(client) if client else None,
                "request": self.request}


def send(order: Order, delay_s: int = 0) -> None:
    """T2. The group makes a standard queue fair between clients:
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html
    """
    request = logs.request_id()
    with translated():
        client("sqs").send_message(
            QueueUrl=url(),
            MessageBody=json.dumps({"v": VERSION, "pk": order.key, "task": order.task}),
            MessageGroupId=order.client,
            **({"DelaySeconds": delay_s} if delay_s else {}),
            **({"MessageAttributes": {"request": {"DataType": "String", "StringValue": request}}} if request else {}),
        )


def depth() -> int:
    """About how many messages wait for a worker."""
    name = "ApproximateNumberOfMessages"
    with translated():
        answer = client("sqs").get_queue_attributes(QueueUrl=url(), AttributeNames=[name])
    return int(answer["Attributes"][name])


def hide(message: Message, seconds: int) -> None:
    """Let a message that is not acknowledged come back after so many seconds, counted from now."""
    seconds = min(max(seconds, 0), config.MAX_VISIBILITY_S)
    with translated():
        client("sqs").change_message_visibility(
            QueueUrl=url(), ReceiptHandle=message.receipt, VisibilityTimeout=seconds
        )


def decode(record: dict[str, Any]) -> Message:
    """A record as Lambda delivers it. Nothing in a body raises: what can't be read has key None."""
    try:
        body = json.loads(record["body"])
        key, task, version = str(body["pk"]), str(body["task"]), int(body["v"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        key, task, version = None, "", 0
    receives = int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))
    request = record.get("messageAttributes", {}).get("request", {}).get("stringValue")
    return Message(record["messageId"], record["receiptHandle"], receives, key, task, version, request)


def url() -> str:
    """The queue's address: told by the template, or asked once by its name."""
    return config.settings().queue_url or _ask(config.settings().orders_queue, config.aws())


@functools.lru_cache(maxsize=4)
def _ask(name: str, aws: config.Aws) -> str:
    """Return the address of the queue in that AWS."""
    with translated():
        return str(client("sqs").get_queue_url(QueueName=name)["QueueUrl"])
