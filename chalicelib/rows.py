"""An order as DynamoDB's item and back: the one place that knows the table's attributes and index keys."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from chalicelib.orders import Order, Status

Item = dict[str, Any]
_FIELDS = tuple(field.name for field in fields(Order))


def encode_order(order: Order) -> Item:
    """The order as DynamoDB's item, its index keys included; absent is what is None."""
    row = {name: getattr(order, name) for name in _FIELDS}
    row |= {"pk": order.key, "time_shard": f"{order.client}#0", "time_key": f"{order.created_at:016d}#{order.id}"}
    return {name: encode(value) for name, value in row.items() if value is not None}


def decode_order(item: Item) -> Order:
    """Members that this code doesn't know are left out: a newer version may have written the row."""
    row = {name: decode(item[name]) for name in _FIELDS if name in item}
    row |= {name: tuple(row[name]) for name in ("history", "follow_ups") if name in row}
    return Order(**{**row, "status": Status(row["status"])})


def encode(value: Any) -> Item:
    """A value in DynamoDB's wire form. Only what our rows hold: text, whole numbers, lists and maps of these."""
    if isinstance(value, str):
        return {"S": str.__str__(value)}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, dict):
        return {"M": {name: encode(member) for name, member in value.items()}}
    return {"L": [encode(member) for member in value]}


def decode(wire: Item) -> Any:
    """The inverse of encode."""
    ((kind, value),) = wire.items()
    if kind == "N":
        return int(value)
    if kind == "M":
        return {name: decode(member) for name, member in value.items()}
    return [decode(member) for member in value] if kind == "L" else value
