"""The walk: every state that can be reached, breadth first, so that the shortest way to a broken property is kept."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.model import worker
from tests.model.intake import intake
from tests.model.sender import deadletter, sweeper
from tests.model.state import IDLE, Proc, Row, State, Step
from tests.model.table import Config
from tests.model.world import world
from tests.model.write import invariant

ACTORS = {"workers": worker.steps, "sweepers": sweeper, "dead": deadletter, "intakes": intake}


@dataclass
class Walk:
    """`edges`: per state pairs (state, label) of what happens without faults and without the client."""

    states: list[State]
    parents: list[tuple[int, str]] = field(default_factory=lambda: [(-1, "")])
    found: dict[str, list[str]] = field(default_factory=dict)
    edges: list[array[int]] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    _index: dict[State, int] = field(default_factory=dict)
    _parts: dict[Any, Any] = field(default_factory=dict)  # equal parts of states are kept once

    def take(self, i: int, step: Step) -> None:
        """A step from state i."""
        broken = step.broken or invariant(step.state)
        if broken and broken not in self.found:
            self.found[broken] = self.way(i, step.label)
        j = self._index.get(step.state)
        if j is None:
            kept = State(*[self._parts.setdefault(part, part) for part in step.state])
            j = self._index[kept] = len(self.states)
            self.states.append(kept)
            self.parents.append((i, step.label))
        if step.kind in ("step", "time"):
            self.edges[i].extend((j, self.labels.setdefault(step.label, len(self.labels))))

    def way(self, i: int, *last: str) -> list[str]:
        """How state i is reached."""
        steps = list(last)
        while self.parents[i][0] >= 0:
            i, label = self.parents[i]
            steps.append(label)
        return steps[::-1]


def successors(c: Config, s: State) -> Iterator[Step]:
    """Idle slots are alike, so one of them speaks for all."""
    for role, steps in ACTORS.items():
        seen: set[Proc] = set()
        for i, p in enumerate(getattr(s, role)):
            if p not in seen:
                seen.add(p)
                yield from steps(c, s, i, p)
    yield from world(c, s)


def explore(c: Config, first_only: bool = False) -> Walk:
    """All states; `first_only`: until a property is broken."""
    start = State(
        Row(),
        (),
        (IDLE,) * c.workers,
        (IDLE,) * c.sweepers,
        (IDLE,) * c.dead,
        (IDLE,) * c.intakes,
        c.faults,
        (c.places, c.cancels, c.retries),
    )
    walk = Walk([start], _index={start: 0})
    for i, s in enumerate(walk.states):  # it grows while it is walked
        walk.edges.append(array("I"))
        for step in successors(c, s):
            walk.take(i, step)
        if first_only and walk.found:
            break
    return walk
