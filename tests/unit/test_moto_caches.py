"""moto answers the same with the kit's shortcuts (testkit/moto_caches.py) as without them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.exceptions import ClientError
from moto import mock_aws

KEY = {"pk": {"S": "a"}}
NAMES = {"#status": "status", "#due": "due_at", "#n": "attempts"}
EVERY_TYPE = {
    **KEY,
    "status": {"S": "PENDING"},
    "due_shard": {"S": "queued"},
    "due_at": {"N": "5"},
    "attempts": {"N": "0"},
    "large": {"N": "12345678901234567890.5"},
    "raw": {"B": b"\x00\xff"},
    "things": {"L": [{"S": "x"}, {"N": "1"}, {"L": []}, {"BOOL": True}, {"NULL": True}]},
    "parts": {"M": {"in": {"M": {"S": {"S": "not a type"}}}, "N": {"N": "2"}}},
    "texts": {"SS": ["x", "y"]},
    "numbers": {"NS": ["1", "2.5"]},
    "empty": {"S": ""},
}
UPDATES = [
    (
        "SET #status = :new, #due = #due + :step REMOVE due_shard",
        "#status = :old AND #due <= :five",
    ),
    ("SET #status = :new", "#status = :old"),  # refused, with the row
    ("SET #status = :old, due_shard = :new", "attribute_exists(pk) AND NOT #status IN (:old)"),
    ("ADD #n :step, texts :set DELETE numbers :number", "#due BETWEEN :step AND :seven"),
    (
        "SET #n = if_not_exists(#n, :step), extra = :old",
        "begins_with(pk, :a) OR size(due_shard) > :five",
    ),
    (
        "SET things[0] = :new, parts.#n = :step, things = list_append(things, :more)",
        None,
    ),  # overlaps
    ("SET things = list_append(things, :more), parts.#n = :step", "contains(texts, :old)"),
    ("SET things = list_append(things, :more), parts.#n = :step", "attribute_type(parts, :map)"),
    ("SET #status = :unknown", None),
    ("SET #unknown = :new", None),
    ("SET pk = :new", None),
    ("SET #status = ", None),
    ("SET #status :new", None),
    ("", None),
    ("SET #status = :new SET #due = :step", None),
    ("SET #due = #status + :step", None),
    ("SET #due = absent + :step", None),
    ("SET #status = :new", "#status = "),
    ("SET #status = :new", "size(#status, #due) > :step"),
]
VALUES: dict[str, Any] = {
    ":new": {"S": "RUNNING"},
    ":old": {"S": "PENDING"},
    ":step": {"N": "1"},
    ":five": {"N": "5"},
    ":seven": {"N": "7"},
    ":a": {"S": "a"},
    ":map": {"S": "M"},
    ":set": {"SS": ["z"]},
    ":number": {"NS": ["1"]},
    ":more": {"L": [{"S": "more"}]},
}
RANDOM = ("MessageId", "ReceiptHandle", "SentTimestamp", "ApproximateFirstReceiveTimestamp")


def used(known: dict[str, Any], *texts: str | None) -> dict[str, Any]:
    """Return what the expressions use; AWS refuses what no expression uses."""
    return {name: value for name, value in known.items() if any(name in (t or "") for t in texts)}


def rows() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield calls to a table: operation and members."""
    new = {"ConditionExpression": "attribute_not_exists(pk)"}
    for _ in range(2):
        yield (
            "put_item",
            {"Item": EVERY_TYPE, "ReturnValuesOnConditionCheckFailure": "ALL_OLD", **new},
        )
    for update, condition in [*UPDATES, *UPDATES]:  # what is cached must not have changed
        members: dict[str, Any] = {"Key": KEY, "ReturnValues": "ALL_NEW"}
        members["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        members["UpdateExpression"] = update
        if condition:
            members["ConditionExpression"] = condition
        if names := used(NAMES, update, condition):
            members["ExpressionAttributeNames"] = names
        if values := used(VALUES, update, condition):
            members["ExpressionAttributeValues"] = values
        yield "update_item", members
        yield "get_item", {"Key": KEY, "ConsistentRead": True}
    yield "get_item", {"Key": {"pk": {"S": "missing"}}}
    yield "get_item", {"Key": {"other": {"S": "a"}}}
    query = {
        "IndexName": "due",
        "KeyConditionExpression": "due_shard = :s AND #due <= :five",
        "ExpressionAttributeNames": {"#due": "due_at"},
    }
    values = {":s": {"S": "RUNNING"}, ":five": {"N": "500"}}
    yield "query", {**query, "ExpressionAttributeValues": values, "Limit": 5}
    yield (
        "query",
        {**query, "ExpressionAttributeValues": values, "FilterExpression": "size(things) > :five"},
    )
    yield "query", {**query, "ExpressionAttributeValues": {":s": {"S": "x"}}}
    yield (
        "scan",
        {"ProjectionExpression": "pk, #status", "ExpressionAttributeNames": {"#status": "status"}},
    )
    yield "scan", {"Select": "COUNT"}
    yield "delete_item", {"Key": KEY, "ConditionExpression": "attribute_not_exists(pk)"}
    yield "delete_item", {"Key": KEY, "ReturnValues": "ALL_OLD"}


def messages(url: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield calls to a queue."""
    attribute = {"trace": {"StringValue": "x", "DataType": "String"}}
    yield "send_message", {"QueueUrl": url, "MessageBody": "{}", "MessageAttributes": attribute}
    entries = [{"Id": str(n), "MessageBody": str(n), "DelaySeconds": n} for n in range(3)]
    yield "send_message_batch", {"QueueUrl": url, "Entries": entries}
    yield "send_message_batch", {"QueueUrl": url, "Entries": entries[:1] * 2}
    yield "send_message", {"QueueUrl": f"{url}-missing", "MessageBody": "{}"}
    yield "send_message", {"QueueUrl": url, "MessageBody": "\x00"}
    for names in (["All"], []):
        yield (
            "receive_message",
            {"QueueUrl": url, "AttributeNames": names, "MessageAttributeNames": names},
        )
    visibility = {"QueueUrl": url, "VisibilityTimeout": 5}
    yield "change_message_visibility", {**visibility, "ReceiptHandle": "unknown"}
    yield "delete_message", {"QueueUrl": url, "ReceiptHandle": "unknown"}
    yield (
        "get_queue_attributes",
        {"QueueUrl": url, "AttributeNames": ["ApproximateNumberOfMessages"]},
    )


@mock_aws
def print_answers() -> None:
    """Print moto's answer to each call as a line."""
    dynamodb, sqs = (boto3.client(name, region_name="us-east-1") for name in ("dynamodb", "sqs"))
    types = {"pk": "S", "due_shard": "S", "due_at": "N"}
    dynamodb.create_table(
        TableName="orders",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": t} for n, t in types.items()],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "due",
                "KeySchema": [
                    {"AttributeName": "due_shard", "KeyType": "HASH"},
                    {"AttributeName": "due_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    for table in ("orders", "missing"):
        for operation, members in rows():
            print_answer(dynamodb, operation, {"TableName": table, **members})
    keys = {"orders": {"Keys": [KEY, {"pk": {"S": "missing"}}], "ConsistentRead": True}}
    print_answer(dynamodb, "batch_get_item", {"RequestItems": keys})
    url = sqs.create_queue(QueueName="queue")["QueueUrl"]
    for operation, members in messages(url):
        print_answer(sqs, operation, members)


def print_answer(client: Any, operation: str, members: dict[str, Any]) -> None:
    try:
        answer = getattr(client, operation)(**members)
    except ClientError as error:
        answer = error.response
    except Exception as error:  # moto's own, of an expression that it can't read
        answer = {"error": repr(error), "ResponseMetadata": {"HTTPStatusCode": 500}}
    metadata = answer.pop("ResponseMetadata")
    print([operation, metadata["HTTPStatusCode"], comparable(answer)])  # noqa: T201


def comparable(answer: Any) -> Any:
    """Return an answer without what is random in it."""
    if isinstance(answer, list):
        return [comparable(each) for each in answer]
    if isinstance(answer, dict):
        return {name: comparable(each) for name, each in answer.items() if name not in RANDOM}
    return answer


def answers(first: str) -> list[str]:
    """Return the answers of a process that runs a statement before."""
    code = f"{first}; from tests.unit.test_moto_caches import print_answers; print_answers()"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    return printed.splitlines()


def test_moto_answers_the_same_with_the_kit_s_shortcuts() -> None:
    plain = answers("pass")

    assert len(plain) > 150
    assert sum("', 200, " in line for line in plain) > 50
    assert answers("import testkit.moto_caches") == plain
