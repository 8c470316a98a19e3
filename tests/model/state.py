"""The state of the model: one order, its messages, and every function that may touch it.

Times have no values: a timer is set, then it has passed. Fencing tokens have none either: `mine` is
true of the process that last read or wrote the row, until another process writes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from chalicelib.orders import FINAL as FINAL_STATUSES
from chalicelib.orders import OPEN

LIVE = frozenset(status.value for status in OPEN)
FINAL = frozenset(status.value for status in FINAL_STATUSES)
DUE = ("due", "overdue")  # check_at has passed; it passed an hour ago
AHEAD = ("near", "far")  # of run_at or a slot: within the longest delay of SQS, or beyond it
MAX_ROUNDS = 2  # the last retry round; they count from 0

# Message.visibility; plain strings, since states are hashed and sorted millions of times
VISIBLE = "visible"
HIDDEN = "hidden"  # for a while
SCHEDULED = "scheduled"  # hidden until run_at or the slot
WAITS_FOR_LEASE = "waits_for_lease"  # hidden until the lease is over
DEAD = "dead"  # in the dead-letter queue


class Row(NamedTuple):
    """The order's row in the table; without a status there is no row.

    `check_at` is "" (absent), "set" (may pass at any time), "after_run_at" (RESEND_AFTER_S
    later), "before_run_at" (run_at - 898 s), or one of DUE.
    """

    status: str = ""
    attempts: int = 0
    retry_round: int = 0
    lease: str = ""  # "", live, over
    check_at: str = ""
    run_at: str = ""  # "": absent or past; near: within the longest delay of SQS; far
    backoff: bool = False  # a long backoff is not over; run_at is its end
    too_old: bool = False  # MAX_AGE_S has passed
    expires: str = ""  # "", set, past
    stop: bool = False  # its owner asked to stop it
    slot: str = ""  # "": none; near, far; open: now; late; used: a first attempt was claimed in it


class Message(NamedTuple):
    """A message of the order, in the queue or in the dead-letter queue."""

    visibility: str
    receives: int = 0


class Process(NamedTuple):
    """A running function, or a slot in which none runs."""

    pc: str = "idle"  # the program counter: its next step
    receives: int = 0  # of the message that it handles
    retry_round: int = 0  # that a request of a client read
    mine: bool = False  # the row's fencing token is the one that it read or wrote
    leased: bool = False  # it runs the task under the row's live lease
    latest: bool = False  # no other worker has claimed since
    rest: tuple[int, ...] = ()  # receives of the batch's messages that wait
    acked: tuple[int, ...] = ()  # receives of those that its response will acknowledge
    slot: str = ""  # that it has reserved (open, near, far, late), or until which it will send

    @property
    def message_count(self) -> int:
        return (self.receives > 0) + len(self.rest) + len(self.acked)


class State(NamedTuple):
    """Everything: the row, the messages, the processes of each role, and what is still allowed.

    `ran`, `used_keys` and `cancelled` are history, which only the safety properties read. They are
    bit sets: of the runs (round, attempt), of the rounds of replaced orders, of cancelled rounds.
    """

    row: Row
    messages: tuple[Message, ...]
    workers: tuple[Process, ...]
    sweepers: tuple[Process, ...]
    dead_letters: tuple[Process, ...]
    services: tuple[Process, ...]
    faults: int  # that may still happen
    requests: tuple[int, ...]  # place, cancel, retry, stop: that the client may still send
    ran: int = 0
    used_keys: int = 0
    cancelled: int = 0


class Step(NamedTuple):
    """A step to another state; `kind` is step, time, fault or request, `broken` a property."""

    label: str
    kind: str
    state: State
    broken: str | None = None


IDLE = Process()
ROLES = ("workers", "sweepers", "dead_letters", "services")


def with_slots(state: State, role: str, slots: Iterable[Process]) -> State:
    """Replace the slots of a role; they are sorted, since their order has no meaning."""
    changes: dict[str, Any] = {role: tuple(sorted(slots))}
    return state._replace(**changes)


def put(state: State, role: str, slot: int, process: Process) -> State:
    """Put a process into a slot of a role."""
    slots = list(getattr(state, role))
    slots[slot] = process
    return with_slots(state, role, slots)


def add_message(state: State, limit: int, message: Message) -> State:
    """Add a message; at the limit, another one like the others would change nothing."""
    held = sum(process.message_count for process in state.workers)
    held += sum(process.receives > 0 for process in state.dead_letters)
    if len(state.messages) + held >= limit:
        return state
    return state._replace(messages=tuple(sorted((*state.messages, message))))


def remove_message(state: State, message: Message) -> State:
    index = state.messages.index(message)
    return state._replace(messages=state.messages[:index] + state.messages[index + 1 :])


def end_order(row: Row, status: str) -> Row:
    """Apply what every transition to a final status does."""
    return row._replace(status=status, check_at="", lease="", expires="set", too_old=False)


def slot_ahead(row: Row) -> str:
    """Return how far ahead the slot is: "", near or far."""
    return row.slot if row.slot in AHEAD else ""


def ahead(row: Row) -> str:
    """Return how far ahead run_at or the slot is: "", near or far."""
    return row.run_at or slot_ahead(row)


def next_check(row: Row) -> str:
    """Return the check_at of an order that is queued: some time after now, run_at and the slot."""
    return "after_run_at" if ahead(row) else "set"


def retry_of(transition: str) -> str:
    """Return the program counter of the SDK's hidden retry, after a write's response was lost."""
    return f"retry {transition}"
