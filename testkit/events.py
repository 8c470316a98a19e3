"""What Lambda passes to the handlers: its context, and the events of the queues and schedule."""

from __future__ import annotations

from typing import Any


class LambdaContext:
    """Lambda's context object, with the members that handlers read."""

    aws_request_id = "00000000-0000-4000-8000-000000000000"
    function_name = "order_worker"

    def __init__(self, time_left_s: float) -> None:
        self._time_left_s = time_left_s

    def get_remaining_time_in_millis(self) -> int:
        return int(self._time_left_s * 1000)


def record(message: dict[str, Any], region: str) -> dict[str, Any]:
    """Return a received message as it is in Lambda's SQS event."""
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
        "eventSourceARN": f"arn:aws:sqs:{region}:123456789012:orders",
        "awsRegion": region,
    }


def scheduled(region: str) -> dict[str, Any]:
    """Return the event of the schedule."""
    return {
        "version": "0",
        "account": "",
        "region": region,
        "detail": {},
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "time": "",
        "id": "",
        "resources": [],
    }
