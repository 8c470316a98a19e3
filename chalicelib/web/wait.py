"""`Prefer: wait=N` (RFC 7240): the answer is held back until there is something to tell, for N seconds at most.

The function that waits is billed and takes one of the account's concurrent ones, so MAX_WAIT_S caps N; 0 turns it off.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from chalicelib import config, orders
from chalicelib.errors import Unavailable
from chalicelib.orders import Order
from chalicelib.web.http import Request

sleep = time.sleep  # a test's clock takes its place
_FIRST_S = (0.1, 0.2, 0.4, 0.6)
_WHOLE_S, _STEP_S = 1.0, 0.5
_REST = 4  # times as long as the last read took, at least, until the next


def wanted_s(request: Request) -> int:
    """How long the client would wait, as far as we honour it; 0: not at all. The first `wait` counts."""
    for preference in request.headers.get("prefer", "").split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            text = value.strip().strip('"')
            return (
                min(int(text[:9]), config.settings().max_wait_s)
                if text.isascii() and text.isdigit()
                else 0
            )
    return 0


def applied(wait_s: int) -> dict[str, str]:
    return {"Preference-Applied": f"wait={wait_s}"} if wait_s else {}


def until(
    over: Callable[[Order], bool],
    order: Order,
    read: Callable[[], Order | None],
    wait_s: int,
    reads: int = 0,
) -> Order | None:
    """The order as soon as that is `over`, or as it is after so many seconds. None if it is gone by then.

    `reads`: how often it was read already, for this answer. If AWS fails meanwhile, what was last seen is the answer:
    the order is there, and the client asks again.
    """
    began, seen, read_s = orders.now(), order, 0.0
    for moment_s in _moments(wait_s, reads):
        if over(seen):
            break
        elapsed_s = _seconds_since(began)
        pause_s = moment_s - elapsed_s
        # Where reads are slow we are one of many who wait: read less often, but not after the end
        if pause_s < max(0.0, min(_REST * read_s, wait_s - elapsed_s)):
            continue
        sleep(pause_s)
        read_at = orders.now()
        try:
            found = read()
        except Unavailable:
            break
        if found is None:
            return None
        seen, read_s = found, _seconds_since(read_at)
    return seen


def _seconds_since(moment: int) -> float:
    return (orders.now() - moment) / orders.SECOND


def _moments(wait_s: int, reads: int) -> Iterator[float]:
    """When to read, in seconds from the start: often at first, since most orders are short."""
    yield from _FIRST_S[reads:] if wait_s else ()  # four reads in a second at most
    moment_s = _WHOLE_S
    while moment_s <= wait_s:
        yield moment_s
        moment_s += _STEP_S
