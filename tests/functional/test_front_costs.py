"""The dollars by front that docs/fronts.md shows, from counted calls, units and bytes."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from benchmarks import bulk_costs, costs
from benchmarks.simulate import dollars as simulated_dollars
from benchmarks.simulate.plan import Plan

PAGE = Path(__file__).parents[2] / "docs" / "fronts.md"


@pytest.fixture(scope="module")
def one_by_one() -> costs.Flow:
    with redirect_stdout(io.StringIO()):
        return costs.flow()


@pytest.fixture(scope="module")
def in_bulk() -> bulk_costs.BulkFlow:
    with redirect_stdout(io.StringIO()):
        return bulk_costs.counted(30)


def test_a_bulk_writes_as_much_and_sends_a_tenth(
    one_by_one: costs.Flow, in_bulk: bulk_costs.BulkFlow
) -> None:
    assert in_bulk.write_units == one_by_one.write_units
    assert in_bulk.read_units == one_by_one.read_units
    assert in_bulk.sends == 0.1


def test_a_page_of_the_list_costs_an_order_a_hundredth_of_a_request_and_half_a_read(
    in_bulk: bulk_costs.BulkFlow,
) -> None:
    listed = bulk_costs.dollars(in_bulk, "http", listings=1)
    unread = bulk_costs.dollars(in_bulk, "http")

    assert listed["API Gateway"] - unread["API Gateway"] == pytest.approx(0.01)
    # Rows are read eventually consistent, and the index adds a little
    assert 0.5 < in_bulk.listed_read_units / in_bulk.read_units < 0.6


def test_only_the_price_of_requests_differs_between_fronts(one_by_one: costs.Flow) -> None:
    rest, http, url = (costs.dollars(one_by_one, front) for front in ("rest", "http", "url"))

    assert (rest["API Gateway"], http["API Gateway"], url["API Gateway"]) == (7, 2, 0)
    others = [{**each, "API Gateway": 0} for each in (rest, http, url)]
    assert others == others[:1] * 3


def test_the_page_shows_these_dollars(one_by_one: costs.Flow, in_bulk: bulk_costs.BulkFlow) -> None:
    fronts = list(costs.FRONT_PRICES)
    rows = [
        [costs.dollars(one_by_one, front) for front in fronts],
        [bulk_costs.dollars(in_bulk, front, polls=1) for front in fronts],
        [bulk_costs.dollars(in_bulk, front, listings=1) for front in fronts],
        [bulk_costs.dollars(in_bulk, front, batch=10, polls=1) for front in fronts],
        [bulk_costs.dollars(in_bulk, front, batch=10, listings=1) for front in fronts],
        [bulk_costs.dollars(in_bulk, front, batch=10) for front in fronts],
    ]

    row = re.compile(r"\| a million orders, .*\| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|")
    shown = [[float(cell) for cell in cells] for cells in row.findall(PAGE.read_text())]
    assert shown == [
        pytest.approx([sum(each.values()) for each in dollars], abs=0.02) for dollars in rows
    ]


@pytest.mark.parametrize(("batch", "polls"), [(1, 1), (10, 1), (10, 0)])
def test_the_simulation_has_the_same_dollars(
    in_bulk: bulk_costs.BulkFlow, batch: int, polls: int
) -> None:
    plan = Plan(orders_per_s=1, task_ms=0, bulk=1000, polls=polls, batch=batch, front="http")
    counted = bulk_costs.dollars(in_bulk, "http", batch, polls)

    simulated = simulated_dollars.per_million(plan)
    assert sum(simulated.values()) == pytest.approx(sum(counted.values()), rel=0.01)
