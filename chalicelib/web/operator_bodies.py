"""The bodies of an operator's requests and responses, as in bodies.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, structs

from chalicelib import orders, overview
from chalicelib.auth import OWNER_NAME
from chalicelib.clock import Micros
from chalicelib.operators import Retried
from chalicelib.orders import Status
from chalicelib.tasks import lane_of
from chalicelib.web import bodies, bulk_bodies, problems
from chalicelib.web.bodies import Problem, Time
from chalicelib.web.bulk_bodies import CancelledItem
from chalicelib.web.http import Request
from chalicelib.web.times import time_text

MAX_ORDERS = 500
MAX_PROBLEMS = 20
MAX_OVER_S = 86_400

_Messages = Annotated[int | None, Meta(description="Approximately; null: the queue can't be asked")]
_OverS = Annotated[
    float,
    Meta(ge=0, le=MAX_OVER_S, description="Seconds over which to spread their first attempts"),
]
_FailedBefore = Annotated[
    Time | UnsetType, Meta(description="Only what failed before. Default: now")
]


class Lane(Struct):
    """The messages of a lane."""

    name: str
    waiting: _Messages
    running: Annotated[_Messages, Meta(description="With a worker, or hidden until a retry")]
    delayed: _Messages


class Overdue(Struct):
    """Orders whose check by the sweeper is due."""

    count: int
    more: Annotated[bool, Meta(description="The count stopped here")]
    oldest_s: int


class TaskCounts(Struct):
    """A task's failed and overdue orders."""

    name: str
    lane: str
    failed_1h: int
    failed_24h: int
    more: Annotated[bool, Meta(description=f"A count stopped at {overview.MAX_FAILURES}")]
    overdue: Annotated[
        int, Meta(description=f"Among the {overview.LONGEST_OVERDUE} longest overdue orders")
    ]


class Overview(Struct):
    """What waits, runs and has failed, of all owners."""

    at: Time
    lanes: list[Lane]
    dead_letters: _Messages
    overdue: Overdue
    tasks: list[TaskCounts]


class FailedOrder(bodies.OrderInList, kw_only=True):
    """A failed order of any owner, without its input."""

    owner: str
    failed_at: Time


class FailedPage(Struct):
    """A page of failed orders, newest failure first."""

    items: list[FailedOrder]
    next: Annotated[bodies.Url | UnsetType, Meta(description="Absent on the last page")] = UNSET


class OwnedOrder(bodies.Order, kw_only=True):
    """An order of any owner."""

    owner: str


class Percentiles(Struct):
    """Milliseconds; null if nothing was measured."""

    p50: int | None
    p95: int | None


class TaskDurations(Struct):
    """The durations of a task's orders in the sample."""

    name: str
    orders: int
    failed: int
    waiting_ms: Annotated[Percentiles, Meta(description="Until the first attempt")]
    running_ms: Annotated[Percentiles, Meta(description="The last attempt")]


class Ended(Struct):
    """How many orders of the sample ended in a minute."""

    at: Annotated[Time, Meta(description="Start of the minute")]
    succeeded: int
    failed: int
    cancelled: int


class Durations(Struct):
    """The latest orders of an owner that have ended: how long they waited and ran."""

    owner: str
    orders: int
    since: Annotated[Time | None, Meta(description="When the oldest of them was placed")]
    tasks: list[TaskDurations]
    ended: list[Ended]


class Reference(Struct, forbid_unknown_fields=True):
    """An order of any owner."""

    owner: Annotated[str, Meta(pattern=f"^{OWNER_NAME.pattern}$", max_length=40)]
    id: Annotated[str, Meta(max_length=26)]


class FailedOrders(Struct, forbid_unknown_fields=True):
    """Failed orders to retry: all of a task that failed in a time, or some by their ids."""

    task: str | UnsetType = UNSET
    failed_since: Time | UnsetType = UNSET
    orders: Annotated[list[Reference], Meta(min_length=1, max_length=MAX_ORDERS)] | UnsetType = (
        UNSET
    )
    failed_before: _FailedBefore = UNSET
    over_s: _OverS = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_ORDERS)] | UnsetType = UNSET
    after: Annotated[str, Meta(description="The `next` of the response before")] | UnsetType = UNSET
    dry_run: Annotated[bool, Meta(description="Only count them")] = False


class RefusedItem(Reference):
    """An order that can't be retried, and why."""

    problem: Problem


class RetriedOrders(Struct, kw_only=True):
    """What became of failed orders.

    To retry the rest, send the same request with this `failed_before`, and `next` as `after`.
    """

    matching: Annotated[int, Meta(description="Looked at; of a dry run: that would be retried")]
    retried: int
    refused: int
    unknown: int
    more: Annotated[bool, Meta(description="The count of a dry run stopped here")]
    failed_before: Time
    next: Annotated[str | UnsetType, Meta(description="Absent at the end")] = UNSET
    problems: list[RefusedItem]


class OwnedToCancel(Struct, forbid_unknown_fields=True):
    """Orders of any owners to cancel."""

    orders: Annotated[list[Reference], Meta(min_length=1, max_length=MAX_ORDERS)]
    running: bulk_bodies.Running = "stop"


class CancelledOwned(CancelledItem, kw_only=True):
    """What became of one order."""

    owner: str


class CancelledOwnedOrders(Struct):
    """What became of the orders, in the order of the request."""

    items: list[CancelledOwned]
    cancelled: int
    stopping: int
    refused: int
    unknown: int


def overview_of(state: overview.Overview) -> Overview:
    """Return the body for the state of the stack."""
    counts = state.failures
    tasks = [
        TaskCounts(
            name,
            lane_of(name),
            count.last_hour,
            count.last_day,
            count.last_day >= overview.MAX_FAILURES,
            state.overdue.by_task[name],
        )
        for name, count in sorted(counts.items())
    ]
    lanes = [Lane(**structs.asdict(lane)) for lane in state.lanes]
    overdue = Overdue(state.overdue.count, state.overdue.more, state.overdue.oldest_s)
    return Overview(time_text(state.at), lanes, state.dead_letters, overdue, tasks)


def failed_order(order: orders.Order, request: Request) -> FailedOrder:
    """Return a failed order's body in a list."""
    brief = structs.asdict(bodies.order_in_list(order, request))
    return FailedOrder(**brief, owner=order.owner, failed_at=time_text(order.updated_at))


def owned_order(order: orders.Order, request: Request, include: frozenset[str]) -> OwnedOrder:
    """Return the body of an order of any owner."""
    return OwnedOrder(**structs.asdict(bodies.order(order, request, include)), owner=order.owner)


def durations(owner: str, sample: overview.Sample) -> Durations:
    """Return the body for the durations of an owner's latest orders."""
    tasks = [
        TaskDurations(
            name,
            task.orders,
            task.failed,
            _percentiles(task.waiting_ms),
            _percentiles(task.running_ms),
        )
        for name, task in sample.tasks.items()
    ]
    ended = [
        Ended(
            time_text(minute),
            counts[Status.SUCCESS],
            counts[Status.FAILED],
            counts[Status.CANCELLED],
        )
        for minute, counts in sample.ended.items()
    ]
    return Durations(owner, sample.orders, time_text(sample.since), tasks, ended)


def counted(count: int, more: bool, before: Micros) -> RetriedOrders:
    """Return the body for a dry run."""
    return RetriedOrders(
        matching=count,
        retried=0,
        refused=0,
        unknown=0,
        more=more,
        failed_before=time_text(before),
        problems=[],
    )


def retried(result: Retried, before: Micros, request: Request) -> RetriedOrders:
    """Return the body for orders that were retried."""
    unknown, refused = bulk_bodies.count(list(result.outcomes.values()))
    return RetriedOrders(
        matching=len(result.outcomes),
        retried=sum(isinstance(each, orders.Order) for each in result.outcomes.values()),
        refused=refused,
        unknown=unknown,
        more=False,
        failed_before=time_text(before),
        next=UNSET if result.end is None else result.end.text,
        problems=list(_problems(result, request))[:MAX_PROBLEMS],
    )


def _problems(result: Retried, request: Request) -> Iterable[RefusedItem]:
    for key, outcome in result.outcomes.items():
        problem = problems.body_of(outcome, request) if isinstance(outcome, Exception) else None
        if problem and problem.status < 500:
            owner, _, order_id = key.partition("#")
            yield RefusedItem(owner, order_id, problem)


def _percentiles(values: Sequence[int]) -> Percentiles:
    return Percentiles(overview.percentile(values, 0.5), overview.percentile(values, 0.95))
