"""The reads: an order, a client's newest orders, the tasks, and whether the function answers."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.tasks import Context, task
from tests.functional.test_bad_input import problem_of
from tests.kit import Cloud


def test_an_order_that_waits_tells_when_to_ask_again_ever_later(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", {"pieces": 6})

    pauses = []
    for _ in range(16):
        pauses.append(cloud.http("GET", f"/orders/{order['id']}").headers["Retry-After"])
        cloud.clock.advance(1)

    assert pauses == ["1", "2", "2", "4", "4", "4", "4", *["8"] * 8, "16"]


def test_a_final_order_tells_its_result_and_when_it_goes(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", {"pieces": 6})
    cloud.drain()

    reply = cloud.http("GET", f"/orders/{order['id']}")

    assert reply.status == 200
    assert "Retry-After" not in reply.headers
    assert reply.headers["Cache-Control"] == "private, no-cache"
    assert (reply.json["status"], reply.json["done"], reply.json["error"]) == (
        "SUCCESS",
        True,
        None,
    )
    assert reply.json["result"]["pieces"] == 6
    assert reply.json["expires_at"] == "2027-01-22T08:00:00.000000Z"


def test_an_order_is_gone_once_its_time_is_over_though_the_row_is_still_there(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", {"pieces": 6})
    cloud.drain()

    cloud.clock.advance(7 * 86400 - 1)
    assert cloud.get(order["id"])["status"] == "SUCCESS"
    cloud.clock.advance(2)

    assert cloud.http("GET", f"/orders/{order['id']}").status == 404
    assert cloud.http("GET", "/orders").json["items"] == []
    assert len(cloud.rows()) == 1


def test_a_reference_number_reads_in_small_letters_too(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", {"pieces": 6})

    assert cloud.get(order["id"].lower())["id"] == order["id"]


@pytest.mark.parametrize(
    "order_id",
    ["0" * 26, "x", "0" * 3000, "%00", "%ED%A0%80", "%23", "kit%230", "..", "%F0%9F%98%80"],
)
def test_an_unknown_reference_number_is_404_whatever_it_holds(cloud: Cloud, order_id: str) -> None:
    reply = cloud.http("GET", f"/orders/{order_id}")

    assert (reply.status, problem_of(reply)["type"]) == (404, "/problems/not-found")


def test_the_list_is_newest_first_and_brief(cloud: Cloud) -> None:
    placed = [cloud.place("cook_nuggets", {"pieces": 6})["id"] for _ in range(4)]
    cloud.deliver()

    items = cloud.http("GET", "/orders").json["items"]

    assert [item["id"] for item in items] == placed[::-1]
    assert [item["status"] for item in items].count("SUCCESS") == 1
    for item in items:
        assert not {"result", "input", "history"} & set(item)
        assert item["links"]["self"].endswith(f"/orders/{item['id']}")


def test_the_list_holds_the_clients_own_orders_only(cloud: Cloud) -> None:
    cloud.place("cook_nuggets", {"pieces": 6})
    stranger = {"Authorization": f"Bearer {cloud.new_token('other')}"}

    assert cloud.http("GET", "/orders", headers=stranger).json == {"items": []}


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("?limit=1", 1),
        ("?limit=100", 100),
        ("?limit=101", 100),
        ("", 50),
        ("?limit=99999999999999999999", 100),
        ("?limit=0000000000003", 3),
    ],
)
def test_a_list_is_as_long_as_asked_up_to_100(cloud: Cloud, asked: str, shown: int) -> None:
    placed = [cloud.place("cook_nuggets", {"pieces": 6})["id"] for _ in range(min(shown, 100) + 1)]

    items = cloud.http("GET", f"/orders{asked}").json["items"]

    assert [item["id"] for item in items] == placed[::-1][:shown]


@pytest.mark.parametrize("limit", ["0", "-1", "", "x", "1.5", "1e1", "%20", "%C2%B2", "000"])
def test_a_limit_that_is_no_number_from_1_is_400(cloud: Cloud, limit: str) -> None:
    reply = cloud.http("GET", f"/orders?limit={limit}")

    assert (reply.status, problem_of(reply)["type"]) == (400, "/problems/invalid-parameter")
    assert "limit" in reply.json["detail"]


def test_the_tasks_tell_what_they_take(cloud: Cloud) -> None:
    @task(max_attempts=2, timeout_s=9)
    def greet(name: str, context: Context, times: int = 1) -> None:
        """Say hello."""

    items = {item["name"]: item for item in cloud.http("GET", "/tasks").json["items"]}

    assert list(items) == sorted(items)
    assert items["cook_nuggets"]["input_schema"]["properties"]["pieces"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 120,
    }
    greet_schema: dict[str, Any] = items["greet"].pop("input_schema")
    assert items["greet"] == {
        "name": "greet",
        "description": "Say hello.",
        "max_attempts": 2,
        "timeout_s": 9,
    }
    assert greet_schema["properties"] == {
        "name": {"type": "string"},
        "times": {"type": "integer", "default": 1},
    }
    assert greet_schema["required"] == ["name"]
    assert greet_schema["additionalProperties"] is False


def test_health_needs_no_token_and_no_aws(cloud: Cloud) -> None:
    answer = cloud.client.http.get("/health")

    assert (answer.status_code, answer.json_body) == (200, {"status": "ok"})
