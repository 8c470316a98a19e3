"""A client that repeats what was not answered, as our own client does."""

from __future__ import annotations

import base64
import copy
import hashlib
import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from chalicelib import files, ids, service
from chalicelib.building import NewOrder
from chalicelib.errors import FileMissing, InvalidPrerequisite, Refusal, Unavailable
from chalicelib.orders import Status
from testkit.cloud import Cloud, location
from testkit.wire import Killed, Wire
from tests.faults.invariants import InvariantChecker

OWNER = "kit"
PHOTO = b"the input file of every order with one"
LARGE = "large " * 200


class RepeatingClient:
    """A client of one owner. `accepted` has the kind of each order that was accepted, by id."""

    def __init__(self, cloud: Cloud, wire: Wire, checker: InvariantChecker) -> None:
        self.cloud = cloud
        self.wire = wire
        self.checker = checker
        self.accepted: dict[str, str] = {}
        self._requests: dict[str, Callable[[], service.Placed]] = {}
        self._keys = itertools.count()

    def place(self, kind: str, task: str = "proof", **when: Any) -> str:
        """Place an order of a task without a file; return its id."""
        order_id = self._new_id()
        new_order = NewOrder(task, {"kind": kind}, id=order_id, **when)
        return self._place(order_id, kind, lambda: service.place(OWNER, new_order))

    def place_after(
        self, after: Sequence[str], kind: str = "ok", when: str = "success", task: str = "gathering"
    ) -> str:
        """Place an order that waits for others; return its id.

        If one of those has expired, the request is refused, and nobody has such an order.
        """
        order_id = self._new_id()
        new_order = NewOrder(task, {"kind": kind}, id=order_id, after=tuple(after), when=when)
        with suppress(InvalidPrerequisite):
            self._place(order_id, kind, lambda: service.place(OWNER, new_order))
        return order_id

    def _place(self, order_id: str, kind: str, send: Callable[[], service.Placed]) -> str:
        self._repeat(send)
        self.accepted[order_id] = kind
        self._requests[order_id] = send
        return order_id

    def _new_id(self) -> str:
        return ids.id_of(OWNER, f"key-{next(self._keys)}")

    def upload(self, content: bytes = PHOTO) -> str:
        """Upload a file, unless it is stored; return its id."""
        digest = hashlib.sha256(content)

        def send() -> None:
            request = files.upload(OWNER, digest.hexdigest(), len(content), "image/jpeg")
            if request:
                bucket, key = location(request.url)
                self.cloud.s3.put_object(
                    Bucket=bucket,
                    Key=key,
                    Body=content,
                    ContentType="image/jpeg",
                    ChecksumSHA256=base64.b64encode(digest.digest()).decode(),
                )

        self._repeat(send)
        return digest.hexdigest()

    def place_with_file(self, kind: str, **when: Any) -> str:
        """Place an order of the task `filing`; if its file is missing, upload it and repeat."""
        return self._place_with_file("filing", {"kind": kind}, **when)

    def place_large(self, kind: str, **when: Any) -> str:
        """Place an order of the task `large`, with a file; its input is too large for the row."""
        return self._place_with_file("large", {"kind": kind, "text": self._large_text()}, **when)

    def place_large_text(self, kind: str, **when: Any) -> str:
        """Place an order of the task `large` without a file."""
        order_id = self._new_id()
        value = {"kind": kind, "text": self._large_text()}
        new_order = NewOrder("large", value, id=order_id, **when)
        return self._place(order_id, kind, lambda: service.place(OWNER, new_order))

    def _large_text(self) -> str:
        """Return a text that no other order has, so that its file is the order's own."""
        return f"{LARGE}{next(self._keys)}"

    def _place_with_file(self, task: str, value: dict[str, Any], **when: Any) -> str:
        order_id = self._new_id()
        value["image"] = {"file": hashlib.sha256(PHOTO).hexdigest()}

        def send() -> service.Placed:
            # The input is completed in place, and is part of the request's fingerprint
            new_order = NewOrder(task, copy.deepcopy(value), id=order_id, **when)
            return service.place(OWNER, new_order)

        for _ in range(6):
            with suppress(FileMissing):
                return self._place(order_id, value["kind"], send)
            self.upload()
        raise AssertionError("the file is missing after each of six uploads")

    def replay(self, order_id: str) -> None:
        """Repeat the request of an order; a file that it names need not be fresh any more."""
        try:
            placed = self._repeat(self._requests[order_id])
        except FileMissing as error:
            raise AssertionError(f"the replay of {order_id} is refused: {error}") from error
        assert placed.replayed
        assert placed.order.id == order_id

    def cancel(self, order_id: str) -> None:
        """Cancel or stop an order; once it is cancelled, this round must never succeed."""
        with suppress(Refusal):
            row = self._repeat(lambda: service.cancel(OWNER, order_id))
            if row.status is Status.CANCELLED:
                self.checker.record_cancel(row)

    def retry(self, order_id: str) -> None:
        self.checker.bulk.owner_retries[ids.key_of(OWNER, order_id)] += 1
        with suppress(Refusal):
            self._repeat(lambda: service.retry(OWNER, order_id))

    def _repeat(self, action: Callable[[], Any]) -> Any:
        """Repeat a request until it is answered: after a 5xx or no answer its effect is unknown."""
        for _ in range(6):
            try:
                return action()
            except Killed:
                self.wire.reborn()
            except (Unavailable, BotoCoreError, ClientError, HTTPClientError):
                pass
            self.cloud.clock.advance(1)
        raise AssertionError("no answer after six requests")
