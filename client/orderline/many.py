"""Requests about many orders, a group at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, TypedDict

from orderline.calls import PAUSES_S, Calls


class Cancelled(TypedDict):
    """What cancelling many orders did.

    `items` has each order in turn: its `id`, and its `status` or else the `problem`.
    """

    items: list[dict[str, Any]]
    cancelled: int
    stopping: int
    refused: int


def answers(
    calls: Calls, path: str, body: dict[str, Any], member: str, targets: Sequence[Any], size: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Send orders in groups. Yield each answer, and how many orders of its group it is about.

    An answer may leave the last orders of a group unknown, if AWS failed or time was short. Those
    begin the next group, so the request must be safe to repeat. Raises NotReachable if it can't go
    on.

    Args:
        calls: the API
        path: of the operation
        body: the other members of the request
        member: the member that names the orders
        targets: the orders, as that member has them
        size: maximum number of orders in a request
    """
    start = 0
    while start < len(targets):
        group = targets[start : start + size]
        answer: dict[str, Any] = calls.call("POST", path, {**body, member: group}).value
        known = len(group) - answer["unknown"]
        yield known, answer
        start += known
        if answer["unknown"]:
            time.sleep(PAUSES_S[0])


def cancel(
    calls: Calls, path: str, member: str, targets: Sequence[Any], size: int, stop_running: bool
) -> Cancelled:
    """Cancel orders in groups.

    Args:
        calls: the API
        path: of the operation
        member: the member of the request that names the orders
        targets: the orders, as that member has them
        size: maximum number of orders in a request
        stop_running: ask the tasks of running orders to stop; False refuses these orders
    """
    total = Cancelled(items=[], cancelled=0, stopping=0, refused=0)
    body = {"running": "stop" if stop_running else "refuse"}
    for known, answer in answers(calls, path, body, member, targets, size):
        total["items"] += answer["items"][:known]
        total["cancelled"] += answer["cancelled"]
        total["stopping"] += answer["stopping"]
        total["refused"] += answer["refused"]
    return total
