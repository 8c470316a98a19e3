"""An order and its life: its fields, its statuses and the only ways from one to the next. Pure: no AWS, no HTTP.

Every time is a whole number of microseconds since 1970 UTC, but `expires_at`: DynamoDB's TTL wants seconds.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from enum import Enum
from typing import Any

SECOND = 1_000_000
MAX_HISTORY = 20
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
TRANSITIONS = (PLACE, CLAIM, SUCCEED, PUT_BACK, FAIL, GIVE_UP)


@dataclass(frozen=True)
class Order:
    """One request for work, as its row in the orders table. `input` and `result` are JSON text."""

    client: str
    id: str
    task: str
    input: str
    status: Status
    created_at: int
    updated_at: int
    max_attempts: int
    fingerprint: str
    writer: str
    attempts: int = 0
    rounds: int = 0
    resends: int = 0
    version: int = 1
    round_at: int | None = None
    run_at: int | None = None
    lease_until: int | None = None
    due_at: int | None = None
    due_shard: str | None = None
    result: str | None = None
    error: dict[str, Any] | None = None
    history: tuple[dict[str, Any], ...] = ()
    progress: dict[str, Any] | None = None
    expires_at: int | None = None

    @property
    def key(self) -> str:
        """The row key. The client in it comes from the access token alone, so nobody reaches another's order."""
        return f"{self.client}#{self.id}"

    def expired(self, now: int) -> bool:
        """Gone to every reader, though DynamoDB may delete the row days later."""
        return self.expires_at is not None and self.expires_at * SECOND <= now


def now() -> int:
    return time.time_ns() // 1000


def new_writer() -> str:
    """The token of one write: it fences the row, and tells one's own write when the SDK hid a retry."""
    return secrets.token_hex(8)


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
