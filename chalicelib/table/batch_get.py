"""Read many orders by their keys, up to a hundred with each call.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from chalicelib import clock, config, ids, logs
from chalicelib.aws.client import client, translated
from chalicelib.errors import Unavailable, UnreadableOrder
from chalicelib.orders import Order
from chalicelib.table.items import (
    LIST_NAMES,
    LIST_PROJECTION,
    OMITTED_IN_LISTS,
    Item,
    decode_order,
    encode,
)

if TYPE_CHECKING:
    from chalicelib.aws.calls import Reading

LIMIT = 100
_MAX_READS = 4  # of keys that DynamoDB left unprocessed


def orders(owner: str, order_ids: Iterable[str]) -> dict[str, Order]:
    """Return an owner's orders by id, without those that do not exist or expired.

    Raises Unavailable, and UnreadableOrder.
    """
    now = clock.now()
    keys = (ids.key_of(owner, order_id) for order_id in order_ids)
    found = map(decode_order, items(keys, ConsistentRead=True))
    return {order.id: order for order in found if not order.expired(now)}


def current(keys: Iterable[str]) -> dict[str, Order]:
    """Return the orders that exist by their row keys, as they are now, also expired ones.

    A row that this version can't read is logged and skipped. Raises Unavailable.
    """
    return {order.key: order for order in readable(items(keys, ConsistentRead=True))}


def brief(keys: Iterable[str]) -> Iterator[Order]:
    """Yield the orders that exist, in any order, without their large attributes.

    A row that this version can't read is logged and skipped: it must not hide the others. Raises
    Unavailable.
    """
    options: Any = {
        "ProjectionExpression": LIST_PROJECTION,
        "ExpressionAttributeNames": LIST_NAMES,
    }
    yield from readable(OMITTED_IN_LISTS | item for item in items(keys, **options))


def readable(items: Iterable[Item]) -> Iterator[Order]:
    """Yield the orders of these rows; log and skip those that this version can't read."""
    for item in items:
        try:
            yield decode_order(item)
        except UnreadableOrder:
            logs.event("row_unreadable", order=item.get("id", {}).get("S"))


def items(keys: Iterable[str], **options: Any) -> Iterator[Item]:
    """Yield the rows that exist, in any order. A repeated key is read once.

    None may be missing silently: keys that DynamoDB leaves unprocessed are read again. Raises
    Unavailable if some are left after `_MAX_READS`.
    """
    unique = iter(dict.fromkeys(keys))  # AWS rejects a read that repeats a key
    while chunk := list(itertools.islice(unique, LIMIT)):
        reading: Any = {"Keys": [{"pk": encode(key)} for key in chunk], **options}
        yield from _chunk(reading)


def _chunk(reading: Reading) -> Iterator[Item]:
    table = config.settings().orders_table
    pending: dict[str, Reading] = {table: reading}
    for _ in range(_MAX_READS):
        with translated():
            response = client("dynamodb").batch_get_item(RequestItems=pending)
        yield from response["Responses"][table]
        pending = response.get("UnprocessedKeys", {})
        if not pending:
            return
    raise Unavailable("AWS returned only some of the orders; try again")
