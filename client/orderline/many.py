"""Requests about many orders, of which some may have an unknown outcome."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, TypedDict

from orderline.calls import PAUSES_S, Calls


class Cancelled(TypedDict):
    """What cancelling many orders did.

    `items` has each order in turn: its `id`, and its `status` or else the `problem`. An order whose
    outcome is `unknown` may be cancelled or not; to cancel it again is safe.
    """

    items: list[dict[str, Any]]
    cancelled: int
    stopping: int
    refused: int
    unknown: int


def answers(calls: Calls, path: str, body: dict[str, Any]) -> list[Any]:
    """Return the answers to a request that is repeated while some outcomes are unknown.

    The request must be safe to repeat. The last answer may still have unknown outcomes.
    """
    deadline = time.monotonic() + calls.patience_s
    pauses = iter(PAUSES_S)
    received = [calls.call("POST", path, body).value]
    while received[-1]["unknown"]:
        pause_s = next(pauses, PAUSES_S[-1])
        if time.monotonic() + pause_s > deadline:
            break
        time.sleep(pause_s)
        received.append(calls.call("POST", path, body).value)
    return received


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
    total = Cancelled(items=[], cancelled=0, stopping=0, refused=0, unknown=0)
    running = "stop" if stop_running else "refuse"
    for start in range(0, len(targets), size):
        body = {member: list(targets[start : start + size]), "running": running}
        answer: Cancelled = answers(calls, path, body)[-1]
        total["items"] += answer["items"]
        total["cancelled"] += answer["cancelled"]
        total["stopping"] += answer["stopping"]
        total["refused"] += answer["refused"]
        total["unknown"] += answer["unknown"]
    return total
