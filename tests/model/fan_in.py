"""A model of fan-in: an order that waits until its two prerequisites have ended.

Each AWS call is one step, and any function may crash before each of its calls. A prerequisite is
worked on by its worker, cancelled by its owner or retried by its owner; the order is placed,
cancelled and retried by its owner, looked at by sweepers and by the dead-letter function, and run
by a worker. Leases, attempts and the messages of the prerequisites are in the model of the state
machine (scenarios.py), so here a worker of the order never crashes.

The properties:

F1  the order starts only after each prerequisite has ended, at some time of the order's round
F2  with `when: success` it starts only if each prerequisite has succeeded
F3  it runs once in a round
F4  it fails with `prerequisite_failed` only if one ended without success in its round
F5  a final order changes only by a retry, and is not in the due index
F6  as long as nothing crashes and no message is lost, the sweeper is not needed
F7  if everything crashes, two sweeps are enough: the order becomes final (see `heal`)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from tests.model.fan_in_state import (
    CANCELLED,
    FAILED,
    FINAL,
    LOST,
    NEVER,
    OPEN,
    PENDING,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    SUCCESS,
    UNREAD,
    WAITING,
    WITHOUT_SUCCESS,
    Config,
    Left,
    Order,
    Prerequisite,
    Process,
    State,
    at,
    end_prerequisite,
    is_waiting,
    set_prerequisite,
    spend,
    start_round,
    tidy,
    waits_for,
    without,
    write_order,
)
from tests.model.search import Result, Step, search
from tests.model.settle import SETTLE, continue_ended, settle


def check(config: Config) -> Result[State]:
    """Search all states, then whether each of them heals."""
    left = Left(*(getattr(config, name) for name in Left._fields))
    prerequisites = (Prerequisite(), Prerequisite())
    first = State(Order(), prerequisites, (), 0, left)
    result = search([first], partial(steps, config), partial(_invariant, config))
    return result if result.broken else heal(config, result)


def heal(config: Config, result: Result[State]) -> Result[State]:
    """Let everything crash in each state, and search for one that two sweeps do not help (F7).

    The sweeps and the workers of the prerequisites come one after the other, in any order.
    """
    config = replace(config, actors=1)
    crashed = (
        tidy(config, state._replace(processes=(), messages=0, left=Left(faults=0, sweeps=2)))
        for state in result.states
    )

    def invariant(state: State, is_last: bool) -> str:
        is_stuck = is_last and state.order.status not in ("", *FINAL)
        return "F7" if is_stuck else ""

    healed = search(crashed, partial(_steps_without_clients, config), invariant)
    return Result(result.states, healed.broken, healed.trace)


def steps(config: Config, state: State) -> Iterator[Step[State]]:
    """Yield all steps from a state."""
    yield from _tidied(config, _clients(config, state))
    yield from _tidied(config, _faults(state))
    yield from _steps_without_clients(config, state)


def _steps_without_clients(config: Config, state: State) -> Iterator[Step[State]]:
    yield from _tidied(config, _workers(config, state))
    yield from _tidied(config, _sweeper_and_dead_letters(config, state))
    for process in dict.fromkeys(state.processes):
        rest = without(state, process)
        part = settle if process.pc in SETTLE else _own_steps
        yield from _tidied(config, part(config, rest, process))


def _tidied(config: Config, some: Iterator[Step[State]]) -> Iterator[Step[State]]:
    for step in some:
        yield step._replace(state=tidy(config, step.state))


def _invariant(config: Config, state: State, is_last: bool) -> str:
    order = state.order
    if (order.status in FINAL) is bool(order.shard) and order.status not in ("", RUNNING):
        return "F5"
    untouched = state.left.faults == config.faults
    untouched = untouched and state.left.dead_letters == config.dead_letters
    nothing_acts = not state.processes and not state.messages
    ended = all(p.status in (*FINAL, LOST) for p in state.prerequisites)
    return "F6" if untouched and nothing_acts and ended and order.status == PENDING else ""


def _add(state: State, *processes: Process) -> State:
    return state._replace(processes=(*state.processes, *processes))


def _clients(config: Config, state: State) -> Iterator[Step[State]]:
    """Let the owner place, cancel and retry; each begins with its first write or read."""
    order = state.order
    may_start = len(state.processes) < config.actors
    settling = Process("settle", (UNREAD, UNREAD))
    if not order.status and may_start:
        yield Step("the order is placed", _add(start_round(state), settling))
    if order.status in WITHOUT_SUCCESS and state.left.order_retries and may_start:
        retried = spend(start_round(state), "order_retries")
        if config.mutation == "T11 keeps run_at":
            retried = retried._replace(order=retried.order._replace(ready=True))
        yield Step("the order is retried", _add(retried, settling))
    if order.status == PENDING and state.left.cancels:
        cancelled = spend(write_order(state, Order(CANCELLED)), "cancels")
        yield Step("the order is cancelled", cancelled)
    if order.status and state.left.strays and state.messages < 2:
        stray = state._replace(messages=state.messages + 1)
        yield Step("a stray message of the order", spend(stray, "strays"))
    for index, prerequisite in enumerate(state.prerequisites):
        name = f"P{index + 1}"
        if prerequisite.status == PENDING and may_start:
            yield Step(f"{name} is cancelled", _end(config, state, index, CANCELLED))
        if prerequisite.status in WITHOUT_SUCCESS and state.left.retries and may_start:
            after = _ended(config, spend(state, "retries"), index, then="retry")
            yield Step(f"a retry of {name} begins", after)
        if prerequisite.status in FINAL and state.left.repeats and may_start:
            after = _ended(config, spend(state, "repeats"), index)
            yield Step(f"a message of {name} comes again", after)


def _workers(config: Config, state: State) -> Iterator[Step[State]]:
    """Let a worker run a prerequisite or the order."""
    may_start = len(state.processes) < config.actors
    for index, prerequisite in enumerate(state.prerequisites):
        name = f"P{index + 1}"
        if prerequisite.status == PENDING:
            claimed = set_prerequisite(state, index, prerequisite._replace(status=RUNNING))
            yield Step(f"{name} is claimed", claimed)
        if prerequisite.status == RUNNING and may_start:
            for status in FINAL:
                if config.mutation == "release before the final write":
                    early = _released(config, state, index, status)
                    yield Step(f"{name}, still running, releases, to be {status}", early)
                else:
                    yield Step(f"{name} ends: {status}", _end(config, state, index, status))
    if state.messages:
        yield _claim(config, state)
        if config.mutation == "READY sets run_at to now":
            refused = state._replace(messages=state.messages - 1)
            yield Step("a worker whose clock is behind acknowledges the message", refused)
    if state.order.status == RUNNING:
        for status in (SUCCESS, FAILED):
            yield Step(f"the order ends: {status}", write_order(state, Order(status)))


def _claim(config: Config, state: State) -> Step[State]:
    """Claim the order that a message names, or acknowledge the message."""
    state = state._replace(messages=state.messages - 1)
    order = state.order
    is_due = order.ready or config.mutation == "claim without run_at"
    is_running = order.status == RUNNING and config.mutation == "claim of a running order"
    if not (is_running or (order.status == PENDING and is_due)):
        return Step("a message of the order is acknowledged", state)
    broken = ""
    if order.ran:
        broken = "F3"
    elif not all(prerequisite.ended for prerequisite in state.prerequisites):
        broken = "F1"
    elif config.when == "success" and any(p.status != SUCCESS for p in state.prerequisites):
        broken = "F2"
    started = write_order(state, order._replace(status=RUNNING, ran=True))
    return Step("the order starts", started, broken)


def _sweeper_and_dead_letters(config: Config, state: State) -> Iterator[Step[State]]:
    """Let the sweeper or the dead-letter function read the order's row."""
    order = state.order
    may_start = len(state.processes) < config.actors
    shards = (QUEUED,) if config.mutation == "a blind sweeper" else (QUEUED, WAITING)
    if order.status == PENDING and state.left.sweeps and order.shard in shards and may_start:
        yield Step("the sweeper reads the order", _add(spend(state, "sweeps"), Process("requeue")))
    if order.status == PENDING and state.left.dead_letters and state.messages and may_start:
        dead = spend(state._replace(messages=state.messages - 1), "dead_letters")
        process = Process("postpone", then=WAITING if is_waiting(order) else QUEUED)
        yield Step("a message is dead: the order is read", _add(dead, process))


def _faults(state: State) -> Iterator[Step[State]]:
    if not state.left.faults:
        return
    faulty = spend(state, "faults")
    for process in dict.fromkeys(state.processes):
        yield Step(f"a crash before {process.pc}", without(faulty, process))
    if state.messages:
        yield Step("a message is lost", faulty._replace(messages=state.messages - 1))


def _end(config: Config, state: State, index: int, status: str) -> State:
    """Do the final write of a prerequisite, and go on to what follows it."""
    return _ended(config, end_prerequisite(state, index, status), index)


def _ended(config: Config, state: State, index: int, then: str = "") -> State:
    """Begin what follows the end of a prerequisite: its write has returned its dependents."""
    prerequisite = state.prerequisites[index]
    process = Process("read order", at(index, OPEN), then=then)
    if not prerequisite.names_order:
        return continue_ended(state, process)
    if prerequisite.status == SUCCESS:
        process = Process("settle", at(index, SUCCEEDED), then=then)
    return _add(state, process)


def _released(config: Config, state: State, index: int, status: str) -> State:
    """Begin the release of a prerequisite that its worker will end afterwards."""
    process = Process("settle", at(index, SUCCEEDED), then=status)
    if status == SUCCESS and state.prerequisites[index].names_order:
        return _add(state, process)
    return _end(config, state, index, status)


def _own_steps(config: Config, rest: State, process: Process) -> Iterator[Step[State]]:
    """Yield the steps that are not those of settling."""
    order = rest.order
    index = 0 if process.known[0] else 1
    prerequisite = rest.prerequisites[index]
    if process.pc == "retry":
        if prerequisite.status in WITHOUT_SUCCESS:
            rest = set_prerequisite(rest, index, prerequisite._replace(status=PENDING))
        yield Step(f"T11 of P{index + 1}", rest)
    elif process.pc in FINAL:
        yield Step(f"P{index + 1} ends: {process.pc}", end_prerequisite(rest, index, process.pc))
    elif order.status != PENDING or (process.pc == "requeue" and not process.mine):
        yield Step(f"{process.pc} is refused", rest)
    elif process.pc == "postpone":
        shard = process.then
        if shard == WAITING and config.mutation == "a dead letter goes by run_at":
            shard = NEVER
        yield Step("T10: postpone", write_order(rest, order._replace(shard=shard)))
    elif process.pc == "requeue":
        yield Step("T9: requeue", _requeue(config, rest))


def _requeue(config: Config, rest: State) -> State:
    """Do the sweeper's write, and go on as the row says, whichever shard it was in."""
    order = rest.order
    if order.ready:
        return _add(write_order(rest, order._replace(shard=QUEUED)), Process("send"))
    if order.shard == QUEUED and config.mutation == "the sweeper goes by the shard":
        return write_order(rest, order._replace(shard=NEVER))
    rest = write_order(rest, order._replace(shard=WAITING))
    if not waits_for(rest):
        forgets = config.mutation == "a sweep releases only"
        return rest if forgets else _add(rest, Process("ready"))
    known = [UNREAD if p.waited_for else "" for p in rest.prerequisites]
    return _add(rest, Process("settle", (known[0], known[1])))
