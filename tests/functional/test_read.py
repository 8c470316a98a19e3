"""The reads: an order, an owner's newest orders, the tasks, and /health."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.tasks import Context, task
from testkit import Cloud
from tests.functional.test_bad_input import problem_of


def test_retry_after_grows_with_the_age_of_a_pending_order(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", {"pieces": 6})

    pauses = []
    for _ in range(16):
        pauses.append(cloud.http("GET", f"/orders/{order['id']}").headers["Retry-After"])
        cloud.clock.advance(1)

    assert pauses == ["1", "2", "2", "4", "4", "4", "4", *["8"] * 8, "16"]


def test_a_final_order_has_its_result_and_its_expiry(cloud: Cloud) -> None:
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


def test_an_expired_order_is_404_even_while_its_row_exists(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", {"pieces": 6})
    cloud.drain()

    cloud.clock.advance(7 * 86400 - 1)
    assert cloud.get(order["id"])["status"] == "SUCCESS"
    cloud.clock.advance(2)

    assert cloud.http("GET", f"/orders/{order['id']}").status == 404
    assert cloud.http("GET", "/orders").json["items"] == []
    assert len(cloud.rows()) == 1


def test_a_reference_number_may_be_in_lower_case(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", {"pieces": 6})

    assert cloud.get(order["id"].lower())["id"] == order["id"]


@pytest.mark.parametrize(
    "order_id",
    ["0" * 26, "x", "0" * 3000, "%00", "%ED%A0%80", "%23", "kit%230", "..", "%F0%9F%98%80"],
)
def test_an_unknown_reference_number_is_404(cloud: Cloud, order_id: str) -> None:
    reply = cloud.http("GET", f"/orders/{order_id}")

    assert (reply.status, problem_of(reply)["type"]) == (404, "/problems/not-found")


def test_the_list_is_newest_first_without_large_members(cloud: Cloud) -> None:
    order_ids = [cloud.place("cook_nuggets", {"pieces": 6})["id"] for _ in range(4)]
    cloud.deliver()

    items = cloud.http("GET", "/orders").json["items"]

    assert [item["id"] for item in items] == order_ids[::-1]
    assert [item["status"] for item in items].count("SUCCESS") == 1
    for item in items:
        assert not {"result", "input", "history"} & set(item)
        assert item["links"]["self"].endswith(f"/orders/{item['id']}")


def test_the_list_has_the_owners_own_orders_only(cloud: Cloud) -> None:
    cloud.place("cook_nuggets", {"pieces": 6})
    stranger = {"Authorization": f"Bearer {cloud.new_token('other')}"}

    assert cloud.http("GET", "/orders", headers=stranger).json == {"items": []}


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("?limit=1", 1),
        ("?limit=100", 100),
        ("?limit=101", 100),
        ("", 50),
        ("?limit=99999999999999999999", 100),
        ("?limit=0000000000003", 3),
    ],
)
def test_a_list_is_as_long_as_its_limit_up_to_100(cloud: Cloud, query: str, count: int) -> None:
    order_ids = [
        cloud.place("cook_nuggets", {"pieces": 6})["id"] for _ in range(min(count, 100) + 1)
    ]

    items = cloud.http("GET", f"/orders{query}").json["items"]

    assert [item["id"] for item in items] == order_ids[::-1][:count]


@pytest.mark.parametrize("limit", ["0", "-1", "", "x", "1.5", "1e1", "%20", "%C2%B2", "000"])
def test_a_limit_that_is_not_a_positive_number_is_400(cloud: Cloud, limit: str) -> None:
    reply = cloud.http("GET", f"/orders?limit={limit}")

    assert (reply.status, problem_of(reply)["type"]) == (400, "/problems/invalid-parameter")
    assert "limit" in reply.json["detail"]


def test_the_tasks_are_listed_with_their_input_schemas(cloud: Cloud) -> None:
    @task(max_attempts=2, timeout_s=9)
    def write_card(name: str, context: Context, times: int = 1) -> None:
        """Write a card."""

    items = {item["name"]: item for item in cloud.http("GET", "/tasks").json["items"]}

    assert list(items) == sorted(items)
    assert items["cook_nuggets"]["input_schema"]["properties"]["pieces"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 120,
    }
    schema: dict[str, Any] = items["write_card"].pop("input_schema")
    assert items["write_card"] == {
        "name": "write_card",
        "description": "Write a card.",
        "lane": "default",
        "max_attempts": 2,
        "timeout_s": 9,
        "per_minute": None,
    }
    assert schema["properties"] == {
        "name": {"type": "string"},
        "times": {"type": "integer", "default": 1},
    }
    assert schema["required"] == ["name"]
    assert schema["additionalProperties"] is False


def test_health_needs_no_token_and_no_aws(cloud: Cloud) -> None:
    answer = cloud.client.http.get("/health")

    assert (answer.status_code, answer.json_body) == (200, {"status": "ok"})
