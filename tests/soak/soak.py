"""A soak: a running stack under load, its messages doubled, while kill -9 hits workers, sweepers and the HTTP
server; then it must heal.
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

from tests.soak.backstage import Backstage, Every, soaked
from tests.soak.client import Client
from tests.soak.verdict import faults

CLIENTS, PER_SECOND = 3, 3.0  # deeds of each, half of them orders
SWEEP_S, KILL_S, DOUBLE_S, HEAL_S = 3.0, 2.0, 0.5, 300.0


@dataclass(frozen=True)
class Soaked:
    """What a soak saw. Durations are in seconds; `healed_s` after the last kill."""

    seed: int
    seconds: float
    accepted: int
    orders: int
    runs: int
    repeated: int
    kills: dict[str, int]
    healed_s: float
    drained_s: float
    faults: list[str]

    def __str__(self) -> str:
        lost = sum(fault.startswith("lost") for fault in self.faults)
        changed = sum("changed" in fault for fault in self.faults)
        kills = ", ".join(f"{kind} {times}" for kind, times in sorted(self.kills.items()))
        return "\n".join(
            [
                f"soak of {self.seconds:.0f} s, seed {self.seed}: accepted {self.accepted}, orders with follow-ups"
                f" {self.orders}, runs {self.runs}, lost {lost}, changed {changed}, violations {len(self.faults)};"
                f" kill -9: {kills}; answers lost and asked again {self.repeated}; healed {self.healed_s:.1f} s after the"
                f" last kill, queues empty after {self.drained_s:.1f} s",
                *self.faults[:20],
            ]
        )


def soak(seconds: float, seed: int) -> Soaked:
    """The load and the kills for so many seconds, the healing after them."""
    with tempfile.TemporaryDirectory() as folder:
        stack = soaked(Path(folder)).start()
        try:
            return _soak(Backstage(stack), seconds, seed)
        except Exception as fault:
            raise AssertionError(f"seed {seed}; the stack printed: {stack.output}") from fault
        finally:
            stack.stop()


def _soak(backstage: Backstage, seconds: float, seed: int) -> Soaked:
    clients = [
        Client(
            backstage.stack,
            str(backstage.runs_file),
            random.Random(seed + n),
            PER_SECOND,
            f"client-{n}",
        )
        for n in range(CLIENTS)
    ]
    sweeps = Every(SWEEP_S, backstage.sweep)
    sweeps.start()
    kills, last_kill = _load(backstage, clients, seconds, seed), time.monotonic()
    healed_s = _waited(last_kill, lambda: all(order.status.final for order in backstage.orders()))
    drained_s = _waited(
        last_kill, lambda: not backstage.messages() and not backstage.messages("dead")
    )
    sweeps.stop()
    for client in clients:
        client.look_at_all()
    orders, runs = backstage.orders(), backstage.runs()
    found = faults(clients, orders, runs)
    if left := backstage.messages() + backstage.messages("dead"):
        found.append(f"the queues still hold {left} messages")
    return Soaked(
        seed,
        seconds,
        sum(len(client.seen) for client in clients),
        len(orders),
        sum(run.word == "began" for run in runs),
        sum(client.repeated for client in clients),
        kills,
        healed_s,
        drained_s,
        found,
    )


def _load(backstage: Backstage, clients: list[Client], seconds: float, seed: int) -> Counter[str]:
    """Clients, doubled messages and kills for so many seconds. Returns how many of each kind were killed."""
    chance = random.Random(~seed)
    doubles = Every(DOUBLE_S, lambda: _double(backstage, clients, chance))
    for thread in (*clients, doubles):
        thread.start()
    kills = _kill_for(seconds, backstage, clients, random.Random(seed))
    doubles.stop()
    for client in clients:
        client.stop()
    return kills


def _kill_for(
    seconds: float, backstage: Backstage, clients: list[Client], chance: random.Random
) -> Counter[str]:
    """Each dies at work, not at rest, as far as that can be aimed at."""

    def sweeping() -> None:
        threading.Thread(target=backstage.sweep, daemon=True).start()
        time.sleep(chance.uniform(0, 0.2))

    def asked() -> None:
        end = time.monotonic() + 2
        while time.monotonic() < end and not any(client.asking for client in clients):
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.02))

    end, kills = time.monotonic() + seconds, Counter[str]()
    moments = {"worker": lambda: None, "sweeper": sweeping, "http": asked}
    while time.monotonic() < end:
        time.sleep(chance.expovariate(1 / KILL_S))
        kind = chance.choices(("worker", "sweeper", "http"), (6, 2, 2))[0]
        kills[kind] += backstage.kill(kind, chance, moments[kind])
    return kills


def _double(backstage: Backstage, clients: list[Client], chance: random.Random) -> None:
    order_id, seen = chance.choice(list(chance.choice(clients).seen.items())[-5:])
    backstage.double(order_id, seen.task)


def _waited(since: float, holds: Callable[[], bool]) -> float:
    """Seconds from then until it holds, or HEAL_S: the verdict tells what is amiss."""
    while not holds() and time.monotonic() - since < HEAL_S:
        time.sleep(1)
    return time.monotonic() - since
