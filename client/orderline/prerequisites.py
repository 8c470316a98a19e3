"""The orders that a new one waits for: any number, by a tree of orders that wait for groups."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from orderline.calls import RequestRejected

MAX_AFTER = 100  # ids in one request; the API rejects more
TOGETHER = "orderline.together"  # a built-in task that does nothing


def ids_of(after: Iterable[str | Mapping[str, Any]]) -> list[str]:
    """Return the distinct ids of orders. Raises TypeError if `after` is a single order or id."""
    if isinstance(after, (str, Mapping)):
        raise TypeError("after must be a list of orders or ids, such as [order]")
    return list(dict.fromkeys(each if isinstance(each, str) else each["id"] for each in after))


def grouped(
    ids: Sequence[str], key: str, place: Callable[[Sequence[str], str], str]
) -> Sequence[str]:
    """Return at most MAX_AFTER ids of orders to wait for, on behalf of all of `ids`.

    Args:
        ids: the orders to wait for.
        key: idempotency key of the order that waits. Those of the groups are derived from it, so
            that a repetition places none of them twice.
        place: places an order that waits for a group, with an idempotency key, and returns its id.
    """
    level = 0
    while len(ids) > MAX_AFTER:
        groups = []
        for start in range(0, len(ids), MAX_AFTER):
            group_key = hashlib.sha256(f"{key} after {level} {start}".encode()).hexdigest()
            try:
                groups.append(place(ids[start : start + MAX_AFTER], group_key))
            except RequestRejected as error:
                raise _located(error, start if level == 0 else 0) from None
        ids = groups
        level += 1
    return ids


def _located(error: RequestRejected, start: int) -> RequestRejected:
    """Return the error with a pointer into all ids, not into those of the group from `start`."""
    parent, _, index = str(error.problem.get("pointer", "")).rpartition("/")
    if parent != "/after" or not index.isdigit():
        return error
    return RequestRejected(
        error.status, {**error.problem, "pointer": f"/after/{start + int(index)}"}
    )
