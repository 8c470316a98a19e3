"""An order and its life: its fields, its statuses and the only ways from one to the next. Pure: no AWS, no HTTP.

Every time is a whole number of microseconds since 1970 UTC, but `expires_at`: DynamoDB's TTL wants seconds.
"""

from __future__ import annotations

import hashlib
import secrets
import zlib
from dataclasses import dataclass
from enum import Enum
from time import time_ns  # bound here: a task may leave time.time_ns patched
from typing import Any

SECOND = 1_000_000
MAX_HISTORY = 20
MAX_MESSAGE = 1000  # letters of an error that are kept
MAX_DELAY_S = 900  # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-delay-queues.html
CLOCK_SKEW_S = 2
QUEUED, SCHEDULED = (
    "queued",
    "scheduled",
)  # the due index's partitions: what was sent, and what is for later
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # https://www.crockford.com/base32.html


class Status(str, Enum):
    """Where an order stands; MEANING has a sentence for each."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        return self in FINAL


MEANING = {
    Status.PENDING: "Waiting for a worker; with attempts, for its next one.",
    Status.RUNNING: "Claimed: its task runs, until the lease is over.",
    Status.SUCCESS: "Its task returned; the result is recorded.",
    Status.FAILED: "It ended without a result; the error says why.",
    Status.CANCELLED: "Its client withdrew it before a worker claimed it.",
}
OPEN = (Status.PENDING, Status.RUNNING)
FINAL = (Status.SUCCESS, Status.FAILED, Status.CANCELLED)


@dataclass(frozen=True)
class Transition:
    """One row of the state machine: the statuses it leaves, and the one it leads to (None: it stays)."""

    label: str
    sources: tuple[Status, ...]
    target: Status | None


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
TRANSITIONS = (
    PLACE,
    CLAIM,
    SUCCEED,
    PUT_BACK,
    FAIL,
    GIVE_UP,
    CANCEL,
    RESEND,
    POSTPONE,
    RETRY,
    REPORT,
)


@dataclass(frozen=True)
class Order:
    """One request for work, as its row in the orders table. `input` and `result` are JSON text."""

    owner: str
    id: str
    task: str
    input: str
    status: Status
    created_at: int
    updated_at: int
    max_attempts: int
    fingerprint: str
    fence: str
    attempts: int = 0
    retry_round: int = 0
    requeue_count: int = 0
    version: int = 1
    round_started_at: int | None = None
    run_at: int | None = None
    lease_until: int | None = None
    check_at: int | None = None
    check_shard: str | None = None
    result: str | None = None
    error: dict[str, Any] | None = None
    history: tuple[dict[str, Any], ...] = ()
    progress: dict[str, Any] | None = None
    parent: str | None = None
    follow_ups: tuple[str, ...] = ()
    depth: int = 0
    expires_at: int | None = None

    @property
    def key(self) -> str:
        """The row key. The client in it comes from the access token alone, so nobody reaches another's order."""
        return key_of(self.owner, self.id)

    @property
    def began_at(self) -> int:
        """When this round could first run: what its age counts from."""
        return max(self.created_at, self.run_at or 0, self.round_started_at or 0)

    def held(self, now: int) -> bool:
        """Whether a worker's lease on it is live."""
        return self.lease_until is not None and self.lease_until >= now

    def expired(self, now: int) -> bool:
        """Gone to every reader, though DynamoDB may delete the row days later."""
        return self.expires_at is not None and self.expires_at * SECOND <= now


@dataclass(frozen=True)
class Dispatch:
    """When the sweeper should look at an order, and with which delay it is sent now; None: the sweeper sends it."""

    check_at: int
    check_shard: str
    delay_s: int | None


def dispatch(order_id: str, now: int, run_at: int | None, wait_s: int, shards: int) -> Dispatch:
    """How an order is sent, at once or for later. `wait_s`: how long after it could run the sweeper should look.

    SQS delays a message by at most 15 minutes; what is further ahead waits on the due index alone. A message may come
    early by the clocks' difference, so it is delayed a little more.
    """
    shard = zlib.crc32(order_id.encode()) % shards
    ahead = max(0, (run_at or 0) - now)
    delay_s = -(-ahead // SECOND) + CLOCK_SKEW_S if ahead else 0
    if delay_s > MAX_DELAY_S:
        return Dispatch(
            now + ahead - (MAX_DELAY_S - CLOCK_SKEW_S) * SECOND, f"{SCHEDULED}#{shard}", None
        )
    return Dispatch(now + ahead + wait_s * SECOND, f"{QUEUED}#{shard}", delay_s)


def failure(order: Order, code: str, message: str) -> dict[str, Any]:
    """An error as an order keeps it; its message bounded, and text that any JSON reader takes."""
    text = message.encode("utf-8", "replace").decode()[:MAX_MESSAGE]
    return {"code": code, "message": text, "attempt": order.attempts}


def terminal_error(order: Order, now: int, max_age_s: int) -> dict[str, Any] | None:
    """The error of an order that no attempt will mend any more, None for one that may still be mended."""
    if order.attempts >= order.max_attempts:
        return failure(
            order,
            "attempts_exhausted",
            f"the last of its {order.max_attempts} attempts did not report",
        )
    if now - order.began_at > max_age_s * SECOND:
        return failure(order, "gave_up", f"it could run for {max_age_s} s, and no worker ended it")
    return None


def now() -> int:
    return time_ns() // 1000


def new_fence() -> str:
    """The token of one write: it fences the row, and tells one's own write when the SDK hid a retry."""
    return secrets.token_hex(8)


def key_of(owner: str, order_id: str) -> str:
    return f"{owner}#{order_id}"


def new_id() -> str:
    return _base32(secrets.token_bytes(16))


def id_of(*parts: str) -> str:
    """An id that the same parts always give: an order's client and Idempotency-Key, say."""
    return _base32(hashlib.sha256("\0".join(parts).encode()).digest()[:16])


def _base32(digest: bytes) -> str:
    """128 bits as 26 characters that nobody confuses when reading them aloud."""
    number = int.from_bytes(digest, "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def is_id(text: str) -> bool:
    return len(text) == 26 and all(letter in _CROCKFORD for letter in text)
