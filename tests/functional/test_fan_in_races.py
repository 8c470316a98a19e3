"""What happens between two writes of a fan-in: another function's write, or the end of this one."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from chalicelib import config, ids
from chalicelib.errors import ConditionFailed
from chalicelib.table import fan_in, retries, stops, transitions
from chalicelib.tasks import Context, task
from testkit import Cloud
from testkit.wire import Killed, Wire

Before = Callable[[ModuleType, str, Callable[[], object]], None]


@pytest.fixture(autouse=True)
def served() -> list[str]:
    """Register the tasks `cook`, `burn` and `serve`; return the orders that `serve` ran for."""
    runs: list[str] = []

    @task
    def cook() -> int:
        return 1

    @task(max_attempts=1)
    def burn() -> None:
        raise RuntimeError("too hot")

    @task
    def serve(order: Context) -> None:
        runs.append(order.id)

    return runs


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> Before:
    """Do something just before the next call of a function: another function was faster."""

    def install(module: ModuleType, name: str, action: Callable[[], object]) -> None:
        original = getattr(module, name)

        def first(*arguments: Any) -> Any:
            monkeypatch.setattr(module, name, original)
            action()
            return original(*arguments)

        monkeypatch.setattr(module, name, first)

    return install


def place_after(cloud: Cloud, after: list[str], when: str = "success", task: str = "serve") -> str:
    body = {"task": task, "input": {}, "after": after, "when": when}
    reply = cloud.http("POST", "/orders", body)
    assert reply.status == 202, reply.body
    return str(reply.json["id"])


def later(cloud: Cloud, task: str = "cook") -> str:
    """Place an order that does not run for now."""
    reply = cloud.http("POST", "/orders", {"task": task, "delay_s": 86_400})
    return str(reply.json["id"])


def ask(cloud: Cloud, order_id: str, action: str) -> None:
    reply = cloud.http("POST", f"/orders/{order_id}/{action}")
    assert reply.status < 300, reply.body


def restart_both(cloud: Cloud, first: str, last: str) -> None:
    """Begin another round of an order and of the one that waits for it."""
    ask(cloud, last, "cancel")
    ask(cloud, first, "retry")
    ask(cloud, last, "retry")


def delete(cloud: Cloud, order_id: str) -> None:
    key = {"pk": {"S": ids.key_of("kit", order_id)}}
    cloud.dynamodb.delete_item(TableName=config.settings().orders_table, Key=key)


def test_a_release_in_another_round_is_refused(cloud: Cloud, before: Before) -> None:
    first = later(cloud)
    last = place_after(cloud, [first, later(cloud)], "end")
    before(fan_in, "release", lambda: restart_both(cloud, first, last))
    ask(cloud, first, "cancel")

    assert first in cloud.order(last).waits_for


def test_an_order_that_waits_again_is_not_made_ready(
    cloud: Cloud, before: Before, served: list[str]
) -> None:
    first = later(cloud)
    last = place_after(cloud, [first], "end")
    before(fan_in, "ready", lambda: restart_both(cloud, first, last))
    ask(cloud, first, "cancel")
    cloud.drain()

    assert cloud.order(last).waiting
    assert served == []


def test_an_order_is_made_ready_once(cloud: Cloud, before: Before, served: list[str]) -> None:
    """A second function that passes the same end on leaves the order as the first one did."""
    first = later(cloud)
    last = place_after(cloud, [first], "end")
    before(fan_in, "ready", lambda: ask(cloud, first, "cancel"))
    ask(cloud, first, "cancel")
    row = cloud.order(last)
    cloud.drain()

    assert (row.version, cloud.get(last)["status"]) == (3, "SUCCESS")  # place, release, ready
    assert served == [last]


def test_no_message_of_an_order_comes_before_it_is_ready(cloud: Cloud, before: Before) -> None:
    last = place_after(cloud, [cloud.place("cook")["id"]])
    before(fan_in, "ready", cloud.drain)
    cloud.drain()

    assert cloud.get(last)["status"] == "SUCCESS"


@pytest.mark.parametrize("retried", [False, True])
def test_a_worker_whose_clock_is_behind_runs_an_order_that_is_ready(
    cloud: Cloud, retried: bool
) -> None:
    first = later(cloud)
    last = place_after(cloud, [first], "end")
    if retried:
        ask(cloud, last, "cancel")
    ask(cloud, first, "cancel")
    if retried:
        ask(cloud, last, "retry")
    cloud.clock.advance(-1.5)
    assert cloud.drain().kept >= 1
    cloud.clock.advance(2)
    cloud.drain()
    cloud.clock.advance(3)
    cloud.drain()

    assert cloud.get(last)["status"] == "SUCCESS"


def test_a_join_that_is_refused_is_tried_again(cloud: Cloud, before: Before) -> None:
    first = cloud.place("cook")["id"]
    before(fan_in, "join", lambda: cloud.claim(first, lease_s=60))
    last = place_after(cloud, [first])
    cloud.clock.advance(61)
    cloud.drain()

    assert cloud.get(last)["status"] == "SUCCESS"


def test_a_join_meets_the_end(cloud: Cloud, before: Before) -> None:
    first = cloud.place("cook")["id"]
    before(fan_in, "join", cloud.drain)
    last = place_after(cloud, [first])
    cloud.drain()

    assert cloud.get(last)["status"] == "SUCCESS"


def test_a_retry_meets_the_end(cloud: Cloud, before: Before) -> None:
    last = place_after(cloud, [cloud.place("cook")["id"]])
    ask(cloud, last, "cancel")
    before(retries, "retry", cloud.drain)
    ask(cloud, last, "retry")
    cloud.drain()

    assert cloud.get(last)["status"] == "SUCCESS"


def test_a_failure_that_meets_a_release_is_tried_again(cloud: Cloud, before: Before) -> None:
    cancelled = later(cloud)
    last = place_after(cloud, [cancelled, cloud.place("cook")["id"]])
    before(transitions, "give_up", cloud.drain)  # ends the other one
    ask(cloud, cancelled, "cancel")

    assert cloud.get(last)["error"]["code"] == "prerequisite_failed"


def kill_after_release(cloud: Cloud, wire: Wire, first: str) -> None:
    """Let the worker die after the claim, the finish and the release."""
    wire.faults[len(wire.calls) + 2] = wire.killed_after
    with pytest.raises(Killed):
        cloud.deliver()
    wire.reborn()


def test_the_next_message_makes_ready_what_was_only_released(cloud: Cloud, wire: Wire) -> None:
    first = cloud.place("cook")["id"]
    last = place_after(cloud, [first])
    kill_after_release(cloud, wire, first)
    row = cloud.order(last)
    assert (row.waiting, row.waits_for) == (True, frozenset())
    cloud.clock.advance(400)  # the visibility timeout
    cloud.drain()

    assert cloud.get(last)["status"] == "SUCCESS"


def test_the_sweeper_makes_ready_what_was_only_released(cloud: Cloud, wire: Wire) -> None:
    first = cloud.place("cook")["id"]
    last = place_after(cloud, [first])
    kill_after_release(cloud, wire, first)
    cloud.clock.advance(121)
    cloud.sweep()

    assert not cloud.order(last).waiting


def end_silently(cloud: Cloud, order_id: str) -> None:
    """Cancel an order as a function that dies before it tells those that wait."""
    transitions.cancel(cloud.order(order_id))


def test_a_dead_letter_of_an_ended_order_releases_others(cloud: Cloud) -> None:
    first = later(cloud)
    last = place_after(cloud, [first], "end")
    end_silently(cloud, first)
    cloud.bury(first)
    cloud.drain(dead=True)

    assert not cloud.order(last).waiting


def test_a_message_of_an_ended_order_releases_others(cloud: Cloud) -> None:
    first = cloud.place("cook")["id"]
    last = place_after(cloud, [first], "end")
    end_silently(cloud, first)
    cloud.drain()

    assert cloud.get(last)["status"] == "SUCCESS"


def test_a_repeated_cancel_releases_others(cloud: Cloud) -> None:
    first = later(cloud)
    last = place_after(cloud, [first], "end")
    end_silently(cloud, first)
    ask(cloud, first, "cancel")

    assert not cloud.order(last).waiting


def test_the_sweeper_passes_a_failure_on_to_the_end_of_a_chain(cloud: Cloud) -> None:
    first = later(cloud)
    second = place_after(cloud, [first])
    cloud.clock.advance(10)  # so that only the second one is due below
    third = place_after(cloud, [second])
    end_silently(cloud, first)
    cloud.clock.advance(115)
    cloud.sweep()

    assert cloud.get(third)["error"]["code"] == "prerequisite_failed"


def test_the_sweeper_releases_what_waits_for_an_order_that_it_gives_up(cloud: Cloud) -> None:
    first = cloud.place("burn")["id"]
    last = place_after(cloud, [first], "end")
    cloud.claim(first, lease_s=1)
    cloud.clock.advance(121)
    cloud.sweep()

    assert not cloud.order(last).waiting


def test_the_end_of_a_stopped_order_releases_others(cloud: Cloud) -> None:
    first = cloud.place("cook")["id"]
    last = place_after(cloud, [first], "end")
    cloud.claim(first, lease_s=1)
    ask(cloud, first, "cancel")
    cloud.clock.advance(10)
    cloud.drain()

    assert cloud.get(first)["status"] == "CANCELLED"
    assert cloud.get(last)["status"] == "SUCCESS"


def test_a_new_order_waits_for_one_that_is_not_there(cloud: Cloud) -> None:
    """For 15 minutes it may still come: the one that waits is written first for a webhook."""
    first = later(cloud)
    last = place_after(cloud, [first])
    delete(cloud, first)
    cloud.clock.advance(200)
    cloud.sweep()

    assert cloud.order(last).waiting


def test_a_row_that_dynamodb_did_not_read_is_not_missing(cloud: Cloud, wire: Wire) -> None:
    first = later(cloud)
    last = place_after(cloud, [first])
    cloud.clock.advance(3600)

    def unprocessed(answer: Any) -> Any:
        table = config.settings().orders_table
        key = {"pk": {"S": ids.key_of("kit", first)}}
        return {"Responses": {table: []}, "UnprocessedKeys": {table: {"Keys": [key]}}}

    wire.answers("BatchGetItem", unprocessed)
    cloud.sweep()

    assert cloud.order(last).waiting


def test_a_worker_that_lost_its_claim_does_not_end_a_stopped_order(cloud: Cloud) -> None:
    order_id = cloud.place("cook")["id"]
    first = cloud.claim(order_id, lease_s=60)
    cloud.clock.advance(61)
    cloud.claim(order_id, lease_s=60)
    ask(cloud, order_id, "cancel")

    with pytest.raises(ConditionFailed):
        stops.end_stopped(first, None)


def test_no_attempt_ends_as_stopped_if_nobody_asked(cloud: Cloud) -> None:
    claimed = cloud.claim(cloud.place("cook")["id"], lease_s=60)

    with pytest.raises(ConditionFailed):
        stops.end_stopped(claimed, None)


def test_the_second_of_two_stops_keeps_the_time_of_the_first(cloud: Cloud) -> None:
    order_id = cloud.place("cook")["id"]
    claimed = cloud.claim(order_id, lease_s=60)
    stopped = stops.stop(claimed)
    cloud.clock.advance(1)

    assert stops.stop(claimed) == stopped
    assert cloud.order(order_id) == stopped


def test_an_order_that_a_worker_holds_is_not_cancelled_by_a_stop(cloud: Cloud) -> None:
    order_id = cloud.place("cook")["id"]
    cloud.claim(order_id, lease_s=60)
    ask(cloud, order_id, "cancel")

    with pytest.raises(ConditionFailed):
        stops.cancel_stopped(cloud.order(order_id))


def test_an_order_that_has_expired_is_not_there(cloud: Cloud) -> None:
    """DynamoDB may delete the row days later."""
    first = cloud.place("cook")["id"]
    cloud.drain()
    cloud.clock.advance(config.settings().retention_s + 1)
    body = {"task": "serve", "input": {}, "after": [first]}
    reply = cloud.http("POST", "/orders", body)

    assert (reply.status, reply.json["pointer"]) == (422, "/after/0")
