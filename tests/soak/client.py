"""A client that trusts nobody: repeats what got no answer, and remembers every final order that it saw."""

from __future__ import annotations

import functools
import http.client
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.acceptance.stack import Stack
from tests.kit.cloud import Reply

WEIGHTS = {
    "steady": 50,
    "slow": 14,
    "flaky": 14,
    "placing": 8,
    "failing": 8,
    "crashing": 2,
    "sleeping": 4,
}
PATIENCE_S = 60


@dataclass
class Seen:
    """An order as this client knows it. `late`: a retry of it got no answer, so it may still come into force."""

    task: str
    number: int
    final: dict[str, Any] | None = None
    retried: bool = False
    late: bool = False


class Client(threading.Thread):
    """Places, looks, cancels and retries by chance, so many times a second, until it is stopped."""

    def __init__(
        self, stack: Stack, runs: str, chance: random.Random, per_second: float, name: str
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.stack, self.runs, self.chance, self.pause_s = stack, runs, chance, 1 / per_second
        self.seen: dict[str, Seen] = {}
        self.repeated, self.faults, self.done, self.asking = (
            0,
            list[str](),
            threading.Event(),
            False,
        )

    def run(self) -> None:
        deeds = {self.place: 50, self.look: 35, self.cancel: 8, self.retry: 7}
        while not self.done.wait(self.pause_s):
            self._try(self.chance.choices(list(deeds), list(deeds.values()))[0])

    def look_at_all(self) -> None:
        """A last look at every order, in the caller's thread."""
        for order_id in self.seen:
            self._try(functools.partial(self.look_at, order_id))

    def stop(self) -> None:
        self.done.set()
        self.join()

    def place(self) -> None:
        task, number = self.chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0], len(self.seen)
        key = {"Idempotency-Key": f"{self.name}-{number}"}
        body = {"task": task, "input": {"number": number, "runs": self.runs}}
        ids = {
            self._told("POST", "/orders", 202, body, key)["id"]
            for _ in range(self.chance.choice((1, 1, 1, 2)))
        }
        self.seen |= {order_id: Seen(task, number) for order_id in ids}
        if len(ids) > 1:
            self.faults.append(f"the key {key} placed {len(ids)} orders")

    def look(self) -> None:
        if self.seen:
            self.look_at(self.chance.choice(list(self.seen)))

    def look_at(self, order_id: str) -> None:
        order, seen = self._told("GET", f"/orders/{order_id}", 200), self.seen[order_id]
        if seen.final not in (None, order):
            if not seen.late:
                self.faults.append(f"a final order changed: {seen.final} -> {order}")
            seen.late = False
        seen.final = order if order["done"] else None

    def cancel(self) -> None:
        if self.seen:
            order_id = list(self.seen)[-1]
            self._told("POST", f"/orders/{order_id}/cancel", (200, 409))

    def retry(self) -> None:
        ended = [
            order_id
            for order_id, seen in self.seen.items()
            if seen.final and seen.final["status"] in ("FAILED", "CANCELLED") and not seen.retried
        ]
        if ended:
            seen, before = self.seen[order_id := self.chance.choice(ended)], self.repeated
            seen.retried, seen.final = True, None
            self._told("POST", f"/orders/{order_id}/retry", (202, 409))
            seen.late = self.repeated > before

    def _try(self, deed: Callable[[], object]) -> None:
        try:
            deed()
        except Exception as fault:
            self.faults.append(f"{self.name}: {fault!r}")

    def _told(
        self,
        method: str,
        path: str,
        expected: int | tuple[int, ...],
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        reply = self._answered(method, path, body, headers)
        if reply.status not in (expected if isinstance(expected, tuple) else (expected,)):
            raise AssertionError(f"{method} {path}: {reply.status} {reply.body}")
        return reply.json

    def _answered(self, method: str, path: str, body: Any, headers: dict[str, str] | None) -> Reply:
        """The answer, however often the server is killed meanwhile."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            self.asking = True
            try:
                reply = self.stack.http(method, path, body, headers)
                if reply.status < 500:
                    return reply
            except (OSError, http.client.HTTPException):
                pass
            finally:
                self.asking = False
            self.repeated += 1
            time.sleep(0.1)
        raise AssertionError(f"{method} {path}: no answer within {PATIENCE_S} s")
