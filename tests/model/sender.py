"""The steps of the sweeper and of the dead-letter function, and of sending a message.

They follow sweeper.py and dead_letters.py in chalicelib/functions.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.state import (
    DEAD,
    DUE,
    HIDDEN,
    IDLE,
    LIVE,
    SCHEDULED,
    VISIBLE,
    Message,
    Process,
    State,
    Step,
    add_message,
    ahead,
    end_order,
    next_check,
    put,
    remove_message,
    retry_of,
)
from tests.model.table import Config, condition_holds, has_terminal_error, is_free
from tests.model.write import try_write

VISIBILITY = {"": VISIBLE, "near": SCHEDULED, "far": HIDDEN}  # of a new message, by run_at or slot


def send(config: Config, state: State, name: str, role: str, slot: int) -> Iterator[Step]:
    """Send the message (T2), after the write; it may fail. A near run_at or slot is its delay.

    The slot is that of the write: a worker may have given the order another one since. So is the
    time, if an attempt has failed since and a long backoff began.
    """
    process: Process = getattr(state, role)[slot]
    done = put(state, role, slot, IDLE)
    distance = process.slot if state.row.backoff else state.row.run_at or process.slot
    sent = add_message(done, config.messages, Message(VISIBILITY[distance]))
    yield Step(f"{name} sends", "step", sent, "S14" if distance == "far" else None)
    if state.faults:
        yield Step(
            f"{name} crashes before the send, or it fails",
            "fault",
            done._replace(faults=state.faults - 1),
        )


def sweeper(config: Config, state: State, slot: int, process: Process) -> Iterator[Step]:
    """Yield the steps of a sweeper with one order."""
    role = "sweepers"
    row = state.row
    pc = process.pc

    def goes(label: str, after: Process) -> Step:
        return Step(label, "step", put(state, role, slot, after))

    is_listed = row.check_at == "overdue" or (row.check_at == "due" and not config.deep_queue)
    if pc == "idle" and is_listed:
        yield goes("sweeper lists it as due", Process("listed"))
    elif pc == "listed":
        ignores_due = "due" not in config.rules["T9"].clauses
        is_due = is_free(row) and (row.check_at in DUE or ignores_due)
        ending = "T16" if row.stop else "T7" if has_terminal_error(config, row) else ""
        after = (ending or "T9") if is_due else "idle"
        yield goes(f"sweeper reads the row: {after}", Process(after, mine=is_due))
    elif pc in ("T7", "T9", "T16") and not condition_holds(config, pc, row, process):
        yield goes(f"sweeper's {pc} is refused", IDLE)
    elif pc == "T7":
        failed = end_order(row, "FAILED")
        yield from try_write(
            config, state, "sweeper gives it up (T7)", "T7", role, slot, IDLE, failed
        )
    elif pc == "T16":
        cancelled = end_order(row, "CANCELLED")
        yield from try_write(
            config, state, "sweeper cancels it (T16)", "T16", role, slot, IDLE, cancelled
        )
    elif pc == "T9":
        is_far = ahead(row) == "far"
        yield from try_write(
            config,
            state,
            "sweeper moves check_at (T9)",
            "T9",
            role,
            slot,
            IDLE if is_far else Process("send", slot=ahead(row)),
            row._replace(check_at="before_run_at" if is_far else next_check(row)),
            retry_of("T9"),
        )
    elif pc == retry_of("T9"):
        is_sending = process.mine and ahead(row) != "far"
        yield goes("hidden retry of T9", Process("send", slot=ahead(row)) if is_sending else IDLE)
    elif pc == "send":
        yield from send(config, state, "sweeper", role, slot)


def dead_letters(config: Config, state: State, slot: int, process: Process) -> Iterator[Step]:
    """Yield the steps of the dead-letter function with one message."""
    role = "dead_letters"
    row = state.row
    if process.pc == "idle":
        for message in sorted(set(state.messages)):
            if message.visibility == DEAD:
                pc = _decide(config, state)
                taken = put(remove_message(state, message), role, slot, Process(pc, 1, mine=True))
                yield Step(f"dead letter is read: {pc}", "step", taken)
        return
    done = Process("ack", 1)
    transition = "T10" if process.pc == retry_of("T10") else process.pc
    if process.pc == "ack":
        yield Step("dead letter is acknowledged", "step", put(state, role, slot, IDLE))
    elif not condition_holds(config, transition, row, process):
        refused = put(state, role, slot, done)
        yield Step(f"dead letter's {process.pc} is refused", "step", refused)
    elif process.pc in ("T7", "T16"):
        ended = end_order(row, "FAILED" if process.pc == "T7" else "CANCELLED")
        label = f"dead letter ends it ({process.pc})"
        yield from try_write(config, state, label, process.pc, role, slot, done, ended)
    else:
        yield from try_write(
            config,
            state,
            "dead letter moves check_at (T10)",
            "T10",
            role,
            slot,
            done,
            row._replace(check_at="before_run_at" if ahead(row) == "far" else next_check(row)),
            retry_of("T10"),
        )
    if state.faults:
        hidden = add_message(put(state, role, slot, IDLE), config.messages, Message(DEAD))
        crashed = hidden._replace(faults=state.faults - 1)
        yield Step("dead-letter function crashes", "fault", crashed)


def _decide(config: Config, state: State) -> str:
    """Return the next step of the dead-letter function for the row that it has read.

    A weakened condition is tried on any row.
    """
    row = state.row
    rule = config.rules["T10"]
    if row.status not in LIVE:
        return "T10" if row.status in rule.sources else "ack"
    if row.lease == "live" and "lease" in rule.clauses:
        return "ack"
    if row.stop and row.lease != "live":
        return "T16"
    return "T7" if config.task == "unknown" or has_terminal_error(config, row) else "T10"
