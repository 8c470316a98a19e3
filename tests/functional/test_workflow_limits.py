"""The limits on docs/workflows.md, of orders that wait for longer than others are kept."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.tasks import Context, Done, task
from testkit import Cloud

DAY_S = 86_400


@pytest.fixture(autouse=True)
def runs() -> list[list[Done]]:
    """Register tasks that succeed, fail and look at what they waited for; return what they saw."""
    seen: list[list[Done]] = []

    @task
    def part() -> int:
        return 1

    @task(max_attempts=1)
    def broken() -> None:
        raise RuntimeError("broken")

    @task
    def total(order: Context) -> None:
        seen.append(order.after())

    return seen


def post(cloud: Cloud, path: str, body: Any = None) -> Any:
    reply = cloud.http("POST", path, body)
    assert reply.status == 202, reply.body
    return reply.json


def wait_for_eight_days(cloud: Cloud, task: str) -> Any:
    """Run an order after one that ends today, and one that ends in eight days; return it."""
    today = cloud.place("part")["id"]
    later = post(cloud, "/orders", {"task": "part", "delay_s": 8 * DAY_S})["id"]
    last = post(cloud, "/orders", {"task": task, "after": [today, later]})["id"]
    cloud.drain()
    cloud.clock.advance(8 * DAY_S + 60)
    for _ in range(2):  # the sweeper sends the order for later, whose end releases the last one
        cloud.sweep()
        cloud.clock.advance(5)
        cloud.drain()
    return cloud.get(last)


def test_an_order_that_has_expired_has_no_result_for_those_that_waited_for_it(
    cloud: Cloud, runs: list[list[Done]]
) -> None:
    last = wait_for_eight_days(cloud, "total")

    assert last["status"] == "SUCCESS"  # MAX_AGE_S, four days, began when it could run
    assert [(done.status, done.result) for done in runs[0]] == [("EXPIRED", None), ("SUCCESS", 1)]


def test_a_retry_after_the_end_of_a_prerequisite_is_forgotten_ends_at_once(cloud: Cloud) -> None:
    last = wait_for_eight_days(cloud, "broken")
    assert last["error"]["code"] == "task_error"
    retried = post(cloud, f"/orders/{last['id']}/retry")

    assert (retried["status"], retried["error"]["code"]) == ("FAILED", "prerequisite_gone")


def test_a_retried_prerequisite_leaves_those_that_failed_because_of_it(cloud: Cloud) -> None:
    first = cloud.place("broken")["id"]
    last = post(cloud, "/orders", {"task": "total", "after": [first]})["id"]
    cloud.drain()
    post(cloud, f"/orders/{first}/retry")

    assert cloud.get(last)["error"]["code"] == "prerequisite_failed"


def test_an_order_after_any_end_waits_for_all_of_a_tree(
    cloud: Cloud, runs: list[list[Done]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.functions.actions.MAX_AFTER", 2)

    @task
    def second_time(order: Context) -> None:
        if order.attempt == 1:
            raise RuntimeError("the first time")

    @task
    def parts(order: Context) -> None:
        ids = [order.place(name) for name in ("broken", "second_time", "part")]
        order.place("total", after=ids, when="end")

    cloud.place("parts")
    cloud.drain()
    assert runs == []
    cloud.clock.advance(5)
    cloud.drain()

    assert [[done.status for done in run] for run in runs] == [["FAILED", "SUCCESS", "SUCCESS"]]
