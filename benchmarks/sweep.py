"""Count the calls and the CPU of a sweep over many overdue orders, against a stub of AWS.

The stub is a process of its own, and waits before each response as AWS does. So the CPU is that of
the sweeper alone, and threads have something to wait for. Sweeps follow one another, each within
the time of a function, until nothing is overdue.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.canned import Canned, serving
from benchmarks.functions import KEYS
from chalicelib import clock
from chalicelib.clock import SECOND
from chalicelib.dispatch import plan
from chalicelib.functions import checks
from chalicelib.functions.sweeper import sweep
from chalicelib.orders import Order, Status
from chalicelib.table.items import encode_order

FUNCTION_S = 60
LATENCY_S = 0.005


class Overdue(Canned):
    """Stub with overdue orders, whose rows are made as they are read."""

    def __init__(self, orders: int, latency_s: float, placed_at: int) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self._latency_s = latency_s
        self._by_shard: dict[str, list[dict[str, Any]]] = {}
        for n in range(orders):
            order = _order(n, placed_at)
            entry = {"pk": {"S": order.key}, "check_at": {"N": str(order.check_at)}}
            self._by_shard.setdefault(order.check_shard or "", []).append(entry)
        self._placed_at = placed_at

    def handle_call(self, operation: str, parameters: Any) -> Any:
        time.sleep(self._latency_s)
        self.calls[operation] += 1
        if operation == "Query":
            return self._page(parameters)
        if operation == "BatchGetItem":
            ((table, reading),) = parameters["RequestItems"].items()
            return {"Responses": {table: [self._row(key["pk"]["S"]) for key in reading["Keys"]]}}
        if operation == "UpdateItem":
            key = parameters["Key"]["pk"]["S"]
            self.rows[key] = self._row(key)
            attributes = super().handle_call(operation, parameters)
            self.rows[key] = None  # it was resent
            return attributes
        if operation in ("SendMessageBatch", "GetQueueAttributes"):
            return super().handle_call(operation, parameters)
        return {}  # a GetItem of the last tick, and its PutItem

    def _row(self, key: str) -> Any:
        return encode_order(_order(int(key.partition("#")[2]), self._placed_at))

    def _page(self, parameters: Any) -> Any:
        """Return a page of the entries that are left, without those that were resent before."""
        shard = parameters["ExpressionAttributeValues"][":shard"]["S"]
        entries = self._by_shard.get(shard, [])
        start = parameters.get("ExclusiveStartKey", {}).get("n", 0)
        end = start + parameters["Limit"]
        items = [each for each in entries[start:end] if each["pk"]["S"] not in self.rows]
        page = {"Items": items, "Count": len(items)}
        return page | ({"LastEvaluatedKey": {"n": end}} if end < len(entries) else {})


def _order(n: int, placed_at: int) -> Order:
    order_id = f"{n:026d}"
    dispatch = plan(order_id, placed_at, None)
    return Order(
        owner="kit",
        id=order_id,
        task="cook_nuggets",
        input='{"pieces":6}',
        status=Status.PENDING,
        created_at=placed_at,
        updated_at=placed_at,
        max_attempts=5,
        fingerprint="f" * 32,
        fence="f" * 16,
        check_at=dispatch.check_at + n,
        check_shard=dispatch.check_shard,
    )


@dataclass(frozen=True)
class Sweeps:
    """What it took to resend all orders."""

    orders: int
    sweeps: int
    seconds: float
    cpu_s: float
    calls: dict[str, int]

    def __str__(self) -> str:
        calls = sum(self.calls.values())
        return "\n".join(
            [
                f"{self.orders} orders resent by {self.sweeps} sweeps in {self.seconds:.1f} s",
                f"  {calls / self.orders:.4f} calls an order: {self.calls}",
                f"  {self.cpu_s / self.orders * 1000:.3f} ms of CPU an order",
            ]
        )


def _serve(ready: Connection, orders: int, latency_s: float, placed_at: int) -> None:
    """Serve the stub until told to stop; then send what was called."""
    with serving(Overdue(orders, latency_s, placed_at)) as server:
        ready.send(server.url)
        ready.recv()
        keys = {json.loads(body)["pk"] for body in server.sent}
        ready.send((dict(server.calls), len(server.sent), len(keys)))


def measure(orders: int, latency_s: float = LATENCY_S, threads: int = checks.THREADS) -> Sweeps:
    """Resend so many orders; return what it took."""
    placed_at = clock.now() - 3600 * SECOND
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("fork")
    server = context.Process(target=_serve, args=(theirs, orders, latency_s, placed_at))
    server.start()
    environment = {
        **KEYS,
        "AWS_ENDPOINT_URL": ours.recv(),
        "AWS_LAMBDA_FUNCTION_NAME": "order_sweeper",
        "ACCESS": "token",
        "QUEUE_URL": "http://127.0.0.1/queue",
    }
    os.environ.update(environment)
    checks.THREADS = threads
    try:
        resent = sweeps = 0
        began = time.monotonic()
        cpu = time.process_time()
        while resent < orders:
            end = time.monotonic() + FUNCTION_S
            resent += sweep(lambda end=end: end - time.monotonic()).resent  # type: ignore[misc]
            sweeps += 1
        cpu_s = time.process_time() - cpu
        seconds = time.monotonic() - began
        ours.send("stop")
        calls, sent, keys = ours.recv()
    finally:
        server.kill()
        server.join()
    assert resent == sent == keys == orders, (resent, sent, keys, orders)
    return Sweeps(orders, sweeps, seconds, cpu_s, calls)


def main(arguments: list[str]) -> None:
    """Print what a sweep of ORDERS takes, with as many THREADS."""
    orders, threads = [*map(int, arguments), *(100_000, checks.THREADS)[len(arguments) :]]
    output, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: SIM115  the sweeper's log lines
    result = measure(orders, threads=threads)
    sys.stdout = output
    sys.stdout.write(f"{result}\n  {threads} threads, {LATENCY_S * 1000:g} ms of latency\n")


if __name__ == "__main__":
    main(sys.argv[1:])
