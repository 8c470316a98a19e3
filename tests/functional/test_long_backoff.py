"""A long backoff: the order leaves the queue, and the sweeper sends it again in time."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from chalicelib import config, dispatch, queue
from chalicelib.clock import SECOND
from chalicelib.dispatch import MAX_DELAY_S
from chalicelib.orders import CLOCK_SKEW_S
from chalicelib.tasks import Context, task
from testkit import Cloud, Wire
from testkit.wire import Killed

MINUTE_S = 60


@pytest.fixture
def backoff_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the backoff of the next failures, in a list that a test may change."""
    backoffs = [1800.0]
    monkeypatch.setattr(random, "uniform", lambda *_: backoffs[0])
    return backoffs


@pytest.fixture
def runs(cloud: Cloud) -> list[int]:
    """Register the task `call`, which fails twice; return the times of its attempts."""
    started: list[int] = []

    @task(max_attempts=3, max_backoff_s=3600)
    def call(order: Context) -> str:
        started.append(cloud.clock())
        if len(started) < 3:
            raise ConnectionError("the bank is down")
        return "paid"

    return started


def in_flight(cloud: Cloud) -> int:
    """Return how many messages SQS counts as in flight: received, hidden and not deleted."""
    name = "ApproximateNumberOfMessagesNotVisible"
    attributes = cloud.sqs.get_queue_attributes(QueueUrl=queue.url(), AttributeNames=[name])
    return int(attributes["Attributes"][name])


def fail_once(cloud: Cloud, name: str = "call") -> Any:
    """Place an order and deliver it once, so that its first attempt fails."""
    order = cloud.place(name)
    cloud.drain()
    return order


def minutes(cloud: Cloud, count: int) -> None:
    """Let minutes pass, with a sweep in each."""
    for _ in range(count):
        cloud.clock.advance(MINUTE_S)
        cloud.sweep()
        cloud.drain()


@pytest.mark.parametrize(("seconds", "messages"), [(60, 1), (60.5, 0), (600, 0), (3600, 0)])
def test_the_message_is_in_flight_for_a_short_backoff_only(
    cloud: Cloud, backoff_s: list[float], runs: list[int], seconds: float, messages: int
) -> None:
    backoff_s[:] = [seconds]
    fail_once(cloud)

    assert (in_flight(cloud), cloud.messages()) == (messages, messages)


@pytest.mark.parametrize("seconds", [61, 600, 1000, 3600])
def test_the_next_attempt_comes_after_the_backoff_and_soon(
    cloud: Cloud, backoff_s: list[float], runs: list[int], seconds: float
) -> None:
    backoff_s[:] = [seconds]
    order = fail_once(cloud)
    minutes(cloud, 2 * int(seconds / MINUTE_S + 3))

    waits = [(after - before) / SECOND for before, after in itertools.pairwise(runs)]
    assert len(waits) == 2
    assert all(seconds <= wait <= seconds + 2 * MINUTE_S for wait in waits)
    paid = cloud.get(order["id"])
    assert (paid["status"], paid["result"], paid["attempts"]) == ("SUCCESS", "paid", 3)
    assert cloud.messages() == 0


def test_the_sweeper_sends_it_as_soon_as_sqs_can_delay_it_so_long(
    cloud: Cloud, backoff_s: list[float], runs: list[int]
) -> None:
    order = fail_once(cloud)
    assert cloud.sweep()["resent"] == 0
    cloud.clock.advance(backoff_s[0] - (MAX_DELAY_S - CLOCK_SKEW_S) - 1)
    assert cloud.sweep()["resent"] == 0
    cloud.clock.advance(1)
    assert cloud.sweep()["resent"] == 1

    assert (in_flight(cloud), cloud.messages()) == (0, 1)
    assert cloud.sweep()["resent"] == 0, "the message is delayed, not lost"
    row = cloud.order(order["id"])
    assert (row.check_shard or "").startswith(dispatch.QUEUED)


def test_a_duplicate_starts_no_attempt_within_the_backoff(
    cloud: Cloud, backoff_s: list[float], runs: list[int]
) -> None:
    order = fail_once(cloud)
    row = cloud.order(order["id"])
    queue.send(row)
    cloud.drain()

    assert len(runs) == 1
    assert cloud.messages() == 0


def test_a_worker_that_dies_after_the_put_back_leaves_a_message_that_does_no_harm(
    cloud: Cloud, wire: Wire, backoff_s: list[float], runs: list[int]
) -> None:
    order = cloud.place("call")
    wire.faults = {len(wire.calls) + 1: wire.killed_after}
    with pytest.raises(Killed):
        cloud.deliver()
    wire.reborn()
    assert (cloud.get(order["id"])["status"], in_flight(cloud)) == ("PENDING", 1)
    cloud.clock.advance(config.settings().worker_timeout_s * 6)
    cloud.drain()
    assert (len(runs), cloud.messages()) == (1, 0)
    minutes(cloud, 75)

    assert (cloud.get(order["id"])["status"], len(runs)) == ("SUCCESS", 3)


def test_an_order_that_waits_shows_when_its_next_attempt_may_start(
    cloud: Cloud, backoff_s: list[float], runs: list[int]
) -> None:
    order = fail_once(cloud)
    row = cloud.order(order["id"])
    reply = cloud.http("GET", f"/orders/{order['id']}")

    assert row.run_at == row.updated_at + 1800 * SECOND
    assert reply.json["run_at"] > reply.json["updated_at"]
    assert reply.headers["Retry-After"] == "30"
    cloud.clock.advance(1795)
    assert cloud.http("GET", f"/orders/{order['id']}").headers["Retry-After"] == "5"


def test_its_age_goes_on_while_it_waits(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, backoff_s: list[float], runs: list[int]
) -> None:
    monkeypatch.setenv("MAX_AGE_S", "2000")
    order = cloud.http("POST", "/orders", {"task": "call", "delay_s": 300}).json
    cloud.clock.advance(303)
    cloud.drain()
    began_at = cloud.order(order["id"]).began_at
    assert began_at == cloud.order(order["id"]).created_at + 300 * SECOND
    minutes(cloud, 32)
    row = cloud.order(order["id"])
    assert (len(runs), row.began_at) == (2, began_at), "after two backoffs"
    minutes(cloud, 20)

    failed = cloud.get(order["id"])
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "gave_up")


def test_a_retry_after_a_cancel_does_not_wait_for_the_backoff(
    cloud: Cloud, backoff_s: list[float], runs: list[int]
) -> None:
    order = fail_once(cloud)
    cloud.http("POST", f"/orders/{order['id']}/cancel")
    cloud.clock.advance(100)
    cloud.http("POST", f"/orders/{order['id']}/retry")
    cloud.drain()

    assert len(runs) == 2
    row = cloud.order(order["id"])
    assert row.began_at == row.round_started_at, "the age of the new round"
    assert row.attempts == 1


def test_an_order_with_a_slot_waits_for_its_backoff(
    cloud: Cloud, backoff_s: list[float], runs: list[int]
) -> None:
    """The slot is over when the backoff begins, so the sweeper must not go by it."""

    @task(per_minute=60, max_attempts=3)
    def paced() -> None:
        runs.append(cloud.clock())
        if len(runs) == 1:
            raise ConnectionError

    backoff_s[:] = [600]
    order = fail_once(cloud, "paced")
    cloud.sweep()
    cloud.drain()
    assert cloud.messages() == 1, "its message is delayed until the backoff is over"
    cloud.clock.advance(603)
    cloud.drain()

    assert cloud.get(order["id"])["status"] == "SUCCESS"


def test_a_dead_letter_leaves_the_order_to_the_end_of_its_backoff(
    cloud: Cloud, backoff_s: list[float], runs: list[int]
) -> None:
    order = fail_once(cloud)
    before = cloud.order(order["id"])
    cloud.bury(order["id"])
    cloud.drain(dead=True)

    row = cloud.order(order["id"])
    assert (row.status.value, row.check_at) == ("PENDING", before.check_at)
    assert (row.check_shard or "").startswith(dispatch.SCHEDULED)
