"""How many messages a sweep may resend in each lane, so that it does not multiply a backlog."""

from __future__ import annotations

from chalicelib import clock, config, logs, queue
from chalicelib.dispatch import QUEUED
from chalicelib.errors import Unavailable
from chalicelib.table import by_due

# Messages that may still be resent, by lane; a lane that is not there has no limit
Budgets = dict[str, float]
UNREACHABLE = float("-inf")  # the budget of a lane whose queue can't be asked
MIN_RESEND_BUDGET = 100  # may always be resent, even if some turn out to be duplicates
MAX_RESENT = 50_000  # more than one sweep can send
# With more waiting messages the workers have enough to do, so the overdue orders are not counted
MAX_WAITING = 100_000


def of_lanes() -> Budgets:
    """Return how many messages may be resent in each lane: the overdue orders less the messages.

    When workers are merely slow, most overdue orders still have a message in the queue. A lane
    without a waiting message has no limit, and no budget.
    """
    budgets: Budgets = {}
    waiting: dict[str, int] = {}
    for lane in config.settings().timeouts:
        try:
            waiting[lane] = queue.depth(lane)
        except Unavailable as error:  # a queue that is gone does not stop the other lanes
            logs.event("aws_unavailable", reason=str(error))
            budgets[lane] = UNREACHABLE
    if not any(waiting.values()):
        return budgets
    # The overdue orders are those of all lanes, and so are the messages that most of them have
    rest = _overdue_beyond(sum(waiting.values()))
    for lane, count in waiting.items():
        if count:
            budgets[lane] = max(MIN_RESEND_BUDGET - count, rest)
    return budgets


def _overdue_beyond(waiting: int) -> int:
    """Return how many more orders are overdue than messages wait; count no more than is needed."""
    if waiting > MAX_WAITING:
        return 0
    overdue = by_due.count(by_due.shards(QUEUED), clock.now(), most=waiting + MAX_RESENT)
    return overdue - waiting
