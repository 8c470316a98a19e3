"""Write the transition that starts another retry round of an order."""

from __future__ import annotations

from chalicelib import clock, orders
from chalicelib.clock import Micros
from chalicelib.dispatch import Dispatch
from chalicelib.orders import End, Order
from chalicelib.table.conditional_write import update
from chalicelib.table.items import Values

MAX_PAST_ENDS = 20
_OF_THE_ROUND = ("slot_at", "stop_at", "expires_at", "lease_until", "runnable_since")
_OUTCOME = ("result", "result_file", "error", "progress")


def retry(
    current: Order,
    dispatch: Dispatch,
    waits_for: frozenset[str] = frozenset(),
    deliveries: frozenset[str] = frozenset(),
) -> Order:
    """Start another retry round, in which the order may have to wait for others again.

    `current` is the row as it was read, with the run_at that the order is to have.
    `deliveries` are the ids of the orders that will tell of its end. Raises ConditionFailed if the
    order is no longer FAILED or CANCELLED in its current round.
    """
    now = clock.now()
    released = () if waits_for else ("waits_for",)
    added = {":deliveries": deliveries} if deliveries else {}
    return update(
        current.key,
        orders.RETRY,
        now,
        "retry_round = :retry_round AND expires_at > :now_s",
        {":retry_round": current.retry_round, ":now_s": now // clock.SECOND, **added},
        sets={
            "attempts": 0,
            "requeue_count": 0,
            "retry_round": current.retry_round + 1,
            "round_started_at": now,
            "check_at": dispatch.check_at,
            "check_shard": dispatch.check_shard,
            "history": list(current.history[-orders.MAX_HISTORY :]),
            **_wait(current, waits_for, now),
            **_past_ends(current, deliveries),
        },
        # In its old slot, another attempt could start in the same minute
        removes=(*_OF_THE_ROUND, *_OUTCOME, *released),
        clause=" ADD dependents :deliveries" if deliveries else "",
    )


def _wait(current: Order, waits_for: frozenset[str], now: Micros) -> Values:
    """Return when the order may run, and for which others it waits."""
    if waits_for:
        return {"waits_for": waits_for, "run_at": orders.UNKNOWN}
    # It may have been cancelled while it waited, for other orders or in a backoff
    if current.after or current.runnable_since:
        return {"run_at": current.run_at or now}
    return {"run_at": current.run_at} if current.run_at else {}


def _past_ends(current: Order, deliveries: frozenset[str]) -> Values:
    """Return how this round ended, for its delivery, which may be late."""
    if not current.dependents and not deliveries:
        return {}
    end = End(current.retry_round, current.status.value, current.updated_at)
    return {"past_ends": [*(current.past_ends or ()), end][-MAX_PAST_ENDS:]}
