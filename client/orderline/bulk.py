"""Place many orders by few requests, each of which is safe to repeat."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from orderline import transfer
from orderline.calls import PAUSES_S, Calls, NotReachable, RequestRejected
from orderline.files import Prepared

# The API takes no more orders and bytes in one request. To change them would change what a key of
# an earlier call stands for
MAX_ORDERS = 1000
MAX_BYTES = 900_000
TOO_LARGE = 413  # HTTP status
Order: TypeAlias = "dict[str, Any]"
NewOrder: TypeAlias = "Order | tuple[str, Any]"
Outcomes: TypeAlias = "list[Order | RequestRejected]"
Progress: TypeAlias = "Callable[[int], None]"
_INDEX = re.compile(r"^/orders/\d+")


def place_many(
    calls: Calls, orders: Iterable[NewOrder], key: str | None, progress: Progress | None
) -> Outcomes:
    """Place orders. `Orderline.place_many` describes the arguments and the result.

    Raises RequestRejected if the API rejects a whole request, and NotReachable if the outcome of an
    order stays unknown. If orders may be placed already, the message has the key.
    """
    key = key or uuid.uuid4().hex
    outcomes: Outcomes = []

    def report(known: int) -> None:
        if progress:
            progress(len(outcomes) + known)

    try:
        for n, group in enumerate(_groups(_bodies(calls, orders))):
            outcomes += _place_group(calls, group, f"{key}.{n}", report)
    except NotReachable as error:
        raise NotReachable(_with_rest(error, len(outcomes), key)) from None
    except RequestRejected as error:
        if not outcomes:
            raise
        detail = _with_rest(error, len(outcomes), key)
        raise RequestRejected(error.status, {**error.problem, "detail": detail}) from None
    return outcomes


def _with_rest(error: Exception, known: int, key: str) -> str:
    """Return the message of an error, and how to place the orders after it."""
    state = f"the outcome of {known} orders is known" if known else "some may be placed already"
    return (
        f"{error}; {state}. To place the rest, and none twice, repeat the same orders with the key"
        f" {key!r}"
    )


def _place_group(calls: Calls, group: list[Order], key: str, report: Progress) -> Outcomes:
    """Place the orders of one request. An order that is too large for any is refused alone."""
    try:
        return [_outcome(item) for item in _place(calls, group, key, report)]
    except RequestRejected as error:
        if error.status == TOO_LARGE and len(group) == 1:
            report(1)
            return [error]
        raise


def _bodies(calls: Calls, orders: Iterable[NewOrder]) -> Iterator[Order]:
    """Yield each order as the API takes it, after uploading the files of its input."""
    uploaded: set[str] = set()
    for order in orders:
        body = {"task": order[0], "input": order[1]} if isinstance(order, tuple) else order
        value = body.get("input")
        prepared = Prepared({} if value is None else value)
        for source in prepared.uploads.values():
            if source.sha256 not in uploaded:
                transfer.store(calls, source, None)
                uploaded.add(source.sha256)
        yield {**body, "input": prepared.value}


def _groups(bodies: Iterable[Order]) -> Iterator[list[Order]]:
    """Yield the orders of each request. The same orders are always cut in the same way."""
    group: list[Order] = []
    size = 0
    for body in bodies:
        body_size = len(json.dumps(body)) + 2  # a comma and a space
        if group and (len(group) == MAX_ORDERS or size + body_size > MAX_BYTES):
            yield group
            group = []
            size = 0
        group.append(body)
        size += body_size
    if group:
        yield group


def _place(calls: Calls, group: list[Order], key: str, report: Progress) -> list[Any]:
    """Send a request until the outcome of each of its orders is known. Return its items.

    Raises NotReachable if no further outcome becomes known for as long as `calls` is patient.
    """
    fewest = len(group) + 1
    deadline = 0.0
    pauses = iter(PAUSES_S)
    while True:
        body = {"orders": group}
        answer = calls.call("POST", "/orders/bulk", body, {"Idempotency-Key": key}).value
        unknown: int = answer["unknown"]
        if unknown < fewest:
            fewest = unknown
            deadline = time.monotonic() + calls.patience_s
            pauses = iter(PAUSES_S)
            report(len(group) - unknown)
        if not unknown:
            items: list[Any] = answer["items"]
            return items
        pause_s = next(pauses, PAUSES_S[-1])
        if time.monotonic() + pause_s > deadline:
            problem = next(each["problem"] for each in answer["items"] if _is_unknown(each))
            raise NotReachable(f"{calls.url} could not place {unknown} orders: {problem['detail']}")
        time.sleep(pause_s)


def _is_unknown(item: Order) -> bool:
    return "problem" in item and item["problem"]["status"] == 503


def _outcome(item: Order) -> Order | RequestRejected:
    """Return a placed order, or the error of a refused one, with a pointer into that order."""
    problem = item.get("problem")
    if problem is None:
        return item
    if "pointer" in problem:
        problem = {**problem, "pointer": _INDEX.sub("", problem["pointer"])}
    return RequestRejected(problem["status"], problem)
