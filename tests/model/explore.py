"""The search: every state that can be reached, breadth first, so that traces are the shortest."""

from __future__ import annotations

import gc
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.model import worker
from tests.model.sender import dead_letters, sweeper
from tests.model.service import service
from tests.model.state import IDLE, Process, Row, State, Step
from tests.model.table import Config
from tests.model.world import world
from tests.model.write import invariant

ACTORS = {
    "workers": worker.steps,
    "sweepers": sweeper,
    "dead_letters": dead_letters,
    "services": service,
}


@dataclass
class StateGraph:
    """The states that were reached, and the properties that were broken, each with its trace.

    `edges` holds, for each state, pairs (state, label) of the steps that need no fault and no
    request of a client; `parents` the step by which each state was first reached.
    """

    states: list[State]
    parents: list[tuple[int, str]] = field(default_factory=lambda: [(-1, "")])
    violations: dict[str, list[str]] = field(default_factory=dict)
    edges: list[array[int]] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    _index: dict[State, int] = field(default_factory=dict)
    _parts: dict[Any, Any] = field(default_factory=dict)  # equal parts of states share memory

    def add_step(self, origin: int, step: Step) -> None:
        """Add a step from a state, and its target unless it is known."""
        broken = step.broken or invariant(step.state)
        if broken and broken not in self.violations:
            self.violations[broken] = self.trace(origin, step.label)
        target = self._index.get(step.state)
        if target is None:
            state = State(*[self._parts.setdefault(part, part) for part in step.state])
            target = self._index[state] = len(self.states)
            self.states.append(state)
            self.parents.append((origin, step.label))
        if step.kind in ("step", "time"):
            label = self.labels.setdefault(step.label, len(self.labels))
            self.edges[origin].extend((target, label))

    def trace(self, index: int, *last: str) -> list[str]:
        """Return the labels of the steps that lead to a state."""
        labels = list(last)
        while self.parents[index][0] >= 0:
            index, label = self.parents[index]
            labels.append(label)
        return labels[::-1]


def successors(config: Config, state: State) -> Iterator[Step]:
    """Yield the steps from a state; equal processes of a role have equal steps."""
    for role, steps in ACTORS.items():
        done: set[Process] = set()
        for slot, process in enumerate(getattr(state, role)):
            if process not in done:
                done.add(process)
                yield from steps(config, state, slot, process)
    yield from world(config, state)


def explore(config: Config, first_only: bool = False) -> StateGraph:
    """Return the graph of all states; with `first_only`, until a property is broken."""
    start = State(
        Row(),
        (),
        (IDLE,) * config.workers,
        (IDLE,) * config.sweepers,
        (IDLE,) * config.dead_letters,
        (IDLE,) * config.services,
        config.faults,
        (config.places, config.cancels, config.retries, config.stops),
    )
    graph = StateGraph([start], _index={start: 0})
    gc.disable()  # states have no cycles, and the collector would look for some in all
    try:
        for index, state in enumerate(graph.states):  # the list grows during the loop
            graph.edges.append(array("I"))
            for step in successors(config, state):
                graph.add_step(index, step)
            if first_only and graph.violations:
                break
    finally:
        gc.enable()
    return graph
