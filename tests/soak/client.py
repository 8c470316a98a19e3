"""A distrustful client: repeats unanswered requests, and compares final orders with later reads."""

from __future__ import annotations

import functools
import hashlib
import http.client
import random
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from testkit.cloud import Reply
from tests.acceptance.stack import Stack

WEIGHTS = {
    "steady": 50,
    "slow": 14,
    "flaky": 14,
    "placing": 8,
    "filing": 14,
    "large": 8,
    "failing": 8,
    "crashing": 2,
    "sleeping": 4,
}
CHORD = ("steady", "slow", "flaky", "failing")  # tasks of the orders that a last one waits for
PATIENCE_S = 60
LARGE = "large " * 3000  # longer than SPILL_BYTES


@dataclass
class KnownOrder:
    """An order as this client last saw it."""

    task: str
    number: int
    final: dict[str, Any] | None = None
    retried: bool = False
    retry_pending: bool = False  # a retry got no answer at first and may still take effect
    after: tuple[str, ...] = ()


class Client(threading.Thread):
    """A thread that places, reads, stops and retries orders at random until it is stopped."""

    def __init__(
        self, stack: Stack, runs: str, dice: random.Random, per_second: float, name: str
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.stack = stack
        self.runs = runs
        self.dice = dice
        self.pause_s = 1 / per_second
        self.known: dict[str, KnownOrder] = {}
        self.repeats = 0
        self.violations: list[str] = []
        self.stopped = threading.Event()
        self.is_waiting = False

    def run(self) -> None:
        actions = {
            self.place: 45,
            self.place_chord: 5,
            self.read: 35,
            self.cancel: 5,
            self.stop_one: 5,
            self.retry: 7,
        }
        while not self.stopped.wait(self.pause_s):
            self._try(self.dice.choices(list(actions), list(actions.values()))[0])

    def read_all(self) -> None:
        """Read every order once more, in the caller's thread."""
        for order_id in self.known:
            self._try(functools.partial(self.read_order, order_id))

    def stop(self) -> None:
        self.stopped.set()
        self.join()

    def place(self) -> None:
        self.place_order(self.dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0])

    def place_chord(self) -> None:
        """Place some orders, and one that runs after their success or after any end."""
        tasks = self.dice.choices(CHORD, (6, 4, 2, 1), k=self.dice.randint(1, 4))
        after = tuple(self.place_order(task) for task in tasks)
        self.place_order("gathering", after, self.dice.choice(("success", "end")))

    def place_order(self, task: str, after: tuple[str, ...] = (), when: str = "") -> str:
        """Place an order, sometimes by a repeated request; return its id."""
        number = len(self.known)
        key = {"Idempotency-Key": f"{self.name}-{number}"}
        value: dict[str, Any] = {"number": number, "runs": self.runs}
        if task == "filing":
            value["image"] = {"file": self.upload(str(number).encode())}
        if task == "large":
            value["text"] = f"{LARGE}{self.name} {number}"
        body = {"task": task, "input": value}
        if after:
            body |= {"after": list(after), "when": when}
        ids = {
            self._request("POST", "/orders", 202, body, key)["id"]
            for _ in range(self.dice.choice((1, 1, 1, 2)))
        }
        self.known |= {order_id: KnownOrder(task, number, after=after) for order_id in ids}
        if len(ids) > 1:
            self.violations.append(f"the key {key} placed {len(ids)} orders")
        return str(ids.pop())

    def upload(self, content: bytes) -> str:
        """Upload a file, unless it is stored, and return its id."""
        file_id = hashlib.sha256(content).hexdigest()
        request = self._request("POST", "/files", 200, {"sha256": file_id, "size": len(content)})
        if upload := request["upload"]:
            put = urllib.request.Request(
                upload["url"], content, upload["headers"], method=upload["method"]
            )
            urllib.request.urlopen(put, timeout=30).close()
        return file_id

    def read(self) -> None:
        if self.known:
            self.read_order(self.dice.choice(list(self.known)))

    def read_order(self, order_id: str) -> None:
        """Read an order; a final one must not have changed since the last read."""
        order = self._request("GET", f"/orders/{order_id}", 200)
        known = self.known[order_id]
        if known.final not in (None, order):
            if not known.retry_pending:
                self.violations.append(f"a final order changed: {known.final} -> {order}")
            known.retry_pending = False
        known.final = order if order["done"] else None

    def cancel(self) -> None:
        """Cancel the last order, which most likely waits."""
        if self.known:
            self._cancel(list(self.known)[-1])

    def stop_one(self) -> None:
        """Stop one of the last slow orders, which may run."""
        slow = [order_id for order_id, known in self.known.items() if known.task == "slow"]
        if slow:
            self._cancel(self.dice.choice(slow[-3:]))

    def _cancel(self, order_id: str) -> None:
        self._request("POST", f"/orders/{order_id}/cancel", (200, 202, 409))

    def retry(self) -> None:
        ended = [
            order_id
            for order_id, known in self.known.items()
            if known.final
            and known.final["status"] in ("FAILED", "CANCELLED")
            and not known.retried
        ]
        if ended:
            order_id = self.dice.choice(ended)
            known = self.known[order_id]
            known.retried = True
            known.final = None
            repeats_before = self.repeats
            self._request("POST", f"/orders/{order_id}/retry", (202, 409))
            known.retry_pending = self.repeats > repeats_before

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:
            self.violations.append(f"{self.name}: {error!r}")

    def _request(
        self,
        method: str,
        path: str,
        expected: int | tuple[int, ...],
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        reply = self._repeat_until_answered(method, path, body, headers)
        if reply.status not in (expected if isinstance(expected, tuple) else (expected,)):
            raise AssertionError(f"{method} {path}: {reply.status} {reply.body}")
        return reply.json

    def _repeat_until_answered(
        self, method: str, path: str, body: Any, headers: dict[str, str] | None
    ) -> Reply:
        """Repeat a request until the server, which may be killed at any time, answers it."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            self.is_waiting = True
            try:
                reply = self.stack.http(method, path, body, headers)
                if reply.status < 500:
                    return reply
            except (OSError, http.client.HTTPException):
                pass
            finally:
                self.is_waiting = False
            self.repeats += 1
            time.sleep(0.1)
        raise AssertionError(f"{method} {path}: no answer within {PATIENCE_S} s")
