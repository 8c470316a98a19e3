"""A program that uses the generated Python client: `python order.py URL TOKEN`."""

from __future__ import annotations

import sys

from orderline_client import AuthenticatedClient
from orderline_client.api.default import place_order, show_order
from orderline_client.models import (
    NewOrderCookNuggets,
    NewOrderCookNuggetsInput,
    Order,
    OrderStatus,
    Problem,
    ProblemType,
    ShowOrderIncludeItem,
)

URL, TOKEN = sys.argv[1:]
WITH_ALL = [ShowOrderIncludeItem.INPUT, ShowOrderIncludeItem.HISTORY]


def nuggets(pieces: int) -> NewOrderCookNuggets:
    return NewOrderCookNuggets(task="cook_nuggets", input_=NewOrderCookNuggetsInput(pieces=pieces))


client = AuthenticatedClient(base_url=URL, token=TOKEN)
order = place_order.sync(client=client, body=nuggets(6), idempotency_key="generated")
assert isinstance(order, Order), order
while not order.done:
    order = show_order.sync(order.id, client=client, prefer="wait=5", include=WITH_ALL)
    assert isinstance(order, Order), order
assert order.status is OrderStatus.SUCCESS
assert order.input_ == {"pieces": 6, "sauce": "barbecue"}
assert [attempt.code for attempt in order.history] == [None]

problem = place_order.sync(client=client, body=nuggets(0))
assert isinstance(problem, Problem), problem
assert (problem.type_, problem.pointer) == (ProblemType.INVALID_INPUT, "/input/pieces")

problem = place_order.sync(
    client=AuthenticatedClient(base_url=URL, token="unknown"), body=nuggets(6)
)
assert isinstance(problem, Problem), problem
assert problem.type_ is ProblemType.INVALID_TOKEN
