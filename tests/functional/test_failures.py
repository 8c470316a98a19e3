"""The list of failed orders by task and time, which the due index holds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chalicelib import config, operators, overview
from chalicelib.ids import key_of
from chalicelib.orders import Order, Status
from chalicelib.table import failures
from chalicelib.table.failures import Failure
from chalicelib.tasks import task
from testkit import Cloud, Wire

COUNT = 7


@pytest.fixture(params=[False, True])
def failed(cloud: Cloud, wire: Wire, request: pytest.FixtureRequest) -> list[Failure]:
    """Let orders fail in the same microsecond; return their entries.

    DynamoDB reads entries with equal keys of the index in any order, moto by the rows' keys. A
    parameter of True turns that around.
    """
    ids = _failed(cloud, COUNT)
    now = cloud.clock()
    for id in ids:
        cloud.dynamodb.update_item(
            TableName=config.settings().orders_table,
            Key={"pk": {"S": key_of("kit", id)}},
            UpdateExpression="SET check_at = :now, updated_at = :now",
            ExpressionAttributeValues={":now": {"N": str(now)}},
        )
    if request.param:
        wire.answers("Query", lambda answer: {**answer, "Items": answer["Items"][::-1]}, 99)
    return sorted(Failure(now, key_of("kit", id)) for id in ids)


@pytest.mark.parametrize("newest_first", [False, True])
def test_failures_of_the_same_microsecond_are_listed_by_their_keys(
    cloud: Cloud, failed: list[Failure], newest_first: bool
) -> None:
    listed = list(failures.listed("mail", 0, cloud.clock() + 1, newest_first))

    assert listed == (failed[::-1] if newest_first else failed)


def test_a_list_by_pages_has_each_failure_of_the_same_microsecond_once(
    cloud: Cloud, failed: list[Failure]
) -> None:
    def page(after: Failure | None) -> tuple[list[str], Failure | None]:
        found = overview.failed(["mail"], 0, cloud.clock() + 1, 2, after)
        return [order.key for order in found.orders], found.end

    assert _pages(page) == [entry.key for entry in failed[::-1]]


def test_a_retry_by_pages_has_each_failure_of_the_same_microsecond_once(
    cloud: Cloud, failed: list[Failure]
) -> None:
    before = cloud.clock() + 1

    def page(after: Failure | None) -> tuple[list[str], Failure | None]:
        found = operators.retry_failed("mail", 0, before, 2, lambda: 60, after=after)
        return list(found.outcomes), found.end

    assert _pages(page) == [entry.key for entry in failed]
    assert {row.retry_round for row in cloud.rows()} == {1}


def test_an_entry_that_the_index_still_has_restarts_no_cancelled_order(
    cloud: Cloud, wire: Wire
) -> None:
    """The index lags behind the table: it lists an order that its owner retried and cancelled."""
    order_id = _failed(cloud, 1)[0]
    failed_at = cloud.order(order_id).updated_at
    before = cloud.clock()
    cloud.http("POST", f"/orders/{order_id}/retry")
    cloud.http("POST", f"/orders/{order_id}/cancel")
    stale = {"pk": {"S": key_of("kit", order_id)}, "check_at": {"N": str(failed_at)}}
    wire.answers("Query", lambda answer: {**answer, "Items": [stale]})

    retried = operators.retry_failed("mail", 0, before, 10, lambda: 60)

    assert retried.outcomes == {key_of("kit", order_id): None}
    assert cloud.order(order_id).status is Status.CANCELLED


def test_a_repeated_retry_of_chosen_orders_restarts_none_that_was_cancelled_since(
    cloud: Cloud,
) -> None:
    (order_id,) = _failed(cloud, 1)
    key = key_of("kit", order_id)
    before = cloud.clock()
    first = operators.retry_chosen([key], before, lambda: 60)
    cloud.http("POST", f"/orders/{order_id}/cancel")

    again = operators.retry_chosen([key], before, lambda: 60)

    assert isinstance(first.outcomes[key], Order)
    assert "CANCELLED" in str(again.outcomes[key])
    assert cloud.order(order_id).status is Status.CANCELLED


def test_the_sweeper_has_nothing_to_do_with_failed_orders(cloud: Cloud, wire: Wire) -> None:
    _failed(cloud, 3)
    cloud.clock.advance(3600)
    wire.calls.clear()

    swept = cloud.sweep()

    assert (swept["largest_overdue_s"], swept["resent"]) == (0, 0)
    assert not {"GetItem", "BatchGetItem", "UpdateItem"} & set(wire.calls)


def _failed(cloud: Cloud, count: int) -> list[str]:
    """Place orders of a task that fails, and let them run."""

    @task(max_attempts=1)
    def mail() -> None:
        raise ValueError("no route")

    ids = [cloud.place("mail")["id"] for _ in range(count)]
    cloud.drain()
    return ids


def _pages(page: Callable[[Failure | None], tuple[list[str], Failure | None]]) -> list[str]:
    """Return the keys of all pages."""
    keys, end = page(None)
    while end:
        more, end = page(end)
        keys += more
    return keys
