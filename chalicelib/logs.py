"""Write one JSON line per event to standard output.

No line contains an input, a result or a token, and an owner appears only as a hash. `bound` adds
members to every line of a block: the order, the message, the HTTP request that caused the work.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

import msgspec

from chalicelib import config, metrics

Value = str | int | float | None
_bound: ContextVar[dict[str, Value]] = ContextVar(
    "bound",
    default={},  # noqa: B039  replaced as a whole, never changed in place
)


def event(name: str, **members: Value) -> None:
    """Write an event's line.

    `logging` is not used: its records and handlers cost CPU and add nothing that we need.
    """
    # A full or closed standard output, or one that a task replaced, must not fail an order
    with suppress(Exception):
        sys.stdout.write(_line(name, members) + "\n")


def exception(name: str, **members: Value) -> None:
    """Write an event with the traceback of the unexpected exception that is being handled."""
    event(name, **members, traceback=traceback.format_exc())


@contextmanager
def bound(**members: Value) -> Iterator[None]:
    """Add these members to every line that the block writes."""
    token = _bound.set({**_bound.get(), **members})
    try:
        yield
    finally:
        _bound.reset(token)


def request_id() -> str | None:
    """Return the id of the HTTP request that caused the current work, or None if there was none."""
    request = _bound.get().get("request")
    return str(request) if request else None


@functools.lru_cache(maxsize=1024)
def hashed(owner: str) -> str:
    """Return the name of an owner in log lines: a hash, equal for equal owners."""
    return hashlib.sha256(owner.encode()).hexdigest()[:12]


def _line(name: str, members: dict[str, Value]) -> str:
    line = {"event": name, **_bound.get(), **members}
    line |= metrics.members(name, line, config.settings().stack)
    with suppress(UnicodeEncodeError):  # a lone surrogate
        text = msgspec.json.encode(line).decode()
        if text.isascii():
            return text
    return json.dumps(line)  # escapes what is not ASCII: the output may have another encoding
