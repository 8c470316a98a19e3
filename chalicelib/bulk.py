"""Place or cancel many orders by one request: each on its own, one after the other.

A request that is cut short is safe to repeat as a whole: an order keeps its id, so one that is
placed already is found again. Its message is not needed for that: the sweeper sends those that are
missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from chalicelib import clock, ids, logs, service
from chalicelib.building import NewOrder
from chalicelib.errors import (
    InvalidOrder,
    NotFound,
    NoTimeLeft,
    OrderlineError,
    Refusal,
    Unavailable,
    UnreadableOrder,
)
from chalicelib.orders import Order
from chalicelib.outbox import Outbox
from chalicelib.service import Placed
from chalicelib.table import batch_get

RESERVE_S = 5  # begin no order with less time: a call, its retries and the messages take some
TimeLeft = Callable[[], float]
_Item = TypeVar("_Item")
_Success = TypeVar("_Success")


def place(
    owner: str, requests: Sequence[NewOrder | InvalidOrder], time_left_s: TimeLeft
) -> list[Placed | OrderlineError]:
    """Place orders. Return for each that it is placed, or why it is not.

    A request that was malformed is its own outcome. Of an order whose outcome is Unavailable it is
    unknown whether it is placed. Raises Unavailable if that is so for every order.
    """
    with Outbox() as outbox:
        replays = False
        earlier: dict[str, Order] = {}  # rows of the requests up to `end`
        end = 0

        def place_one(item: tuple[int, NewOrder | InvalidOrder]) -> Placed:
            nonlocal replays, earlier, end
            n, request = item
            if isinstance(request, InvalidOrder):
                raise request
            if replays and n >= end:
                end = n + batch_get.LIMIT
                earlier = _placed_before(owner, requests[n:end])
            placed = service.replayed(earlier.get(request.id or ""), request) or service.place(
                owner, request, send=outbox.add, again=replays
            )
            replays = replays or placed.replayed
            return placed

        return each(list(enumerate(requests)), place_one, time_left_s)


def _placed_before(owner: str, requests: Sequence[NewOrder | InvalidOrder]) -> dict[str, Order]:
    """Return the orders by id that an earlier request placed. Raises Unavailable.

    To place each again would take as long as then: a request that ran out of time would do so at
    the same order, however often it is repeated. Those that wait for others are left out: placing
    one again settles it.
    """
    order_ids = [each.id for each in requests if isinstance(each, NewOrder) and each.id]
    rows = batch_get.current(ids.key_of(owner, order_id) for order_id in order_ids)
    now = clock.now()
    return {row.id: row for row in rows.values() if not (row.expired(now) or row.waiting)}


def cancel(
    references: Sequence[tuple[str, str]], stop_running: bool, time_left_s: TimeLeft
) -> list[Order | OrderlineError]:
    """Cancel orders, each named by its owner and its id, as `service.cancel` does.

    Return for each the order as it is now, or why it is not cancelled; otherwise as `place`.
    """

    def cancel_one(reference: tuple[str, str]) -> Order:
        owner, order_id = reference
        if not ids.is_id(order_id):
            raise NotFound(NotFound.__doc__)
        return service.cancel(owner, order_id, stop_running)

    return each(references, cancel_one, time_left_s)


def each(
    items: Sequence[_Item], act: Callable[[_Item], _Success], time_left_s: TimeLeft
) -> list[_Success | OrderlineError]:
    """Return for each item what `act` returned or raised.

    After the first Unavailable, and when little time is left, no further item is tried: the outcome
    of each is Unavailable. It is raised if it is that of the first item, so of all.
    """
    outcomes: list[_Success | OrderlineError] = []
    for item in items:
        try:
            if time_left_s() < RESERVE_S:
                raise NoTimeLeft("too little time was left; repeat the request")
            outcomes.append(act(item))
        except (Refusal, UnreadableOrder) as error:
            outcomes.append(error)
        except Unavailable as error:
            if not outcomes:
                raise
            event = "bulk_out_of_time" if isinstance(error, NoTimeLeft) else "bulk_failed"
            logs.event(event, done=len(outcomes), orders=len(items), reason=str(error))
            outcomes.append(error)
            break
    not_tried = Unavailable("not tried after an order before it failed; repeat the request")
    return [*outcomes, *[not_tried] * (len(items) - len(outcomes))]
