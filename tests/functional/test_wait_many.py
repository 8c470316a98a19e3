"""Waiting for many orders: the client reads few pages of the list, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs
from orderline import NotDone, Orderline, RequestRejected

from chalicelib import config
from chalicelib.clock import SECOND
from chalicelib.table.items import encode_order
from chalicelib.tasks import task
from testkit import Cloud
from tests.kit.front import Front

NO_ORDERS = (200, json.dumps({"items": []}).encode())


class Clock:
    """The client's clock: a pause takes no time, and `during` happens in it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.pauses: list[float] = []
        self.during: Callable[[], Any] = lambda: None

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert len(self.pauses) < 100, "the client waits for ever"
        self.now_s += seconds
        self.pauses.append(seconds)
        self.during()


@pytest.fixture(autouse=True)
def clock(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Clock:
    @task
    def note(n: int) -> int:
        return n

    clock = Clock()
    monkeypatch.setattr("orderline.many.time", clock)
    return clock


def place(cloud: Cloud, number: int = 1) -> list[str]:
    return [cloud.place("note", {"n": n})["id"] for n in range(number)]


def fill(cloud: Cloud, number: int, age_s: int = 0) -> list[str]:
    """Add orders that have ended, created `age_s` ago, and return their ids."""
    (first,) = place(cloud)
    cloud.drain()
    order = cloud.order(first)
    cloud.dynamodb.delete_item(TableName=config.settings().orders_table, Key=key(order.key))
    created_at = order.created_at - age_s * SECOND
    found = [f"{age_s:013d}{n:013d}" for n in range(number)]
    for order_id in found:
        row = encode_order(structs.replace(order, id=order_id, created_at=created_at))
        cloud.dynamodb.put_item(TableName=config.settings().orders_table, Item=row)
    return found


def key(row: str) -> dict[str, Any]:
    return {"pk": {"S": row}}


def requests(front: Front) -> list[str]:
    """Return whether each request was for the `list`, or else the id of its order."""
    paths = [path.partition("?")[0] for method, path, _ in front.requests if method == "GET"]
    return ["list" if path == "/orders" else path.removeprefix("/orders/") for path in paths]


def test_ten_requests_tell_of_a_thousand_orders(
    cloud: Cloud, front: Front, orderline: Orderline
) -> None:
    ids = fill(cloud, 1000)
    counts: list[int] = []

    ended = list(orderline.wait_many(ids, progress=counts.append))

    assert sorted(each["id"] for each in ended) == ids
    assert {each["status"] for each in ended} == {"SUCCESS"}
    assert "result" not in ended[0]
    assert counts == list(range(1, 1001))
    assert requests(front) == ["list"] * 10


def test_the_list_is_read_past_newer_orders_of_others(
    cloud: Cloud, front: Front, orderline: Orderline
) -> None:
    fill(cloud, 250)
    ids = fill(cloud, 5, age_s=60)
    fill(cloud, 250, age_s=120)

    ended = list(orderline.wait_many(ids))

    assert sorted(each["id"] for each in ended) == ids
    assert "result" not in ended[0]
    # The first page has none of them, so one is asked for how far to go
    assert requests(front) == ["list", ids[0], "list", "list"]


def test_the_list_is_not_read_past_the_oldest_order(
    cloud: Cloud, clock: Clock, front: Front, orderline: Orderline
) -> None:
    fill(cloud, 300, age_s=60)
    ids = place(cloud, 2)
    clock.during = cloud.drain
    front.instead = [(200, json.dumps(reply_without(cloud, ids[1])).encode())]

    ended = list(orderline.wait_many(ids))

    assert sorted(each["id"] for each in ended) == sorted(ids)
    # The second page has no order to wait for, and shows that the missing one is not further down
    assert requests(front) == ["list", "list", ids[1], "list"]


def test_an_order_whose_age_is_known_is_not_looked_for_among_older_ones(
    cloud: Cloud, clock: Clock, front: Front, orderline: Orderline
) -> None:
    fill(cloud, 300, age_s=60)
    (order_id,) = place(cloud)

    def run_and_hide() -> None:
        cloud.drain()
        if len(clock.pauses) == 1:
            front.instead = [(200, json.dumps(reply_without(cloud, order_id)).encode())]

    clock.during = run_and_hide
    assert [each["id"] for each in orderline.wait_many([order_id])] == [order_id]
    assert requests(front) == ["list"] * 3


def reply_without(cloud: Cloud, order_id: str) -> Any:
    """Return the first page, as if the list did not have this order yet."""
    page = cloud.http("GET", "/orders?limit=100").json
    return {**page, "items": [each for each in page["items"] if each["id"] != order_id]}


def test_an_order_that_the_list_lacks_at_first_is_found_by_the_next_reading(
    cloud: Cloud, clock: Clock, front: Front, orderline: Orderline
) -> None:
    ids = place(cloud, 3)
    cloud.drain()
    front.instead = [NO_ORDERS]

    assert len(list(orderline.wait_many(ids))) == 3
    assert (requests(front), clock.pauses) == (["list"] * 2, [1])


def test_an_order_that_the_list_never_has_is_read_by_itself(
    cloud: Cloud, front: Front, orderline: Orderline
) -> None:
    first = place(cloud)
    order = orderline.place("orderline.together", after=first)
    cloud.drain()
    ids = [order["id"], *first]

    ended = list(orderline.wait_many(ids))

    assert [(each["id"], each["done"], "result" in each) for each in ended] == [
        (each, True, False) for each in reversed(ids)
    ]
    assert requests(front) == ["list", "list", order["id"]]


@pytest.mark.parametrize("others", [0, 1, 300])
def test_an_id_without_an_order_is_rejected(
    cloud: Cloud, front: Front, orderline: Orderline, others: int
) -> None:
    fill(cloud, others)

    with pytest.raises(RequestRejected) as error:
        list(orderline.wait_many(["0" * 25 + "Z"]))

    assert error.value.status == 404
    assert len(requests(front)) <= 3


def test_pauses_grow_until_an_order_ends(cloud: Cloud, clock: Clock, orderline: Orderline) -> None:
    ids = place(cloud, 2)

    def run_one() -> None:
        if len(clock.pauses) in (7, 9):
            cloud.deliver()

    clock.during = run_one
    assert len(list(orderline.wait_many(ids))) == 2
    assert clock.pauses == [1, 2, 4, 8, 16, 30, 30, 1, 2]


def test_orders_that_do_not_end_in_time_raise_not_done(
    cloud: Cloud, clock: Clock, orderline: Orderline
) -> None:
    ids = place(cloud, 3)
    cloud.deliver()
    ended: list[str] = []

    with pytest.raises(NotDone) as error:
        ended.extend(each["id"] for each in orderline.wait_many(ids, timeout_s=5))

    assert clock.pauses == [1, 2, 2]
    assert (error.value.order["status"], error.value.others) == ("PENDING", 1)
    assert str(error.value) == (
        f"order {error.value.order['id']} and 1 more did not end within 5 s; they are still running"
    )


def test_one_order_that_the_list_lacks_is_that_of_not_done(
    cloud: Cloud, front: Front, orderline: Orderline
) -> None:
    (order_id,) = place(cloud)
    front.instead = [NO_ORDERS]

    with pytest.raises(NotDone, match=f"order {order_id} did not end within 0 s; it is") as error:
        list(orderline.wait_many([order_id], timeout_s=0))

    assert error.value.order["id"] == order_id


def test_an_order_that_is_named_twice_or_in_lower_case_is_yielded_once(
    cloud: Cloud, front: Front, orderline: Orderline
) -> None:
    (order_id,) = place(cloud)
    cloud.drain()

    ended = list(orderline.wait_many([order_id.lower(), order_id]))

    assert ([each["id"] for each in ended], requests(front)) == ([order_id], ["list"])


def test_nothing_is_read_for_no_orders(front: Front, orderline: Orderline) -> None:
    assert list(orderline.wait_many([])) == []
    assert requests(front) == []


def test_a_single_id_is_an_error_that_shows_the_list(orderline: Orderline) -> None:
    with pytest.raises(TypeError, match=r"must be a list of ids"):
        list(orderline.wait_many("0" * 26))
