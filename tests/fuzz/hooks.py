"""Correct the generated cases for what the description can't say.

A made-up cursor is refused, and so is an Idempotency-Key that was used for another request. So
valid cases are sent without a cursor, and with each key once; invalid cases stay as they are.
"""

from __future__ import annotations

from typing import Any

import schemathesis

_used_keys: set[str] = set()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    case.query.pop("cursor", None)
    key = case.headers.get("Idempotency-Key")
    if key is not None and key in _used_keys:
        case.headers.pop("Idempotency-Key")
    _used_keys.add(key)
