"""Measure latencies and throughput as a client sees them: of the local stack and of the peers.

All run as their users start them, on this machine, and take turns within each round.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from benchmarks import orders
from benchmarks.functions import NOTHING
from tests.acceptance.stack import Stack, copy_of_the_project

CLIENTS = (1, 16)
POLL_S = 0.005


@dataclass(frozen=True)
class Service:
    """An HTTP API that takes orders."""

    netloc: str
    """Host and port."""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Round:
    """What the clients saw of one service."""

    post_ms: list[float]
    """Times until each order was accepted."""
    success_ms: list[float]
    """Times from its POST until a poll said SUCCESS."""
    completed_per_s: float
    """Orders a second, from the first POST until the last SUCCESS."""


@contextmanager
def services(folder: Path) -> Iterator[dict[str, Service]]:
    """Start the local stack and, if they are installed, the peers."""
    with ExitStack() as stack:
        started = {"local": stack.enter_context(_local(folder / "project"))}
        if not orders.available():
            for name in ("celery", "huey"):
                port, _ = stack.enter_context(orders.started(name, folder))
                started[name] = Service(f"127.0.0.1:{port}")
        for service in started.values():
            measure(service, 1, 20)  # warms it up
        yield started


@contextmanager
def _local(folder: Path) -> Iterator[Service]:
    project = copy_of_the_project(folder)
    (project / "chalicelib" / "tasks" / "nothing.py").write_text(NOTHING)
    running = Stack(project, CONCURRENCY="4").start()
    try:
        headers = {"Authorization": f"Bearer {running.token}"}
        yield Service(running.url.removeprefix("http://"), headers)
    finally:
        running.stop()


def measure(service: Service, clients: int, number: int) -> Round:
    """Let `clients` at once place so many orders in all, twice.

    First each polls its order before it places the next one, which gives the latencies. Then they
    place all, and one polls until the last has ended, which gives the throughput.
    """
    share = number // clients
    times: list[tuple[float, float]] = []
    _at_once(service, clients, lambda each: times.extend(each.to_success() for _ in range(share)))
    ids: list[str] = []
    began = time.monotonic()
    _at_once(service, clients, lambda each: ids.extend(each.place() for _ in range(share)))
    last = Client(service)
    for order_id in ids:
        last.until_done(order_id, 10 * POLL_S)
    completed_per_s = len(ids) / (time.monotonic() - began)
    return Round([post for post, _ in times], [success for _, success in times], completed_per_s)


def _at_once(service: Service, clients: int, run: Callable[[Client], None]) -> None:
    """Run a function for each of so many clients, all at once."""
    threads = [threading.Thread(target=run, args=(Client(service),)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Client:
    """HTTP client with one connection, kept alive if the service keeps it."""

    def __init__(self, service: Service) -> None:
        self._connection = HTTPConnection(service.netloc, timeout=60)
        self._headers = {"Content-Type": "application/json", **service.headers}

    def to_success(self) -> tuple[float, float]:
        """Place an order and poll it every 5 ms. Return the ms until it is accepted, and done."""
        began = time.monotonic()
        order_id = self.place()
        posted = time.monotonic()
        self.until_done(order_id, POLL_S)
        return (posted - began) * 1000, (time.monotonic() - began) * 1000

    def place(self) -> str:
        return str(self._ask("POST", "/orders", {"task": "nothing", "input": {}})["id"])

    def until_done(self, order_id: str, every_s: float) -> None:
        while self._ask("GET", f"/orders/{order_id}")["status"] != "SUCCESS":
            time.sleep(every_s)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        self._connection.request(method, path, json.dumps(body) if body else None, self._headers)
        return json.loads(self._connection.getresponse().read())


def summary(rounds: list[Round]) -> dict[str, float]:
    """Return the medians of the rounds of one service, and the 99th percentile of all its POSTs."""
    posts = [ms for each in rounds for ms in each.post_ms]
    return {
        "post_p50_ms": statistics.median(posts),
        "post_p99_ms": statistics.quantiles(posts, n=100)[98],
        "success_p50_ms": statistics.median(ms for each in rounds for ms in each.success_ms),
        "completed_per_s": statistics.median(each.completed_per_s for each in rounds),
    }
