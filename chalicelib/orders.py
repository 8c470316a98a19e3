"""The domain: an order, its statuses and the transitions between them. No AWS, no HTTP.

Every time is in microseconds (clock.Micros), except `expires_at`: DynamoDB's TTL needs seconds.
The values are msgspec's Structs, which cost a cold start less than frozen dataclasses.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from msgspec import Struct

from chalicelib import ids
from chalicelib.clock import SECOND, Micros

MAX_HISTORY = 20  # attempts to which an order's history is cut
BUILT_IN = "orderline."  # begins the name of each task of Orderline's own
MAX_MESSAGE = 1000  # characters of an error's message
CLOCK_SKEW_S = 2  # between SQS's clock and ours, and between two of ours
UNKNOWN: Micros = 253_370_764_800 * SECOND  # year 9999: run_at of an order that waits for others
START_WITHIN_S = 3  # of its slot, a first attempt; see table/slots.py


class Status(str, Enum):
    """The status of an order; MEANING describes each."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        """True if the order has ended: only a retry may follow."""
        return self in FINAL


MEANING = {
    Status.PENDING: "Waiting for its first attempt, or for the next one.",
    Status.RUNNING: "Claimed by a worker; its task runs until the lease ends.",
    Status.SUCCESS: "Its task returned; the result is recorded.",
    Status.FAILED: "It ended without a result; the error says why.",
    Status.CANCELLED: "Cancelled on request: before a worker claimed it, or stopped since.",
}
OPEN = (Status.PENDING, Status.RUNNING)
FINAL = (Status.SUCCESS, Status.FAILED, Status.CANCELLED)


class Transition(Struct, frozen=True):
    """A transition of the state machine."""

    label: str
    """Its number in the tables of the docs and the model."""
    sources: tuple[Status, ...]
    """The statuses that it may start from."""
    target: Status | None
    """The status that it leads to; None: the status stays."""


PLACE = Transition("T1", (), Status.PENDING)
CLAIM = Transition("T3", OPEN, Status.RUNNING)
SUCCEED = Transition("T4", (Status.RUNNING,), Status.SUCCESS)
PUT_BACK = Transition("T5", (Status.RUNNING,), Status.PENDING)
FAIL = Transition("T6", (Status.RUNNING,), Status.FAILED)
GIVE_UP = Transition("T7", OPEN, Status.FAILED)
CANCEL = Transition("T8", (Status.PENDING,), Status.CANCELLED)
RESEND = Transition("T9", OPEN, None)
POSTPONE = Transition("T10", OPEN, None)
RETRY = Transition("T11", (Status.FAILED, Status.CANCELLED), Status.PENDING)
REPORT = Transition("T12", (Status.RUNNING,), None)
RESCHEDULE = Transition("T13", (Status.PENDING,), None)
STOP = Transition("T14", (Status.RUNNING,), None)
END_STOPPED = Transition("T15", (Status.RUNNING,), Status.CANCELLED)
CANCEL_STOPPED = Transition("T16", OPEN, Status.CANCELLED)
JOIN = Transition("T17", OPEN, None)
RELEASE = Transition("T18", (Status.PENDING,), None)
READY = Transition("T19", (Status.PENDING,), None)
TRANSITIONS = tuple(each for each in list(globals().values()) if isinstance(each, Transition))


class Failure(Struct, frozen=True):
    """The outcome of an attempt that failed, and an order's error."""

    code: str
    """Kind of failure, such as `task_error` or `time_limit`."""
    message: str
    """Sentence for the order's owner, at most MAX_MESSAGE characters."""
    attempt: int
    """Number of attempts that had started in the retry round."""
    transient: bool = False
    """True if another attempt may succeed. Not stored: only the worker decides by it."""
    retry_after_s: int = 0
    """Shortest time until that attempt, in seconds. Not stored."""


class Attempt(Struct, frozen=True):
    """One attempt in an order's history."""

    start: Micros
    """Time of its claim."""
    end: Micros | None = None
    """Time of its end; None: it runs, or it crashed."""
    code: str | None = None
    """Code of its failure; None: it succeeded or has no end."""
    unknown: dict[str, Any] = {}
    """Members that only a newer version knows; a transition keeps them."""


class Progress(Struct, frozen=True):
    """The progress that a running task reports."""

    percent: int
    """How much is done, from 0 to 100."""
    word: str
    """What is being done, at most 100 characters; may be empty."""


class End(Struct, frozen=True):
    """The end of a retry round."""

    round: int
    """Its number."""
    status: str
    """The status that it ended with."""
    at: Micros
    """Time of the end."""


class Order(Struct, frozen=True):
    """A request to run a task, as its row in the orders table.

    Each description ends with the transitions that write the field.
    """

    owner: str
    """The tenant that the order belongs to. Set by place, from the access token."""
    id: str
    """Reference number, 26 characters. Set by place."""
    task: str
    """Name of the task to run. Set by place."""
    input: str
    """JSON text of the task's keyword arguments; empty if it is in a file. Set by place."""
    status: Status
    """Current status. Set by every transition that has a target."""
    created_at: Micros
    """Time of placing. Set by place."""
    updated_at: Micros
    """Time of the last write. Set by every transition."""
    max_attempts: int
    """Maximum number of attempts in a retry round. Set by place, from the task's declaration."""
    fingerprint: str
    """Hash of the request, to detect a reused idempotency key. Set by place."""
    fence: str
    """Fencing token: random. Set by every transition but report, stop and join."""
    attempts: int = 0
    """Attempts started in this retry round. Counted by claim, reset by retry."""
    retry_round: int = 0
    """Number of retries so far. Counted by retry."""
    requeue_count: int = 0
    """Requeues by the sweeper since the last claim.

    Counted by resend, reset by claim, retry and ready.
    """
    version: int = 1
    """Number of writes to the row. Counted by every transition."""
    round_started_at: Micros | None = None
    """Time of the last retry; None: never retried. Set by retry."""
    input_file: str | None = None
    """Id of the file with a large input; None: `input` has it. Set by place."""
    run_at: Micros | None = None
    """Earliest time of the next attempt; None: at once. Set by place, ready, retry and put back.

    UNKNOWN while the order waits for others.
    """
    runnable_since: Micros | None = None
    """What `began_at` was before a backoff moved `run_at`. Set by put back, removed by retry."""
    slot_at: Micros | None = None
    """The slot of a task with per_minute, for the first attempt; None: none yet, or no limit.

    Set by place, reschedule and claim, removed by retry.
    """
    lease_until: Micros | None = None
    """End of the worker's lease; None: not claimed. Set by claim, removed when the attempt ends."""
    check_at: Micros | None = None
    """Time of the sweeper's next check, or of the failure; None: it ended otherwise.

    Set as check_shard, and by stop.
    """
    check_shard: str | None = None
    """Partition of the due index; None: it ended, and did not fail.

    Set by place, put back, resend, postpone, retry, reschedule, ready, fail and give up.
    """
    result: str | None = None
    """JSON text of what the task returned. Set by succeed, removed by retry."""
    result_file: str | None = None
    """Id of the file with a large result; then `result` is None. Set and removed as `result`."""
    error: Failure | None = None
    """Last failure; None: none. Set by put back, fail and give up, removed by succeed and retry."""
    history: tuple[Attempt, ...] = ()
    """Latest attempts. Appended by claim, completed and cut at the attempt's end, cut by retry."""
    progress: Progress | None = None
    """Latest report; None: none. Set by report, removed by put back and retry."""
    stop_at: Micros | None = None
    """Time when its owner asked to stop it; None: not asked. Set by stop, removed by retry."""
    after: tuple[str, ...] | None = None
    """Ids of the orders that it starts after; None: of none. Set by place."""
    when: str | None = None
    """How those must end: `success`, or `end` for any end. Set by place with `after`."""
    waits_for: frozenset[str] = frozenset()
    """Those that it still waits for. Set by place and retry, reduced by release."""
    dependents: frozenset[str] = frozenset()
    """Ids of those that wait, or waited, for this one. Set by place, added to by join, retry."""
    notify: tuple[str, ...] | None = None
    """Names of the webhook endpoints that it asked to tell of its end. Set by place."""
    past_ends: tuple[End, ...] | None = None
    """Ends of the latest rounds before this one, if deliveries tell of them. Set by retry."""
    parent: str | None = None
    """Id of the order whose task placed this one; None: not a follow-up. Set by place."""
    follow_ups: tuple[str, ...] = ()
    """Ids of the orders that its task placed. Set at the end of an attempt."""
    depth: int = 0
    """Number of ancestors in the chain of follow-ups. Set by place."""
    expires_at: int | None = None
    """Time of deletion, in seconds since 1970. Set with a final status, removed by retry."""

    @property
    def key(self) -> str:
        """The row's key, whose owner comes from the access token alone."""
        return ids.key_of(self.owner, self.id)

    @property
    def began_at(self) -> Micros:
        """The time from which this retry round could run; its age counts from here."""
        first_run_at = max(self.created_at, self.run_at or 0, self.round_started_at or 0)
        return self.runnable_since or first_run_at

    def in_slot(self, now: Micros) -> bool:
        """Return True if the first attempt of a task with per_minute may start."""
        return self.slot_at is not None and start_of_slots(now) < self.slot_at <= now

    @property
    def stopping(self) -> bool:
        """True if no further attempt may start, and the running one is to end."""
        return self.stop_at is not None and not self.status.final

    @property
    def waiting(self) -> bool:
        """True while it waits for other orders to end."""
        return self.status is Status.PENDING and self.run_at == UNKNOWN

    def held(self, now: Micros) -> bool:
        """Return True if a worker's lease is in force."""
        return self.lease_until is not None and self.lease_until >= now

    def expired(self, now: Micros) -> bool:
        """Return True if readers must not see it any more; DynamoDB may delete it days later."""
        return self.expires_at is not None and self.expires_at * SECOND <= now


def start_of_slots(now: Micros) -> Micros:
    """Return the time after which a slot must lie that an attempt may use now."""
    return now - START_WITHIN_S * SECOND


def failure(
    order: Order, code: str, message: str, transient: bool = False, retry_after_s: int = 0
) -> Failure:
    """Build a failure of the order: its message shortened, and without lone surrogates."""
    text = message.encode("utf-8", "replace").decode()[:MAX_MESSAGE]
    return Failure(code, text, order.attempts, transient, retry_after_s)


def terminal_error(order: Order, now: Micros, max_age_s: int) -> Failure | None:
    """Return the final error of an order that is out of attempts or out of time, else None."""
    if order.attempts >= order.max_attempts:
        message = f"the last of its {order.max_attempts} attempts did not report"
        return failure(order, "attempts_exhausted", message)
    if now - order.began_at > max_age_s * SECOND:
        message = f"the order did not finish within {max_age_s} s (the setting MAX_AGE_S)"
        return failure(order, "gave_up", message)
    return None
