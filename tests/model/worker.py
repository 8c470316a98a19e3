"""The steps of a worker, one AWS call each; they follow chalicelib/functions/worker.py."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tests.model.state import (
    AHEAD,
    HIDDEN,
    IDLE,
    LIVE,
    SCHEDULED,
    VISIBLE,
    WAITS_FOR_LEASE,
    Message,
    Process,
    Row,
    State,
    Step,
    add_message,
    end_order,
    next_check,
    put,
    remove_message,
    retry_of,
)
from tests.model.table import Config, condition_holds
from tests.model.write import start_run, try_write, write

ROLE = "workers"
RETRY_FINISH_THEN_ACK = "retry finish, then ack"
RETRY_FINISH_THEN_HIDE = "retry finish, then hide"
WAIT = "wait"  # for the slot
RESERVED = "reserved"


def steps(config: Config, state: State, slot: int, process: Process) -> Iterator[Step]:
    """Yield the steps of the worker in a slot."""
    return _Worker(config, state, slot, process).steps()


@dataclass(frozen=True)
class _Worker:
    config: Config
    state: State
    slot: int
    process: Process

    @property
    def row(self) -> Row:
        return self.state.row

    def steps(self) -> Iterator[Step]:
        actions = {
            "got": self._handle,
            retry_of("T3"): self._retry_claim,
            "run": self._run,
            RETRY_FINISH_THEN_ACK: lambda: self._retry_finish("ack"),
            RETRY_FINISH_THEN_HIDE: lambda: self._retry_finish("hide"),
            "T7": lambda: self._end_unheld("T7", "FAILED"),
            "T16": lambda: self._end_unheld("T16", "CANCELLED"),
            "T15": self._end_stopped,
            RESERVED: self._use_slot,
            retry_of("T13"): self._retry_reschedule,
            WAIT: self._wait_for_slot,
            "ack": self._acknowledge,
            "hide": self._hide,
            "respond": self._respond,
        }
        if self.process.pc == "idle":
            yield from self._receive()
            return
        yield from actions[self.process.pc]()
        if self.state.faults:
            yield from self._fail()

    def _receive(self) -> Iterator[Step]:
        for first in sorted(set(self._visible(self.state))):
            state = remove_message(self.state, first)
            process = Process("got", self._count(first))
            yield self._step("worker receives", process, state)
            for message in self._visible(state)[: self.config.batch - 1]:
                state = remove_message(state, message)
                process = process._replace(rest=(*process.rest, self._count(message)))
                yield self._step("worker receives a batch", process, state)

    def _count(self, message: Message) -> int:
        """Return the receives of a message that is received; they do not matter without a limit."""
        return message.receives + 1 if self.config.max_receives else 1

    def _visible(self, state: State) -> list[Message]:
        limit = self.config.max_receives or math.inf
        return [
            message
            for message in state.messages
            if message.visibility == VISIBLE and message.receives < limit
        ]

    def _handle(self) -> Iterator[Step]:
        if self.config.task != "known":
            yield self._keep("worker doesn't know the task", HIDDEN)
        elif condition_holds(self.config, "T3", self.row, self.process):
            yield from self._claim()
        else:
            yield from self._meet_refusal()
        if self.process.acked:
            yield self._keep("worker has no time left for the message", VISIBLE)

    def _claim(self) -> Iterator[Step]:
        slot = "used" if self.config.slots else ""
        claimed = self.row._replace(
            status="RUNNING", attempts=self.row.attempts + 1, lease="live", slot=slot
        )
        running = self.process._replace(pc="run", leased=True, latest=True, slot="")
        for step in self._try_write("worker claims (T3)", "T3", running, claimed, retry_of("T3")):
            state = step.state
            broken = None
            if step.kind == "step":
                state, broken = start_run(self.config, state)
            yield step._replace(state=state, broken=step.broken or broken)

    def _retry_claim(self) -> Iterator[Step]:
        """Retry a claim in the SDK; its `lease_until < :now` has the time of the first try."""
        if self.process.mine:
            running = put(self.state, ROLE, self.slot, self.process._replace(pc="run"))
            state, broken = start_run(self.config, running)
            yield Step("hidden retry: the claim was mine", "step", state, broken)
        elif self.row.status == "PENDING" and condition_holds(
            self.config, "T3", self.row, self.process
        ):
            yield from self._claim()
        else:
            yield from self._meet_refusal()

    def _meet_refusal(self) -> Iterator[Step]:
        row = self.row
        if row.status in LIVE and row.run_at == "near":
            yield self._keep("worker's clock is a moment behind", HIDDEN)
        if row.status not in LIVE or row.run_at:
            yield self._go("worker meets a final row, no row or run_at ahead", "ack")
        elif row.lease == "live":
            yield self._keep("worker meets a live lease", WAITS_FOR_LEASE)
        elif row.stop:
            process = self.process._replace(pc="T16", mine=True)
            yield self._step("worker meets a stopped order", process)
        elif row.attempts >= self.config.max_attempts or row.too_old:
            process = self.process._replace(pc="T7", mine=True)
            yield self._step("worker meets a terminal error", process)
        elif self._needs_slot():
            yield from self._take_slot()
        else:
            yield self._keep("worker's claim was refused by a lease that is over", VISIBLE)

    def _needs_slot(self) -> bool:
        waits = self.row.status == "PENDING" and self.row.attempts == 0
        return bool(self.config.slots) and waits and self.row.slot not in ("open", "used")

    def _take_slot(self) -> Iterator[Step]:
        """Wait for the order's slot, or reserve another if it has none or is late."""
        if self.row.slot in AHEAD:
            yield self._go("worker meets a slot ahead", self._after_slot(self.row.slot))
            return
        for slot in self.config.slots:
            process = self.process._replace(pc=RESERVED, slot=slot, mine=True)
            yield self._step(f"worker reserves a slot: {slot}", process)

    def _use_slot(self) -> Iterator[Step]:
        """Claim the order in the slot that is now, or write the slot that is ahead (T13)."""
        slot = self.process.slot
        refused = self._keep("worker's slot is late or its write is refused", VISIBLE)
        if slot in AHEAD and condition_holds(self.config, "T13", self.row, self.process):
            row = self.row._replace(slot=slot)
            check_at = "before_run_at" if slot == "far" else next_check(row)
            row = row._replace(check_at=check_at)
            after = self.process._replace(pc=self._after_slot(slot), slot="")
            label = f"worker reschedules it (T13): {slot}"
            yield from self._try_write(label, "T13", after, row, retry_of("T13"))
        elif slot == "open" and self._may_claim_with_slot():
            yield from self._claim()
        else:
            yield refused

    def _may_claim_with_slot(self) -> bool:
        row = self.row._replace(slot="open")
        return self.process.mine and condition_holds(self.config, "T3", row, self.process)

    def _after_slot(self, slot: str) -> str:
        return "ack" if slot == "far" else WAIT

    def _retry_reschedule(self) -> Iterator[Step]:
        if self.process.mine:
            yield self._go("hidden retry of T13", self._after_slot(self.row.slot))
        else:
            yield self._keep("hidden retry of T13 is refused", VISIBLE)

    def _wait_for_slot(self) -> Iterator[Step]:
        yield self._keep("worker hides the message until the slot", SCHEDULED)

    def _run(self) -> Iterator[Step]:
        config, row = self.config, self.row
        allowed = {
            transition
            for transition in ("T4", "T5", "T6", "T12", "T15")
            if condition_holds(config, transition, row, self.process)
        }
        if config.progress and "T12" in allowed:
            state, broken = write(config, self.state, "T12", ROLE, self.slot, self.process, row)
            yield Step("worker reports progress (T12)", "step", state, broken)
        done = self.process._replace(pc="ack", leased=False)
        if row.stop and "T15" in allowed:  # its task hears of it, or its put back is refused
            yield self._go("worker is to stop", "T15")
        if not allowed & {"T4", "T5", "T6"}:
            yield self._step("worker's finish is refused", done)
        for transition, status in (("T4", "SUCCESS"), ("T6", "FAILED")):
            if transition in allowed:
                label = f"worker finishes: {status} ({transition})"
                ended = end_order(row, status)
                yield from self._try_write(label, transition, done, ended, RETRY_FINISH_THEN_ACK)
        if row.attempts < config.max_attempts and "T5" in allowed:
            lease = row.lease if config.mutation == "T5 keeps lease_until" else ""
            pending = row._replace(status="PENDING", check_at=next_check(row), lease=lease)
            hiding = done._replace(pc="hide")
            label = "worker puts it back (T5)"
            yield from self._try_write(label, "T5", hiding, pending, RETRY_FINISH_THEN_HIDE)
            yield from self._put_back_for_long(done, pending)

    def _put_back_for_long(self, done: Process, pending: Row) -> Iterator[Step]:
        """Put the order back for a long backoff: its message is acknowledged (T5).

        The sweeper may send another at once if the backoff is near, and else before run_at.
        """
        for backoff in self.config.backoffs:
            check_at = {"near": "overdue", "far": "before_run_at"}[backoff]
            run_at = "" if self.config.mutation == "T5 forgets run_at" else backoff
            waiting = pending._replace(run_at=run_at, backoff=True, check_at=check_at)
            label = f"worker puts it back for long (T5): {backoff}"
            yield from self._try_write(label, "T5", done, waiting, RETRY_FINISH_THEN_ACK)

    def _retry_finish(self, pc: str) -> Iterator[Step]:
        yield self._go("hidden retry of a finish", pc if self.process.mine else "ack")

    def _end_stopped(self) -> Iterator[Step]:
        done = self.process._replace(pc="ack", leased=False)
        if condition_holds(self.config, "T15", self.row, self.process):
            ended = end_order(self.row, "CANCELLED")
            label = "worker ends it as stopped (T15)"
            yield from self._try_write(label, "T15", done, ended, RETRY_FINISH_THEN_ACK)
        else:
            yield self._step("worker's T15 is refused", done)

    def _end_unheld(self, transition: str, status: str) -> Iterator[Step]:
        done = self.process._replace(pc="ack")
        if condition_holds(self.config, transition, self.row, self.process):
            label = f"worker ends it: {status} ({transition})"
            yield from self._try_write(label, transition, done, end_order(self.row, status))
        else:
            yield self._go(f"worker's {transition} is refused", "ack")

    def _acknowledge(self) -> Iterator[Step]:
        """Finish with a message; Lambda deletes it only after the response for the whole batch."""
        acked = (*self.process.acked, self.process.receives)
        yield Step("worker is done with the message", "step", self._next(self.state, acked))

    def _hide(self) -> Iterator[Step]:
        yield self._keep("worker hides the message for the backoff", HIDDEN)

    def _respond(self) -> Iterator[Step]:
        yield self._step("worker responds: what is done is deleted", IDLE)

    def _fail(self) -> Iterator[Step]:
        """Crash, or lose a call to AWS, which keeps the message; the batch goes on."""
        process = self.process
        faults = self.state.faults - 1
        visibility = WAITS_FOR_LEASE if process.leased else HIDDEN
        crashed = put(self.state, ROLE, self.slot, IDLE)._replace(faults=faults)
        in_hand = (process.receives,) if process.receives else ()
        for receives in (*in_hand, *process.rest, *process.acked):
            crashed = add_message(crashed, self.config.messages, Message(visibility, receives))
        yield Step(f"worker crashes at {process.pc}", "fault", crashed)
        if process.pc in ("got", "run", "T7", "T15", "T16") and process.rest:
            kept = self._keep("AWS fault: the batch goes on", visibility)
            yield kept._replace(kind="fault", state=kept.state._replace(faults=faults))

    def _step(self, label: str, process: Process, state: State | None = None) -> Step:
        return Step(label, "step", put(state or self.state, ROLE, self.slot, process))

    def _go(self, label: str, pc: str) -> Step:
        return self._step(label, self.process._replace(pc=pc))

    def _try_write(
        self, label: str, transition: str, process: Process, row: Row, retry_pc: str = ""
    ) -> Iterator[Step]:
        return try_write(
            self.config, self.state, label, transition, ROLE, self.slot, process, row, retry_pc
        )

    def _keep(self, label: str, visibility: str) -> Step:
        """Keep the message: it is delivered again, whatever becomes of the rest of the batch."""
        message = Message(visibility, self.process.receives)
        after = self._next(self.state, self.process.acked)
        kept = add_message(after, self.config.messages, message)
        return Step(f"{label}: the message is kept", "step", kept)

    def _next(self, state: State, acked: tuple[int, ...]) -> State:
        """Go on to the next message of the batch, or to the response."""
        acked = tuple(sorted(acked))
        rest = self.process.rest
        process = Process("respond", acked=acked) if acked else IDLE
        if rest:
            process = Process("got", rest[0], rest=rest[1:], acked=acked)
        return put(state, ROLE, self.slot, process)
