"""What DynamoDB would bill for what passes on the wire, by its own rules: moto and the local cloud count nothing.

Sizes: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
Index writes: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html#GSI.ThroughputConsiderations.Writes
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.kit import template
from tests.kit.cloud import Cloud
from tests.kit.wire import Call, Wire

WRITE_BYTES, READ_BYTES = 1024, 4096
_WRITES = {"PutItem", "UpdateItem", "DeleteItem"}
_KEY = "pk"
Item = dict[str, Any]


@dataclass
class Meter:
    """Units of what passed since it was put on the wire: `writes` and `reads`, one entry for each call."""

    cloud: Cloud
    wire: Wire
    writes: list[int] = field(default_factory=list)
    reads: list[float] = field(default_factory=list)
    _before: Item = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.wire.gate, self.wire.seen = self._asked, self._done

    def _asked(self, call: Call) -> None:
        """A write that is refused costs as much as the row that refused it."""
        if call.operation in _WRITES:
            self._before = self._row(call.request)
            self.writes.append(units(size(self._before), WRITE_BYTES))
        elif call.operation in ("GetItem", "BatchGetItem", "Query"):
            self.reads.append(self._read(call.operation, call.request))

    def _done(self, call: Call) -> None:
        if call.operation in _WRITES:
            after = self._row(call.request)
            self.writes[-1] = written(
                self._before, after, indexes(call.request["TableName"].rpartition("-")[2])
            )

    def _row(self, request: Any) -> Item:
        key = request.get("Key") or {_KEY: request["Item"][_KEY]}
        with self.wire.unseen():
            item: Item = self.cloud.dynamodb.get_item(TableName=request["TableName"], Key=key).get(
                "Item", {}
            )
        return item

    def _read(self, operation: str, request: Any) -> float:
        if operation == "GetItem":
            return units(size(self._row(request)), READ_BYTES) * _share(request)
        if operation == "BatchGetItem":
            return sum(
                units(size(self._row({"TableName": table, "Key": key})), READ_BYTES) * _share(asked)
                for table, asked in request["RequestItems"].items()
                for key in asked["Keys"]
            )
        with self.wire.unseen():
            asked = {
                name: value for name, value in request.items() if name != "Select"
            }  # COUNT reads as much
            found = self.cloud.dynamodb.query(**asked)["Items"]
        (index,) = (made for made in indexes("orders") if made.name == request["IndexName"])
        return units(sum(size(index.entry(item)) for item in found), READ_BYTES) * _share(request)


@dataclass(frozen=True)
class Index:
    """A global index: what of an item it holds."""

    name: str
    keys: frozenset[str]
    projected: frozenset[str]

    def entry(self, item: Item) -> Item:
        """The item as the index holds it; empty if it is not in there."""
        return (
            {name: item[name] for name in self.projected & set(item)}
            if self.keys <= set(item)
            else {}
        )


def indexes(table: str) -> list[Index]:
    """Of the template's table of that name, `orders` or `tokens`."""
    properties = template.load()["Resources"][f"{table.capitalize()}Table"]["Properties"]
    made = []
    for index in properties.get("GlobalSecondaryIndexes", []):
        keys = frozenset(part["AttributeName"] for part in index["KeySchema"])
        assert index["Projection"]["ProjectionType"] != "ALL", "not counted here"
        made.append(
            Index(
                index["IndexName"],
                keys,
                keys | {_KEY, *index["Projection"].get("NonKeyAttributes", [])},
            )
        )
    return made


def written(before: Item, after: Item, of: Iterable[Index]) -> int:
    """Write units of one write: the larger of both rows, and what it changes in each index."""
    total = units(max(size(before), size(after)), WRITE_BYTES)
    for index in of:
        old, new = index.entry(before), index.entry(after)
        moved = bool(old and new) and any(old[name] != new[name] for name in index.keys)
        if moved:  # out at one place, in at another
            total += units(size(old), WRITE_BYTES) + units(size(new), WRITE_BYTES)
        elif old != new:
            total += units(max(size(old), size(new)), WRITE_BYTES)
    return total


def size(item: Item) -> int:
    """Bytes of an item: its attributes' names in UTF-8, and their values."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def units(bytes: int, unit_bytes: int) -> int:
    return max(1, math.ceil(bytes / unit_bytes))


def _value_size(wire: Item) -> int:
    ((kind, value),) = wire.items()
    if kind == "S":
        return len(value.encode())
    if kind == "N":
        return math.ceil(len(value.lstrip("-")) / 2) + 1
    members = value.values() if kind == "M" else value
    names = sum(len(name.encode()) for name in value) if kind == "M" else 0
    return 3 + names + sum(1 + _value_size(member) for member in members)


def _share(request: Any) -> float:
    return 1 if request.get("ConsistentRead") else 0.5
