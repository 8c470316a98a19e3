"""`python -m tests.soak.chord [CHILDREN [SEED]]`: a chord on a stack whose workers are killed.

Many orders, the children, and one that waits for all of them by a tree, as `Context.place` builds
it. Half of the children may have ended when the tree is placed; the others are still open.
"""

from __future__ import annotations

import itertools
import os
import random
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chalicelib.orders import Order
from chalicelib.prerequisites import MAX_AFTER
from chalicelib.tasks import TOGETHER
from tests.acceptance.stack import until
from tests.soak.stack_control import KINDS, Repeater, Run, StackControl, soak_stack

# The last order reads all results in one attempt, which takes seconds on a busy machine
TIMINGS = {"WORKER_TIMEOUT_S": "10", "VISIBILITY_S": "60"}
KILL_S = 3.0
FIRST_KILL_S = 0.2
SWEEP_S = 3.0


@dataclass(frozen=True)
class Chord:
    """What became of a chord. Times are in seconds."""

    children: int
    seed: int
    kills: int
    runs: int
    """Runs of the children, repeated ones included."""
    ended_s: float
    """From the first request to the end of the last order."""
    started_s: float
    """From the end of the last child to the first run of the last order."""
    attempts: int
    """Runs of the last order; each but the last must have been killed."""
    violations: list[str]

    def __str__(self) -> str:
        return "\n".join(
            [
                f"chord of {self.children}, seed {self.seed}: {self.kills} workers killed,"
                f" {self.runs} runs of the children; the last order ran {self.attempts} time(s),"
                f" first {self.started_s:.2f} s after the last child's end; all ended after"
                f" {self.ended_s:.0f} s; violations {len(self.violations)}",
                *self.violations[:20],
            ]
        )


class Killer(threading.Thread):
    """A thread that kills a random worker again and again until it is stopped."""

    def __init__(self, control: StackControl, dice: random.Random) -> None:
        super().__init__(daemon=True)
        self.control = control
        self.dice = dice
        self.killed: set[int] = set()
        self._stopped = threading.Event()

    def run(self) -> None:
        pause_s = FIRST_KILL_S  # a short chord ends within seconds
        while not self._stopped.wait(pause_s):
            # Until a worker runs, look again soon
            pause_s = self.dice.expovariate(1 / KILL_S) if self.killed else FIRST_KILL_S
            with suppress(ProcessLookupError, IndexError):
                pid = self.dice.choice(self.control.stack.processes(KINDS["worker"]))
                os.kill(pid, signal.SIGKILL)
                self.killed.add(pid)

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def chord(children: int, seed: int) -> Chord:
    """Run a chord on a stack of its own."""
    with tempfile.TemporaryDirectory() as folder:
        stack = soak_stack(Path(folder), **TIMINGS).start()
        try:
            return run_chord(StackControl(stack), children, seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}; the stack printed: {stack.output}") from error
        finally:
            stack.stop()


def run_chord(control: StackControl, children: int, seed: int) -> Chord:
    """Place a chord, kill workers until its last order has ended, and check what happened."""
    killer = Killer(control, random.Random(seed))
    sweeps = Repeater(SWEEP_S, control.sweep)
    began = time.monotonic()
    for thread in (killer, sweeps):
        thread.start()
    try:
        last, child_ids = _place(control, children)
        with suppress(AssertionError):  # then `_violations` names the orders that have not ended
            until(lambda: control.order(last).status.final, 120 + 2 * children)
        ended_s = time.monotonic() - began
    finally:
        killer.stop()
        sweeps.stop()
    with suppress(AssertionError):
        until(lambda: not control.messages(), 120)  # a late duplicate would have run again
    rows = {order.id: order for order in control.orders()}
    runs = control.runs()
    own_runs = _starts(runs, last)
    result = control.stack.get(last)["result"]
    return Chord(
        children,
        seed,
        len(killer.killed),
        sum(len(_starts(runs, child)) for child in child_ids),
        ended_s,
        _start(rows[last]) - _last_end(rows, child_ids),
        len(own_runs),
        _violations(result, rows[last], rows, child_ids, own_runs, killer.killed),
    )


def _place(control: StackControl, children: int) -> tuple[str, list[str]]:
    """Place the children, the tree and the last order; return its id and those of the children."""
    half = children // 2
    with ThreadPoolExecutor(4) as clients:
        child_ids = list(clients.map(lambda n: _place_child(control, n), range(half)))
        with control.stopped():
            rest = clients.map(lambda n: _place_child(control, n), range(half, children))
            child_ids += rest
            before: Sequence[str] = child_ids
            while len(before) > MAX_AFTER:
                before = [
                    _place_after(control, TOGETHER, {}, before[start : start + MAX_AFTER])
                    for start in range(0, len(before), MAX_AFTER)
                ]
            value = {"number": 0, "runs": str(control.runs_file)}
            last = _place_after(control, "gathering", value, before)
    return last, child_ids


def _place_child(control: StackControl, number: int) -> str:
    value = {"number": number, "runs": str(control.runs_file)}
    return str(control.stack.place("member", value)["id"])


def _place_after(control: StackControl, task: str, value: Any, after: Sequence[str]) -> str:
    body = {"task": task, "input": value, "after": list(after)}
    reply = control.stack.http("POST", "/orders", body)
    assert reply.status == 202, reply.body
    return str(reply.json["id"])


def _start(order: Order) -> float:
    """Return the time of an order's first attempt; 0 if it has none."""
    return order.history[0].start / 1e6 if order.history else 0


def _last_end(rows: dict[str, Order], order_ids: Sequence[str]) -> float:
    """Return the time at which the last of some orders ended."""
    ends = [attempt.end or 0 for id in order_ids for attempt in rows[id].history[-1:]]
    return max(ends, default=0) / 1e6


def _starts(runs: list[Run], order_id: str) -> list[Run]:
    return [run for run in runs if run.order_id == order_id and run.event == "began"]


def _violations(
    result: Any,
    last: Order,
    rows: dict[str, Order],
    child_ids: Sequence[str],
    own_runs: Sequence[Run],
    killed: set[int],
) -> list[str]:
    """Return a sentence for each broken promise.

    Args:
        result: the last order's result, as its owner sees it
        last: its row
        rows: all rows by id
        child_ids: ids of the children, in the order in which the last order names them
        own_runs: the starts of the last order
        killed: ids of the processes that were killed
    """
    found = [
        f"the order {order.id} ({order.task}) is {order.status.value}"
        for order in rows.values()
        if order.status.value != "SUCCESS"
    ]
    if result != [number**2 for number in range(len(child_ids))]:
        found.append(f"the result is {str(result)[:100]}")
    if own_runs and own_runs[0].at < _last_end(rows, child_ids):
        found.append("the last order ran before the last child had ended")
    found += [
        f"attempt {run.attempt} of the last order was not killed, and was followed by another"
        for run, _ in itertools.pairwise(own_runs)
        if run.pid not in killed
    ]
    if last.retry_round != 0 or len({run.attempt for run in own_runs}) != len(own_runs):
        found.append(f"the last order ran {own_runs}")
    return found


def main(arguments: list[str]) -> int:
    """Run a chord and print what came out; return the exit code, 1 if a promise was broken."""
    children = int(arguments[0]) if arguments else 1000
    seed = int(arguments[1]) if arguments[1:] else secrets.randbelow(1_000_000)
    sys.stdout.write(f"chord of {children}, seed {seed} ...\n")
    sys.stdout.flush()
    found = chord(children, seed)
    sys.stdout.write(f"{found}\n")
    return 1 if found.violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
