"""The steps of a request of a client: place, cancel, retry, stop; as chalicelib/service.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.model.sender import send
from tests.model.state import (
    AHEAD,
    IDLE,
    MAX_ROUNDS,
    Process,
    Row,
    State,
    Step,
    end_order,
    put,
    retry_of,
    slot_ahead,
)
from tests.model.table import Config, condition_holds
from tests.model.write import try_write, write

ROLE = "services"
REQUESTS = ("T1", "T8", "T11", "T14")  # the order of State.requests
LABELS = {"T1": "places it", "T8": "cancels it", "T11": "retries it", "T14": "stops it"}
RETRIES = {retry_of(transition): transition for transition in REQUESTS}
# check_at of an order that was just dispatched, by its run_at
CHECK_AT = {"": "set", "near": "after_run_at", "far": "before_run_at", "sweeper": "due"}


def service(config: Config, state: State, slot: int, process: Process) -> Iterator[Step]:
    """Yield the steps of the function that handles a client's request."""
    if process.pc == "idle":
        yield from _requests(config, state, slot)
    elif process.pc in RETRIES:
        yield from _retry_write(config, state, slot, process)
    elif process.pc == "send":
        yield from send(config, state, "service", ROLE, slot)


def _requests(config: Config, state: State, slot: int) -> Iterator[Step]:
    reader = Process(retry_round=state.row.retry_round, mine=True)
    for index, transition in enumerate(REQUESTS):
        if state.requests[index] and _may_write(config, state, transition, reader):
            left = tuple(count - (n == index) for n, count in enumerate(state.requests))
            takes_slot = transition == "T1" and not config.later
            for order_slot in (config.slots if takes_slot else ()) or ("",):
                row, changes, pc = _effect(config, state, transition, order_slot)
                for step in try_write(
                    config,
                    state,
                    f"client {LABELS[transition]} ({transition}) {order_slot}".strip(),
                    transition,
                    ROLE,
                    slot,
                    reader._replace(pc=pc, slot=slot_ahead(row) if pc == "send" else ""),
                    row,
                    retry_of(transition),
                    requests=left,
                    **changes,
                ):
                    yield step._replace(kind="request", state=_forget_idle(step.state))


def _retry_write(config: Config, state: State, slot: int, process: Process) -> Iterator[Step]:
    """Retry a write in the SDK, after its response was lost."""
    transition = RETRIES[process.pc]
    # Only the slot of a row that this request has written decides about the send
    row, changes, pc = _effect(config, state, transition, state.row.slot)
    after = process._replace(pc=pc, slot=slot_ahead(row) if pc == "send" else "")
    if _may_write(config, state, transition, process):
        new, broken = write(config, state, transition, ROLE, slot, after, row, **changes)
        label = f"hidden retry: {transition} holds AGAIN"
        yield Step(label, "step", _forget_idle(new), broken or f"S10 ({transition})")
    else:
        process = after if process.mine and pc == "send" else IDLE
        yield Step(f"hidden retry of {transition}", "step", put(state, ROLE, slot, process))


def _may_write(config: Config, state: State, transition: str, process: Process) -> bool:
    is_beyond_bounds = transition == "T11" and state.row.retry_round >= MAX_ROUNDS
    return condition_holds(config, transition, state.row, process) and not is_beyond_bounds


def _effect(
    config: Config, state: State, transition: str, slot: str
) -> tuple[Row, dict[str, Any], str]:
    """Return the row after a transition, the other changes of the state, and the next step.

    `slot` is that of a new order.
    """
    row = state.row
    if transition == "T8":
        cancelled = state.cancelled | 1 << row.retry_round
        return end_order(row, "CANCELLED"), {"cancelled": cancelled}, "idle"
    if transition == "T14":
        return row._replace(stop=True, check_at="set"), {}, "idle"
    if transition == "T1":
        return _place(config, state, slot)
    forgets_run_at = config.mutation == "T11 forgets run_at"
    run_at = "" if row.backoff else row.run_at
    pending = row._replace(
        status="PENDING",
        attempts=0,
        retry_round=row.retry_round + 1,
        check_at="set" if forgets_run_at else CHECK_AT[run_at],
        run_at=run_at,
        backoff=False,
        too_old=False,
        stop=row.stop and config.mutation == "T11 keeps the stop",
        slot=row.slot if config.mutation == "T11 keeps the slot" else "",
        expires=row.expires if config.mutation == "T11 keeps expires_at" else "",
    )
    return pending, {}, "idle" if run_at == "far" and not forgets_run_at else "send"


def _place(config: Config, state: State, slot: str) -> tuple[Row, dict[str, Any], str]:
    run_at = config.later if config.later != "sweeper" else ""
    check_at = CHECK_AT[config.later or (slot if slot in AHEAD else "")]
    row = Row("PENDING", check_at=check_at, run_at=run_at, slot=slot)
    used_keys = 0
    if config.mutation == "the key lacks created_at":
        used_keys = state.used_keys | _rounds_that_ran(config, state)
    changes = {"ran": 0, "cancelled": 0, "used_keys": used_keys}
    return row, changes, "send" if config.later in ("", "near") and slot != "far" else "idle"


def _rounds_that_ran(config: Config, state: State) -> int:
    """Return a bit set of the retry rounds in which a task of this order has run."""
    width = config.max_attempts + 1
    mask = (1 << width) - 1
    return sum(
        1 << retry_round
        for retry_round in range(MAX_ROUNDS + 1)
        if state.ran >> retry_round * width & mask
    )


def _forget_idle(state: State) -> State:
    """Reset the processes that are done, since they are alike."""
    services = (IDLE if process.pc == "idle" else process for process in state.services)
    return state._replace(services=tuple(sorted(services)))
