"""The due index: which orders the sweeper should look at. The one timer of the system; it costs what is due."""

from __future__ import annotations

from collections.abc import Iterator

from chalicelib import config
from chalicelib.aws.client import client, translated
from chalicelib.table.items import Item, encode


def overdue(shard: str, until: int) -> Iterator[tuple[str, int]]:
    """(row key, check_at) of every order in a partition that was due by then, the longest overdue first."""
    for page in _pages(shard, until):
        for item in page["Items"]:
            yield item["pk"]["S"], int(item["check_at"]["N"])


def count(shard: str, until: int) -> int:
    return sum(page["Count"] for page in _pages(shard, until, Select="COUNT"))


def shards(kind: str) -> list[str]:
    """The partitions of a kind, `sent` or `later`."""
    return [f"{kind}#{n}" for n in range(config.settings().due_shards)]


def _pages(shard: str, until: int, **options: str) -> Iterator[Item]:
    request: Item = {
        "TableName": config.settings().orders_table,
        "IndexName": "by_due",
        "KeyConditionExpression": "check_shard = :shard AND check_at <= :until",
        "ExpressionAttributeValues": {":shard": encode(shard), ":until": encode(until)},
        **options,
    }
    while True:
        with translated():
            page = client("dynamodb").query(**request)
        yield page
        if "LastEvaluatedKey" not in page:
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
