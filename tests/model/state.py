"""One order and everything that may touch it, without numbers: a timer is set, then over.

Tokens have no value either: whoever read or wrote the row last is `mine`, until somebody else writes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from chalicelib.orders import FINAL as FINAL_STATUSES
from chalicelib.orders import OPEN

LIVE = frozenset(status.value for status in OPEN)
FINAL = frozenset(status.value for status in FINAL_STATUSES)
DUE = ("due", "long")  # over; over by an hour
MAX_ROUNDS = 2  # they count from 0


class Row(NamedTuple):
    """The order's row. No status: there is none."""

    status: str = ""
    attempts: int = 0
    retry_round: int = 0
    lease: str = ""  # "", live, over
    due: str = ""  # "", set: over at any time, after: run_at + GRACE, later: run_at - 898 s, and those of DUE
    run_at: str = ""  # "": absent or past, near: within SQS's longest delay, far
    old: bool = False  # GIVE_UP has passed
    expires: str = ""  # "", set, past


class Proc(NamedTuple):
    """One function that runs, or a slot where none does."""

    pc: str = "idle"
    n: int = 0  # receives of the message in hand; at an intake the round that it saw
    mine: bool = False  # the row's fence is the one it saw or wrote
    leased: bool = False  # it runs the task under the row's live lease
    latest: bool = False  # nobody claimed after it did
    rest: tuple[
        int, ...
    ] = ()  # its batch's messages that wait, and those that it will acknowledge with its answer
    acked: tuple[int, ...] = ()

    @property
    def messages(self) -> int:
        return (self.n > 0) + len(self.rest) + len(self.acked)


class State(NamedTuple):
    """Everything. A message is (place, receives): v visible, h hidden a while, w hidden until the lease is over,
    l hidden until run_at, D dead. `ran`, `keys`, `cancelled`: what a bystander remembers."""

    row: Row
    messages: tuple[tuple[str, int], ...]
    workers: tuple[Proc, ...]
    sweepers: tuple[Proc, ...]
    dead: tuple[Proc, ...]
    intakes: tuple[Proc, ...]
    faults: int  # that may still strike
    presses: tuple[int, int, int]  # place, cancel, retry: that the client may still do
    ran: int = 0
    keys: int = 0
    cancelled: int = 0


class Step(NamedTuple):
    """`kind`: step, time, fault or press. `broken`: the property that this very step breaks."""

    label: str
    kind: str
    state: State
    broken: str | None = None


IDLE = Proc()
ROLES = ("workers", "sweepers", "dead", "intakes")


def with_slots(s: State, role: str, slots: Iterable[Proc]) -> State:
    """Slots are alike, so they are kept sorted."""
    changes: dict[str, Any] = {role: tuple(sorted(slots))}
    return s._replace(**changes)


def put(s: State, role: str, i: int, p: Proc) -> State:
    """Slot i of a role becomes p."""
    slots = list(getattr(s, role))
    slots[i] = p
    return with_slots(s, role, slots)


def add(s: State, bound: int, place: str, receives: int = 0) -> State:
    """A message more; beyond the bound one more of the same changes nothing."""
    held = sum(p.messages for p in s.workers) + sum(p.n > 0 for p in s.dead)
    if len(s.messages) + held >= bound:
        return s
    return s._replace(messages=tuple(sorted((*s.messages, (place, receives)))))


def drop(s: State, message: tuple[str, int]) -> State:
    i = s.messages.index(message)
    return s._replace(messages=s.messages[:i] + s.messages[i + 1 :])


def ended(row: Row, status: str) -> Row:
    """What every transition to a final status does: writes.end."""
    return row._replace(status=status, due="", lease="", expires="set", old=False)


def timer(row: Row) -> str:
    """check_at = max(now, run_at) + something."""
    return "after" if row.run_at else "set"
