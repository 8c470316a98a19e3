"""The local stack as users run it, from `make run`'s own command: what a client sees on its clock."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from benchmarks.functions import NOTHING
from tests.acceptance.stack import Stack, copy_of_the_project

CLIENTS = 4


@dataclass(frozen=True)
class Seen:
    """In ms, one client; orders a second, four clients."""

    post_ms: list[float]
    success_ms: list[float]
    accepted_per_s: float
    completed_per_s: float


@contextmanager
def stack(folder: Path) -> Iterator[Stack]:
    project = copy_of_the_project(folder)
    (project / "chalicelib" / "tasks" / "nothing.py").write_text(NOTHING)
    running = Stack(project, CONCURRENCY="4").start()
    try:
        yield running
    finally:
        running.stop()


def seen(stack: Stack, alone: int, together: int) -> Seen:
    """`alone`: orders one after the other. `together`: orders of four clients at once."""
    client = Client(stack)
    for _ in range(10):
        client.to_success()
    both = [client.to_success() for _ in range(alone)]
    return Seen(
        [post for post, _ in both], [success for _, success in both], *_throughput(stack, together)
    )


class Client:
    """One connection, kept alive."""

    def __init__(self, stack: Stack) -> None:
        self._connection = HTTPConnection(stack.url.removeprefix("http://"), timeout=60)
        self._headers = {
            "Authorization": f"Bearer {stack.token}",
            "Content-Type": "application/json",
        }

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        self._connection.request(method, path, json.dumps(body) if body else None, self._headers)
        return json.loads(self._connection.getresponse().read())

    def place(self) -> str:
        return str(self.ask("POST", "/orders", {"task": "nothing", "input": {}})["id"])

    def until_done(self, order_id: str, every_s: float) -> None:
        while not self.ask("GET", f"/orders/{order_id}")["done"]:
            time.sleep(every_s)

    def to_success(self) -> tuple[float, float]:
        """Milliseconds until the answer of POST, and until a poll every 5 ms saw the order done."""
        began = time.monotonic()
        order_id = self.place()
        posted = time.monotonic()
        self.until_done(order_id, 0.005)
        return (posted - began) * 1000, (time.monotonic() - began) * 1000


def _throughput(stack: Stack, number: int) -> tuple[float, float]:
    placed: list[list[str]] = [[] for _ in range(CLIENTS)]

    def place(into: list[str]) -> None:
        client = Client(stack)
        into.extend(client.place() for _ in range(number // CLIENTS))

    threads = [threading.Thread(target=place, args=(into,)) for into in placed]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accepted_s = time.monotonic() - began
    client = Client(stack)
    for order_id in [order_id for mine in placed for order_id in mine]:
        client.until_done(order_id, 0.05)
    return number / accepted_s, number / (time.monotonic() - began)
