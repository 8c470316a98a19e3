"""Requests about many orders: cancel them by groups, list them, and wait for their end."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypedDict

from orderline.calls import PAUSES_S, Calls, NotDone

LIST_PATH = "/orders?limit=100"  # the largest page
MAX_PAUSE_S = 30  # between two readings of the list
_NEWEST = "~"  # greater than every time


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


def pages(calls: Calls, path: str) -> Iterator[list[dict[str, Any]]]:
    """Yield the orders of each page of a list. Read the next page only when it is asked for."""
    route = path.partition("?")[0]
    while path:
        page, _ = calls.get(path)
        yield page["items"]
        # Use only the link's query: its host may be another one, which must not get the token
        query = urllib.parse.urlsplit(page.get("next", "")).query
        path = f"{route}?{query}" if query else ""


def wait(
    calls: Calls,
    order_ids: Iterable[str],
    timeout_s: float | None,
    progress: Callable[[int], None] | None,
) -> Iterator[dict[str, Any]]:
    """Yield each order once it is final. `Orderline.wait_many` describes the arguments."""
    deadline = time.monotonic() + (float("inf") if timeout_s is None else timeout_s)
    waiting = _Waiting(calls, order_ids)
    ended = 0
    pause_s = 1
    while True:
        for order in waiting.read():
            ended += 1
            pause_s = 1
            if progress:
                progress(ended)
            yield order
        if not waiting.open:
            return
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise NotDone(waiting.first(), timeout_s or 0, len(waiting.open) - 1)
        time.sleep(min(pause_s, left_s))
        pause_s = min(2 * pause_s, MAX_PAUSE_S)


class _Waiting:
    """The orders that have not ended.

    open: the last state of each by its id; None until it was read
    """

    def __init__(self, calls: Calls, order_ids: Iterable[str]) -> None:
        if isinstance(order_ids, str):
            raise TypeError("order_ids must be a list of ids, such as [order['id']]")
        self.open: dict[str, dict[str, Any] | None] = {}
        self.open |= dict.fromkeys(order_id.upper() for order_id in order_ids)
        self._calls = calls
        self._unlisted: set[str] = set()  # by the last reading

    def first(self) -> dict[str, Any]:
        """Return the state of one of them."""
        read = (order for order in self.open.values() if order)
        return next(read, None) or self._get(next(iter(self.open)))

    def read(self) -> Iterator[dict[str, Any]]:
        """Read the list once, as far as needed. Yield the orders that have ended.

        The list is eventually consistent, so an order that it lacks is read by itself only if it
        was missing the last time too.
        """
        missing = dict.fromkeys(self.open)
        yield from self._read_list(missing)
        for order_id in [each for each in missing if each in self._unlisted]:
            yield from self._update([self._get(order_id)], missing)
        self._unlisted = set(missing)

    def _read_list(self, missing: dict[str, None]) -> Iterator[dict[str, Any]]:
        """Read pages until none is missing, or until all orders are older than the missing ones.

        An order that was never read may be anywhere. So after a page without any of the missing
        ones, one of them is read by itself: it tells how far to go.
        """
        if not missing:
            return
        reach = min((order["created_at"] for order in self.open.values() if order), default=_NEWEST)
        oldest = _NEWEST
        for page in pages(self._calls, LIST_PATH):
            listed = [order for order in page if order["id"] in missing]
            yield from self._update(listed, missing)
            oldest = page[-1]["created_at"] if page else oldest
            never_read = [each for each in missing if self.open[each] is None]
            if oldest < reach and never_read and not listed:
                order = self._get(never_read.pop(0))
                reach = min(reach, order["created_at"])
                yield from self._update([order], missing)
            if not missing or (oldest < reach and not never_read):
                return

    def _update(
        self, orders: Iterable[dict[str, Any]], missing: dict[str, None]
    ) -> Iterator[dict[str, Any]]:
        """Note the state of orders, which are not missing any more. Yield those that have ended."""
        for order in orders:
            missing.pop(order["id"])
            if order["done"]:
                del self.open[order["id"]]
                yield order
            else:
                self.open[order["id"]] = order

    def _get(self, order_id: str) -> dict[str, Any]:
        """Return an order as the list shows it. Raises RequestRejected if there is none."""
        order, _ = self._calls.get(f"/orders/{urllib.parse.quote(order_id, safe='')}")
        return {name: value for name, value in order.items() if name != "result"}
