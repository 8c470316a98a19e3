"""A conditional write, with or without its response lost, and the safety property that it breaks.

S1   a final row changes only by T11, and once it has expired only by T1 or TTL
S2   at most one live lease is held, and only its holder writes the row
S3   no (round, attempt) runs twice
S4   a result is that of the latest claim
S5   live rows have a timer, no expires_at, and a lease only when RUNNING; final rows have no timer
     and no lease
S6   a cancelled round never succeeds
S7   a round runs at most max_attempts times
S8   an accepted order is not absent
S9   no order is requeued before it is due
S10  one request takes effect once
S11  only T1 makes a row
S12  two orders never share the key `<id>.<created_at>.<retry_round>`
S13  an order runs no earlier than run_at, and not within a long backoff
S14  no message is sent more than 15 minutes ahead
S15  only an order with a terminal error is given up
S16  the first attempt of a task with per_minute starts in its slot
S17  no slot is used twice
S18  no attempt starts once its owner asked to stop the order, and a new round is not stopped
S19  only an order that is to be stopped ends as stopped
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.model.state import DUE, FINAL, LIVE, ROLES, Process, Row, State, Step, put, with_slots
from tests.model.table import Config, has_terminal_error

WRITES_OF_THE_HOLDER = ("T4", "T5", "T6", "T12", "T15")


def write(
    config: Config,
    state: State,
    transition: str,
    role: str,
    slot: int,
    process: Process,
    row: Row,
    **changes: Any,
) -> tuple[State, str | None]:
    """Write the row with a new fencing token, so that no other process's token is current.

    Args: as of `try_write`. Returns the new state and the property that the write breaks.
    """
    broken = _broken_by(config, state, transition, getattr(state, role)[slot])
    if transition == "T11" and row.stop:
        broken = "S18 (a new round)"
    if transition == "T14" and config.mutation != "T14 takes the fence":  # it keeps the fence
        return put(state, role, slot, process)._replace(row=row, **changes), broken
    for name in ROLES:
        slots = (
            other._replace(mine=False, latest=other.latest and transition != "T3")
            for other in getattr(state, name)
        )
        state = with_slots(state, name, slots)
    state = put(state, role, slot, process._replace(mine=True))
    return state._replace(row=row, **changes), broken


def _broken_by(config: Config, state: State, transition: str, writer: Process) -> str | None:
    old = state.row
    by_the_holder = transition in WRITES_OF_THE_HOLDER and writer.mine
    no_reason = not has_terminal_error(config, old) and config.task != "unknown"
    needs_slot = bool(config.slots) and transition == "T3" and old.attempts == 0
    slot = writer.slot or old.slot
    keeps_fence = transition == "T14" and config.mutation != "T14 takes the fence"
    rules = {
        "S1": old.status in FINAL and transition != ("T1" if old.expires == "past" else "T11"),
        "S4": transition == "T4" and not writer.latest,
        "S6": transition == "T4" and bool(state.cancelled >> old.retry_round & 1),
        "S2 (a live lease is broken)": old.lease == "live" and not (by_the_holder or keeps_fence),
        "S8": transition == "T1" and old.status in LIVE,
        "S9": transition == "T9" and old.check_at not in DUE,
        "S11": transition != "T1" and not old.status,
        "S15": transition == "T7" and no_reason,
        "S16": needs_slot and slot not in ("open", "used"),
        "S17": needs_slot and slot == "used",
        "S18": transition == "T3" and old.stop,
        "S19": transition in ("T15", "T16") and not old.stop,
    }
    return next((name for name, broken in rules.items() if broken), None)


def try_write(
    config: Config,
    state: State,
    label: str,
    transition: str,
    role: str,
    slot: int,
    process: Process,
    row: Row,
    retry_pc: str = "",
    **changes: Any,
) -> Iterator[Step]:
    """Yield the steps of a write whose condition holds: it is done, or done with a lost response.

    Args:
        label: what happens, for a trace.
        transition: the label of the transition in the table.
        role, slot: where the process is.
        process: the process after the write.
        row: the row after the write.
        retry_pc: its next step if the response is lost and the SDK retries; "" if that is no case.
        changes: of other fields of the state.
    """
    new, broken = write(config, state, transition, role, slot, process, row, **changes)
    yield Step(label, "step", new, broken)
    if state.faults and retry_pc:
        retrying = process._replace(pc=retry_pc)
        changes["faults"] = state.faults - 1
        new, broken = write(config, state, transition, role, slot, retrying, row, **changes)
        yield Step(f"{label}, response lost", "fault", new, broken)


def start_run(config: Config, state: State) -> tuple[State, str | None]:
    """Start the task: add the claim's round and attempt to the history.

    Returns the new state and the property that the run breaks.
    """
    row = state.row
    bit = 1 << (row.retry_round * (config.max_attempts + 1) + row.attempts)
    rules = {
        "S3": state.ran & bit,
        "S7": row.attempts > config.max_attempts,
        "S13": row.run_at or row.backoff,
        "S12": state.used_keys >> row.retry_round & 1,
    }
    broken = next((name for name, broken in rules.items() if broken), None)
    return state._replace(ran=state.ran | bit), broken


def invariant(state: State) -> str | None:
    """Return the property that a state breaks by itself, or None."""
    row = state.row
    if sum(worker.leased for worker in state.workers) > 1:
        return "S2 (two live leases)"
    leased_while_pending = row.lease and row.status == "PENDING"
    if row.status in LIVE and (row.expires or not row.check_at or leased_while_pending):
        return "S5 (live)"
    if row.status in FINAL and (row.check_at or row.lease or not row.expires):
        return "S5 (final)"
    return None
