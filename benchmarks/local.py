"""Measure latencies and throughput of the local stack (`make run`), as a client sees them."""

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
class Latencies:
    """Latencies in ms of one client's orders; throughput in orders per second of four clients."""

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


def measure(stack: Stack, sequential: int, concurrent: int) -> Latencies:
    """Measure the stack.

    `sequential`: number of orders one after the other; `concurrent`: number of orders of four
    clients at once.
    """
    client = Client(stack)
    for _ in range(10):
        client.to_success()
    times = [client.to_success() for _ in range(sequential)]
    return Latencies(
        [post for post, _ in times],
        [success for _, success in times],
        *_throughput(stack, concurrent),
    )


class Client:
    """HTTP client with one kept-alive connection."""

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
        """Place an order and poll it every 5 ms. Return the ms until it is accepted, and done."""
        began = time.monotonic()
        order_id = self.place()
        posted = time.monotonic()
        self.until_done(order_id, 0.005)
        return (posted - began) * 1000, (time.monotonic() - began) * 1000


def _throughput(stack: Stack, number: int) -> tuple[float, float]:
    """Return the accepted and the completed orders per second."""
    ids: list[list[str]] = [[] for _ in range(CLIENTS)]

    def place(ids_of_client: list[str]) -> None:
        client = Client(stack)
        ids_of_client.extend(client.place() for _ in range(number // CLIENTS))

    threads = [threading.Thread(target=place, args=(each,)) for each in ids]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accepted_s = time.monotonic() - began
    client = Client(stack)
    for order_id in [order_id for each in ids for order_id in each]:
        client.until_done(order_id, 0.05)
    return number / accepted_s, number / (time.monotonic() - began)
