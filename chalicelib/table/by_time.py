"""An owner's list of orders, newest first: pages of the index by_time, merged over its shards.

A page costs the same however many orders there are: one query of the index for each shard, and one
read of the rows for each hundred keys. The index is eventually consistent with the table: an order
may be missing from the list for some seconds after its 202.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

from msgspec import Struct

from chalicelib import clock, config
from chalicelib.aws.client import client, translated
from chalicelib.orders import Order
from chalicelib.table import batch_get
from chalicelib.table.items import (
    LIST_NAMES,
    LIST_PROJECTION,
    OMITTED_IN_LISTS,
    encode,
    time_key,
    time_shards,
)

# Per page, so that a filter without matches can't scan an owner's whole history
MAX_KEYS_PER_PAGE = 200
_NEWEST = "~"  # greater than every sort key


class Page(Struct, frozen=True):
    """A page of orders.

    orders  the newest first
    end     the sort key after which the next page begins; None on the last page
    """

    orders: list[Order]
    end: str | None


class _Key(Struct, frozen=True):
    """An entry of the index."""

    sort_key: str
    row: str
    task: str


def page(
    owner: str,
    limit: int,
    after: str | None = None,
    task: str | None = None,
    fits: Callable[[Order], bool] | None = None,
) -> Page:
    """Return a page of an owner's orders.

    With `task` or `fits` a page may be short or even empty though more pages follow.

    Args:
        owner: the tenant whose orders are listed
        limit: the maximum number of orders
        after: the sort key where the page before ended; None for the first page
        task: list only orders of this task
        fits: list only orders for which this returns True
    """
    max_keys = MAX_KEYS_PER_PAGE if task or fits else limit
    # One key more shows whether there is a next page
    keys = _newest_keys(owner, task, after or _NEWEST, max_keys + 1)
    found: list[Order] = []
    chosen = [key for key in keys[:max_keys] if task in (None, key.task)]
    for chunk in _split(chosen, first=batch_get.LIMIT if fits else limit):
        for key, order in _read_orders(chunk):
            if order is not None and (fits is None or fits(order)):
                found.append(order)
            if len(found) == limit:
                return Page(found, key.sort_key if key != keys[-1] else None)
    return Page(found, keys[max_keys - 1].sort_key if len(keys) > max_keys else None)


def latest(owner: str, limit: int, task: str | None = None) -> list[Order]:
    """Return an owner's latest orders with their histories, newest first; of one task or of all."""
    keys = _newest_keys(owner, task, _NEWEST, limit)
    names = {**LIST_NAMES, "#history": "history"}
    rows = batch_get.items(
        (key.row for key in keys if task in (None, key.task)),
        ProjectionExpression=f"{LIST_PROJECTION}, #history",
        ExpressionAttributeNames=names,
    )
    now = clock.now()
    found = batch_get.readable(OMITTED_IN_LISTS | item for item in rows)
    current = (order for order in found if not order.expired(now))
    return sorted(current, key=time_key, reverse=True)


def _newest_keys(owner: str, task: str | None, before: str, limit: int) -> list[_Key]:
    """Return the newest keys below a sort key, merged over all shards."""
    shards = [_query_shard(shard, before, limit) for shard in time_shards(owner, task)]
    return list(heapq.merge(*shards, key=lambda key: key.sort_key, reverse=True))[:limit]


def _query_shard(shard: str, before: str, limit: int) -> list[_Key]:
    with translated():
        response = client("dynamodb").query(
            TableName=config.settings().orders_table,
            IndexName="by_time",
            KeyConditionExpression="time_shard = :shard AND time_key < :before",
            ExpressionAttributeValues={":shard": encode(shard), ":before": encode(before)},
            ScanIndexForward=False,
            Limit=limit,
        )
    return [
        _Key(item["time_key"]["S"], item["pk"]["S"], item["task"]["S"])
        for item in response["Items"]
    ]


def _split(keys: list[_Key], first: int) -> Iterator[list[_Key]]:
    """Yield `first` keys, usually enough for the page, then chunks of the batch read's limit."""
    yield keys[:first]
    for start in range(first, len(keys), batch_get.LIMIT):
        yield keys[start : start + batch_get.LIMIT]


def _read_orders(keys: list[_Key]) -> list[tuple[_Key, Order | None]]:
    """Return the keys with their orders.

    The order is None if it expired, or if its id was used again since the index was written.
    """
    rows = batch_get.brief(key.row for key in keys)
    found = {(time_key(order), order.key): order for order in rows}
    current = [found.get((key.sort_key, key.row)) for key in keys]
    now = clock.now()
    return [
        (key, None if order is None or order.expired(now) else order)
        for key, order in zip(keys, current, strict=True)
    ]
