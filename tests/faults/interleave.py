"""Run actors step by step, in every order in which these calls can happen.

Each actor runs in a thread that stops before each of its calls to the table or the bucket until
the scheduler releases it. Calls to SQS are no steps: actors do not meet there. A schedule is a
list of the actors in the order of their steps. `schedules` searches depth first until every choice
was made once.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from testkit.wire import Call, Wire

Action = Callable[[], object]
STEPS = {
    "GetItem",
    "BatchGetItem",
    "PutItem",
    "UpdateItem",
    "Query",
    "HeadObject",
    "GetObject",
    "PutObject",
}
Steps = list[tuple[str, list[str]]]
"""Each step of a run: the actor that did it, and the actors that could have done it."""


@dataclass
class Actor:
    """A thread that does one step when released: one of these calls and the code after it."""

    name: str
    action: Action
    released: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    stopped: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    done: bool = False
    failure: BaseException | None = None

    def run(self) -> None:
        """Run the action in this thread, once released."""
        self.released.acquire()
        try:
            self.action()
        except BaseException as failure:
            self.failure = failure
        self.done = True
        self.stopped.release()

    def step(self) -> None:
        """Release the thread, and wait until it stops at its next call or ends."""
        self.released.release()
        self.stopped.acquire()

    def gate(self) -> None:
        """Stop the thread before a call until the next step."""
        self.stopped.release()
        self.released.acquire()


def interleaved(wire: Wire, actions: dict[str, Action], schedule: list[str]) -> Steps:
    """Run the actions by a schedule, and after its end in the order of `actions`.

    Returns each step: the actor that did it, and the actors that could have done it.
    """
    actors = {name: Actor(name, action) for name, action in actions.items()}
    threads = {
        threading.Thread(target=actor.run, name=name, daemon=True): actor
        for name, actor in actors.items()
    }
    for thread in threads:
        thread.start()
    by_thread = {thread.ident: actor for thread, actor in threads.items()}

    def gate(call: Call) -> None:
        actor = by_thread.get(threading.get_ident())
        if actor and call.operation in STEPS:
            actor.gate()

    wire.gate = gate
    steps: Steps = []
    try:
        while runnable := [name for name, actor in actors.items() if not actor.done]:
            chosen = schedule[len(steps)] if len(steps) < len(schedule) else runnable[0]
            steps.append((chosen, runnable))
            actors[chosen].step()
    finally:
        wire.gate = None
    for actor in actors.values():
        if actor.failure:
            raise actor.failure
    return steps


def schedules(run: Callable[[list[str]], Steps]) -> Iterator[list[str]]:
    """Yield every schedule.

    `run` gets a schedule or the beginning of one, and returns the steps as `interleaved` does.
    """
    pending: list[list[str]] = [[]]
    while pending:
        prefix = pending.pop()
        steps = run(prefix)
        taken = [name for name, _ in steps]
        yield taken
        for n in range(len(prefix), len(steps)):
            pending += [[*taken[:n], other] for other in steps[n][1] if other != steps[n][0]]


def run_random_schedules(run: Callable[[list[str]], Steps], dice: random.Random) -> None:
    """Run three schedules; each leaves the one before it at a random step."""
    steps = run([])
    for _ in range(2):
        n = dice.randrange(len(steps))
        steps = run([name for name, _ in steps[:n]] + [dice.choice(steps[n][1])])


def record(body: str) -> dict[str, Any]:
    """Return a message with this body as a record of Lambda's event."""
    return {
        "messageId": "m",
        "receiptHandle": "r",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "1"},
    }
