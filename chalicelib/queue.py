"""The orders queue: send, decode, hide. A message names an order and nothing else."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chalicelib import config, logs
from chalicelib.aws.client import client, translated
from chalicelib.errors import Unavailable
from chalicelib.orders import Order

VERSION = 1


@dataclass(frozen=True)
class Message:
    """What a record of Lambda's SQS event holds.

    id        None if the record has none: then Lambda can't be asked to keep the message
    receipt   None if the record has none: then the message can't be hidden
    receives  how often it was received; a hint, never a fence
    key       of the order's row; None if the body can't be read
    task      a hint for what the order may need; the row decides
    """

    id: str | None
    receipt: str | None
    receives: int
    key: str | None
    task: str
    version: int
    request: str | None = None

    def about(self) -> dict[str, str | None]:
        """How log lines name it: the message, its order, a hash of the client, and the request that placed it."""
        owner, _, order = (self.key or "").partition("#")
        return {
            "message": self.id,
            "order": order or None,
            "owner": logs.hashed(owner) if owner else None,
            "request": self.request,
        }


def send(order: Order, delay_s: int = 0) -> None:
    """T2. The group makes a standard queue fair between clients:
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html
    """
    request = logs.request_id()
    with translated():
        client("sqs").send_message(
            QueueUrl=url(),
            MessageBody=json.dumps({"v": VERSION, "pk": order.key, "task": order.task}),
            MessageGroupId=order.owner,
            **({"DelaySeconds": delay_s} if delay_s else {}),
            **(
                {"MessageAttributes": {"request": {"DataType": "String", "StringValue": request}}}
                if request
                else {}
            ),
        )


def depth() -> int:
    """About how many messages wait for a worker."""
    name = "ApproximateNumberOfMessages"
    with translated():
        answer = client("sqs").get_queue_attributes(QueueUrl=url(), AttributeNames=[name])
    return int(answer["Attributes"][name])


def hide(message: Message, seconds: int) -> None:
    """Let a message that is not acknowledged come back after `seconds`, counted from now. Raises Unavailable."""
    if message.receipt is None:
        raise Unavailable("the record has no receiptHandle")
    seconds = min(max(seconds, 0), config.MAX_VISIBILITY_S)
    with translated():
        client("sqs").change_message_visibility(
            QueueUrl=url(), ReceiptHandle=message.receipt, VisibilityTimeout=seconds
        )


def decode(record: Any) -> Message:
    """Return the message of a record as Lambda delivers it. Nothing in a record raises."""
    try:
        body = json.loads(record["body"])
        key, task, version = str(body["pk"]), str(body["task"]), int(body["v"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        key, task, version = None, "", 0
    receives = _text(record, "attributes", "ApproximateReceiveCount") or ""
    return Message(
        id=_text(record, "messageId"),
        receipt=_text(record, "receiptHandle"),
        receives=int(receives[:3]) if receives.isdecimal() else 1,
        key=key,
        task=task,
        version=version,
        request=_text(record, "messageAttributes", "request", "stringValue"),
    )


def _text(record: Any, *path: str) -> str | None:
    """Return the string at a path of members, or None if there is no such string."""
    for name in path:
        record = record.get(name) if isinstance(record, dict) else None
    return record if isinstance(record, str) else None


def process(
    records: list[Any], handle: Callable[[Message, bool], bool]
) -> dict[str, list[dict[str, str]]]:
    """Hand each record's message to `handle`, and return Lambda's partial batch response: the messages to keep.

    `handle` takes the message and whether it is the first of the batch, and returns whether the message is done with.
    An error concerns its own message alone, which is kept, never the rest of the batch.
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting
    """
    messages = [decode(record) for record in records]
    kept = [message for n, message in enumerate(messages) if not _done(message, n == 0, handle)]
    # Lambda fails the whole batch for an identifier that is not one of its messages
    return {"batchItemFailures": [{"itemIdentifier": message.id} for message in kept if message.id]}


def _done(message: Message, first: bool, handle: Callable[[Message, bool], bool]) -> bool:
    with logs.about(**message.about()):
        try:
            return handle(message, first)
        except Unavailable as error:
            logs.event("aws_unavailable", reason=str(error))
        except Exception:
            logs.fault("message_fault")
    return False


def url() -> str:
    """The queue's address: told by the template, or asked once by its name."""
    return config.settings().queue_url or _ask(config.settings().orders_queue, config.aws())


@functools.lru_cache(maxsize=4)
def _ask(name: str, aws: config.Aws) -> str:
    """Return the address of the queue in that AWS."""
    with translated():
        return str(client("sqs").get_queue_url(QueueName=name)["QueueUrl"])
