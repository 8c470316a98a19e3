"""`Prefer: wait=N` (RFC 7240): wait up to N seconds for news of an order before responding.

A waiting function is billed and uses the account's concurrency, so MAX_WAIT_S limits N; 0 disables
waiting.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from chalicelib import clock, config
from chalicelib.errors import Unavailable
from chalicelib.orders import Order
from chalicelib.web.http import Request

sleep = time.sleep  # replaced by the tests' clock
# When to read, in seconds from the start
_EARLY_READS_S = (0.1, 0.2, 0.4, 0.6)
_REGULAR_FROM_S = 1.0
_INTERVAL_S = 0.5
_PAUSE_FACTOR = 4  # pause at least this many times as long as the last read took


def requested_s(request: Request) -> int:
    """Return how many seconds to wait: the first `wait` of Prefer, up to MAX_WAIT_S, or 0."""
    for preference in request.headers.get("prefer", "").split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            text = value.strip().strip('"')
            if not (text.isascii() and text.isdigit()):
                return 0
            return min(int(text[:9]), config.settings().max_wait_s)
    return 0


def applied(wait_s: int) -> dict[str, str]:
    """Return the header that confirms the wait, or none without a wait."""
    return {"Preference-Applied": f"wait={wait_s}"} if wait_s else {}


def until(
    is_done: Callable[[Order], bool],
    order: Order,
    read: Callable[[], Order | None],
    wait_s: int,
    reads: int = 0,
) -> Order | None:
    """Return the order when `is_done` holds for it or the wait is over; None if it is gone.

    If AWS fails meanwhile, return the order as it was last read; the client will poll again.

    Args:
        is_done: ends the wait
        order: the order as it was last read
        read: returns the current order, or None if it is gone
        wait_s: the maximum time to wait, in seconds
        reads: how often the order was already read for this request
    """
    latest = order
    started = clock.now()
    read_s = 0.0
    for moment_s in _moments(wait_s, reads):
        if is_done(latest):
            break
        elapsed_s = _seconds_since(started)
        pause_s = moment_s - elapsed_s
        # Slow reads mean that many requests wait: read less often, but not after the wait's end
        if pause_s < max(0.0, min(_PAUSE_FACTOR * read_s, wait_s - elapsed_s)):
            continue
        sleep(pause_s)
        read_at = clock.now()
        try:
            current = read()
        except Unavailable:
            break
        if current is None:
            return None
        latest = current
        read_s = _seconds_since(read_at)
    return latest


def _seconds_since(moment: int) -> float:
    return (clock.now() - moment) / clock.SECOND


def _moments(wait_s: int, reads: int) -> Iterator[float]:
    """Yield when to read, in seconds from the start: often at first, as most orders are short."""
    if wait_s:
        yield from _EARLY_READS_S[reads:]  # at most four reads in the first second
    moment_s = _REGULAR_FROM_S
    while moment_s <= wait_s:
        yield moment_s
        moment_s += _INTERVAL_S
