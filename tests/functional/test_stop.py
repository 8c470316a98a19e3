"""Stopping a running order: its task hears of it, no further attempt starts, a result stands."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib import queue
from chalicelib.errors import ConditionFailed
from chalicelib.execution.time_limit import TimeLimit
from chalicelib.functions.actions import OrderActions
from chalicelib.table import stops, transitions
from chalicelib.tasks import Context, Stopped, task
from testkit import Cloud
from testkit.wire import tapped
from tests.kit.actions import NoActions

NUGGETS = {"pieces": 1}


def stop(cloud: Cloud, order_id: str) -> Any:
    return cloud.http("POST", f"/orders/{order_id}/cancel")


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the context's clock by a number that tests move."""
    now = [0.0]
    monkeypatch.setattr("chalicelib.execution.context.monotonic", lambda: now[0])
    return now


def test_a_task_hears_of_a_stop_at_its_next_report(cloud: Cloud) -> None:
    steps: list[int] = []

    @task
    def export(order: Context, rows: int) -> int:
        steps.append(1)
        asked = stop(cloud, order.id)
        assert (asked.status, asked.json["stopping"]) == (202, True)
        order.progress(50, "half")
        steps.append(2)
        return rows

    order = cloud.place("export", {"rows": 3})
    cloud.drain()

    row = cloud.get(f"{order['id']}?include=history")
    assert (row["status"], row["stopping"], row["result"]) == ("CANCELLED", False, None)
    assert [attempt["code"] for attempt in row["history"]] == ["stopped"]
    assert steps == [1]
    assert cloud.messages() == 0


def test_a_stop_may_be_repeated(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)
    cloud.claim(order["id"], lease_s=60)

    first = stop(cloud, order["id"])
    version = cloud.order(order["id"]).version
    second = stop(cloud, order["id"])

    assert [first.status, second.status] == [202, 202]
    assert first.headers["ETag"] == second.headers["ETag"]
    assert "Retry-After" in first.headers
    assert cloud.order(order["id"]).version == version


def test_a_stopped_order_begins_no_further_attempt(cloud: Cloud) -> None:
    @task(max_attempts=3)
    def unsteady(order: Context) -> None:
        stop(cloud, order.id)
        raise RuntimeError("after the stop")

    order = cloud.place("unsteady")
    cloud.drain()

    shown = cloud.get(f"{order['id']}?include=history")
    assert (shown["status"], shown["attempts"]) == ("CANCELLED", 1)
    assert shown["error"]["message"] == "RuntimeError: after the stop"
    assert [attempt["code"] for attempt in shown["history"]] == ["task_error"]
    assert cloud.messages() == 0


def test_the_last_attempt_that_fails_after_a_stop_fails_its_order(cloud: Cloud) -> None:
    @task(max_attempts=1)
    def unsteady(order: Context) -> None:
        stop(cloud, order.id)
        raise RuntimeError("the last attempt")

    order = cloud.place("unsteady")
    cloud.drain()

    assert cloud.get(order["id"])["status"] == "FAILED"


def test_a_result_that_comes_after_a_stop_stands(cloud: Cloud) -> None:
    @task
    def quick(order: Context) -> str:
        assert stop(cloud, order.id).status == 202
        return "done"

    order = cloud.place("quick")
    cloud.drain()
    late = stop(cloud, order["id"])

    assert (cloud.get(order["id"])["status"], cloud.get(order["id"])["result"]) == (
        "SUCCESS",
        "done",
    )
    assert (late.status, late.json["order_status"]) == (409, "SUCCESS")


def test_a_task_that_looks_may_clean_up_and_return(cloud: Cloud, second: list[float]) -> None:
    looks: list[bool] = []

    @task
    def careful(order: Context) -> str:
        looks.append(order.stopping)
        stop(cloud, order.id)
        looks.append(order.stopping)  # it was read less than a second ago
        second[0] += 1
        looks.append(order.stopping)
        return "cleaned up"

    order = cloud.place("careful")
    cloud.drain()

    assert looks == [False, False, True]
    assert cloud.get(order["id"])["result"] == "cleaned up"


def test_a_check_raises_for_a_stop_and_for_the_time_limit(second: list[float]) -> None:
    class Stopping(NoActions):
        def is_stopping(self) -> bool:
            return True

    context = Context("id", 1, "key", 5.0, Stopping())
    context.check()
    second[0] = 1.0
    with pytest.raises(Stopped):
        context.check()
    second[0] = 5.0
    with pytest.raises(TimeLimit):
        context.check()


def test_except_exception_does_not_swallow_a_stop(cloud: Cloud) -> None:
    @task
    def stubborn(order: Context) -> str:
        stop(cloud, order.id)
        try:
            order.progress(1)
        except Exception:
            return "swallowed"
        return "not heard"

    order = cloud.place("stubborn")
    cloud.drain()

    assert cloud.get(order["id"])["status"] == "CANCELLED"


def test_a_task_that_raises_a_stop_by_itself_has_failed(cloud: Cloud) -> None:
    @task(max_attempts=1)
    def impatient() -> None:
        raise Stopped

    order = cloud.place("impatient")
    cloud.drain()

    assert cloud.get(order["id"])["error"]["code"] == "task_error"


def test_the_order_of_a_dead_worker_is_cancelled_by_its_next_message(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)
    cloud.claim(order["id"], lease_s=60)
    assert stop(cloud, order["id"]).status == 202
    cloud.drain()
    assert cloud.get(order["id"])["status"] == "RUNNING"

    cloud.clock.advance(63)
    cloud.drain()

    assert (cloud.get(order["id"])["status"], cloud.messages()) == ("CANCELLED", 0)


def test_the_sweeper_cancels_a_stopped_order_without_a_message(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)
    cloud.claim(order["id"], lease_s=60)
    stop(cloud, order["id"])
    cloud.sqs.purge_queue(QueueUrl=queue.url())
    cloud.clock.advance(62)  # the lease is over

    assert cloud.sweep()["ended"] == 1
    assert cloud.get(order["id"])["status"] == "CANCELLED"


def test_a_dead_letter_of_a_stopped_order_cancels_it(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)
    cloud.claim(order["id"], lease_s=60)
    stop(cloud, order["id"])
    cloud.clock.advance(61)
    cloud.bury(order["id"])
    cloud.drain(dead=True)

    assert cloud.get(order["id"])["status"] == "CANCELLED"


def test_a_stopped_order_can_be_retried(cloud: Cloud) -> None:
    @task
    def once(order: Context) -> int:
        if cloud.order(order.id).retry_round == 0:
            stop(cloud, order.id)
        order.progress(1)
        return 1

    order = cloud.place("once")
    cloud.drain()
    retried = cloud.http("POST", f"/orders/{order['id']}/retry")
    cloud.drain()

    assert (retried.status, retried.json["stopping"]) == (202, False)
    assert cloud.get(order["id"])["status"] == "SUCCESS"


def test_a_stop_of_an_attempt_that_has_ended_does_not_reach_the_next_one(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)
    first = cloud.claim(order["id"], lease_s=60)
    cloud.clock.advance(61)
    cloud.claim(order["id"], lease_s=60)

    with pytest.raises(ConditionFailed):
        stops.stop(first)

    assert cloud.order(order["id"]).stop_at is None


def test_a_cancel_that_loses_against_a_claim_stops_the_order(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)
    cancel = transitions.cancel

    def claimed_before(current: Any) -> Any:
        cloud.claim(order["id"], lease_s=60)
        return cancel(current)

    monkeypatch.setattr(transitions, "cancel", claimed_before)
    reply = stop(cloud, order["id"])

    assert (reply.status, reply.json["stopping"]) == (202, True)


def test_a_task_whose_claim_is_lost_is_told_to_stop(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)
    first = cloud.claim(order["id"], lease_s=60)
    cloud.clock.advance(61)
    cloud.claim(order["id"], lease_s=60)

    assert OrderActions(first, None).is_stopping()  # type: ignore[arg-type]


def test_a_client_may_ask_not_to_stop_a_running_order(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)
    cloud.claim(order["id"], lease_s=60)

    refused = cloud.http("POST", f"/orders/{order['id']}/cancel?running=refuse")
    wrong = [
        cloud.http("POST", f"/orders/{order['id']}/cancel?running={text}") for text in ("maybe", "")
    ]

    assert [refused.status, *(each.status for each in wrong)] == [409, 400, 400]
    assert cloud.order(order["id"]).stop_at is None


def test_an_order_that_nobody_stops_takes_no_further_call(cloud: Cloud) -> None:
    """`stopping` reads the row at most once a second, and a report needs no read."""
    order = cloud.place("cook_nuggets", NUGGETS)
    claimed = cloud.claim(order["id"], lease_s=60)
    context = Context(order["id"], 1, "key", 60, OrderActions(claimed, None))  # type: ignore[arg-type]
    context.progress(1)

    with tapped() as wire:
        assert not context.stopping
    assert wire.calls == []
