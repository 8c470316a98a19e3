"""Two actors, step by step: every order in which their AWS calls can happen, and a jump of the clock anywhere.

Each actor runs in a thread that stops before each of its calls to the table until the walk lets it go; what it sends
meets nobody here. A schedule is the list of choices made so far; the walk runs one after the other, depth first, until
no choice is left that was not taken.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.kit.wire import Call, Wire

Deed = Callable[[], object]
MEETING = {"GetItem", "PutItem", "UpdateItem", "Query"}


@dataclass
class Actor:
    """A thread that takes one step, an AWS call and what follows it, each time it is let go."""

    name: str
    deed: Deed
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    stopped: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    done: bool = False
    failure: BaseException | None = None

    def run(self) -> None:
        self.go.acquire()
        try:
            self.deed()
        except BaseException as failure:
            self.failure = failure
        self.done = True
        self.stopped.release()

    def step(self) -> None:
        self.go.release()
        self.stopped.acquire()

    def gate(self) -> None:
        self.stopped.release()
        self.go.acquire()


def interleaved(
    wire: Wire, deeds: dict[str, Deed], schedule: list[str]
) -> list[tuple[str, list[str]]]:
    """Run the deeds by a schedule, then in their order. Returns each step taken, and who else could have taken it."""
    actors = {name: Actor(name, deed) for name, deed in deeds.items()}
    threads = {
        threading.Thread(target=actor.run, name=name, daemon=True): actor
        for name, actor in actors.items()
    }
    for thread in threads:
        thread.start()
    by_thread = {thread.ident: actor for thread, actor in threads.items()}

    def gate(call: Call) -> None:
        actor = by_thread.get(threading.get_ident())
        if actor and call.operation in MEETING:
            actor.gate()

    wire.gate = gate
    steps: list[tuple[str, list[str]]] = []
    try:
        while able := [name for name, actor in actors.items() if not actor.done]:
            chosen = schedule[len(steps)] if len(steps) < len(schedule) else able[0]
            steps.append((chosen, able))
            actors[chosen].step()
    finally:
        wire.gate = None
    for actor in actors.values():
        if actor.failure:
            raise actor.failure
    return steps


def schedules(run: Callable[[list[str]], list[tuple[str, list[str]]]]) -> Iterator[list[str]]:
    """Every schedule: `run` takes one, whole or its beginning, and says what it did and could have done."""
    pending: list[list[str]] = [[]]
    while pending:
        prefix = pending.pop()
        steps = run(prefix)
        taken = [name for name, _ in steps]
        yield taken
        for n in range(len(prefix), len(steps)):
            pending += [[*taken[:n], other] for other in steps[n][1] if other != steps[n][0]]
