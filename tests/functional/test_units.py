"""DynamoDB's units for each flow, however many rows there are. tests/kit/units.py has the rules."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from chalicelib import config, queue, tasks
from chalicelib.orders import Order
from chalicelib.table import transitions
from testkit import Cloud, Wire
from tests.kit import units
from tests.kit.units import Meter

KB = 1024


@pytest.fixture
def meter(cloud: Cloud, wire: Wire) -> Meter:
    """Cache the token, so that no test counts its read."""
    cloud.http("GET", "/tasks")
    return Meter(cloud, wire)


def test_an_order_from_post_to_success_writes_six_units(cloud: Cloud, meter: Meter) -> None:
    cloud.place("cook_nuggets", {"pieces": 6})
    cloud.drain()

    # insert: the row and two indexes; claim: the row; finish: the row and out of the due index
    assert meter.writes == [3, 1, 2]
    assert meter.reads == []


def test_the_size_of_an_order_costs_units_three_times_and_none_in_the_indexes(
    cloud: Cloud, meter: Meter
) -> None:
    @tasks.task
    def weigh(text: str) -> int:
        return len(text)

    cloud.place("weigh", {"text": "x" * 15 * KB})
    cloud.drain()

    assert meter.writes == [16 + 2, 16, 16 + 1]


def test_large_json_costs_the_units_of_a_small_order(cloud: Cloud, meter: Meter) -> None:
    @tasks.task
    def double(text: str) -> str:
        return text * 2

    cloud.place("double", {"text": "x" * 60 * KB})
    cloud.drain()

    assert meter.writes == [1 + 2, 1, 1 + 1]


def test_a_poll_reads_one_unit(cloud: Cloud, meter: Meter) -> None:
    order = cloud.place("cook_nuggets", {"pieces": 6})
    cloud.get(order["id"])

    assert meter.reads == [1]


def test_a_failed_attempt_writes_four_units(cloud: Cloud, meter: Meter) -> None:
    """Write a claim, then the row and its entry in the due index, which is removed and added."""

    @tasks.task
    def burn() -> None:
        raise ValueError

    cloud.place("burn")
    cloud.deliver()

    assert meter.writes == [3, 1, 3]


def test_a_failure_costs_a_unit_more_than_a_success(cloud: Cloud, meter: Meter) -> None:
    """Write the row, remove its entry in the due index, and add one among the failures."""

    @tasks.task(max_attempts=1)
    def burn() -> None:
        raise ValueError

    cloud.place("burn")
    cloud.deliver()

    assert meter.writes == [3, 1, 3]


def test_a_duplicate_message_and_a_repeated_post_cost_a_unit_each(
    cloud: Cloud, meter: Meter
) -> None:
    for _ in range(2):
        cloud.http(
            "POST",
            "/orders",
            {"task": "cook_nuggets", "input": {"pieces": 1}},
            {"Idempotency-Key": "k"},
        )
    message = next(request for request in meter.wire.requests if "MessageBody" in request)
    cloud.sqs.send_message(**message)
    cloud.drain()

    assert meter.writes == [3, 1, 1, 2, 1]


def test_the_costs_are_the_same_with_many_rows(cloud: Cloud, wire: Wire, meter: Meter) -> None:
    with wire.unseen():
        sample = cloud.order(cloud.place("cook_nuggets", {"pieces": 1})["id"])
        for n in range(300):
            transitions.insert(replace(sample, id=f"{n:026d}"))
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
    # The poll; a page of the index; its 20 rows, half a unit each
    assert meter.reads == [1, 0.5, 10]


def test_an_ordinary_order_stores_nothing_of_waiting_stops_and_webhooks(
    cloud: Cloud, wire: Wire
) -> None:
    cloud.place("cook_nuggets", {"pieces": 1})
    rows = [stored_row(cloud)]
    cloud.drain()
    rows.append(stored_row(cloud))

    attributes = {"after", "when", "waits_for", "dependents", "stop_at", "notify", "past_ends"}
    assert attributes <= set(Order.__struct_fields__)
    assert [row["status"]["S"] for row in rows] == ["PENDING", "SUCCESS"]
    assert [attributes & set(row) for row in rows] == [set(), set()]
    assert "BatchGetItem" not in wire.calls


def stored_row(cloud: Cloud) -> units.Item:
    """Return the only row of the orders table, as DynamoDB has it."""
    (row,) = cloud.dynamodb.scan(TableName=config.settings().orders_table)["Items"]
    return dict(row)


@pytest.mark.parametrize(("ended", "write_units"), [(False, 611), (True, 15)])
def test_the_units_of_an_order_after_a_hundred_others(
    cloud: Cloud, wire: Wire, meter: Meter, ended: bool, write_units: int
) -> None:
    """docs/workflows.md states these numbers: for others that run, and that have ended."""

    @tasks.task
    def part() -> int:
        return 1

    @tasks.task
    def total(order: tasks.Context) -> int:
        return sum(done.result for done in order.after())

    with wire.unseen():
        order_id = cloud.place("part")["id"]
        if ended:
            cloud.drain()
        parts = [replace(cloud.order(order_id), id=f"{n:026d}") for n in range(99)]
        for part_order in parts:
            transitions.insert(part_order)
            if not ended:
                queue.send(part_order)
    after = [order_id, *(part_order.id for part_order in parts)]
    placed = cloud.http("POST", "/orders", {"task": "total", "after": after}).json
    cloud.drain()

    of_the_others = 0 if ended else 100 * 3  # a claim and a finish
    assert sum(meter.writes) - of_the_others == write_units
    assert sum(meter.reads) == 2 * 100  # when it is placed, and when its task reads the results
    assert cloud.get(placed["id"])["result"] == 100


def test_a_check_of_a_waiting_order_writes_three_units(cloud: Cloud, meter: Meter) -> None:
    """And reads the due index, its row and that of the order that it waits for."""
    order = {"task": "cook_nuggets", "input": {"pieces": 1}}
    later = cloud.http("POST", "/orders", {**order, "delay_s": 86_400}).json
    cloud.http("POST", "/orders", {**order, "after": [later["id"]]})
    cloud.clock.advance(130)
    meter.writes.clear()
    meter.reads.clear()
    cloud.sweep()

    assert meter.writes == [3]
    queries = [0.5] * 3 * config.settings().due_shards  # of each kind of dispatch
    assert sorted(meter.reads) == [*queries, 1, 1]


@pytest.mark.parametrize(
    ("item", "bytes"),
    [
        ({"pk": {"S": "é"}}, 2 + 2),
        ({"n": {"N": "1800000000000000"}}, 1 + 8 + 1),
        (
            {"l": {"L": [{"S": "ab"}, {"M": {"k": {"N": "1"}}}]}},
            1 + 3 + (1 + 2) + (1 + 3 + 1 + (1 + 2)),
        ),
        ({"set": {"SS": ["ab", "c"]}}, 3 + 2 + 1),
    ],
)
def test_sizes_follow_dynamodbs_rules(item: units.Item, bytes: int) -> None:
    assert units.size(item) == bytes


def test_a_key_that_changes_in_an_index_is_written_twice() -> None:
    index = units.Index("i", frozenset({"at"}), frozenset({"at", "pk"}))
    before, after = ({"pk": {"S": "a"}, "at": {"N": n}} for n in "12")

    assert units.written(before, after, [index]) == 3
    assert units.written(before, {"pk": {"S": "a"}}, [index]) == 2
    assert units.written(before, {**before, "other": {"S": ""}}, [index]) == 1
