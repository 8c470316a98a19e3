"""A breadth-first search of all states of a model, which ends at the first broken property."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

State = TypeVar("State", bound=Hashable)


class Step(NamedTuple, Generic[State]):
    """A step to another state; `broken` is the property that the step breaks, if any."""

    label: str
    state: State
    broken: str = ""


@dataclass
class Result(Generic[State]):
    """The states that were reached, and the shortest trace to a broken property, if any."""

    states: list[State]
    broken: str = ""
    trace: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        found = f", broken: {self.broken}" if self.broken else ""
        return f"{len(self.states)} states{found}" + "".join(f"\n  {step}" for step in self.trace)


def search(
    starts: Iterable[State],
    steps: Callable[[State], Iterator[Step[State]]],
    invariant: Callable[[State, bool], str],
) -> Result[State]:
    """Reach every state from `starts`, until a property is broken.

    Args:
        starts: the first states.
        steps: yields the steps from a state.
        invariant: returns the property that a state breaks by itself, or "". It also gets True if
            no step leads on from the state.
    """
    result = Result(list(dict.fromkeys(starts)))
    parents = [(-1, "")] * len(result.states)
    known = set(result.states)
    for index, state in enumerate(result.states):  # the list grows during the loop
        is_last = True
        for step in steps(state):
            is_last = False
            if step.broken:
                result.broken = step.broken
                result.trace = [*_trace(parents, index), step.label]
                return result
            if step.state not in known:
                known.add(step.state)
                result.states.append(step.state)
                parents.append((index, step.label))
        if broken := invariant(state, is_last):
            result.broken = broken
            result.trace = _trace(parents, index)
            return result
    return result


def _trace(parents: list[tuple[int, str]], index: int) -> list[str]:
    """Return the labels of the steps that lead to a state."""
    labels = []
    while parents[index][0] >= 0:
        index, label = parents[index]
        labels.append(label)
    return labels[::-1]
