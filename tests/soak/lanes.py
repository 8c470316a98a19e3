"""`python -m tests.soak.lanes`: measure short orders while another lane is busy with long ones.

tests/acceptance/test_howtos.py runs the same with fewer and shorter orders, and asserts no time.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.acceptance.stack import Stack, copy_of_the_project, until

OWN = "lanes: {heavy: {timeout_s: 60, concurrency: 2}}\n"
TASKS = '''
import os
import time

from chalicelib.tasks import task


@task(lane="heavy")
def long(seconds: float) -> str:
    """Take its time, and say in which lane."""
    time.sleep(seconds)
    return os.environ.get("LANE", "default")


@task
def short() -> str:
    """Say at once in which lane it runs."""
    return os.environ.get("LANE", "default")
'''
LONG_ORDERS = 100
LONG_S = 5.0
SHORT_ORDERS = 20
PAUSE_S = 1.0


def max_at_once(orders: Sequence[Any]) -> int:
    """Return the largest number of orders that ran at the same time, by their histories."""
    changes = []
    for order in orders:
        for attempt in order["history"]:
            changes.append((attempt["started_at"], 1))
            changes.append((attempt["ended_at"], -1))
    running = 0
    most = 0
    for _, change in sorted(changes):  # texts of one format; an end comes before a start
        running += change
        most = max(most, running)
    return most


def with_history(stack: Stack, order_id: str) -> Any:
    return stack.http("GET", f"/orders/{order_id}?include=history").json


def main() -> int:
    """Measure and print; return the exit code, 1 if more than two long orders ran at once."""
    with tempfile.TemporaryDirectory() as folder:
        project = copy_of_the_project(Path(folder) / "project")
        (project / "orderline.yaml").write_text(OWN)
        (project / "chalicelib" / "tasks" / "lanes.py").write_text(TASKS)
        stack = Stack(project).start()
        try:
            return _measure(stack)
        finally:
            stack.stop()


def _measure(stack: Stack) -> int:
    _place_short(stack)  # the first orders start the processes of the workers
    _print(_line("heavy lane idle", _place_short(stack)))
    long = [stack.place("long", {"seconds": LONG_S})["id"] for _ in range(LONG_ORDERS)]
    until(lambda: stack.get(long[0])["status"] == "RUNNING")
    _print(_line("heavy lane busy", _place_short(stack)))
    waiting = sum(stack.get(order_id)["status"] == "PENDING" for order_id in long)
    _print(f"then {waiting} of {LONG_ORDERS} orders of {LONG_S:.0f} s wait in the heavy lane")
    until(lambda: stack.get(long[-1])["done"], 2 * LONG_ORDERS * LONG_S)
    until(lambda: all(stack.get(order_id)["done"] for order_id in long))
    _print(_line("heavy lane idle again", _place_short(stack)))
    orders = [with_history(stack, order_id) for order_id in long]
    good = sum(order["status"] == "SUCCESS" and order["attempts"] == 1 for order in orders)
    most = max_at_once(orders)
    _print(f"{good} of {LONG_ORDERS} succeeded in one attempt; at most {most} ran at once")
    return int(most > 2 or good < LONG_ORDERS)


def _place_short(stack: Stack) -> list[float]:
    """Place short orders one after another; return their seconds from POST to SUCCESS, sorted.

    Both times are in the row, so our own polling doesn't count.
    """
    seconds = []
    for _ in range(SHORT_ORDERS):
        order = stack.ended_order(stack.place("short", {})["id"])
        assert order["status"] == "SUCCESS", order
        seconds.append(_time(order["updated_at"]) - _time(order["created_at"]))
        time.sleep(PAUSE_S)
    return sorted(seconds)


def _line(title: str, seconds: list[float]) -> str:
    p95 = seconds[-(len(seconds) // 20) - 1]
    return (
        f"{title}: {len(seconds)} short orders, POST to SUCCESS: median"
        f" {1000 * statistics.median(seconds):.0f} ms, 95th percentile {1000 * p95:.0f} ms,"
        f" longest {1000 * seconds[-1]:.0f} ms"
    )


def _time(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
