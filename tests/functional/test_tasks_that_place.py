"""A task's context: follow-up orders and progress; and periodic tasks."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from chalicelib.errors import TaskMistake
from chalicelib.functions import actions
from chalicelib.tasks import Context, task
from testkit import Cloud


def test_a_follow_up_is_placed_once_in_all_attempts_of_its_parent(cloud: Cloud) -> None:
    @task(backoff_s=0)
    def parent(order: Context) -> str:
        child = order.place("child", {"n": 1}, "first")
        if order.attempt == 1:
            raise RuntimeError("once more")
        return child

    @task
    def child(n: int) -> int:
        return n

    order = cloud.place("parent")
    cloud.drain()
    cloud.clock.advance(5)
    cloud.drain()

    ended = cloud.get(order["id"])
    follower = cloud.get(ended["result"])
    assert (ended["status"], ended["attempts"], follower["status"]) == ("SUCCESS", 2, "SUCCESS")
    assert ended["links"]["follow_ups"] == [follower["links"]["self"]]
    assert follower["links"]["parent"] == ended["links"]["self"]
    assert len(cloud.rows()) == 2


def test_an_invalid_follow_up_fails_its_parent_with_the_reason(cloud: Cloud) -> None:
    @task(max_attempts=1)
    def parent(order: Context) -> str:
        return order.place("cook_nuggets", {"pieces": "many"})

    order = cloud.place("parent")
    cloud.drain()

    assert "the input doesn't fit" in cloud.get(order["id"])["error"]["message"]


def test_a_task_that_places_too_many_orders_fails(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "MAX_FOLLOW_UPS", 3)

    @task(max_attempts=1)
    def parent(order: Context) -> None:
        for n in range(4):
            order.place("cook_nuggets", {"pieces": 1}, str(n))

    order = cloud.place("parent")
    cloud.drain()

    failed = cloud.get(order["id"])
    assert "at most 3 others" in failed["error"]["message"]
    assert len(failed["links"]["follow_ups"]) == 3


def test_follow_ups_of_all_attempts_are_counted_and_earlier_ones_may_be_placed_again(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "MAX_FOLLOW_UPS", 3)

    @task(max_attempts=2, backoff_s=0)
    def parent(order: Context) -> None:
        for n in (0, 1, 2) if order.attempt == 1 else (0, 1, 2, 3):
            order.place("cook_nuggets", {"pieces": 1}, str(n))
        raise RuntimeError("once more")

    order = cloud.place("parent")
    cloud.drain()
    cloud.clock.advance(5)
    cloud.drain()

    failed = cloud.get(order["id"])
    assert "at most 3 others" in failed["error"]["message"]
    assert len(failed["links"]["follow_ups"]) == 3


NOT_JSON = [
    float("nan"),
    float("inf"),
    float("-inf"),
    "\ud800",
    {1, 2, 3}.__iter__,
    [[[[float("nan")]]]],
]


@pytest.mark.parametrize(
    "value", NOT_JSON, ids=["NaN", "Infinity", "-Infinity", "surrogate", "function", "inside"]
)
def test_a_follow_up_with_an_input_that_is_not_json_is_refused_at_once(
    cloud: Cloud, value: object
) -> None:
    @task
    def child(value: Any) -> None: ...

    @task(max_attempts=1)
    def parent(order: Context) -> None:
        order.place("child", {"value": value})

    order = cloud.place("parent")
    cloud.drain()

    failed = cloud.get(order["id"])
    assert (failed["status"], len(cloud.rows())) == ("FAILED", 1)
    assert "the input is not valid JSON" in failed["error"]["message"]


def test_the_input_of_a_follow_up_may_be_anything_that_a_task_may_return(cloud: Cloud) -> None:
    @task
    def child(day: date) -> str:
        return day.isoformat()

    @task
    def parent(order: Context) -> str:
        return order.place("child", {"day": date(2026, 2, 28)})

    order = cloud.place("parent")
    cloud.drain()

    assert cloud.get(cloud.get(order["id"])["result"])["result"] == "2026-02-28"


def test_a_long_chain_continues_in_the_sweeper_before_lambda_would_stop_it(cloud: Cloud) -> None:
    @task
    def link(order: Context, left: int) -> int:
        if left:
            order.place("link", {"left": left - 1})
        return left

    cloud.place("link", {"left": 11})
    cloud.drain()
    assert len(cloud.rows()) == 11, "the tenth waits for the sweeper"

    cloud.clock.advance(1)
    cloud.sweep()
    cloud.drain()

    assert {order.status.value for order in cloud.rows()} == {"SUCCESS"}
    assert len(cloud.rows()) == 12


def test_progress_is_visible_while_the_task_runs(cloud: Cloud) -> None:
    progress = []

    @task
    def slow(order: Context) -> None:
        order.progress(41.6, "frying")
        order.progress(50, "within the same second: dropped")
        progress.append(cloud.get(order.id)["progress"])

    order = cloud.place("slow")
    cloud.drain()

    assert progress == [{"percent": 42, "word": "frying"}]
    assert cloud.get(order["id"])["status"] == "SUCCESS"


@pytest.mark.parametrize(
    "options",
    [
        {"every_s": 60, "cron": "* * * * *"},
        {"every_s": 10},
        {"cron": "99 * * * *"},
        {"cron": "daily"},
    ],
)
def test_an_invalid_period_is_refused_at_import(options: dict[str, object]) -> None:
    with pytest.raises(TaskMistake):

        @task(**options)  # type: ignore[call-overload, untyped-decorator]
        def periodic() -> None: ...


def test_a_periodic_task_must_not_need_input() -> None:
    with pytest.raises(TaskMistake, match="default"):

        @task(every_s=60)
        def periodic(n: int) -> None: ...
