"""What is measured on a stack whose worker is killed, stopped or badly mapped, and how late a deadline comes.

Each hands back numbers: tests/acceptance/test_recovery.py says what they must be, tests/soak/measure.py prints them.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.acceptance.stack import until
from tests.soak.backstage import TIMINGS, Backstage, Every, Run

RESEND_AFTER_S, TIMEOUT_S = int(TIMINGS["RESEND_AFTER_S"]), int(TIMINGS["WORKER_TIMEOUT_S"])
SWEEP_S = 2.0
FINISH_S = 0.6  # worker.MARGIN_S: so much before Lambda's own end a task is ended


@dataclass(frozen=True)
class Backlog:
    """Orders that waited while no worker ran."""

    orders: int
    sweeps: int
    most_messages: int
    unended: int


@dataclass(frozen=True)
class Ended:
    """How an attempt that would not end was ended: its code, and how long after its limit, in seconds."""

    code: str
    late_s: float


def place(backstage: Backstage, task: str, number: int = 1) -> str:
    return str(
        backstage.stack.place(task, {"number": number, "runs": str(backstage.runs_file)})["id"]
    )


def sweeping(backstage: Backstage, deed: Callable[[], object], period_s: float = SWEEP_S) -> Every:
    """Sweeps while the deed is done."""
    sweeps = Every(period_s, backstage.sweep)
    sweeps.start()
    try:
        deed()
    finally:
        sweeps.stop()
    return sweeps


def claimed_again_s(backstage: Backstage, kills: int = 1) -> list[float]:
    """How long after each claim of an order whose worker was then killed it is claimed again."""
    order_id = place(backstage, "slow")

    def began() -> list[Run]:
        return [run for run in backstage.runs() if run.order_id == order_id and run.word == "began"]

    def kill_and_wait() -> None:
        killed: set[int] = set()
        while len(began()) <= kills:
            until(lambda: began() and began()[-1].pid not in killed, 60)
            killed.add(pid := began()[-1].pid)
            assert pid in backstage.stack.processes("lambda.*OrderWorker")
            if len(began()) <= kills:
                os.kill(pid, signal.SIGKILL)

    sweeping(backstage, kill_and_wait)
    moments = [run.at for run in began()]
    return [round(after - before, 1) for before, after in itertools.pairwise(moments)]


def backlog(backstage: Backstage, orders: int, graces: float = 10) -> Backlog:
    """The worker stopped for so many times GRACE, with sweeps; then started again until every order has ended."""
    backstage.change_mapping(Enabled=False)
    with ThreadPoolExecutor(2) as clients:
        list(clients.map(lambda number: place(backstage, "steady", number), range(orders)))
    most, end = [backstage.messages()], time.monotonic() + graces * RESEND_AFTER_S

    def watch() -> None:
        while time.monotonic() < end:
            most.append(backstage.messages())
            time.sleep(0.5)

    sweeps = sweeping(backstage, watch)
    most.append(backstage.messages())
    backstage.change_mapping(Enabled=True)
    sweeping(backstage, lambda: until(lambda: not backstage.messages(), 60 + orders / 10))
    unended = sum(not order.status.final for order in backstage.orders())
    return Backlog(orders, len(sweeps.times), max(most), unended)


def ended_where_failures_vanish(backstage: Backstage, orders: int) -> dict[str, str]:
    """Without FunctionResponseTypes Lambda deletes what the worker keeps. Each order's task -> its last status."""
    backstage.change_mapping(FunctionResponseTypes=[])
    tasks = ("steady", "flaky", "failing", "slow")
    placed = {
        place(backstage, tasks[number % len(tasks)], number): tasks[number % len(tasks)]
        for number in range(orders)
    }
    sweeping(
        backstage,
        lambda: until(
            lambda: all(backstage.order(order_id).status.final for order_id in placed), 240
        ),
        SWEEP_S,
    )
    backstage.change_mapping(FunctionResponseTypes=["ReportBatchItemFailures"])
    return {placed[order_id]: backstage.order(order_id).status.value for order_id in placed}


def deadline(backstage: Backstage, task: str, limit_s: float, number: int = 1) -> Ended:
    """How late a task is ended that runs past its limit."""
    order_id = place(backstage, task, number)
    sweeping(backstage, lambda: until(lambda: backstage.order(order_id).status.final, 60))
    order = backstage.order(order_id)
    first = order.history[0]
    assert order.error is not None
    ended = first.get("end", order.updated_at)
    return Ended(order.error["code"], (ended - first["start"]) / 1e6 - limit_s)
