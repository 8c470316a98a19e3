"""The orders queue: send, decode and hide messages. A message names an order and its task."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct, json

from chalicelib import config, endpoints, ids, logs
from chalicelib.aws.client import client, translated
from chalicelib.errors import Unavailable
from chalicelib.orders import Order

if TYPE_CHECKING:
    from chalicelib.aws.calls import Content, Entry

VERSION = 1
# During a deploy an old worker may send it back. Lambda stops a loop after some 16 rounds:
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
FORWARD_DELAY_S = 10
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
MAX_BATCH = 10


class Message(Struct, frozen=True):
    """A message, as a record of Lambda's SQS event."""

    id: str | None
    """SQS's id of the message; None if the record has none: then the message can't be kept."""
    receipt: str | None
    """Receipt handle; None if the record has none: then the message can't be hidden."""
    receives: int
    """Number of receives so far; approximate, so no decision may depend on it alone."""
    key: str | None
    """Key of the order's row; None if the body can't be read."""
    task: str
    """Name of the order's task; only the row is authoritative."""
    version: int
    """Version of the message's format; 0 if the body can't be read."""
    request: str | None = None
    """Id of the HTTP request that caused the message; None if there was none."""

    def log_context(self) -> dict[str, str | None]:
        """Return the members that its log lines have: message, order, hashed owner, request."""
        owner, _, order = (self.key or "").partition("#")
        return {
            "message": self.id,
            "order": order or None,
            "owner": logs.hashed(owner) if owner else None,
            "request": self.request,
        }


class Ack(Struct, frozen=True):
    """Acknowledge the message: Lambda deletes it."""


class Keep(Struct, frozen=True):
    """Keep the message: SQS delivers it again."""

    delay_s: int
    """Seconds until it is visible again."""
    reason: str
    """Why it is kept, for the log."""


def send(order: Order, delay_s: int = 0, lane: str = config.DEFAULT_LANE) -> None:
    """Send an order's message to its lane, to be received after `delay_s`. Raises Unavailable.

    The message group makes a standard queue fair between owners:
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html
    """
    _send(order.key, order.task, lane, delay_s)


def forward(message: Message, task: str, lane: str) -> None:
    """Send the message of a task that has moved to the lane where it is now. Raises Unavailable."""
    assert message.key is not None
    logs.event("message_forwarded", task=task, lane=lane)
    _send(message.key, task, lane, FORWARD_DELAY_S)


def send_many(
    messages: Sequence[tuple[Order, int]], lane: str = config.DEFAULT_LANE
) -> list[tuple[Order, str]]:
    """Send the messages of up to MAX_BATCH orders, each with its delay in seconds, in one call.

    Return the orders whose messages SQS refused, each with the reason. Raises Unavailable.
    """
    entries: list[Entry] = [
        {"Id": str(n), **_content(order.key, order.task, delay_s)}
        for n, (order, delay_s) in enumerate(messages)
    ]
    with translated():
        response = client("sqs").send_message_batch(QueueUrl=url(lane), Entries=entries)
    return [(messages[int(each["Id"])][0], each["Code"]) for each in response.get("Failed") or ()]


def _send(key: str, task: str, lane: str, delay_s: int) -> None:
    with translated():
        client("sqs").send_message(QueueUrl=url(lane), **_content(key, task, delay_s))


def _content(key: str, task: str, delay_s: int) -> Content:
    """Return a message's body and what SQS must know about it."""
    content: Content = {
        "MessageBody": json.encode({"v": VERSION, "pk": key, "task": task}).decode(),
        "MessageGroupId": ids.owner_of(key),
    }
    if delay_s:
        content["DelaySeconds"] = delay_s
    if request := logs.request_id():
        content["MessageAttributes"] = {"request": {"DataType": "String", "StringValue": request}}
    return content


def depth(lane: str) -> int:
    """Return the approximate number of a lane's messages that wait. Raises Unavailable."""
    return counts(url(lane))[0]


def counts(queue_url: str) -> tuple[int, int, int]:
    """Return how many messages of a queue wait, are in flight, and are delayed, approximately.

    Raises Unavailable.
    """
    names = [f"ApproximateNumberOfMessages{suffix}" for suffix in ("", "NotVisible", "Delayed")]
    with translated():
        response = client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)
    waiting, in_flight, delayed = (int(response["Attributes"][name]) for name in names)
    return waiting, in_flight, delayed


def hide(message: Message, seconds: int) -> None:
    """Make a message visible again `seconds` from now. Raises Unavailable."""
    if message.receipt is None:
        raise Unavailable("the record has no receiptHandle")
    seconds = min(max(seconds, 0), config.MAX_VISIBILITY_S)
    with translated():
        client("sqs").change_message_visibility(
            QueueUrl=url(config.settings().lane),
            ReceiptHandle=message.receipt,
            VisibilityTimeout=seconds,
        )


def decode(record: Any) -> Message:
    """Return the message of a record from Lambda. Never raises, whatever the record contains."""
    key: str | None
    try:
        body = json.decode(record["body"])
        key = str(body["pk"])
        task = str(body["task"])
        version = int(body["v"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        key = None
        task = ""
        version = 0
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
    records: list[Any], handle: Callable[[Message, bool], Ack | Keep]
) -> dict[str, list[dict[str, str]]]:
    """Call `handle` for each message; return Lambda's partial batch response.

    The response names the messages to keep, which SQS then delivers again.
    `handle` takes the message and whether it is the first of the batch. An exception keeps its own
    message and has no effect on the rest of the batch.
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting
    """
    messages = [decode(record) for record in records]
    kept = [message for n, message in enumerate(messages) if _is_kept(message, n == 0, handle)]
    # Lambda fails the whole batch for an identifier that is not one of its messages
    failures = [{"itemIdentifier": message.id} for message in kept if message.id]
    return {"batchItemFailures": failures}


def _is_kept(message: Message, first: bool, handle: Callable[[Message, bool], Ack | Keep]) -> bool:
    """Handle a message. Return True if it is kept, as it is after any exception."""
    with logs.bound(**message.log_context()):
        try:
            match handle(message, first):
                case Ack():
                    return False
                case Keep(delay_s, reason):
                    _delay(message, delay_s, reason)
        except Unavailable as error:
            logs.event("aws_unavailable", reason=str(error))
        except Exception:
            logs.exception("message_failed")
    return True


def _delay(message: Message, delay_s: int, reason: str) -> None:
    """Make a kept message visible again after `delay_s`.

    If that call fails, the queue's visibility timeout applies.
    """
    logs.event("message_kept", reason=reason, seconds=delay_s)
    try:
        hide(message, delay_s)
    except Unavailable:
        logs.event("hide_failed")


def url(lane: str = config.DEFAULT_LANE) -> str:
    """Return the URL of a lane's queue: from the settings, or looked up once.

    Raises Unavailable.
    """
    settings = config.settings()
    if settings.queue_url:
        return config.lane_queue(settings.queue_url, lane)
    return _look_up(config.lane_queue(settings.orders_queue, lane), config.aws())


def dead_url() -> str:
    """Return the URL of the dead-letter queue. Raises Unavailable if it is not known."""
    settings = config.settings()
    if settings.queue_url:  # only the last part of their URLs differs
        return f"{settings.queue_url.rpartition('/')[0]}/{settings.dead_queue}"
    return _look_up(settings.dead_queue, config.aws())


@functools.lru_cache(maxsize=4)
def _look_up(name: str, aws: endpoints.Aws) -> str:
    """Return the URL of a queue; `aws` is a part of the cache's key."""
    with translated():
        return client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
