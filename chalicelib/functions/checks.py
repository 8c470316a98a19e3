"""Check due orders: read them together, write each, and send their messages in tens.

For each order the row is written first, then its message is sent. A function that dies in between
delays the orders of one group for each thread, ten at most, until their next check.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from chalicelib import clock, config, ending, logs, orders
from chalicelib.dispatch import plan
from chalicelib.errors import ConditionFailed, Unavailable
from chalicelib.functions.budgets import Budgets
from chalicelib.orders import Order
from chalicelib.outbox import Outbox
from chalicelib.queue import MAX_BATCH
from chalicelib.table import batch_get, transitions
from chalicelib.tasks import lane_of

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

RESERVE_S = 5  # stop when the function has less time left; the rest waits for the next sweep
MAX_RESEND_S = 3600  # longest time between two checks of an order
# As many as the groups of a read. Outside Lambda there is one: moto is not atomic
THREADS = 10
T = TypeVar("T")


class SweepResult(Struct):
    """The result of a sweep.

    resent             messages sent, and orders checked that wait for others
    ended              orders that failed, out of attempts or out of time, or were stopped
    untouched          orders that changed before the sweeper could write
    largest_overdue_s  the age in seconds of the longest overdue check
    """

    resent: int = 0
    ended: int = 0
    untouched: int = 0
    largest_overdue_s: int = 0


def check(
    keys: Iterable[tuple[str, Budgets]], result: SweepResult, time_left_s: Callable[[], float]
) -> None:
    """Fail, cancel or resend up to a hundred orders, and add what was done to the result.

    Raises Unavailable after what could be done.

    Args:
        keys: row keys, each with the budgets from which its message is taken
        result: of the sweep
        time_left_s: seconds until Lambda ends the function
    """
    budgets = dict(keys)
    rows = batch_get.current(budgets)
    # In the order of the index: the longest overdue comes first
    due = [rows[key] for key in budgets if key in rows and _may_check(rows[key], budgets[key])]
    groups = [due[n : n + MAX_BATCH] for n in range(0, len(due), MAX_BATCH)]
    errors: list[Unavailable] = []  # one stops all groups
    for done in _map(lambda group: _check_group(group, time_left_s, errors), groups):
        result.resent += done.resent
        result.ended += done.ended
        result.untouched += done.untouched
    if errors:
        raise errors[0]


def _may_check(order: Order, budgets: Budgets) -> bool:
    """Return True if an order is still due, and may be resent or is to end; use up the budget."""
    now = clock.now()
    if order.status.final or order.held(now) or (order.check_at or 0) > now:
        return False
    if order.stopping or orders.terminal_error(order, now, config.settings().max_age_s):
        return True
    lane = lane_of(order.task)
    if budgets.get(lane, 1) <= 0:
        return False
    if lane in budgets:
        budgets[lane] -= 1
    return True


def _check_group(
    group: list[Order], time_left_s: Callable[[], float], errors: list[Unavailable]
) -> SweepResult:
    """Check a few orders, then send their messages. Return what was done; add what stopped it.

    It stops too once another group has added an error.
    """
    done = SweepResult()
    outbox = Outbox()
    for order in group:
        if time_left_s() < RESERVE_S:
            break
        if errors:
            break
        try:
            _check_order(order, done, outbox)
        except ConditionFailed:  # another sweeper, a worker or the owner was faster
            done.untouched += 1
        except Unavailable as error:
            errors.append(error)
            break
        except Exception:
            # It stays the longest overdue, so it must not stop the sweep of all others
            logs.exception("sweep_failed", key=order.key)
    outbox.flush()
    if outbox.failed:
        # Else each sweep would put off the next check of every order, without a message
        errors.append(Unavailable(f"{outbox.failed} messages were not sent"))
    return done


def _check_order(order: Order, done: SweepResult, outbox: Outbox) -> None:
    """Cancel, fail or resend an order. Raises ConditionFailed if it has changed."""
    now = clock.now()
    if order.stopping:
        ending.cancel_stopped(order)
        done.ended += 1
    elif error := orders.terminal_error(order, now, config.settings().max_age_s):
        ending.give_up(order, error)
        done.ended += 1
    else:
        _resend(order, outbox)
        done.resent += 1


def _resend(order: Order, outbox: Outbox) -> None:
    """Record the requeue, then send: a crash in between delays the order, but does not lose it."""
    wait_s = min(config.settings().resend_after_s * 2**order.requeue_count, MAX_RESEND_S)
    dispatch = plan(order.id, clock.now(), order.run_at, order.slot_at, wait_s)
    updated = transitions.resend(order, dispatch)
    if updated.waiting:
        ending.settle(updated)
    if dispatch.delay_s is not None:
        outbox.add(updated, dispatch.delay_s)


def _map(function: Callable[[list[Order]], T], groups: list[list[Order]]) -> Iterator[T]:
    """Call the function for each group, in Lambda by threads."""
    if not config.aws().in_lambda or len(groups) < 2:
        yield from map(function, groups)
        return
    yield from _threads(THREADS).map(function, groups)


@functools.cache
def _threads(number: int) -> ThreadPoolExecutor:
    """Return the process's threads: each keeps its connections to AWS, which are slow to open."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  slow to import

    return ThreadPoolExecutor(number)


def batches(entries: Iterable[T]) -> Iterator[list[T]]:
    """Yield the entries in as many as one read takes."""
    iterator = iter(entries)
    while batch := list(itertools.islice(iterator, batch_get.LIMIT)):
        yield batch
