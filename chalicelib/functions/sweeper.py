"""The sweeper: requeue overdue orders, send scheduled ones, place the orders of periodic tasks.

It runs every minute and may run twice at once: each step is a conditional write on the row as read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import asdict

from chalicelib import clock, config, logs
from chalicelib.clock import SECOND, Micros
from chalicelib.dispatch import QUEUED, SCHEDULED, WAITING
from chalicelib.errors import Unavailable
from chalicelib.functions import budgets, checks, periodic
from chalicelib.functions.budgets import UNREACHABLE, Budgets
from chalicelib.functions.checks import RESERVE_S, SweepResult
from chalicelib.table import by_due

# An order overdue this long is requeued even without a budget
LONG_OVERDUE: Micros = 3600 * SECOND


def sweep(time_left_s: Callable[[], float]) -> SweepResult:
    """Check every order that is due, longest overdue first, until all are done or time runs out."""
    result = SweepResult()
    for step in (_sweep_scheduled, _sweep_queued, _place_ticks, _sweep_waiting):
        try:
            step(result, time_left_s)
        except Unavailable as error:  # a failing step does not stop the others
            logs.event("aws_unavailable", reason=str(error))
    logs.event("swept", **asdict(result))
    return result


def _sweep_scheduled(result: SweepResult, time_left_s: Callable[[], float]) -> None:
    """Send scheduled orders, but leave a quarter of the time: lost ones must not wait for them."""
    rest_s = time_left_s() / 4
    _sweep(SCHEDULED, result, {}, lambda: time_left_s() - rest_s)


def _sweep_waiting(result: SweepResult, time_left_s: Callable[[], float]) -> None:
    """Settle orders that wait for others. It comes last: it only heals what a crash left."""
    _sweep(WAITING, result, {}, time_left_s)


def _sweep_queued(result: SweepResult, time_left_s: Callable[[], float]) -> None:
    _sweep(QUEUED, result, budgets.of_lanes(), time_left_s)


def _place_ticks(result: SweepResult, time_left_s: Callable[[], float]) -> None:
    periodic.place_ticks(clock.now())


def _sweep(
    kind: str, result: SweepResult, within: Budgets, time_left_s: Callable[[], float]
) -> None:
    """Sweep the due index's partitions of a kind, and take what is resent from the budgets."""
    for batch in checks.batches(_allowed(kind, result, within)):
        if time_left_s() < RESERVE_S:
            break
        checks.check(batch, result, time_left_s)


def _allowed(kind: str, result: SweepResult, limited: Budgets) -> Iterator[tuple[str, Budgets]]:
    """Yield the keys of overdue orders, each with its budgets, until these are used up."""
    now = clock.now()
    all_lanes = config.settings().timeouts
    unreachable = {lane: each for lane, each in limited.items() if each == UNREACHABLE}
    for key, check_at in by_due.overdue(by_due.shards(kind), now):
        within = unreachable if now - check_at >= LONG_OVERDUE else limited
        if all(within.get(lane, 1) <= 0 for lane in all_lanes):
            break
        result.largest_overdue_s = max(result.largest_overdue_s, (now - check_at) // SECOND)
        yield key, within
