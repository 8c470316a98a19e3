"""Client of the API: orders as dicts, retries and waiting."""

from __future__ import annotations

import io
import itertools
import time
import urllib.parse
import uuid
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload

from orderline import bulk, many, placing, prerequisites, transfer
from orderline.calls import Calls, NotDone, RequestRejected
from orderline.files import FileReference, Prepared, Source, written
from orderline.operator import Operator
from orderline.transfer import Progress

WAIT_S = 20  # longest wait to ask of the server in one request: Prefer: wait, RFC 7240
MAX_CANCELLED = 1000  # ids in one request; the API rejects more
REFERENCE_AMONG = 100  # latest orders among which a short reference is looked up
Order = dict[str, Any]
Tasks: TypeAlias = "list[dict[str, Any]]"


class Orderline:
    """Client of the API at `url`, with an access token. Not thread-safe.

    `patience_s`: for how many seconds to repeat a call that gets no response. Every call but
    `retry` is safe to repeat. `operator`: what the operator may do, with orders of all owners.
    """

    def __init__(self, url: str, token: str, patience_s: float = 10) -> None:
        self._calls = Calls(url, token, patience_s)
        self.operator = Operator(self._calls)

    def place(
        self,
        task: str,
        input: Any = None,
        *,
        delay_s: float | None = None,
        run_at: str | None = None,
        after: Iterable[str | Order] = (),
        when: Literal["success", "end"] = "success",
        notify: Iterable[str] = (),
        key: str | None = None,
        progress: Progress | None = None,
    ) -> Order:
        """Place an order; it is durable once this returns.

        Args:
            task: name of the task.
            input: the task's input, a dict; default: empty. A Path or bytes in it stand for a file:
                small ones are sent inline, others uploaded before.
            delay_s: seconds to wait before the first attempt.
            run_at: time of the first attempt, RFC 3339.
            after: orders that must end first, or their ids. For more than 100, this places orders
                of the built-in task `orderline.together` before, which each wait for 100.
            when: `success`: if one of those does not succeed, the order fails without a run;
                `end`: it runs after their end, whatever it is.
            notify: names of your webhook endpoints to tell of its end.
            key: Idempotency-Key: the same key and request give the same order, however often they
                are sent. Default: a new key for this call.
            progress: called with a file's name, the bytes uploaded, and its size.
        """
        if isinstance(notify, str):
            raise TypeError('notify must be a list of names, such as ["main"]')
        order_ids = prerequisites.ids_of(after)
        key = key or uuid.uuid4().hex
        prepared = Prepared({} if input is None else input)
        for pointer, source in prepared.uploads.items():
            transfer.store(self._calls, source, progress, pointer)
        value = prepared.value
        names = list(notify) or None
        body = _present(task=task, input=value, delay_s=delay_s, run_at=run_at, notify=names)
        if order_ids:
            groups = placing.grouped(self._calls, order_ids, when, key)
            body |= {"after": groups, "when": when}
        return placing.place(self._calls, body, key, prepared.uploads, progress)

    def place_many(
        self,
        orders: Iterable[bulk.NewOrder],
        key: str | None = None,
        progress: bulk.Progress | None = None,
    ) -> bulk.Outcomes:
        """Place many orders, up to 1,000 in a request. Return what became of each.

        That is a dict with its `id`, its `status`, and `replayed` if an earlier call with this key
        had placed it; or, for an order that was refused, a RequestRejected, which is not raised.

        Args:
            orders: dicts as POST /orders takes them, or pairs of a task and its input.
            key: idempotency key: the same key and the same list place no order twice.
            progress: called with the number of orders whose outcome is known.
        """
        return bulk.place_many(self._calls, orders, key, progress)

    def get(self, order_id: str, include: Sequence[str] = ()) -> Order:
        """Return the order. `include` adds members: `input`, `history`."""
        return self._calls.get(_path(order_id, include))[0]  # type: ignore[no-any-return]

    def watch(self, order_id: str, timeout_s: float | None = None) -> Iterator[Order]:
        """Yield the order now and after each change, until it is final.

        Raises NotDone if it is not final within `timeout_s` seconds.
        """
        deadline = time.monotonic() + (float("inf") if timeout_s is None else timeout_s)
        last = None
        while True:
            left_s = deadline - time.monotonic()
            # The first read returns at once; later ones let the server wait for a change
            order, pause_s = self._calls.get(
                _path(order_id), wait_s=0 if last is None else min(WAIT_S, max(0, left_s))
            )
            if order is not last:
                yield order
            if order["done"]:
                return
            if time.monotonic() >= deadline:
                raise NotDone(order, timeout_s or 0)
            if last is not None:
                time.sleep(max(0, min(pause_s, deadline - time.monotonic())))
            last = order

    def wait(self, order_id: str, timeout_s: float | None = None) -> Order:
        """Return the order once it is final, whatever its status.

        Raises NotDone if it is not final within `timeout_s` seconds.
        """
        return list(self.watch(order_id, timeout_s))[-1]

    def wait_many(
        self,
        order_ids: Iterable[str],
        timeout_s: float | None = None,
        progress: bulk.Progress | None = None,
    ) -> Iterator[Order]:
        """Yield each order once it is final, without its result: pages of the list tell the ends.

        Raises RequestRejected if there is no such order, and NotDone if some are not final within
        `timeout_s` seconds. `progress`: called with the number of orders that have ended.
        """
        return many.wait(self._calls, order_ids, timeout_s, progress)

    def list(
        self,
        status: Sequence[str] = (),
        task: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Order]:
        """Yield orders, newest first, at most `limit`; pages are read as needed."""
        query = [("status", each) for each in status]
        query += [("task", task)] if task else []
        query += [("limit", str(min(limit or 100, 100)))]
        path = f"/orders?{urllib.parse.urlencode(query)}"
        orders = itertools.chain.from_iterable(many.pages(self._calls, path))
        return itertools.islice(orders, limit)

    def find(self, reference: str) -> str:
        """Return the id for a reference: a whole id, or its last characters, as on the board.

        Raises RequestRejected if none or several of the latest orders match.
        """
        if len(reference) >= 26:
            return reference
        ending = reference.upper()
        ids = [
            order["id"]
            for order in self.list(limit=REFERENCE_AMONG)
            if order["id"].endswith(ending)
        ]
        if len(ids) != 1:
            detail = (
                f"several of your last {REFERENCE_AMONG} orders end with {ending!r}"
                if ids
                else f"none of your last {REFERENCE_AMONG} orders ends with {ending!r}"
            )
            raise RequestRejected(404, {"detail": detail})
        return str(ids[0])

    def cancel(self, order_id: str) -> Order:
        """Cancel an order that has not started; safe to repeat.

        Raises RequestRejected with status 409 once it has started.
        """
        return self._calls.call("POST", f"{_path(order_id)}/cancel?running=refuse").value  # type: ignore[no-any-return]

    def stop(self, order_id: str) -> Order:
        """Cancel an order, or ask its running task to stop; safe to repeat.

        A task that is asked ends the order as CANCELLED when it hears of it, or with its result if
        it does not; no further attempt starts. Raises RequestRejected with status 409 once the
        order has ended otherwise.
        """
        return self._calls.call("POST", f"{_path(order_id)}/cancel").value  # type: ignore[no-any-return]

    def cancel_many(self, order_ids: Iterable[str], stop_running: bool = True) -> many.Cancelled:
        """Cancel these orders, and ask the tasks of running ones to stop; safe to repeat.

        `stop_running`: False refuses orders that run. An order that can't be cancelled raises
        nothing: the result has its problem.
        """
        path = "/orders/cancel"
        return many.cancel(self._calls, path, "ids", list(order_ids), MAX_CANCELLED, stop_running)

    def retry(self, order_id: str) -> Order:
        """Run a failed or cancelled order again.

        The request is sent only once, since a repetition could start two retry rounds.
        """
        return self._calls.call("POST", f"{_path(order_id)}/retry", retry=False).value  # type: ignore[no-any-return]

    def upload(
        self,
        content: bytes | str | PathLike[str],
        name: str | None = None,
        type: str | None = None,
        progress: Progress | None = None,
    ) -> FileReference:
        """Upload a file, unless it is stored, and return what an order's input names it by.

        Safe to repeat. Raises OSError if the file can't be read.

        Args:
            content: the bytes, or a path; a large file is read in pieces.
            name: name for people, such as cat.png. Default: the path's name.
            type: media type, such as image/png. Default: guessed from the name.
            progress: called with the file's name, the bytes uploaded, and its size.
        """
        source = Source.of(content, name, type)
        transfer.store(self._calls, source, progress)
        return source.reference

    @overload
    def download(
        self, file: str | FileReference, target: None = None, progress: Progress | None = None
    ) -> bytes: ...

    @overload
    def download(
        self,
        file: str | FileReference,
        target: str | PathLike[str],
        progress: Progress | None = None,
    ) -> Path: ...

    def download(
        self,
        file: str | FileReference,
        target: str | PathLike[str] | None = None,
        progress: Progress | None = None,
    ) -> bytes | Path:
        """Return the bytes of a file, or write them to a path and return it; they are checked.

        Raises OSError if the path can't be written; then, and after any error, it is as before.

        Args:
            file: an id, or a file as a result names it.
            target: the path to write, which is replaced if it exists. Default: return the bytes.
            progress: called with the file's name, the bytes downloaded, and its size.
        """
        if target is None:
            buffer = io.BytesIO()
            transfer.fetch(self._calls, file, buffer, progress)
            return buffer.getvalue()
        path = Path(target)
        with written(path) as stream:
            transfer.fetch(self._calls, file, stream, progress)
        return path

    def tasks(self) -> Tasks:
        """Return the available tasks.

        Each has a name, description, input_schema (JSON Schema), max_attempts and timeout_s.
        """
        return self._calls.get("/tasks")[0]["items"]  # type: ignore[no-any-return]


def _present(**members: Any) -> dict[str, Any]:
    """Return the members that were given."""
    return {name: value for name, value in members.items() if value is not None}


def _path(order_id: str, include: Sequence[str] = ()) -> str:
    query = f"?include={','.join(include)}" if include else ""
    return f"/orders/{_quote(order_id)}{query}"


def _quote(text: str) -> str:
    return urllib.parse.quote(text, safe="")
