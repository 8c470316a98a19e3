"""One JSON line an event on standard error. Never an input, a result or a token."""

from __future__ import annotations

import json
import logging

_log = logging.getLogger("chalicelib")  # not the app's name: Chalice takes that logger, and sets it to ERROR
_log.setLevel(logging.INFO)
_log.propagate = False  # Lambda's root handler would print each line again, in a format of its own
_log.addHandler(logging.StreamHandler())


def event(name: str, **members: str | int | float | None) -> None:
    _log.info("%s", json.dumps({"event": name, **members}))


def fault(name: str, **members: str | int | float | None) -> None:
    """An error that nobody expected, with its traceback."""
    _log.exception("%s", json.dumps({"event": name, **members}))
