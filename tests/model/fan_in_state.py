"""The state of the model of fan-in: an order that waits, its prerequisites, and what acts on them.

The model is in fan_in.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

PENDING = "PENDING"
RUNNING = "RUNNING"
SUCCESS = "SUCCESS"
FAILED = "FAILED"
CANCELLED = "CANCELLED"
LOST = "LOST"  # RUNNING, but its worker has lost the claim; only a weakened model has it
WITHOUT_SUCCESS = (FAILED, CANCELLED)
FINAL = (SUCCESS, *WITHOUT_SUCCESS)

# Shards of the due index; the sweeper never comes to what is in year 9999
WAITING = "waiting"
QUEUED = "queued"
NEVER = "never"

# What a process knows of a prerequisite
NOTHING = ""  # it is not concerned with it
UNREAD = "unread"  # it will read it
OPEN = "open"  # not final, and the order is among its dependents
TO_JOIN = "to join"  # not final, and the order is not among its dependents
SUCCEEDED = "succeeded"
ENDED = "ended without success, as the order allows"
REFUSED = "ended without success, so the order fails"


@dataclass(frozen=True)
class Config:
    """The bounds of a scenario, and what a weakened model does.

    Except for `when`, `actors` and `mutation`, each bound is how often a thing may happen.
    """

    when: str = "success"
    actors: int = 2  # processes at the same time
    faults: int = 1  # crashes, lost responses and lost messages
    sweeps: int = 1
    retries: int = 0  # of a prerequisite
    order_retries: int = 0
    cancels: int = 0  # of the order
    strays: int = 0  # messages of the order that nobody sent for this round
    repeats: int = 0  # duplicates of a final prerequisite's message, or of its cancel
    dead_letters: int = 0
    mutation: str = ""


class Left(NamedTuple):
    """How often each thing may still happen."""

    faults: int
    sweeps: int
    retries: int = 0
    order_retries: int = 0
    cancels: int = 0
    strays: int = 0
    repeats: int = 0
    dead_letters: int = 0


class Order(NamedTuple):
    """The row of the order that waits."""

    status: str = ""
    ready: bool = False  # its run_at is known
    shard: str = ""  # of the due index
    ran: bool = False  # history: its task has started in this round


class Prerequisite(NamedTuple):
    """The row of a prerequisite, and what concerns it in the row of the order.

    `ended` and `failed` are history, which only the properties read.
    """

    status: str = PENDING
    names_order: bool = False  # the order is among its dependents
    waited_for: bool = False  # the order's waits_for has it
    ended: bool = False  # it was final at some time of the order's round
    failed: bool = False  # it was final without success at some time of the order's round


class Process(NamedTuple):
    """A function between two AWS calls."""

    pc: str
    known: tuple[str, str] = (NOTHING, NOTHING)  # what it knows of each prerequisite
    mine: bool = True  # the order's fencing token is the one that it has read or written
    current: bool = True  # so is the order's retry round
    then: str = ""  # its next call after this


class State(NamedTuple):
    """Everything."""

    order: Order
    prerequisites: tuple[Prerequisite, Prerequisite]
    processes: tuple[Process, ...]
    messages: int  # of the order, in the queue
    left: Left


def is_waiting(order: Order) -> bool:
    return order.status == PENDING and not order.ready


def waits_for(state: State) -> bool:
    """Return True if the order's row has the attribute waits_for."""
    return any(prerequisite.waited_for for prerequisite in state.prerequisites)


def at(index: int, value: str) -> tuple[str, str]:
    """Return what is known of the prerequisites if something is known of one only."""
    return (NOTHING, value) if index else (value, NOTHING)


def changed(pair: tuple[str, str], index: int, value: str) -> tuple[str, str]:
    return (pair[0], value) if index else (value, pair[1])


def set_prerequisite(state: State, index: int, prerequisite: Prerequisite) -> State:
    first, second = state.prerequisites
    return state._replace(prerequisites=(first, prerequisite) if index else (prerequisite, second))


def end_prerequisite(state: State, index: int, status: str) -> State:
    """Do the final write of a prerequisite, and add it to the history."""
    failed = state.prerequisites[index].failed or status in WITHOUT_SUCCESS
    prerequisite = state.prerequisites[index]._replace(status=status, ended=True, failed=failed)
    return set_prerequisite(state, index, prerequisite)


def write_order(state: State, order: Order) -> State:
    """Write the order's row with a new fencing token, so that no process's token is current."""
    processes = tuple(
        process._replace(mine=False) if process.mine else process for process in state.processes
    )
    return state._replace(order=order, processes=processes)


def start_round(state: State) -> State:
    """Make the order wait for all of its prerequisites: it is placed, or retried."""
    waiting = [
        prerequisite._replace(
            waited_for=True,
            ended=prerequisite.status in FINAL,
            failed=prerequisite.status in WITHOUT_SUCCESS,
        )
        for prerequisite in state.prerequisites
    ]
    state = write_order(state, Order(PENDING, shard=WAITING))
    processes = tuple(process._replace(current=False) for process in state.processes)
    return state._replace(prerequisites=(waiting[0], waiting[1]), processes=processes)


def without(state: State, process: Process) -> State:
    index = state.processes.index(process)
    return state._replace(processes=state.processes[:index] + state.processes[index + 1 :])


def spend(state: State, thing: str) -> State:
    """Count a thing that may happen only so often."""
    return state._replace(left=state.left._replace(**{thing: getattr(state.left, thing) - 1}))


def tidy(config: Config, state: State) -> State:
    """Return the one of several equivalent states that stands for them all.

    FAILED and CANCELLED are the same to fan-in, so both are FAILED. Two prerequisites may change
    places, so in a trace their names may change too. What nothing reads any more is left out.
    """
    order = state.order
    if order.status == CANCELLED:
        order = order._replace(status=FAILED)
    is_open = order.status == PENDING
    if not is_open:
        order = order._replace(ready=False)
    first, second = (_tidy_prerequisite(p, is_open) for p in state.prerequisites)
    processes = tuple(sorted(_tidy_process(config, process) for process in state.processes))
    one = state._replace(order=order, prerequisites=(first, second), processes=processes)
    if first < second:
        return one
    return min(one, one._replace(prerequisites=(second, first), processes=_swapped(processes)))


def _tidy_prerequisite(prerequisite: Prerequisite, is_open: bool) -> Prerequisite:
    """Forget the history unless the order waits."""
    if prerequisite.status == CANCELLED:
        prerequisite = prerequisite._replace(status=FAILED)
    if is_open or not prerequisite.ended:
        return prerequisite
    return prerequisite._replace(ended=False, failed=False)


def _swapped(processes: Iterable[Process]) -> tuple[Process, ...]:
    return tuple(sorted(process._replace(known=process.known[::-1]) for process in processes))


def _tidy_process(config: Config, process: Process) -> Process:
    """Forget what the process does not need: only GIVE_UP and T9 name the fencing token."""
    pc, _, mine, current, _ = process
    settles = pc in ("settle", "read order")
    needs_fence = pc == "requeue" or (settles and config.when == "success")
    needs_round = settles and config.when == "end"
    mine = mine or not needs_fence
    current = current or not needs_round
    if (mine, current) == (process.mine, process.current):
        return process
    return process._replace(mine=mine, current=current)
