"""Experiments with a stack: a killed, stopped or badly mapped worker, and tasks past their limit.

Each returns numbers: tests/acceptance/test_recovery.py asserts them, tests/soak/measure.py prints
them.
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
from tests.soak.stack_control import TIMINGS, Repeater, Run, StackControl

RESEND_AFTER_S = int(TIMINGS["RESEND_AFTER_S"])
TIMEOUT_S = int(TIMINGS["WORKER_TIMEOUT_S"])
SWEEP_S = 2.0
FINISH_S = 0.6  # worker.MARGIN_S: a task is ended this long before Lambda ends its function


@dataclass(frozen=True)
class Backlog:
    """The outcome of a backlog that grew while no worker ran."""

    orders: int
    sweeps: int
    max_messages: int
    unfinished: int


@dataclass(frozen=True)
class Ended:
    """The error code of an attempt that ran past its limit, and the seconds from limit to end."""

    code: str
    late_s: float


def place(control: StackControl, task: str, number: int = 1) -> str:
    return str(control.stack.place(task, {"number": number, "runs": str(control.runs_file)})["id"])


def sweep_during(
    control: StackControl, action: Callable[[], object], period_s: float = SWEEP_S
) -> Repeater:
    """Sweep periodically while the action runs."""
    sweeps = Repeater(period_s, control.sweep)
    sweeps.start()
    try:
        action()
    finally:
        sweeps.stop()
    return sweeps


def seconds_to_next_claim(control: StackControl, kills: int = 1) -> list[float]:
    """Kill the worker of an order `kills` times; return the seconds from each claim to the next."""
    order_id = place(control, "slow")

    def starts() -> list[Run]:
        return [run for run in control.runs() if run.order_id == order_id and run.event == "began"]

    def kill_and_wait() -> None:
        killed: set[int] = set()
        while len(starts()) <= kills:
            until(lambda: starts() and starts()[-1].pid not in killed)
            pid = starts()[-1].pid
            killed.add(pid)
            assert pid in control.stack.processes("lambda.*OrderWorker")
            if len(starts()) <= kills:
                os.kill(pid, signal.SIGKILL)

    sweep_during(control, kill_and_wait)
    times = [run.at for run in starts()]
    return [round(after - before, 1) for before, after in itertools.pairwise(times)]


def backlog(control: StackControl, orders: int, resend_periods: float = 10) -> Backlog:
    """Stop the worker while orders are placed, then start it until the queue is empty.

    The worker is stopped for `resend_periods` times RESEND_AFTER_S; the sweeper runs all the time.
    """
    control.change_mapping(Enabled=False)
    with ThreadPoolExecutor(2) as clients:
        list(clients.map(lambda number: place(control, "steady", number), range(orders)))
    counts = [control.messages()]
    end = time.monotonic() + resend_periods * RESEND_AFTER_S

    def watch() -> None:
        while time.monotonic() < end:
            counts.append(control.messages())
            time.sleep(0.5)

    sweeps = sweep_during(control, watch)
    counts.append(control.messages())
    control.change_mapping(Enabled=True)
    sweep_during(control, lambda: until(lambda: not control.messages(), 60 + orders / 10))
    unfinished = sum(not order.status.final for order in control.orders())
    return Backlog(orders, len(sweeps.times), max(counts), unfinished)


def statuses_without_batch_failures(control: StackControl, orders: int) -> dict[str, str]:
    """Run without FunctionResponseTypes; return the last status of each task's orders.

    Lambda then deletes the messages that the worker wants to keep.
    """
    control.change_mapping(FunctionResponseTypes=[])
    tasks = ("steady", "flaky", "failing", "slow")
    placed = {
        place(control, tasks[number % len(tasks)], number): tasks[number % len(tasks)]
        for number in range(orders)
    }
    sweep_during(
        control,
        lambda: until(
            lambda: all(control.order(order_id).status.final for order_id in placed), 240
        ),
        SWEEP_S,
    )
    control.change_mapping(FunctionResponseTypes=["ReportBatchItemFailures"])
    return {placed[order_id]: control.order(order_id).status.value for order_id in placed}


def run_past_limit(control: StackControl, task: str, limit_s: float, number: int = 1) -> Ended:
    """Run a task that does not end at its limit; return how and how late it was ended."""
    order_id = place(control, task, number)
    sweep_during(control, lambda: until(lambda: control.order(order_id).status.final, 60))
    order = control.order(order_id)
    attempt = order.history[0]
    assert order.error is not None
    ended_at = attempt.end or order.updated_at
    return Ended(order.error.code, (ended_at - attempt.start) / 1e6 - limit_s)
