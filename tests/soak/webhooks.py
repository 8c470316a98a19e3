"""Place orders with webhooks while workers are killed, and check that each end is told as it was.

`python -m tests.soak.webhooks [ORDERS [SEED]]` prints what the receiver saw, 1,000 orders by
default. Some orders fail, some are cancelled or retried, some requests are repeated, and the
receiver refuses some deliveries.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orderline import InvalidSignature, verify

from chalicelib import config
from chalicelib.clock import SECOND
from chalicelib.orders import End, Order, Status
from chalicelib.web.times import time_text
from chalicelib.webhooks.rounds import DELIVER, notice
from dev.packaging.lanes import logical
from tests.acceptance.stack import Stack
from tests.kit.receiver import NO_CONTENT, Receiver, receiving, status
from tests.soak.soak import SWEEP_S
from tests.soak.stack_control import KINDS, Repeater, StackControl, soak_stack

OWN = "lanes: {heavy: {timeout_s: 3, concurrency: 2}}\nwebhooks: {timeout_s: 15}\n"
ENDPOINT = "main"
KILL_S = 2.0  # mean pause between two kills of any worker
FIRST_KILL_S = 0.2  # until a worker is killed, look again this soon: a short run ends in seconds
CLIENTS = 2
TASKS = {"steady": 70, "flaky": 15, "failing": 15}
REFUSED = 0.1  # share of the requests that the receiver refuses
KILLED = 0.03  # share of the requests whose workers are killed before they get the answer
WEBHOOK_WORKERS = f"lambda.*{logical(config.WEBHOOKS_LANE, 'OrderWorker')}"
LIMIT_S = 300.0  # for the last orders and deliveries to end
TYPES = {"SUCCESS": "succeeded", "FAILED": "failed", "CANCELLED": "cancelled"}


@dataclass
class Arrivals:
    """What arrived at the receiver, with the time of each arrival and the answer."""

    dice: random.Random
    secret: str
    receiver: Receiver
    stack: Stack
    share_refused: float
    """Share of the requests that are answered with 500."""
    share_killed: float
    """Share of the requests whose workers are killed before they get the answer."""
    events: list[tuple[str, dict[str, Any], int]] = field(default_factory=list)
    """The webhook-id, the event, and the time of the arrival in microseconds."""
    acknowledged: Counter[str] = field(default_factory=Counter)
    """How often each webhook-id was answered with 2xx."""
    unverified: int = 0
    kills: int = 0

    def answer(self, connection: socket.socket) -> None:
        """Verify a request, and answer it."""
        request = self.receiver.requests[-1]
        try:
            event = verify(request.body, request.headers, self.secret)
        except InvalidSignature:
            self.unverified += 1
            return
        delivery_id = request.headers["webhook-id"]
        self.events.append((delivery_id, event, int(time.time() * SECOND)))
        if self.dice.random() < self.share_refused:
            connection.sendall(status(500))
            return
        self.acknowledged[delivery_id] += 1
        if self.dice.random() < self.share_killed:
            self._kill_workers()
            return
        connection.sendall(NO_CONTENT)

    def _kill_workers(self) -> None:
        """Kill all workers that deliver, with SIGKILL, of which one waits for its answer."""
        for pid in self.stack.processes(WEBHOOK_WORKERS):
            self.kills += kill(pid)


@dataclass(frozen=True)
class Told:
    """The outcome: what happened, and what must not have happened."""

    seed: int
    orders: int
    seconds: float
    ends: int
    requests: int
    repeats: int
    strays: int
    kills: int
    recovered_s: float
    violations: list[str]

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.orders} orders with webhooks, seed {self.seed}, {self.seconds:.0f} s:"
                f" {self.ends} ends, {self.requests} requests at the receiver, of them"
                f" {self.repeats} with a webhook-id that it had accepted before; {self.strays}"
                f" deliveries of repeated requests cancelled; {self.kills} workers killed; all was"
                f" told {self.recovered_s:.1f} s after the last order was placed; violations"
                f" {len(self.violations)}",
                *self.violations[:20],
            ]
        )


def webhook_stack(folder: Path) -> Stack:
    """Return a stack, not yet started, with the soak's tasks and the lane of webhooks."""
    stack = soak_stack(folder)
    (stack.project / "orderline.yaml").write_text(OWN)
    return stack


def tell(orders: int, seed: int) -> Told:
    """Run `tell_on` on a stack of its own."""
    with tempfile.TemporaryDirectory() as folder:
        stack = webhook_stack(Path(folder)).start()
        try:
            return tell_on(stack, orders, seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}; the stack printed: {stack.output}") from error
        finally:
            stack.stop()


def tell_on(stack: Stack, orders: int, seed: int, disturb_deliveries: bool = True) -> Told:
    """Place orders with webhooks while workers are killed; compare what was told with the table.

    Without `disturb_deliveries` the receiver refuses nothing, and no worker that delivers is
    killed, since another attempt follows many seconds later.
    """
    endpoint = ("--owner", "local", "--name", ENDPOINT)
    with receiving() as receiver:
        secret = stack.dev("webhook", "add", *endpoint, "--url", receiver.url)
        shares = (REFUSED, KILLED) if disturb_deliveries else (0, 0)
        arrivals = Arrivals(random.Random(seed), secret, receiver, stack, *shares)
        receiver.answers = [arrivals.answer]
        spared = "" if disturb_deliveries else WEBHOOK_WORKERS
        try:
            return _tell(StackControl(stack), arrivals, orders, seed, spared)
        finally:
            stack.dev("webhook", "remove", *endpoint)


def _tell(control: StackControl, arrivals: Arrivals, orders: int, seed: int, spared: str) -> Told:
    started_at = time.monotonic()
    sweeps = Repeater(SWEEP_S, control.sweep)
    killer = Killer(control, random.Random(~seed), spared)
    sweeps.start()
    killer.start()
    placed = _load(control, orders, seed)
    killer.stop()
    recovered_s = _wait(control)
    sweeps.stop()
    rows = {row.id: row for row in control.orders()}
    deliveries = [row for row in rows.values() if is_delivery_of(row, placed)]
    return Told(
        seed=seed,
        orders=len(placed),
        seconds=time.monotonic() - started_at,
        ends=sum(len(ends_of(rows[id])) for id in placed if id in rows),
        requests=len(arrivals.events),
        repeats=sum(arrivals.acknowledged.values()) - len(arrivals.acknowledged),
        strays=sum(row.status is Status.CANCELLED for row in deliveries),
        kills=killer.kills + arrivals.kills,
        recovered_s=recovered_s,
        violations=violations(placed, rows, deliveries, arrivals),
    )


def is_delivery_of(row: Order, order_ids: Iterable[str]) -> bool:
    """Return True if a row is a delivery for one of the orders."""
    return row.task == DELIVER and notice(row).order in order_ids


def kill(pid: int) -> bool:
    """Kill a process with SIGKILL; return False if it has ended already."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return True
    return False


class Killer(threading.Thread):
    """A thread that kills a worker now and then, with SIGKILL, until it is stopped.

    `spared` is a pattern of the workers that it lets live; empty: it spares none.
    """

    def __init__(self, control: StackControl, dice: random.Random, spared: str) -> None:
        super().__init__(daemon=True)
        self.control = control
        self.dice = dice
        self.spared = spared
        self.kills = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        pause_s = FIRST_KILL_S
        while not self.stopped.wait(pause_s):
            stack = self.control.stack
            spared = stack.processes(self.spared) if self.spared else []
            pids = [pid for pid in stack.processes(KINDS["worker"]) if pid not in spared]
            if pids:
                self.kills += kill(self.dice.choice(pids))
            pause_s = self.dice.expovariate(1 / KILL_S) if self.kills else FIRST_KILL_S

    def stop(self) -> None:
        self.stopped.set()
        self.join()


def _load(control: StackControl, orders: int, seed: int) -> list[str]:
    """Place the orders; return their ids."""
    placed: list[str] = []

    def use(number: int) -> None:
        dice = random.Random(seed + number)
        (task,) = dice.choices(list(TASKS), list(TASKS.values()))
        request = {
            "task": task,
            "input": {"number": number, "runs": str(control.runs_file)},
            "notify": [ENDPOINT],
        }
        for _ in range(1 + (dice.random() < 0.1)):  # some clients repeat a request
            key = {"Idempotency-Key": f"order-{number}"}
            reply = control.stack.http("POST", "/orders", request, key)
            assert reply.status in (200, 202), reply.body
        placed.append(reply.json["id"])
        if dice.random() < 0.1:
            control.stack.http("POST", f"/orders/{placed[-1]}/cancel")
        if dice.random() < 0.3:  # refused unless it has failed
            control.stack.http("POST", f"/orders/{dice.choice(placed)}/retry")

    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(use, range(orders)))
    return placed


def _wait(control: StackControl) -> float:
    """Wait until all orders and deliveries are final; return the seconds.

    It does not fail after LIMIT_S: `violations` names the orders whose end was not told.
    """
    since = time.monotonic()
    while time.monotonic() - since < LIMIT_S:
        if all(row.status.final for row in control.orders()):
            break
        time.sleep(1)
    return time.monotonic() - since


def ends_of(order: Order) -> list[End]:
    """Return the ends of all rounds of an order."""
    last = [End(order.retry_round, order.status.value, order.updated_at)]
    return [*(order.past_ends or ()), *(last if order.status.final else [])]


def violations(
    placed: Iterable[str], rows: dict[str, Order], deliveries: Iterable[Order], arrivals: Arrivals
) -> list[str]:
    """Return what should not have happened."""
    found = [f"lost: {id}" for id in placed if id not in rows]
    found += [f"not final: {id}" for id in placed if id in rows and not rows[id].status.final]
    if arrivals.unverified:
        found.append(f"{arrivals.unverified} requests were not verified")
    heard: dict[tuple[str, int], set[str]] = defaultdict(set)
    for delivery_id, event, arrived_at in arrivals.events:
        data = event["data"]
        heard[data["id"], data["retry_round"]].add(delivery_id)
        found += _untrue(event, delivery_id, arrived_at, rows.get(data["id"]))
    for id in placed:
        for end in ends_of(rows[id]) if id in rows else []:
            delivery_ids = heard[id, end.round]
            if len(delivery_ids) != 1:
                found.append(f"{id}, round {end.round}: told with the ids {delivery_ids}")
            if not any(arrivals.acknowledged[each] for each in delivery_ids):
                found.append(f"{id}, round {end.round}: never accepted")
    return found + _wrong_deliveries(rows, deliveries, arrivals)


def _untrue(
    event: dict[str, Any], delivery_id: str, arrived_at: int, order: Order | None
) -> list[str]:
    """Return what an event says that is not so."""
    data = event["data"]
    if order is None or delivery_id not in order.dependents:
        return [f"untrue: no accepted order names the delivery of {event}"]
    ends = [end for end in ends_of(order) if end.round == data["retry_round"]]
    if not ends:
        return [f"untrue: the round has not ended: {event}"]
    truth = (f"order.{TYPES[ends[0].status]}", ends[0].status, time_text(ends[0].at))
    if (event["type"], data["status"], event["timestamp"]) != truth:
        return [f"untrue: {event}, but the end was {truth}"]
    return [f"too early: {event}"] if arrived_at < ends[0].at else []


def _wrong_deliveries(
    rows: dict[str, Order], deliveries: Iterable[Order], arrivals: Arrivals
) -> list[str]:
    """Return the deliveries whose status is not what the receiver saw."""
    found = []
    for row in deliveries:
        order = rows.get(notice(row).order)
        named = order is not None and row.id in order.dependents
        wanted = "SUCCESS" if named else "CANCELLED"
        if row.status.value != wanted or (arrivals.acknowledged[row.id] > 0) != named:
            found.append(f"the delivery {row.id} is {row.status.value}, not {wanted}")
    return found


def main(arguments: list[str]) -> int:
    """Run it and print its seed first; return the exit code, 1 if something was not told."""
    orders = int(arguments[0]) if arguments else 1000
    seed = int(arguments[1]) if arguments[1:] else secrets.randbelow(1_000_000)
    _print(f"{orders} orders with webhooks, seed {seed} ...")
    outcome = tell(orders, seed)
    _print(str(outcome))
    return 1 if outcome.violations else 0


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
