"""Measure the CPU time of an order, of Orderline's functions and of the peers."""

from __future__ import annotations

import functools
import itertools
import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from benchmarks.functions import App
from benchmarks.processes import cpu_ms, running
from dev.packaging.package import ROOT
from tests.acceptance.stack import free_port, until
from tests.kit.runtime import Function

PEERS = ROOT / "build" / "peers" / "bin"
HERE = ROOT / "benchmarks" / "peers"
BULK = 1000  # orders in a request; the resolution of CPU times is too coarse for fewer
Batch = Callable[[int], dict[str, float]]  # number of orders -> {step: CPU in ms per order}


@contextmanager
def peer(name: str, folder: Path) -> Iterator[Batch]:
    """Run a peer as `started` does, and warm it up."""
    with started(name, folder) as (port, pids):
        _peer_orders(port, 20)
        yield lambda number: _peer_batch(port, pids, number)


@contextmanager
def started(name: str, folder: Path) -> Iterator[tuple[int, list[int]]]:
    """Run a peer with its own web server, workers and broker. `name`: celery or huey.

    Yield the web server's port and the ids of its processes.
    """
    redis_port = free_port()
    web_port = free_port()
    variables = {"REDIS_URL": f"redis://127.0.0.1:{redis_port}/0", "PYTHONPATH": str(HERE)}
    worker = {
        "celery": ["celery", "-A", "celery_app.celery", "worker", "-c", "2", "-l", "WARNING"],
        "huey": ["huey_consumer", "huey_app.huey", "-w", "2", "-k", "process", "-q"],
    }[name]
    commands = [
        [
            "redis-server",
            "--bind",
            "127.0.0.1",
            "--port",
            str(redis_port),
            "--save",
            "",
            "--dir",
            str(folder),
        ],
        [str(PEERS / "gunicorn"), "-w", "2", "-b", f"127.0.0.1:{web_port}", f"{name}_app:app"],
        [str(PEERS / worker[0]), *worker[1:]],
    ]
    with ExitStack() as stack:
        pids = []
        for command, port in zip(commands, (redis_port, web_port, web_port), strict=True):
            log = folder / f"{name}-{Path(command[0]).name}.log"
            pids.append(stack.enter_context(running(command, folder, log, variables)))
            until(functools.partial(_listens, port), 30)
        yield web_port, pids


def available() -> str | None:
    """Return why the peers can't be measured here, or None if they can."""
    if not shutil.which("redis-server"):
        return "the peers need redis-server: apt-get install redis-server"
    return None if (PEERS / "celery").exists() else "the peers are not installed: run `make bench`"


def _peer_batch(port: int, pids: list[int], number: int) -> dict[str, float]:
    before = cpu_ms(pids)
    ids = _peer_orders(port, number)
    order = (cpu_ms(pids) - before) / number
    before = cpu_ms(pids)
    for order_id in ids:
        assert _request(port, "GET", f"/orders/{order_id}")["status"] == "SUCCESS"
    return {"order": order, "poll": (cpu_ms(pids) - before) / number}


def _peer_orders(port: int, number: int) -> list[str]:
    """Place orders one after the other and poll the last ones every 20 ms until they are done."""
    order = {"task": "nothing", "input": {}}
    ids = [_request(port, "POST", "/orders", order)["id"] for _ in range(number)]
    for order_id in ids[-2:]:
        deadline = time.monotonic() + 60
        while _request(port, "GET", f"/orders/{order_id}")["status"] != "SUCCESS":
            assert time.monotonic() < deadline
            time.sleep(0.02)
    return ids


def _request(port: int, method: str, path: str, body: Any = None) -> Any:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(
            method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"}
        )
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


@contextmanager
def functions(app: App, size: int = 1) -> Iterator[Batch]:
    """Run the HTTP function and the worker of an app, and warm them up.

    `size` is the number of messages in a batch.
    """
    with app.start("app.app") as http, app.start("app.order_worker") as worker:

        def batch(number: int) -> dict[str, float]:
            replies, post = _invoke_all(http, [app.post() for _ in range(number)])
            ids = [json.loads(reply["body"])["id"] for reply in replies]
            bodies = app.aws.sent[-number:]
            batches = [bodies[start : start + size] for start in range(0, number, size)]
            _, work = _invoke_all(worker, [app.work(*each) for each in batches], number)
            replies, poll = _invoke_all(http, [app.poll(order_id) for order_id in ids])
            assert {json.loads(reply["body"])["status"] for reply in replies} == {"SUCCESS"}
            return {"order": post + work, "POST": post, "worker": work, "poll": poll}

        batch(20)
        yield batch


@contextmanager
def bulk(app: App) -> Iterator[Batch]:
    """Run the HTTP function of an app, which places BULK orders in each request."""
    with app.start("app.app") as http:
        keys = itertools.count()

        def batch(number: int) -> dict[str, float]:
            (reply,), request = _invoke_all(http, [app.bulk(BULK, f"bulk-{next(keys)}")], BULK)
            assert json.loads(reply["body"])["placed"] == BULK
            return {"order": request}

        batch(0)
        yield batch


def _invoke_all(
    function: Function, events: list[Any], orders: int | None = None
) -> tuple[list[Any], float]:
    """Invoke the function with each event. Return the responses, and the CPU ms per order.

    `orders` is how many the events are about; None: as many as there are events.
    """
    before = cpu_ms([function.pid])
    responses = [function.invoke(event) for event in events]
    assert not [each for each in responses if each.error], responses[0].error
    spent_ms = cpu_ms([function.pid]) - before
    return [each.value for each in responses], spent_ms / (orders or len(events))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
