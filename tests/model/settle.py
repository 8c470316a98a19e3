"""The steps of settling an order that waits, and of what follows the end of a prerequisite."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.fan_in_state import (
    ENDED,
    FAILED,
    FINAL,
    LOST,
    NOTHING,
    OPEN,
    PENDING,
    QUEUED,
    REFUSED,
    RUNNING,
    SUCCEEDED,
    SUCCESS,
    TO_JOIN,
    UNREAD,
    Config,
    Order,
    Prerequisite,
    Process,
    State,
    changed,
    is_waiting,
    set_prerequisite,
    spend,
    waits_for,
    write_order,
)
from tests.model.search import Step

SETTLE = ("read order", "settle", "ready", "send", "send first")


def settle(config: Config, rest: State, process: Process) -> Iterator[Step[State]]:
    """Yield the next call of a process that settles; `rest` is the state without the process."""
    if process.pc == "read order":
        yield _read_order(config, rest, process)
    elif process.pc == "ready":
        yield from _ready(config, rest, process)
    elif process.pc in ("send", "send first"):
        sent = rest._replace(messages=min(rest.messages + 1, 2))
        is_first = process.pc == "send first"
        after = _go(sent, process, "ready") if is_first else continue_ended(sent, process)
        yield Step("the message is sent", after)
    else:
        yield from _settle(config, rest, process)


def continue_ended(rest: State, process: Process) -> State:
    """Go on to the call that follows what was settled, if there is one."""
    return _go(rest, process, process.then, then="") if process.then else rest


def _settle(config: Config, rest: State, process: Process) -> Iterator[Step[State]]:
    """Read, join, then give up or release: each for what is known of the prerequisites."""
    for index, known in enumerate(process.known):
        prerequisite = rest.prerequisites[index]
        if known == UNREAD:
            value = _value(config, prerequisite)
            after = process._replace(known=changed(process.known, index, value))
            yield Step(f"P{index + 1} is read: {value}", _add(rest, after))
    if UNREAD in process.known:
        return
    for index, known in enumerate(process.known):
        if known == TO_JOIN:
            yield from _join(config, rest, process, index)
    if TO_JOIN in process.known:
        return
    if REFUSED in process.known:
        yield _give_up(config, rest, process)
    elif SUCCEEDED in process.known or ENDED in process.known:
        yield from _release(config, rest, process)
    else:
        yield Step("nothing to release", continue_ended(rest, process))


def _value(config: Config, prerequisite: Prerequisite) -> str:
    """Return what a process learns of a prerequisite from its row."""
    if prerequisite.status == SUCCESS:
        return SUCCEEDED
    if prerequisite.status in FINAL:
        is_enough = config.when == "end" or config.mutation == "any end is enough"
        return ENDED if is_enough else REFUSED
    return OPEN if prerequisite.names_order else TO_JOIN


def _join(config: Config, rest: State, process: Process, index: int) -> Iterator[Step[State]]:
    """Add the order to a prerequisite's dependents, unless it is final by now (T17)."""
    prerequisite = rest.prerequisites[index]
    name = f"P{index + 1}"
    if prerequisite.status in FINAL and config.mutation != "join of a final order":
        value = _value(config, prerequisite)
        if config.mutation == "a refused join is no end":
            value = OPEN
        after = process._replace(known=changed(process.known, index, value))
        yield Step(f"T17: the join of {name} is refused", _add(rest, after))
        return
    joined = prerequisite._replace(names_order=True)
    if config.mutation == "join takes the fence" and prerequisite.status == RUNNING:
        joined = joined._replace(status=LOST)
    written = set_prerequisite(rest, index, joined)
    after = process._replace(known=changed(process.known, index, OPEN))
    yield Step(f"T17: it joins {name}", _add(written, after))
    if rest.left.faults:
        repeated = _add(spend(written, "faults"), process)
        yield Step(f"T17: it joins {name}, the response is lost", repeated)


def _give_up(config: Config, rest: State, process: Process) -> Step[State]:
    """Fail the order (T7). If its row has changed, settle again what is left."""
    is_pending = rest.order.status == PENDING
    if is_pending and (process.mine or config.mutation == "give up without the fence"):
        broken = "" if any(p.failed for p in rest.prerequisites) else "F4"
        failed = continue_ended(write_order(rest, Order(FAILED)), process)
        return Step("T7: prerequisite_failed", failed, broken)
    again = [
        UNREAD if known and prerequisite.waited_for else NOTHING
        for known, prerequisite in zip(process.known, rest.prerequisites, strict=True)
    ]
    if is_pending and any(again) and config.mutation != "give up only once":
        after = Process("settle", (again[0], again[1]), then=process.then)
        return Step("T7 is refused: again", _add(rest, after))
    return Step("T7 is refused", continue_ended(rest, process))


def _release(config: Config, rest: State, process: Process) -> Iterator[Step[State]]:
    """Take what has ended out of waits_for (T18).

    Of what ended without success, only of the retry round that was read: it may be retried, and
    waited for in another round. What succeeded stays so.
    """
    any_round = ENDED not in process.known or config.mutation == "release in any round"
    allowed = process.current or any_round
    is_open = rest.order.status == PENDING or config.mutation == "release of any status"
    if not (is_open and waits_for(rest) and allowed):
        yield Step("T18 is refused", _after_release(config, rest, process))
        return
    released = write_order(rest, rest.order)
    for index, known in enumerate(process.known):
        if known in (SUCCEEDED, ENDED):
            released = _remove(config, released, index)
    broken = "F5" if rest.order.status in FINAL else ""
    yield Step("T18: release", _after_release(config, released, process), broken)
    if rest.left.faults:
        repeated = _add(spend(released, "faults"), process._replace(mine=False))
        yield Step("T18: release, the response is lost", repeated)


def _remove(config: Config, state: State, index: int) -> State:
    """Remove a prerequisite from waits_for. A counter can't tell which it was."""
    prerequisite = state.prerequisites[index]
    if not prerequisite.waited_for and config.mutation == "a counter":
        index = 1 - index
        prerequisite = state.prerequisites[index]
    return set_prerequisite(state, index, prerequisite._replace(waited_for=False))


def _after_release(config: Config, state: State, process: Process) -> State:
    """Make the order ready if nothing is left, as the row in the response says."""
    if is_waiting(state.order) and not waits_for(state):
        first = "send first" if config.mutation == "message before READY" else "ready"
        return _go(state, process, first)
    return continue_ended(state, process)


def _ready(config: Config, rest: State, process: Process) -> Iterator[Step[State]]:
    """Let the order run now (T19), and send its message."""
    order = rest.order
    is_empty = not waits_for(rest) or config.mutation == "READY with waits_for"
    is_open = order.status == PENDING or config.mutation == "READY of any status"
    if order.ready or not is_empty or not is_open:
        yield Step("T19 is refused", continue_ended(rest, process))
        return
    written = write_order(rest, order._replace(ready=True, shard=QUEUED))
    broken = "F5" if order.status in FINAL else ""
    is_sent = config.mutation == "message before READY"
    after = continue_ended(written, process) if is_sent else _go(written, process, "send")
    yield Step("T19: ready", after, broken)


def _read_order(config: Config, rest: State, process: Process) -> Step[State]:
    """Read the order that waits for a prerequisite which ended without success."""
    index = 0 if process.known[0] else 1
    if is_waiting(rest.order) and rest.prerequisites[index].waited_for:
        value = UNREAD
        if config.mutation == "no second read":
            value = ENDED if config.when == "end" else REFUSED
        after = Process("settle", changed(process.known, index, value), then=process.then)
        return Step("the order is read", _add(rest, after))
    return Step("the order is read", _after_release(config, rest, process))


def _add(state: State, process: Process) -> State:
    return state._replace(processes=(*state.processes, process))


def _go(state: State, process: Process, pc: str, then: str | None = None) -> State:
    """Go on to another call; of the prerequisites only one with a call to follow is remembered."""
    if then is None:
        then = process.then
    known = process.known
    if pc in ("ready", "send", "send first") and not then:
        known = (NOTHING, NOTHING)
    elif process.then:
        known = (OPEN if known[0] else NOTHING, OPEN if known[1] else NOTHING)
    return _add(state, Process(pc, known, then=then))
