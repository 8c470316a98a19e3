"""Orders of all owners, for the operator: what failed, what waits, and retries of many at once.

Every call needs an access token with the scope orders:admin.
"""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Any, TypeAlias

from orderline import many
from orderline.calls import PAUSES_S, Calls
from orderline.many import Cancelled
from orderline.operator_types import Failure, Overview, Retried

PAGE = 100  # failures in one answer, the API's maximum
MAX_ORDERS = 500  # in one request; the API rejects more
_RETRY = "/operator/retry"
Time: TypeAlias = "str | datetime"
"""RFC 3339 text, or a datetime with a time zone."""
Count: TypeAlias = "Callable[[int], None]"
"""Called with the number of orders looked at so far."""


class Operator:
    """What the operator may do: `Orderline(url, token).operator`. Not thread-safe.

    Every call is safe to repeat.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def overview(self) -> Overview:
        """Return what waits, runs, is overdue and has failed now."""
        return self._calls.get("/operator/overview")[0]  # type: ignore[no-any-return]

    def failures(
        self,
        task: str | None = None,
        owner: str | None = None,
        code: str | None = None,
        since: Time | None = None,
        until: Time | None = None,
        limit: int | None = None,
    ) -> Iterator[Failure]:
        """Yield failed orders of all owners, the latest first; pages are read as needed.

        Args:
            task: only of this task, which may be the old name of a renamed one.
            owner: only of this owner.
            code: only with this error code.
            since: only those that failed at this time or later. Default: the last 24 hours.
            until: only those that failed before this time.
            limit: maximum number of orders. Default: all.
        """
        filters = {"task": task, "owner": owner, "code": code}
        times = {"since": since, "until": until}
        query = {name: value for name, value in filters.items() if value is not None}
        query |= {name: time_text(value) for name, value in times.items() if value is not None}
        query["limit"] = str(min(limit or PAGE, PAGE))
        pages = many.pages(self._calls, f"/operator/failures?{urllib.parse.urlencode(query)}")
        return islice(chain.from_iterable(pages), limit)

    def show(self, owner: str, order_id: str, include: Sequence[str] = ()) -> Failure:
        """Return an order of any owner. `include` adds members: `input`, `history`."""
        query = f"?include={','.join(include)}" if include else ""
        path = f"/operator/orders/{_quote(owner)}/{_quote(order_id)}{query}"
        return self._calls.get(path)[0]  # type: ignore[no-any-return]

    def retry(
        self,
        task: str,
        failed_since: Time,
        failed_before: Time | None = None,
        over_s: int | None = None,
        dry_run: bool = False,
        progress: Count | None = None,
    ) -> Retried:
        """Run all orders of a task again that failed in a period, those of every owner.

        Only orders that failed before `failed_before` are retried. So a repetition with the same
        `failed_before` retries none twice, not even one that has failed again since. `retried` of
        the result counts what this call was told: an answer that was lost is not in it.

        Args:
            task: the orders' task.
            failed_since: only orders that failed at this time or later.
            failed_before: only orders that failed before this time. Default: now, by the API's
                clock.
            over_s: spread the orders' next attempts evenly over so many seconds.
            dry_run: retry nothing; `matching` of the result is how many orders it would be.
            progress: called after each request.
        """
        since = time_text(failed_since)
        body: dict[str, Any] = {"task": task, "failed_since": since, "limit": MAX_ORDERS}
        body |= {} if over_s is None else {"over_s": over_s}
        body |= {} if failed_before is None else {"failed_before": time_text(failed_before)}
        if dry_run or failed_before is None:
            # This tells the API's time. With that, each request below retries the same orders
            # however often it is sent
            found: Retried = self._calls.call("POST", _RETRY, {**body, "dry_run": True}).value
            if dry_run:
                return found
            body["failed_before"] = found["failed_before"]
        return self._retry_all(body, progress)

    def _retry_all(self, body: dict[str, Any], progress: Count | None) -> Retried:
        """Send the request of a retry, and go on where each answer ends. Return the sum."""
        total = _nothing(body["failed_before"])
        while True:
            answer = self._calls.call("POST", _RETRY, body).value
            _add(total, answer, answer["matching"] - answer["unknown"])
            if progress:
                progress(total["matching"])
            if "next" not in answer:
                return total
            body["after"] = answer["next"]  # the unknown ones come after it
            if answer["unknown"]:
                time.sleep(PAUSES_S[0])

    def retry_orders(
        self,
        orders: Iterable[Mapping[str, Any]],
        failed_before: Time | None = None,
        over_s: int | None = None,
        progress: Count | None = None,
    ) -> Retried:
        """Run these failed orders again.

        An order that has failed again since is left alone; one that was retried already counts as
        refused.

        Args:
            orders: as `failures` yields them: each has an `owner`, an `id` and `failed_at`.
            failed_before: only orders that failed before this time. Required for orders without
                `failed_at`; default: right after the last of these failed.
            over_s: spread the orders' next attempts evenly over so many seconds.
            progress: called after each request.
        """
        rows = list(orders)
        before = time_text(_after_last(rows) if failed_before is None else failed_before)
        options = {"failed_before": before, **({} if over_s is None else {"over_s": over_s})}
        total = _nothing(before)
        names = list({(row["owner"], row["id"]): _name(row) for row in rows}.values())
        answers = many.answers(self._calls, _RETRY, options, "orders", names, MAX_ORDERS)
        for known, answer in answers:
            _add(total, answer, known)
            if progress:
                progress(total["matching"])
        return total

    def cancel_orders(
        self, orders: Iterable[Mapping[str, Any]], stop_running: bool = True
    ) -> Cancelled:
        """Cancel these orders, and ask the tasks of running ones to stop.

        Args:
            orders: each has an `owner` and an `id`.
            stop_running: False refuses orders that run.
        """
        rows = [_name(order) for order in orders]
        return many.cancel(
            self._calls, "/operator/cancel", "orders", rows, MAX_ORDERS, stop_running
        )


def time_text(time: Time) -> str:
    """Return a time as RFC 3339. Raises ValueError for a datetime without a time zone."""
    if isinstance(time, str):
        return time
    if time.tzinfo is None:
        raise ValueError("a datetime needs a time zone, such as datetime.now(timezone.utc)")
    return time.isoformat()


def _nothing(failed_before: str) -> Retried:
    """Return the result of no retry yet."""
    return Retried(
        retried=0,
        refused=0,
        matching=0,
        more=False,
        failed_before=failed_before,
        problems=[],
    )


def _add(total: Retried, answer: dict[str, Any], known: int) -> None:
    """Add an answer to a result; `known`: the orders whose outcome is known."""
    total["retried"] += answer["retried"]
    total["refused"] += answer["refused"]
    total["matching"] += known
    total["problems"] += answer["problems"]


def _after_last(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the time right after the last of these orders failed."""
    if not all("failed_at" in row for row in rows):
        raise ValueError("orders without failed_at need failed_before, the time of your decision")
    last = max((row["failed_at"] for row in rows), default="1970-01-01T00:00:00.000000Z")
    moment = datetime.strptime(last, "%Y-%m-%dT%H:%M:%S.%f%z") + timedelta(microseconds=1)
    return moment.isoformat()


def _name(order: Mapping[str, Any]) -> dict[str, str]:
    return {"owner": order["owner"], "id": order["id"]}


def _quote(text: str) -> str:
    return urllib.parse.quote(text, safe="")
