"""Times in requests and responses: RFC 3339 texts, and when to poll again."""

from __future__ import annotations

import functools
import re
from datetime import datetime, timedelta, timezone
from time import gmtime, strftime
from typing import Any, overload

from chalicelib.clock import SECOND, ceil_div
from chalicelib.orders import Order

RFC3339_FORM = "expected a date, T, a time, and Z or an offset"
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_MAX_RETRY_AFTER_S = 30


def retry_after_s(order: Order, now: int) -> int:
    """Return after how many seconds to poll again: the older the order, the later (1, 2, 4 ... 30).

    A delayed order's age counts from its run_at or its slot, which a long backoff moves; before
    that, poll at most every 30 seconds.
    """
    start = max(order.began_at, order.run_at or 0, order.slot_at or 0)
    if order.waiting:
        start = order.created_at
    ahead_s = ceil_div(start - now, SECOND)
    if ahead_s > 0:
        return min(_MAX_RETRY_AFTER_S, ahead_s)
    return min(_MAX_RETRY_AFTER_S, 1 << (1 - ahead_s).bit_length() - 1)


def next_start(order: Order) -> int | None:
    """Return the earliest time of an order's first attempt, or of the one after a long backoff.

    None: it may start at once, or that time is not known yet.
    """
    if order.runnable_since:
        return order.run_at
    return order.slot_at or (None if order.when else order.run_at)


@overload
def time_text(time: int) -> str: ...
@overload
def time_text(time: int | None) -> str | None: ...


def time_text(time: int | None) -> str | None:
    """Return a time in microseconds since 1970 as RFC 3339 in UTC."""
    if time is None:
        return None
    seconds, micros = divmod(time, SECOND)
    return f"{_second_text(seconds)}.{micros:06d}Z"


@functools.lru_cache(maxsize=128)
def _second_text(seconds: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(seconds))


def time_of(text: Any) -> int:
    """Return an RFC 3339 time as microseconds since 1970. Raises ValueError with the reason."""
    if not isinstance(text, str) or not _RFC3339.fullmatch(text):
        raise ValueError(RFC3339_FORM)
    local = datetime.fromisoformat(
        re.sub("[zZ]$", "+00:00", text[:10] + "T" + _six_digits(text[11:]))
    )
    try:
        moment = local.astimezone(timezone.utc)
    except OverflowError:
        raise ValueError("its year in UTC must be from 1 to 9999") from None
    return int((moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) / timedelta(microseconds=1))


def _six_digits(time: str) -> str:
    """Give the fraction of a second six digits, as Python 3.10 requires."""
    return re.sub(r"\.(\d+)", lambda fraction: f".{fraction[1][:6]:0<6}", time)
