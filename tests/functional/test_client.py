"""The client library against the API over real HTTP, with lost answers."""

from __future__ import annotations

from typing import Literal

import pytest
from orderline import NotDone, NotReachable, Orderline, RequestRejected, prerequisites

from chalicelib import config
from chalicelib.tasks import TOGETHER, Context, Done, task
from chalicelib.webhooks.endpoints import Endpoint, Registry, SigningSecret
from chalicelib.webhooks.signing import new_secret
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


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, b'{"message":"Too Many Requests"}'),  # an HTTP API's throttle
        (503, b'{"message":"Service Unavailable"}'),  # its function took too long
        (500, b'{"message":"Internal Server Error"}'),  # its function crashed
        (429, b'{"Reason":"ConcurrentInvocationLimitExceeded","Type":"User"}'),  # a function URL's
        (502, b"Internal Server Error"),  # its function crashed
        (504, b""),  # a proxy's
    ],
)
def test_a_fronts_own_answer_that_is_not_a_problem_is_followed_by_another_try(
    cloud: Cloud, front: Front, orderline: Orderline, status: int, body: bytes
) -> None:
    front.instead = [(status, body)] * (2 if status == 503 else 1)
    tries = [status] * len(front.instead)

    order = orderline.place("cook_nuggets", {"pieces": 1})

    assert [status for _, _, status in front.requests] == [*tries, 202]
    assert [row.id for row in cloud.rows()] == [order["id"]]


def test_the_patience_begins_with_the_first_failure(
    front: Front, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repeat a request that took longer than the patience, such as a bulk, before it was cut."""
    front.lose = 1
    # Each answer takes half a minute
    monkeypatch.setattr("orderline.calls.time.monotonic", lambda: 30.0 * len(front.requests))

    assert Orderline(front.url, cloud.token, patience_s=10).tasks()
    assert len(front.requests) == 2


def test_a_throttle_that_never_ends_is_not_reachable(front: Front, cloud: Cloud) -> None:
    front.instead = [(429, b'{"message":"Too Many Requests"}')] * 20

    with pytest.raises(NotReachable, match="HTTP status 429"):
        Orderline(front.url, cloud.token, patience_s=0.5).tasks()
    assert len(front.requests) == 2


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (413, b'{"message":"Request Entity Too Large"}', "Request Entity Too Large"),
        (403, b'{"Message":"Forbidden. See the troubleshooting"}', "Forbidden. See"),
        (403, b'{"message":null}', "HTTP status 403"),
        (403, b"[]", "HTTP status 403"),
    ],
)
def test_a_fronts_own_refusal_is_rejected_with_its_message(
    front: Front, orderline: Orderline, status: int, body: bytes, text: str
) -> None:
    front.instead = [(status, body)]

    with pytest.raises(RequestRejected, match=text) as error:
        orderline.place("cook_nuggets", {"pieces": 1})
    assert error.value.status == status
    assert len(front.requests) == 1


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


def test_an_order_waits_for_others_given_as_orders_or_ids(
    cloud: Cloud, orderline: Orderline
) -> None:
    first, second = (orderline.place("cook_nuggets", {"pieces": 1}) for _ in range(2))
    last = orderline.place("cook_nuggets", {"pieces": 1}, after=[first, second["id"], first])

    assert (last["waits_for"], last["run_at"]) == (2, None)
    assert [url[-26:] for url in last["links"]["after"]] == [first["id"], second["id"]]
    cloud.drain()
    assert orderline.wait(last["id"])["status"] == "SUCCESS"


@pytest.mark.parametrize(("when", "status"), [("success", "FAILED"), ("end", "SUCCESS")])
def test_the_order_says_how_others_must_end(
    cloud: Cloud, orderline: Orderline, when: Literal["success", "end"], status: str
) -> None:
    cancelled = orderline.cancel(orderline.place("cook_nuggets", {"pieces": 1})["id"])
    last = orderline.place("cook_nuggets", {"pieces": 1}, after=[cancelled], when=when)
    cloud.drain()

    assert orderline.get(last["id"])["status"] == status


def test_an_order_after_none_runs_at_once(cloud: Cloud, orderline: Orderline) -> None:
    order = orderline.place("cook_nuggets", {"pieces": 1}, after=iter(()), when="end")
    cloud.drain()

    assert orderline.get(order["id"])["status"] == "SUCCESS"


def test_a_single_order_to_wait_for_is_an_error_that_shows_the_list(orderline: Orderline) -> None:
    first = orderline.place("cook_nuggets", {"pieces": 1})
    for mistake in (first, first["id"]):
        with pytest.raises(TypeError, match=r"such as \[order\]"):
            orderline.place("cook_nuggets", {"pieces": 1}, after=mistake)


def test_a_webhook_is_asked_for_by_the_name_of_its_endpoint(
    cloud: Cloud, orderline: Orderline, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RequestRejected, match="webhooks are off"):
        orderline.place("cook_nuggets", {"pieces": 1}, notify=["main"])
    monkeypatch.setenv("LANES", '{"webhooks": 20}')
    endpoint = Endpoint("kit", "main", "https://shop.example/", (SigningSecret(new_secret()),))
    Registry(cloud.dynamodb, config.settings().tokens_table).store(endpoint)
    order = orderline.place("cook_nuggets", {"pieces": 1}, notify=iter(["main"]))

    assert cloud.order(order["id"]).notify == ("main",)
    assert len(order["links"]["dependents"]) == 1
    with pytest.raises(TypeError, match=r'such as \["main"\]'):
        orderline.place("cook_nuggets", {"pieces": 1}, notify="main")


def test_an_order_may_wait_for_any_number_by_a_tree(
    cloud: Cloud,
    front: Front,
    orderline: Orderline,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prerequisites, "MAX_AFTER", 3)
    done: list[Done] = []

    @task
    def serve(order: Context) -> None:
        done.extend(order.after())

    nuggets = [orderline.place("cook_nuggets", {"pieces": 1})["id"] for _ in range(11)]
    front.lose = 1  # the answer to the first group
    last = orderline.place("serve", after=[*nuggets, nuggets[0]])
    groups = [row for row in cloud.rows() if row.task == TOGETHER]
    assert sorted(len(row.after or ()) for row in groups) == [1, 2, 3, 3, 3, 3]

    cloud.drain()
    assert orderline.get(last["id"])["status"] == "SUCCESS"
    assert [each.id for each in done] == nuggets


def test_a_tree_is_placed_once_for_each_key(
    cloud: Cloud, orderline: Orderline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prerequisites, "MAX_AFTER", 2)
    nuggets = [orderline.place("cook_nuggets", {"pieces": 1}) for _ in range(3)]

    def place(key: str | None) -> str:
        order = orderline.place("cook_nuggets", {"pieces": 1}, after=nuggets, key=key)
        return str(order["id"])

    assert place("lunch") == place("lunch")
    assert len(cloud.rows()) == 3 + 2 + 1
    assert len({place("lunch"), place("dinner"), place(None), place(None)}) == 4
    assert len(cloud.rows()) == 3 + 4 * (2 + 1)


def test_more_than_a_hundred_prerequisites_fit_the_limit_of_the_api(
    cloud: Cloud, orderline: Orderline
) -> None:
    nuggets = [cloud.place("cook_nuggets", {"pieces": 1})["id"] for _ in range(101)]
    last = orderline.place("cook_nuggets", {"pieces": 1}, after=nuggets)

    assert last["waits_for"] == 2


@pytest.mark.parametrize("when", ["success", "end"])
def test_how_orders_must_end_holds_for_their_tree_too(
    cloud: Cloud,
    orderline: Orderline,
    monkeypatch: pytest.MonkeyPatch,
    when: Literal["success", "end"],
) -> None:
    monkeypatch.setattr(prerequisites, "MAX_AFTER", 2)
    nuggets = [orderline.place("cook_nuggets", {"pieces": 1}) for _ in range(3)]
    last = orderline.place("cook_nuggets", {"pieces": 1}, after=nuggets, when=when)
    orderline.cancel(nuggets[0]["id"])
    order = orderline.get(last["id"])
    cloud.drain()

    expected = {"success": ("FAILED", 0, "FAILED"), "end": ("PENDING", 2, "SUCCESS")}[when]
    assert (
        order["status"],
        order["waits_for"],
        orderline.get(last["id"])["status"],
    ) == expected


@pytest.mark.parametrize("limit", [2, 100])
def test_an_unknown_prerequisite_is_named_by_its_index(
    orderline: Orderline, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(prerequisites, "MAX_AFTER", limit)
    nuggets = [orderline.place("cook_nuggets", {"pieces": 1}) for _ in range(3)]
    with pytest.raises(
        RequestRejected, match=f"no order of yours has the id '{'0' * 26}'"
    ) as error:
        orderline.place("cook_nuggets", {"pieces": 1}, after=[*nuggets, "0" * 26])

    assert (error.value.status, error.value.problem["pointer"]) == (422, "/after/3")


def test_a_running_order_is_stopped_and_can_not_be_cancelled(
    cloud: Cloud, orderline: Orderline
) -> None:
    @task
    def bake(order: Context) -> None:
        with pytest.raises(RequestRejected, match="only a PENDING order") as error:
            orderline.cancel(order.id)
        assert error.value.problem["order_status"] == "RUNNING"
        assert not orderline.get(order.id)["stopping"]
        for _ in range(2):
            stopped = orderline.stop(order.id)
            assert (stopped["status"], stopped["stopping"]) == ("RUNNING", True)
        order.progress(50)

    order = orderline.place("bake")
    cloud.drain()

    ended = orderline.get(order["id"], include=["history"])
    assert ended["status"] == "CANCELLED"
    assert [attempt["code"] for attempt in ended["history"]] == ["stopped"]
    assert orderline.stop(order["id"])["status"] == "CANCELLED"


def test_a_stop_cancels_an_order_that_waits_and_is_refused_after_its_end(
    cloud: Cloud, orderline: Orderline
) -> None:
    waiting, cooked = (orderline.place("cook_nuggets", {"pieces": 1}) for _ in range(2))
    assert orderline.stop(waiting["id"])["status"] == "CANCELLED"
    cloud.drain()
    with pytest.raises(RequestRejected, match="this one is SUCCESS") as error:
        orderline.stop(cooked["id"])

    assert error.value.status == 409
