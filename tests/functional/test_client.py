"""The client library against the API over real HTTP, with lost answers."""

from __future__ import annotations

import pytest
from orderline import NotDone, NotReachable, Orderline, RequestRejected

from chalicelib.tasks import Context, task
from testkit import Cloud
from tests.kit.front import Front


def test_an_order_is_placed_watched_and_waited_for(cloud: Cloud, orderline: Orderline) -> None:
    order = orderline.place("cook_nuggets", {"pieces": 1})
    statuses = []
    for change in orderline.watch(order["id"]):
        statuses.append(change["status"])
        if not change["done"]:
            cloud.drain()

    assert (statuses[0], statuses[-1]) == ("PENDING", "SUCCESS")
    assert orderline.wait(order["id"])["result"]["pieces"] == 1


def test_a_post_whose_answer_is_lost_is_repeated_and_places_one_order(
    cloud: Cloud, front: Front, orderline: Orderline
) -> None:
    front.lose = 2

    order = orderline.place("cook_nuggets", {"pieces": 1})

    assert [status for _, _, status in front.requests] == [202, 202, 202]
    assert [row.id for row in cloud.rows()] == [order["id"]]


def test_two_calls_are_two_orders_and_the_same_key_is_one(
    cloud: Cloud, orderline: Orderline
) -> None:
    first, second = (orderline.place("cook_nuggets", {"pieces": 1}) for _ in range(2))
    keyed = {
        orderline.place("cook_nuggets", {"pieces": 1}, key="breakfast")["id"] for _ in range(2)
    }

    assert first["id"] != second["id"]
    assert len(keyed) == 1


def test_waiting_for_an_order_longer_than_the_timeout_raises(orderline: Orderline) -> None:
    order = orderline.place("cook_nuggets", {"pieces": 1})
    with pytest.raises(NotDone) as error:
        orderline.wait(order["id"], timeout_s=0.05)
    assert error.value.order["status"] == "PENDING"


def test_a_cancelled_order_can_be_retried_and_a_finished_one_cannot(
    cloud: Cloud, orderline: Orderline
) -> None:
    order = orderline.place("cook_nuggets", {"pieces": 1})
    assert orderline.cancel(order["id"])["status"] == "CANCELLED"
    assert orderline.retry(order["id"])["status"] == "PENDING"
    cloud.drain()
    with pytest.raises(RequestRejected, match="only an order that failed") as error:
        orderline.retry(order["id"])
    assert (error.value.status, error.value.problem["order_status"]) == (409, "SUCCESS")


def test_a_retry_is_never_sent_twice(cloud: Cloud, front: Front, orderline: Orderline) -> None:
    order = orderline.cancel(orderline.place("cook_nuggets", {"pieces": 1})["id"])
    front.lose = 1
    with pytest.raises(NotReachable):
        orderline.retry(order["id"])
    assert cloud.order(order["id"]).retry_round == 1


def test_the_last_characters_find_an_order(cloud: Cloud, orderline: Orderline) -> None:
    ids = [orderline.place("cook_nuggets", {"pieces": 1})["id"] for _ in range(2)]
    assert orderline.find(ids[0][-6:].lower()) == ids[0]
    assert orderline.find(ids[0]) == ids[0]
    with pytest.raises(RequestRejected, match="none of your"):
        orderline.find("0000000000")


def test_the_list_reads_all_pages_and_unchanged_pages_are_304(
    front: Front,
    orderline: Orderline,
) -> None:
    ids = [orderline.place("cook_nuggets", {"pieces": 1})["id"] for _ in range(103)]
    front.requests.clear()

    assert sorted(order["id"] for order in orderline.list()) == sorted(ids)
    assert [order["id"] for order in orderline.list(limit=2)] == [
        order["id"] for order in orderline.list()
    ][:2]
    assert [status for _, path, status in front.requests if "limit=100" in path] == [
        200,
        200,
        304,
        304,
    ]
    assert not list(orderline.list(status=["FAILED"]))
    assert (
        len(list(orderline.list(status=["PENDING", "RUNNING"], task="cook_nuggets", limit=5))) == 5
    )


def test_waiting_takes_few_requests(cloud: Cloud, front: Front, orderline: Orderline) -> None:
    """Hold a waiting request until something changes, and answer 304 if nothing did."""
    order = orderline.place("cook_nuggets", {"pieces": 1})
    changes = orderline.watch(order["id"])
    assert next(changes)["status"] == "PENDING"
    cloud.drain()
    assert next(changes)["status"] == "SUCCESS"

    assert [status for method, _, status in front.requests if method == "GET"] == [200, 200]
    assert orderline.get(order["id"]) is orderline.get(order["id"])
    assert front.requests[-1][2] == 304


def test_the_client_can_read_the_progress(cloud: Cloud, orderline: Orderline) -> None:
    progress = []

    @task
    def bake(order: Context) -> str:
        order.progress(40, "in the oven")
        progress.append(orderline.get(order.id)["progress"])
        return "done"

    orderline.place("bake")
    cloud.drain()

    assert progress == [{"percent": 40, "word": "in the oven"}]
    assert "bake" in [entry["name"] for entry in orderline.tasks()]


def test_an_unreachable_server_and_a_refused_token_are_different_errors(front: Front) -> None:
    with pytest.raises(NotReachable, match="does not answer"):
        Orderline("http://127.0.0.1:9", "ol_x", patience_s=0.1).tasks()
    with pytest.raises(RequestRejected, match="access token is not valid") as error:
        Orderline(front.url, "nonsense").tasks()
    assert error.value.status == 401
    with pytest.raises(ValueError, match="begin with http"):
        Orderline("127.0.0.1:8000", "ol_x")
