"""A soak: a stack under load, with duplicate messages and killed processes, must recover.

kill -9 hits workers, sweepers and the HTTP server.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.soak.client import Client
from tests.soak.stack_control import Repeater, StackControl, soak_stack
from tests.soak.verdict import violations

CLIENTS = 3
PER_SECOND = 3.0  # requests of each client, half of them new orders
SWEEP_S = 3.0
KILL_S = 2.0
DUPLICATE_S = 0.5
RECOVERY_LIMIT_S = 300.0


@dataclass(frozen=True)
class Soaked:
    """The outcome of a soak. `recovered_s` and `drained_s` are seconds after the last kill."""

    seed: int
    seconds: float
    accepted: int
    orders: int
    runs: int
    repeats: int
    kills: dict[str, int]
    recovered_s: float
    drained_s: float
    violations: list[str]

    def __str__(self) -> str:
        lost = sum(violation.startswith("lost") for violation in self.violations)
        changed = sum("changed" in violation for violation in self.violations)
        kills = ", ".join(f"{kind} {times}" for kind, times in sorted(self.kills.items()))
        return "\n".join(
            [
                f"soak of {self.seconds:.0f} s, seed {self.seed}: accepted {self.accepted},"
                f" orders with follow-ups {self.orders}, runs {self.runs}, lost {lost},"
                f" changed {changed}, violations {len(self.violations)}; kill -9: {kills};"
                f" requests repeated {self.repeats}; recovered {self.recovered_s:.1f} s after the"
                f" last kill, queues empty after {self.drained_s:.1f} s",
                *self.violations[:20],
            ]
        )


def soak(seconds: float, seed: int) -> Soaked:
    """Run load and kills for `seconds`, then wait for recovery and check every order."""
    with tempfile.TemporaryDirectory() as folder:
        stack = soak_stack(Path(folder)).start()
        try:
            return _soak(StackControl(stack), seconds, seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}; the stack printed: {stack.output}") from error
        finally:
            stack.stop()


def _soak(control: StackControl, seconds: float, seed: int) -> Soaked:
    clients = [
        Client(
            control.stack,
            str(control.runs_file),
            random.Random(seed + n),
            PER_SECOND,
            f"client-{n}",
        )
        for n in range(CLIENTS)
    ]
    sweeps = Repeater(SWEEP_S, control.sweep)
    sweeps.start()
    kills = _load(control, clients, seconds, seed)
    last_kill = time.monotonic()
    recovered_s = _wait_until(
        lambda: all(order.status.final for order in control.orders()), last_kill
    )
    drained_s = _wait_until(
        lambda: not control.messages() and not control.messages("dead"), last_kill
    )
    sweeps.stop()
    for client in clients:
        client.read_all()
    orders = control.orders()
    runs = control.runs()
    found = violations(clients, orders, runs, control.files())
    if left := control.messages() + control.messages("dead"):
        found.append(f"the queues still hold {left} messages")
    return Soaked(
        seed,
        seconds,
        sum(len(client.known) for client in clients),
        len(orders),
        sum(run.event == "began" for run in runs),
        sum(client.repeats for client in clients),
        kills,
        recovered_s,
        drained_s,
        found,
    )


def _load(control: StackControl, clients: list[Client], seconds: float, seed: int) -> Counter[str]:
    """Run clients, duplicate messages and kills for `seconds`; return the kills by kind."""
    dice = random.Random(~seed)
    duplicates = Repeater(DUPLICATE_S, lambda: _duplicate(control, clients, dice))
    for thread in (*clients, duplicates):
        thread.start()
    kills = _kill_for(seconds, control, clients, random.Random(seed))
    duplicates.stop()
    for client in clients:
        client.stop()
    return kills


def _kill_for(
    seconds: float, control: StackControl, clients: list[Client], dice: random.Random
) -> Counter[str]:
    """Kill processes for `seconds`, if possible while they work; return the kills by kind."""

    def start_sweep() -> None:
        threading.Thread(target=control.sweep, daemon=True).start()
        time.sleep(dice.uniform(0, 0.2))

    def wait_for_request() -> None:
        end = time.monotonic() + 2
        while time.monotonic() < end and not any(client.is_waiting for client in clients):
            time.sleep(0.001)
        time.sleep(dice.uniform(0, 0.02))

    kills = Counter[str]()
    waits = {"worker": lambda: None, "sweeper": start_sweep, "http": wait_for_request}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(dice.expovariate(1 / KILL_S))
        kind = dice.choices(("worker", "sweeper", "http"), (6, 2, 2))[0]
        kills[kind] += control.kill(kind, dice, waits[kind])
    return kills


def _duplicate(control: StackControl, clients: list[Client], dice: random.Random) -> None:
    """Send another message of one of the last orders of a client."""
    client = dice.choice(clients)
    order_id, known = dice.choice(list(client.known.items())[-5:])
    control.duplicate(order_id, known.task)


def _wait_until(holds: Callable[[], bool], since: float) -> float:
    """Wait for a condition, at most RECOVERY_LIMIT_S; return the seconds since `since`.

    It does not fail after the limit: `violations` names the orders that have not recovered.
    """
    while not holds() and time.monotonic() - since < RECOVERY_LIMIT_S:
        time.sleep(1)
    return time.monotonic() - since
