"""The client: places orders and follows them, over HTTP, with nothing but the standard library.

    from cli.client import Orderline

    orderline = Orderline("http://127.0.0.1:8000", token)
    order = orderline.place("cook_nuggets", {"pieces": 6})
    print(orderline.wait(order["id"])["result"])

Orders are dicts as the API shows them. Errors: CallError, of which NotReachable says that nothing is known, Refused
that the API said no, and NotDone that an order goes on.
"""

from __future__ import annotations

import time
import urllib.parse
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from cli.calls import CallError, Calls, NotReachable, Refused

__all__ = ["CallError", "NotDone", "NotReachable", "Orderline", "Refused"]

WAIT_S = 20  # what is asked of the server at once: Prefer: wait, RFC 7240
REFERENCE_AMONG = 100
Order = dict[str, Any]
Tasks: TypeAlias = "list[dict[str, Any]]"


class NotDone(CallError):
    """The order did not end in time; it goes on. `order` is how it stood."""

    def __init__(self, order: Order, timeout_s: float) -> None:
        super().__init__(f"order {order['id']} did not end within {timeout_s} s; it goes on")
        self.order = order


class Orderline:
    """A hub and an access token. `patience_s`: how long a call that gets no answer is tried again.

    Every call but `retry` is safe to repeat, so it is repeated. Not for several threads at once.
    """

    def __init__(self, url: str, token: str, patience_s: float = 10) -> None:
        self._calls = Calls(url, token, patience_s)

    def place(
        self,
        task: str,
        input: Any = None,
        *,
        delay_s: float | None = None,
        run_at: str | None = None,
        key: str | None = None,
    ) -> Order:
        """Place an order; it is durable once this returns. `key` is its Idempotency-Key: the same key and request give
        the same order, however often it is sent; left out, this one call has a key of its own. `run_at` is RFC 3339.
        """
        wanted = {
            "task": task,
            "input": {} if input is None else input,
            "delay_s": delay_s,
            "run_at": run_at,
        }
        body = {name: value for name, value in wanted.items() if value is not None}
        order: Order = self._calls.call(
            "POST", "/orders", body, {"Idempotency-Key": key or uuid.uuid4().hex}
        ).value
        return order

    def get(self, order_id: str, include: Sequence[str] = ()) -> Order:
        """The order as it stands. `include`: of `input` and `history`, what the answer should have too."""
        return self._calls.get(_path(order_id, include))[0]  # type: ignore[no-any-return]

    def watch(self, order_id: str, timeout_s: float | None = None) -> Iterator[Order]:
        """The order each time it has changed, beginning now and ending with its end. Raises NotDone."""
        ends, last = time.monotonic() + (float("inf") if timeout_s is None else timeout_s), None
        while True:
            left_s = ends - time.monotonic()
            # The first read asks for the order as it is; the others wait at the server for a change, where it can
            order, pause_s = self._calls.get(
                _path(order_id), wait_s=0 if last is None else min(WAIT_S, max(0, left_s))
            )
            if order is not last:
                yield order
            if order["done"]:
                return
            if time.monotonic() >= ends:
                raise NotDone(order, timeout_s or 0)
            if last is not None:
                time.sleep(max(0, min(pause_s, ends - time.monotonic())))
            last = order

    def wait(self, order_id: str, timeout_s: float | None = None) -> Order:
        """The order once it is final, whatever its status. Raises NotDone if it isn't within `timeout_s` seconds."""
        return list(self.watch(order_id, timeout_s))[-1]

    def list(
        self,
        status: Sequence[str] = (),
        task: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Order]:
        """Orders, newest first; page after page is read as you go on. `limit`: no more than so many."""
        query = [("status", one) for one in status] + ([("task", task)] if task else [])
        query += [("limit", str(min(limit or 100, 100)))]
        path, shown = f"/orders?{urllib.parse.urlencode(query)}", 0
        while path:
            page, _ = self._calls.get(path)
            for order in page["items"]:
                if limit is not None and shown >= limit:
                    return
                shown += 1
                yield order
            after = urllib.parse.urlsplit(
                page.get("next", "")
            ).query  # a link may name another host; the token stays
            path = f"/orders?{after}" if after else ""

    def find(self, reference: str) -> str:
        """The id that a reference stands for: a whole id, or its last characters, as the board shows them."""
        if len(reference) >= 26:
            return reference
        ending = reference.upper()
        found = [
            order["id"]
            for order in self.list(limit=REFERENCE_AMONG)
            if order["id"].endswith(ending)
        ]
        if len(found) != 1:
            how_many = "several" if found else "none"
            raise Refused(
                404,
                {
                    "detail": f"{how_many} of your last {REFERENCE_AMONG} orders ends with {ending!r}"
                },
            )
        return str(found[0])

    def cancel(self, order_id: str) -> Order:
        """Withdraw an order that waits; again is harmless. Raises Refused with status 409 once it has begun."""
        return self._calls.call("POST", f"{_path(order_id)}/cancel").value  # type: ignore[no-any-return]

    def retry(self, order_id: str) -> Order:
        """Another round for an order that failed or was cancelled. Sent once: repeated, it might begin two."""
        return self._calls.call("POST", f"{_path(order_id)}/retry", again=False).value  # type: ignore[no-any-return]

    def tasks(self) -> Tasks:
        """What can be ordered: name, description, input_schema (JSON Schema), max_attempts, timeout_s."""
        return self._calls.get("/tasks")[0]["items"]  # type: ignore[no-any-return]


def _path(order_id: str, include: Sequence[str] = ()) -> str:
    query = f"?include={','.join(include)}" if include else ""
    return f"/orders/{urllib.parse.quote(order_id, safe='')}{query}"
