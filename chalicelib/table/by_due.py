"""The due index: orders by the time when the sweeper must check them.

It is the system's only timer. A query reads what is due and nothing else.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from chalicelib import config
from chalicelib.aws.client import client, translated
from chalicelib.clock import Micros
from chalicelib.table.items import Values, encode

if TYPE_CHECKING:
    from chalicelib.aws.calls import QueryResult


MAX_ENTRIES = 16_000  # to be held at a time, of all partitions together


def overdue(
    shards: Sequence[str], until: Micros, page: int | None = None
) -> Iterator[tuple[str, Micros]]:
    """Yield (row key, check_at) of the orders due by `until`, longest overdue first.

    It reads as it goes, a page of each partition at a time; None: as large as memory allows.
    """
    limit = page or max(100, MAX_ENTRIES // len(shards))
    entries = (_entries(shard, until, limit) for shard in shards)
    return heapq.merge(*entries, key=lambda entry: entry[1])


def _entries(shard: str, until: Micros, limit: int) -> Iterator[tuple[str, Micros]]:
    for page in pages(shard, until, Limit=limit):
        for item in page["Items"]:
            yield item["pk"]["S"], int(item["check_at"]["N"])


def count(shards: Iterable[str], last: Micros, first: Micros = 0, *, most: int) -> int:
    """Count the entries of some shards from `first` to `last`, but stop at `most`."""
    found = 0
    for shard in shards:
        for page in pages(shard, last, first, Select="COUNT", Limit=most - found):
            found += page["Count"]
            if found >= most:
                return found
    return found


def shards(kind: str) -> list[str]:
    """Return the index's partition keys for a kind of dispatch, QUEUED or SCHEDULED."""
    return [f"{kind}#{n}" for n in range(config.settings().due_shards)]


def pages(shard: str, last: Micros, first: Micros = 0, **options: object) -> Iterator[QueryResult]:
    """Yield pages of the entries of a shard from `first` to `last`, by time."""
    request: Values = {
        "TableName": config.settings().orders_table,
        "IndexName": "by_due",
        "KeyConditionExpression": "check_shard = :shard AND check_at BETWEEN :first AND :last",
        "ExpressionAttributeValues": {
            ":shard": encode(shard),
            ":first": encode(first),
            ":last": encode(last),
        },
        **options,
    }
    while first <= last:  # DynamoDB rejects a range that ends before it begins
        with translated():
            page = client("dynamodb").query(**request)
        yield page
        if "LastEvaluatedKey" not in page:
            return
        request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
