"""Count the units that DynamoDB would bill for calls on the wire; moto and ministack count none.

Sizes: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
Index writes: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html#GSI.ThroughputConsiderations.Writes
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from testkit import template
from testkit.cloud import Cloud
from testkit.wire import Call, Wire

WRITE_BYTES, READ_BYTES = 1024, 4096
_WRITES = {"PutItem", "UpdateItem", "DeleteItem"}
_KEY = "pk"
Item = dict[str, Any]


@dataclass
class Meter:
    """A meter on a wire: the units of each write in `writes` and of each read in `reads`."""

    cloud: Cloud
    wire: Wire
    writes: list[int] = field(default_factory=list)
    reads: list[float] = field(default_factory=list)
    _before: Item = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.wire.gate = self._before_call
        self.wire.seen = self._after_call

    def _before_call(self, call: Call) -> None:
        """Count the stored row first: a write that is refused costs as much as the row."""
        if call.operation in _WRITES:
            self._before = self._row(call.request)
            self.writes.append(units(size(self._before), WRITE_BYTES))
        elif call.operation in ("GetItem", "BatchGetItem", "Query"):
            self.reads.append(self._read(call.operation, call.request))

    def _after_call(self, call: Call) -> None:
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
                units(size(self._row({"TableName": table, "Key": key})), READ_BYTES) * _share(part)
                for table, part in request["RequestItems"].items()
                for key in part["Keys"]
            )
        with self.wire.unseen():
            # Select=COUNT reads as much
            query = {name: value for name, value in request.items() if name != "Select"}
            items = self.cloud.dynamodb.query(**query)["Items"]
        (index,) = (index for index in indexes("orders") if index.name == request["IndexName"])
        return units(sum(size(index.entry(item)) for item in items), READ_BYTES) * _share(request)


@dataclass(frozen=True)
class Index:
    """A global index: its keys and the attributes that it projects."""

    name: str
    keys: frozenset[str]
    projected: frozenset[str]

    def entry(self, item: Item) -> Item:
        """Return the item's entry in the index; empty if it has none."""
        return (
            {name: item[name] for name in self.projected & set(item)}
            if self.keys <= set(item)
            else {}
        )


def indexes(table: str) -> list[Index]:
    """Return the indexes of a table of the template, `orders` or `tokens`."""
    properties = template.load()["Resources"][f"{table.capitalize()}Table"]["Properties"]
    found = []
    for index in properties.get("GlobalSecondaryIndexes", []):
        keys = frozenset(key["AttributeName"] for key in index["KeySchema"])
        assert index["Projection"]["ProjectionType"] != "ALL", "not counted here"
        projected = keys | {_KEY, *index["Projection"].get("NonKeyAttributes", [])}
        found.append(Index(index["IndexName"], keys, projected))
    return found


def written(before: Item, after: Item, of: Iterable[Index]) -> int:
    """Return the units of one write: for the larger of both rows, and for each changed index."""
    total = units(max(size(before), size(after)), WRITE_BYTES)
    for index in of:
        old = index.entry(before)
        new = index.entry(after)
        moved = bool(old and new) and any(old[name] != new[name] for name in index.keys)
        if moved:  # one entry is deleted, another inserted
            total += units(size(old), WRITE_BYTES) + units(size(new), WRITE_BYTES)
        elif old != new:
            total += units(max(size(old), size(new)), WRITE_BYTES)
    return total


def size(item: Item) -> int:
    """Return the bytes of an item: its attributes' names in UTF-8, and their values."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def units(bytes: int, unit_bytes: int) -> int:
    return max(1, math.ceil(bytes / unit_bytes))


def _value_size(wire: Item) -> int:
    ((kind, value),) = wire.items()
    if kind == "S":
        return len(value.encode())
    if kind == "N":
        return math.ceil(len(value.lstrip("-")) / 2) + 1
    if kind == "SS":  # AWS states no overhead for sets
        return sum(len(member.encode()) for member in value)
    members = value.values() if kind == "M" else value
    names = sum(len(name.encode()) for name in value) if kind == "M" else 0
    return 3 + names + sum(1 + _value_size(member) for member in members)


def _share(request: Any) -> float:
    return 1 if request.get("ConsistentRead") else 0.5
