"""The time, in microseconds."""

from __future__ import annotations

from time import time_ns  # bound here: a task may leave time.time_ns patched

Micros = int
"""A number of microseconds: a duration, or a time since 1970 UTC."""
SECOND: Micros = 1_000_000


def now() -> Micros:
    """Return the current time."""
    return time_ns() // 1000


def ceil_div(dividend: int, divisor: int) -> int:
    """Return the quotient, rounded up."""
    return -(-dividend // divisor)
