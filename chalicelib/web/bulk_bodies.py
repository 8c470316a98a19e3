"""The bodies of requests for many orders, as in bodies.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from chalicelib import orders
from chalicelib.errors import OrderlineError, Unavailable, pointer_to
from chalicelib.service import Placed
from chalicelib.web import problems
from chalicelib.web.bodies import Id, NewOrder, Problem, StatusName
from chalicelib.web.http import Request

MAX_ORDERS = 1000
_MAX_DETAIL = 500  # characters: all details must fit into one response of Lambda, of 6 MB

Running = Annotated[
    Literal["stop", "refuse"], Meta(description="`refuse`: leave running orders alone")
]
_Unknown = Annotated[int, Meta(description="AWS failed or time was short: repeat the request")]


class NewOrders(Struct, forbid_unknown_fields=True):
    """Orders to place."""

    orders: Annotated[list[NewOrder], Meta(min_length=1, max_length=MAX_ORDERS)]


class PlacedItem(Struct):
    """What became of one order: its id, or the problem."""

    id: Id | UnsetType = UNSET
    status: StatusName | UnsetType = UNSET
    replayed: Annotated[
        bool | UnsetType, Meta(description="An earlier request with this key had placed it")
    ] = UNSET
    problem: Problem | UnsetType = UNSET


class PlacedOrders(Struct):
    """What became of the orders, in the order of the request."""

    items: list[PlacedItem]
    placed: int
    refused: int
    unknown: _Unknown


class OrdersToCancel(Struct, forbid_unknown_fields=True):
    """Orders to cancel."""

    ids: Annotated[list[str], Meta(min_length=1, max_length=MAX_ORDERS)]
    running: Running = "stop"


class CancelledItem(Struct):
    """What became of one order: its status, or the problem."""

    id: str
    status: StatusName | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET


class CancelledOrders(Struct):
    """What became of the orders, in the order of the request."""

    items: list[CancelledItem]
    cancelled: int
    stopping: Annotated[int, Meta(description="Running, and asked to stop")]
    refused: int
    unknown: _Unknown


def placed_orders(outcomes: Sequence[Placed | OrderlineError], request: Request) -> PlacedOrders:
    """Return the body for the outcomes of placing orders."""
    unknown, refused = count(outcomes)
    problems_of = item_problems(outcomes, request, "orders")
    items = [
        PlacedItem(problem=problem)
        if isinstance(outcome, OrderlineError)
        else PlacedItem(outcome.order.id, outcome.order.status.value, outcome.replayed)
        for outcome, problem in zip(outcomes, problems_of, strict=True)
    ]
    return PlacedOrders(items, len(items) - unknown - refused, refused, unknown)


def cancelled_orders(
    ids: Sequence[str], outcomes: Sequence[orders.Order | OrderlineError], request: Request
) -> CancelledOrders:
    """Return the body for the outcomes of cancelling orders."""
    unknown, refused = count(outcomes)
    problems_of = item_problems(outcomes, request, "ids")
    items = [
        CancelledItem(id, problem=problem)
        if isinstance(outcome, OrderlineError)
        else CancelledItem(outcome.id, outcome.status.value)
        for id, outcome, problem in zip(ids, outcomes, problems_of, strict=True)
    ]
    stopping = sum(isinstance(each, orders.Order) and each.stopping for each in outcomes)
    cancelled = len(items) - unknown - refused - stopping
    return CancelledOrders(items, cancelled, stopping, refused, unknown)


def count(outcomes: Sequence[object]) -> tuple[int, int]:
    """Return how many outcomes are unknown, and how many are refusals."""
    errors = [each for each in outcomes if isinstance(each, OrderlineError)]
    unknown = sum(isinstance(error, Unavailable) for error in errors)
    return unknown, len(errors) - unknown


def item_problems(
    outcomes: Sequence[object], request: Request, member: str
) -> list[Problem | UnsetType]:
    """Return the problem of each outcome that is an error, with pointers into the whole body.

    `member` is the body's list of items. What is long is cut, and only the first problem lists the
    known tasks.
    """
    result: list[Problem | UnsetType] = []
    lists_tasks = False
    for n, outcome in enumerate(outcomes):
        problem = problems.body_of(outcome, request) if isinstance(outcome, Exception) else None
        if problem:
            if len(problem.detail) > _MAX_DETAIL:
                problem.detail = problem.detail[:_MAX_DETAIL] + "..."
            if problem.pointer is not UNSET:
                problem.pointer = pointer_to(member, str(n)) + problem.pointer
            if lists_tasks:
                problem.known = UNSET
            lists_tasks = lists_tasks or problem.known is not UNSET
        result.append(problem or UNSET)
    return result
