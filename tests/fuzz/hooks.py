"""What schemathesis can't know from the description: a made-up cursor is refused, and so is a key that was used before.

So a case that is meant to be valid goes without a cursor, and with an Idempotency-Key once. Invalid ones keep both.
"""

from __future__ import annotations

from typing import Any

import schemathesis

_used: set[str] = set()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    case.query.pop("cursor", None)
    key = case.headers.get("Idempotency-Key")
    if key is not None and key in _used:
        case.headers.pop("Idempotency-Key")
    _used.add(key)
