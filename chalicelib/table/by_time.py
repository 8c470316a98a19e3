"""A client's list, newest first: the index by_time in pages, merged over its shards in the order of time.

A page costs the same however many orders there are: one query of the index for each shard, and one read of the rows for
each hundred keys. The index is a moment behind the table, so an order is sure to be there some seconds after its 202.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from chalicelib import config, logs, orders
from chalicelib.aws.client import client, translated
from chalicelib.errors import Unavailable, UnreadableOrder
from chalicelib.orders import Order
from chalicelib.table.items import (
    LIST_PROJECTION,
    OMITTED_IN_LISTS,
    Item,
    decode_order,
    encode,
    time_key,
    time_shards,
)

MAX_KEYS_PER_PAGE = (
    200  # that a page looks at: a filter that nothing fits must not read a client's whole past
)
_BATCH_GET_LIMIT = (
    100  # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
)
_MOST_READS = 4
_NEWEST = "~"  # greater than every sort key


@dataclass(frozen=True)
class Page:
    """Orders, and the sort key after which the next page begins; None: this was the last."""

    orders: list[Order]
    end: str | None


@dataclass(frozen=True)
class _Key:
    """What the index says of an order."""

    place: str
    row: str
    task: str


def page(
    owner: str,
    limit: int,
    after: str | None = None,
    task: str | None = None,
    fits: Callable[[Order], bool] | None = None,
) -> Page:
    """At most so many orders, those that are older than the place `after`. `task` and `fits` choose among them; with
    either, a page may be short or even empty though more follow."""
    most = MAX_KEYS_PER_PAGE if task or fits else limit
    keys = _keys(owner, after or _NEWEST, most + 1)  # one more, to know whether any follows
    found: list[Order] = []
    chosen = [key for key in keys[:most] if task in (None, key.task)]
    for chunk in _chunks(chosen, first=_BATCH_GET_LIMIT if fits else limit):
        for key, order in _read(chunk):
            if order is not None and (fits is None or fits(order)):
                found.append(order)
            if len(found) == limit:
                return Page(found, key.place if key != keys[-1] else None)
    return Page(found, keys[most - 1].place if len(keys) > most else None)


def _keys(owner: str, before: str, most: int) -> list[_Key]:
    """The newest keys before a place, of all shards."""
    shards = [_shard(shard, before, most) for shard in time_shards(owner)]
    return list(heapq.merge(*shards, key=lambda key: key.place, reverse=True))[:most]


def _shard(shard: str, before: str, most: int) -> list[_Key]:
    with translated():
        answer = client("dynamodb").query(
            TableName=config.settings().orders_table,
            IndexName="by_time",
            KeyConditionExpression="time_shard = :shard AND time_key < :before",
            ExpressionAttributeValues={":shard": encode(shard), ":before": encode(before)},
            ScanIndexForward=False,
            Limit=most,
        )
    return [
        _Key(item["time_key"]["S"], item["pk"]["S"], item["task"]["S"]) for item in answer["Items"]
    ]


def _chunks(keys: list[_Key], first: int) -> Iterator[list[_Key]]:
    """So many at first, which should do; then as many as can be read at once."""
    yield keys[:first]
    yield from (
        keys[start : start + _BATCH_GET_LIMIT]
        for start in range(first, len(keys), _BATCH_GET_LIMIT)
    )


def _read(keys: list[_Key]) -> list[tuple[_Key, Order | None]]:
    """The rows of these keys, in their order; None for one that expired, or began anew since the index was written."""
    found = {(time_key(order), order.key): order for order in _readable(_rows(keys))}
    current = [found.get((key.place, key.row)) for key in keys]
    now = orders.now()
    return [
        (key, None if order is None or order.expired(now) else order)
        for key, order in zip(keys, current, strict=True)
    ]


def _readable(items: Iterable[Item]) -> Iterator[Order]:
    """Yield the orders of these rows. One that this version can't read must not hide the others of its owner."""
    for item in items:
        try:
            yield decode_order(item)
        except UnreadableOrder:
            logs.event("row_unreadable", order=item.get("id", {}).get("S"))


def _rows(keys: list[_Key]) -> Iterator[Item]:
    """A list must lack none silently: what AWS leaves out, since it is too much at once, is asked for again."""
    table = config.settings().orders_table
    once = dict.fromkeys(key.row for key in keys)  # AWS refuses a read that names a row twice
    wanted: Item = (
        {table: {"Keys": [{"pk": encode(row)} for row in once], **LIST_PROJECTION}} if once else {}
    )
    for _ in range(_MOST_READS):
        if not wanted:
            return
        with translated():
            answer = client("dynamodb").batch_get_item(RequestItems=wanted)
        yield from (OMITTED_IN_LISTS | item for item in answer["Responses"][table])
        wanted = answer.get("UnprocessedKeys", {})
    if wanted:
        raise Unavailable("AWS read only some of the orders: try again")
