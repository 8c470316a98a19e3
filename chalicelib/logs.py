"""Write one JSON line per event to standard output. Never an input, a result or a token; of a client only a hash.

`about` names what the lines of a block are about: the order, the message, the request that began it all.
"""

from __future__ import annotations

import hashlib
import json
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from chalicelib import config, metrics

Value = str | int | float | None
_about: ContextVar[dict[str, Value]] = ContextVar("about", default={})  # noqa: B039  it is replaced, never changed


def event(name: str, **members: Value) -> None:
    """Not through `logging`, whose records and handlers took an eighth of our code's CPU and had nothing to add."""
    with suppress(
        Exception
    ):  # no order fails for a log that is full, closed, or replaced by a task
        sys.stdout.write(_line(name, members) + "\n")


def fault(name: str, **members: Value) -> None:
    """An error that nobody expected, with its traceback."""
    event(name, **members, traceback=traceback.format_exc())


@contextmanager
def about(**members: Value) -> Iterator[None]:
    """Every line of the block has these members too."""
    before = _about.set({**_about.get(), **members})
    try:
        yield
    finally:
        _about.reset(before)


def request_id() -> str | None:
    """The id of the HTTP request that all this is done for, if there was one."""
    found = _about.get().get("request")
    return str(found) if found else None


def hashed(owner: str) -> str:
    """A client as lines name it: the same for the same client, and no name."""
    return hashlib.sha256(owner.encode()).hexdigest()[:12]


def _line(name: str, members: dict[str, Value]) -> str:
    told = {**_about.get(), **members}
    return json.dumps(
        {"event": name, **told, **metrics.members(name, told, config.settings().stack)}
    )
