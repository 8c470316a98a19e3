"""What each flow costs in DynamoDB's units, however many rows there are. See tests/kit/units.py for the rules."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chalicelib import tasks
from chalicelib.table import transitions
from tests.kit import Cloud, Wire, units
from tests.kit.units import Meter

KB = 1024


@pytest.fixture
def meter(cloud: Cloud, wire: Wire) -> Meter:
    """The token was read before."""
    cloud.http("GET", "/tasks")
    return Meter(cloud, wire)


def test_an_order_from_post_to_success_writes_six_units(cloud: Cloud, meter: Meter) -> None:
    cloud.place("cook_nuggets", {"pieces": 6})
    cloud.drain()

    # made: the row and two indexes; claimed; finished, and off the index of what is due
    assert meter.writes == [3, 1, 2]
    assert meter.reads == []


def test_an_order_of_60_kb_pays_for_its_row_three_times_and_for_no_index_more(
    cloud: Cloud, meter: Meter
) -> None:
    @tasks.task
    def weigh(text: str) -> int:
        return len(text)

    cloud.place("weigh", {"text": "x" * 60 * KB})
    cloud.drain()

    assert meter.writes == [61 + 2, 61, 61 + 1]


def test_a_poll_reads_one_unit(cloud: Cloud, meter: Meter) -> None:
    order = cloud.place("cook_nuggets", {"pieces": 6})
    cloud.get(order["id"])

    assert meter.reads == [1]


def test_a_retry_writes_three_units(cloud: Cloud, meter: Meter) -> None:
    """Claimed, and put back: the row, and its place among what is due, out and in again."""

    @tasks.task
    def burn() -> None:
        raise ValueError

    cloud.place("burn")
    cloud.deliver()

    assert meter.writes == [3, 1, 3]


def test_a_duplicate_message_and_a_press_again_cost_a_unit_each(cloud: Cloud, meter: Meter) -> None:
    for _ in range(2):
        cloud.http(
            "POST",
            "/orders",
            {"task": "cook_nuggets", "input": {"pieces": 1}},
            {"Idempotency-Key": "k"},
        )
    cloud.sqs.send_message(**next(asked for asked in meter.wire.requests if "MessageBody" in asked))
    cloud.drain()

    assert meter.writes == [3, 1, 1, 2, 1]


def test_costs_are_the_same_with_many_rows(cloud: Cloud, wire: Wire, meter: Meter) -> None:
    with wire.unseen():
        made = cloud.order(cloud.place("cook_nuggets", {"pieces": 1})["id"])
        for n in range(300):
            transitions.insert(replace(made, id=f"{n:026d}"))
        cloud.drain()
    order = cloud.place("cook_nuggets", {"pieces": 6})
    cloud.drain()
    cloud.get(order["id"])
    cloud.http("GET", "/orders?limit=20")

    assert wire.calls == [
        "GetItem",
        "PutItem",
        "SendMessage",
        "UpdateItem",
        "UpdateItem",
        "GetItem",
        "Query",
        "BatchGetItem",
    ]
    assert meter.writes == [3, 1, 2]
    assert meter.reads == [
        1,
        0.5,
        10,
    ]  # the poll; a page of the index; its 20 rows, half a unit each


@pytest.mark.parametrize(
    ("item", "bytes"),
    [
        ({"pk": {"S": "é"}}, 2 + 2),
        ({"n": {"N": "1800000000000000"}}, 1 + 8 + 1),
        (
            {"l": {"L": [{"S": "ab"}, {"M": {"k": {"N": "1"}}}]}},
            1 + 3 + (1 + 2) + (1 + 3 + 1 + (1 + 2)),
        ),
    ],
)
def test_sizes_are_dynamodbs(item: units.Item, bytes: int) -> None:
    assert units.size(item) == bytes


def test_a_key_that_moves_in_an_index_is_written_twice() -> None:
    index = units.Index("i", frozenset({"at"}), frozenset({"at", "pk"}))
    before, after = ({"pk": {"S": "a"}, "at": {"N": n}} for n in "12")

    assert units.written(before, after, [index]) == 3
    assert units.written(before, {"pk": {"S": "a"}}, [index]) == 2
    assert units.written(before, {**before, "other": {"S": ""}}, [index]) == 1
