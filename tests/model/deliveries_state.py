"""The state of the model of deliveries: an order, its deliveries, and what acts on them.

The model is in deliveries.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

PENDING = "PENDING"
RUNNING = "RUNNING"
SUCCESS = "SUCCESS"
FAILED = "FAILED"
CANCELLED = "CANCELLED"
GONE = "FAILED with prerequisite_gone"
FINAL = (SUCCESS, FAILED, CANCELLED, GONE)
WITHOUT_SUCCESS = (FAILED, CANCELLED)
TELLS = ("read", "tell", "finish")  # a process that runs a delivery
PLACES = ("insert the order", "T11", "cancel its own")  # a process that has placed a delivery


@dataclass(frozen=True)
class Config:
    """How often each thing may happen, and what a weakened model does."""

    actors: int = 2  # processes at the same time
    faults: int = 1
    sweeps: int = 1  # of each delivery
    posts: int = 2  # of the same order
    retries: int = 1  # of the order
    failures: int = 0  # of a delivery, whose receiver refuses it
    delivery_retries: int = 0
    mutation: str = ""


class Left(NamedTuple):
    """How often each thing may still happen."""

    faults: int
    posts: int
    retries: int
    failures: int
    delivery_retries: int


class Delivery(NamedTuple):
    """The row of a delivery, and whether its message is in the queue."""

    round: int  # of the order, of whose end it tells
    status: str = PENDING
    waits: bool = True  # waits_for has the order
    named: bool = False  # it is among the order's dependents
    message: bool = False
    sweeps: int = 0  # that may still come
    told: bool = False  # history: it has told


class Process(NamedTuple):
    """A function between two AWS calls."""

    pc: str
    delivery: int = -1  # the index of the delivery that it works on
    todo: tuple[int, ...] = ()  # dependents that it will settle next
    known: str = ""  # the status that it has read
    round: int = 0  # the order's retry round that it has read
    then: str = ""  # its next call after the dependents


class State(NamedTuple):
    """Everything. `ends` has the status of each end of the order, as its row does."""

    status: str
    ends: tuple[str, ...]
    deliveries: tuple[Delivery, ...]
    processes: tuple[Process, ...]
    left: Left

    @property
    def round(self) -> int:
        """The order's retry round."""
        return len(self.ends) - (self.status in FINAL)


def name(state: State, index: int) -> State:
    return put(state, index, state.deliveries[index]._replace(named=True))


def put(state: State, index: int, delivery: Delivery) -> State:
    deliveries = list(state.deliveries)
    deliveries[index] = delivery
    return state._replace(deliveries=tuple(deliveries))


def add(state: State, process: Process) -> State:
    return state._replace(processes=tuple(sorted((*state.processes, process))))


def spend(state: State, thing: str) -> State:
    return state._replace(left=state.left._replace(**{thing: getattr(state.left, thing) - 1}))
