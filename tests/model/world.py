"""The steps of time and of the queue, and the faults of messages and clocks."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.state import (
    AHEAD,
    DEAD,
    HIDDEN,
    IDLE,
    LIVE,
    ROLES,
    SCHEDULED,
    VISIBLE,
    WAITS_FOR_LEASE,
    Message,
    Row,
    State,
    Step,
    add_message,
    ahead,
    put,
    remove_message,
)
from tests.model.table import Config, is_free


def world(config: Config, state: State) -> Iterator[Step]:
    """Yield the steps that are of no function of ours."""
    row = state.row
    yield from _queue(config, state)
    yield from _timers(config, state)
    yield from _lease(config, state)
    ages = not row.run_at or row.backoff
    if is_free(row) and ages and not row.too_old and config.mutation != "no MAX_AGE_S":
        yield Step("MAX_AGE_S passes", "time", state._replace(row=row._replace(too_old=True)))
    yield from _ttl(state)


def _queue(config: Config, state: State) -> Iterator[Step]:
    row = state.row
    may_appear = {
        HIDDEN: True,
        WAITS_FOR_LEASE: row.lease != "live",
        # It may have been sent before the backoff began
        SCHEDULED: not ahead(row) or row.status not in LIVE or row.backoff,
    }
    for message in sorted(set(state.messages)):
        visibility, receives = message
        without = remove_message(state, message)
        if may_appear.get(visibility):
            visible = add_message(without, config.messages, Message(VISIBLE, receives))
            yield Step("a hidden message is visible", "time", visible)
        if visibility == VISIBLE and 0 < config.max_receives <= receives:
            dead = add_message(without, config.messages, Message(DEAD))
            moved = dead if config.dead_letters else without
            yield Step("the queue moves a message to the dead letters", "time", moved)
        if state.faults:
            lost = without._replace(faults=state.faults - 1)
            yield Step(f"a message ({visibility}) is lost", "fault", lost)
        if state.faults and visibility == SCHEDULED and not may_appear[SCHEDULED]:
            visible = add_message(without, config.messages, Message(VISIBLE, receives))
            yield Step(
                "a clock is off: a message comes early",
                "fault",
                visible._replace(faults=state.faults - 1),
            )
    yield from _duplicates(config, state)


def _duplicates(config: Config, state: State) -> Iterator[Step]:
    if not state.faults:
        return
    held = {Message(VISIBLE, worker.receives) for worker in state.workers if worker.receives}
    queued = {
        Message(VISIBLE, message.receives)
        for message in state.messages
        if message.visibility in (VISIBLE, HIDDEN)
    }
    count = len(state.messages) + sum(worker.message_count for worker in state.workers)
    if count < config.messages:
        for message in sorted(held | queued):
            more = add_message(state, config.messages, message)
            yield Step("a message is duplicated", "fault", more._replace(faults=state.faults - 1))


def _timers(config: Config, state: State) -> Iterator[Step]:
    row = state.row
    if row.check_at == "set" or (row.check_at == "after_run_at" and not ahead(row)):
        yield Step("check_at passes", "time", state._replace(row=row._replace(check_at="due")))
    if row.check_at == "due" and config.deep_queue:
        overdue = row._replace(check_at="overdue")
        yield Step("it is overdue by an hour", "time", state._replace(row=overdue))
    if row.run_at == "far":  # an order that was never sent needs none of the sweeper's budget
        check_at = "overdue" if row.check_at == "before_run_at" else row.check_at
        near = row._replace(run_at="near", check_at=check_at)
        yield Step("run_at is near", "time", state._replace(row=near))
    if row.run_at == "near":
        passed = state._replace(row=row._replace(run_at="", backoff=False))
        yield Step("run_at passes", "time", passed)
    if row.backoff and not row.run_at:  # a weakened put back forgot it
        over = state._replace(row=row._replace(backoff=False))
        yield Step("the backoff is over", "time", over)
    yield from _slots(state)


def _slots(state: State) -> Iterator[Step]:
    """Let the slot of a waiting order come and pass, or one that a worker has just reserved."""
    row = state.row
    if row.status == "PENDING" and row.slot in (*AHEAD, "open"):
        check_at = row.check_at
        if row.slot == "far" and check_at == "before_run_at":
            check_at = "overdue"
        slot = {"far": "near", "near": "open", "open": "late"}[row.slot]
        passed = state._replace(row=row._replace(slot=slot, check_at=check_at))
        yield Step(f"the slot is {slot}", "time", passed)
    for index, worker in enumerate(state.workers):
        if worker.slot == "open":
            late = put(state, "workers", index, worker._replace(slot="late"))
            yield Step("a slot passes before it is used", "time", late)


def _lease(config: Config, state: State) -> Iterator[Step]:
    """End the lease; Lambda kills its worker before that, unless a clock is off."""
    if state.row.lease != "live":
        return
    over = state._replace(row=state.row._replace(lease="over"))
    holders = [worker for worker in state.workers if worker.leased]
    workers = sorted(IDLE if worker.leased else worker for worker in state.workers)
    killed = over._replace(workers=tuple(workers))
    for holder in holders:
        for receives in (holder.receives, *holder.rest, *holder.acked):
            killed = add_message(killed, config.messages, Message(HIDDEN, receives))
    label = "the lease is over" + (", its worker was killed before" if holders else "")
    yield Step(label, "time", killed)
    if holders and state.faults:
        late = tuple(sorted(worker._replace(leased=False) for worker in state.workers))
        yield Step(
            "a clock is off: the lease is over, its worker lives",
            "fault",
            over._replace(workers=late, faults=state.faults - 1),
        )


def _ttl(state: State) -> Iterator[Step]:
    """Expire the row, only while every function is idle: rows live for a day at least."""
    if any(process != IDLE for role in ROLES for process in getattr(state, role)):
        return
    row = state.row
    if row.expires == "set":
        expired = state._replace(row=row._replace(expires="past"))
        yield Step("expires_at passes", "time", expired)
    if row.expires == "past":
        broken = "S8" if row.status in LIVE else None
        yield Step("TTL deletes the row", "time", state._replace(row=Row()), broken)
