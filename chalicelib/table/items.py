"""Encode orders as DynamoDB items and back.

No other module knows the table's attributes and index keys.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from operator import itemgetter
from typing import Any

from msgspec.structs import asdict

from chalicelib import config
from chalicelib.errors import UnreadableOrder
from chalicelib.orders import BUILT_IN, Attempt, End, Failure, Order, Progress, Status

Item = dict[str, dict[str, Any]]
"""A row, or values by placeholder, in DynamoDB's wire format."""
Values = dict[str, Any]
"""Values that are not encoded, by attribute, placeholder or member."""
_FIELDS = Order.__struct_fields__
# Large attributes, left out of list responses
OMITTED_IN_LISTS: Item = {
    "input": {"S": ""},
    "result": {"S": ""},
    "history": {"L": []},
}
_EMPTY: frozenset[str] = frozenset()  # DynamoDB has no empty set
_OPTIONAL_IN_ROWS = ("after", "dependents", "past_ends")  # large too, but may be absent
_BRIEF_FIELDS = [
    name for name in _FIELDS if name not in OMITTED_IN_LISTS and name not in _OPTIONAL_IN_ROWS
]
LIST_NAMES = {f"#{name}": name for name in _BRIEF_FIELDS}
LIST_PROJECTION = ", ".join(LIST_NAMES)


def encode_order(order: Order) -> Item:
    """Return the order as a DynamoDB item with its index keys, without fields that are absent."""
    row = {
        "pk": order.key,
        "time_shard": _time_shard(order),
        "time_key": time_key(order),
        **asdict(order),
    }
    return {
        name: encode(value) for name, value in row.items() if value is not None and value != _EMPTY
    }


def decode_order(item: Item) -> Order:
    """Return the order of a row.

    Unknown attributes are ignored: a newer version may have written the row. Raises UnreadableOrder
    if a known one is missing or invalid, for example a status that only a newer version has.
    """
    try:
        return Order(
            **{name: _READERS[name](wire) for name, wire in item.items() if name in _READERS}
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UnreadableOrder(UnreadableOrder.__doc__) from error


def _failure(members: Values) -> Failure:
    return Failure(members["code"], members["message"], members["attempt"])


def _history(attempts: list[Values]) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(members.pop("start"), members.pop("end", None), members.pop("code", None), members)
        for members in attempts
    )


def _ends(entries: list[Values]) -> tuple[End, ...]:
    return tuple(End(entry["round"], entry["status"], entry["at"]) for entry in entries)


def _progress(members: Values) -> Progress:
    return Progress(members["percent"], members["word"])


def time_key(order: Order) -> str:
    """Return the sort key of the index by_time: an owner's orders by time of creation."""
    return f"{order.created_at:016d}#{order.id}"


def time_shards(owner: str, task: str | None = None) -> list[str]:
    """Return the partition keys of by_time that hold an owner's orders, for a list by `task`.

    Each of Orderline's own tasks has its own: only a list of that task has its orders. A row keeps
    the shard that it was created with, so LIST_SHARDS may grow, but never shrink.
    """
    prefix = f"{owner}#{task}" if task and task.startswith(BUILT_IN) else owner
    return [f"{prefix}#{shard}" for shard in range(config.settings().list_shards)]


def _time_shard(order: Order) -> str:
    shards = time_shards(order.owner, order.task)
    return shards[zlib.crc32(order.id.encode()) % len(shards)]


def encode(value: Any) -> dict[str, Any]:
    """Return a value in DynamoDB's wire format.

    Supports what our rows hold: strings, integers, the values of an order, lists and maps of these,
    and sets of strings.
    """
    if isinstance(value, str):
        return {"S": str.__str__(value)}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, dict):
        return {"M": {name: encode(member) for name, member in value.items()}}
    if isinstance(value, frozenset):
        return {"SS": sorted(value)}
    if isinstance(value, (list, tuple)):
        return {"L": [encode(member) for member in value]}
    return encode(_members(value))


def _members(value: Failure | Attempt | End | Progress) -> Values:
    """Return the members of the map that holds a value of an order."""
    match value:
        case Attempt(start, end, code, unknown):
            members = {**unknown, "start": start, "end": end, "code": code}
            return {name: member for name, member in members.items() if member is not None}
        case Failure(code, message, attempt):
            return {"code": code, "message": message, "attempt": attempt}
        case End(round, status, at):
            return {"round": round, "status": status, "at": at}
        case Progress(percent, word):
            return {"percent": percent, "word": word}
        case _:
            raise TypeError(f"a row can't hold a {type(value).__name__}")


def decode(wire: dict[str, Any]) -> Any:
    """Return the value of this wire format; a map is a dict, whatever `encode` made it from."""
    ((kind, value),) = wire.items()
    if kind == "S":
        return value
    if kind == "N":
        return int(value)
    if kind == "M":
        return {name: decode(member) for name, member in value.items()}
    if kind == "SS":
        return frozenset(value)
    return [decode(member) for member in value] if kind == "L" else value


def _number(wire: dict[str, Any]) -> int:
    return int(wire["N"])


def _built(build: Callable[[Any], Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda wire: build(decode(wire))


# Of the fields that are more than text, a number or None
_BUILDERS: dict[str, Callable[[Any], Any]] = {
    "status": {status.value: status for status in Status}.__getitem__,
    "error": _failure,
    "history": _history,
    "progress": _progress,
    "follow_ups": tuple,
    "after": tuple,
    "notify": tuple,
    "waits_for": frozenset,
    "dependents": frozenset,
    "past_ends": _ends,
}
# Of all fields; most are text, which needs no `decode`
_READERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    name: _built(_BUILDERS[name])
    if name in _BUILDERS
    else (_number if kind.startswith(("int", "Micros")) else itemgetter("S"))
    for name, kind in Order.__annotations__.items()
}
