"""A task with per_minute: no minute has more starts, no order is lost, no attempt is burned."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib import config, queue
from chalicelib.clock import SECOND, Micros
from chalicelib.execution import registry
from chalicelib.orders import Order
from chalicelib.table import slots
from chalicelib.tasks import Context, File, task
from testkit import Cloud, Wire
from testkit.wire import Killed
from tests.kit.units import Meter

STEP_S = 65 / 60
HOUR_S = 3600
SEED = 20


@pytest.fixture
def starts(cloud: Cloud) -> list[Micros]:
    """Register the task `fetch`, which may start once a second; return the starts of its orders."""
    return register_fetch(cloud)


def register_fetch(cloud: Cloud, **options: Any) -> list[Micros]:
    """Register the task again, as a deploy with other options would."""
    registry._registry.pop("fetch", None)
    started: list[Micros] = []

    def fetch(order: Context, fails: int = 0, file: File | None = None) -> None:
        if order.attempt == 1:
            started.append(cloud.clock())
        if order.attempt <= fails:
            raise RuntimeError

    task(**{"per_minute": 60, "max_attempts": 3, "backoff_s": 1, **options})(fetch)
    return started


def run_for(cloud: Cloud, seconds: float, step_s: float = 0.5) -> None:
    """Deliver what becomes visible, while the time passes."""
    for _ in range(int(seconds / step_s)):
        cloud.drain()
        cloud.clock.advance(step_s)
    cloud.drain()


def most_in_a_minute(started: list[Micros]) -> int:
    return max(sum(first <= other < first + 60 * SECOND for other in started) for first in started)


def place(cloud: Cloud, **members: Any) -> Any:
    reply = cloud.http("POST", "/orders", {"task": "fetch", "input": {}, **members})
    assert reply.status == 202, reply.body
    return reply.json


def free_slot(cloud: Cloud) -> Micros:
    """Return the next free slot of the task; 0 if none was ever reserved."""
    key = {"pk": {"S": "#rate#fetch"}}
    item = cloud.dynamodb.get_item(TableName=config.settings().orders_table, Key=key).get("Item")
    return int(item["next_at"]["N"]) if item else 0


def lose_messages(cloud: Cloud) -> None:
    cloud.sqs.purge_queue(QueueUrl=queue.url())


def statuses(cloud: Cloud) -> set[str]:
    return {order.status.value for order in cloud.rows()}


# The normal case


def test_an_order_of_an_idle_task_runs_at_once(cloud: Cloud, starts: list[Micros]) -> None:
    order = place(cloud)
    cloud.drain()

    assert cloud.get(order["id"])["status"] == "SUCCESS"


def test_an_order_costs_one_call_and_one_unit_more(
    cloud: Cloud, wire: Wire, starts: list[Micros]
) -> None:
    cloud.http("GET", "/tasks")  # caches the token
    wire.calls.clear()
    meter = Meter(cloud, wire)
    place(cloud)
    cloud.drain()
    place(cloud)
    cloud.clock.advance(2)
    cloud.drain()

    assert wire.calls == 2 * ["UpdateItem", "PutItem", "SendMessage", "UpdateItem", "UpdateItem"]
    assert meter.writes == 2 * [1, 3, 1, 2]


def test_orders_start_a_step_apart(cloud: Cloud, starts: list[Micros]) -> None:
    placed = [place(cloud) for _ in range(5)]
    shown = [cloud.order(order["id"]).slot_at or 0 for order in placed]
    run_for(cloud, 10)

    assert [round((later - shown[0]) / SECOND, 2) for later in shown] == [0, 1.08, 2.17, 3.25, 4.33]
    assert all(0 <= start - slot < 2 * SECOND for start, slot in zip(starts, shown, strict=True))
    assert statuses(cloud) == {"SUCCESS"}


def test_an_order_shows_its_slot_as_run_at(cloud: Cloud, starts: list[Micros]) -> None:
    first = place(cloud)
    second = place(cloud)

    assert first["run_at"] is not None
    assert second["run_at"] > first["run_at"] > first["created_at"]
    reply = cloud.http("GET", f"/orders/{second['id']}")
    assert reply.headers["Retry-After"] == "2"


def test_the_tasks_show_their_limit(cloud: Cloud, starts: list[Micros]) -> None:
    tasks = {item["name"]: item for item in cloud.http("GET", "/tasks").json["items"]}

    assert tasks["fetch"]["per_minute"] == 60
    assert tasks["cook_nuggets"]["per_minute"] is None


def test_many_orders_at_once_cost_one_write_more_each(
    cloud: Cloud, wire: Wire, starts: list[Micros]
) -> None:
    for _ in range(40):
        place(cloud)
    run_for(cloud, 45)

    assert len(starts) == 40
    assert {name: wire.calls.count(name) for name in set(wire.calls)} == {
        "GetItem": 1,  # the token
        "PutItem": 40,
        "SendMessage": 40,
        "UpdateItem": 3 * 40,
    }


def test_300_orders_at_once_keep_the_limit_while_workers_die(
    cloud: Cloud, wire: Wire, starts: list[Micros]
) -> None:
    """Kill a worker at any of its calls, or let all of them be late; the sweeper runs too."""
    dice = random.Random(SEED)
    for _ in range(300):
        place(cloud)
    kills = 0
    for tick in range(3000):
        if dice.random() < 0.4:
            fault = dice.choice((wire.killed, wire.killed_after))
            wire.faults = {len(wire.calls) + dice.randrange(3): fault}
        try:
            while cloud.deliver(batch=dice.choice((1, 3))):
                pass
            if tick % 60 == 0:
                cloud.sweep()
        except Killed:
            kills += 1
            wire.reborn()
        wire.faults.clear()
        cloud.clock.advance(20 if dice.random() < 0.01 else 1)
        if tick % 100 == 0 and all(order.status.final for order in cloud.rows()):
            break

    rows = cloud.rows()
    assert kills > 50
    assert all(order.status.final for order in rows)
    assert sum(order.status.value == "SUCCESS" for order in rows) > 290
    assert len(starts) > 250  # the others died between their claim and their start
    assert most_in_a_minute(starts) <= 60
    assert most_in_a_minute([order.history[0].start for order in rows]) <= 60


# Orders that can't start in their slot


def test_a_late_order_of_an_idle_task_starts_at_once_in_another_slot(
    cloud: Cloud, wire: Wire, starts: list[Micros]
) -> None:
    order = place(cloud)
    cloud.clock.advance(4)
    wire.calls.clear()
    cloud.drain()

    assert wire.calls == ["UpdateItem"] * 4  # refused, a slot, a claim, the finish
    row = cloud.order(order["id"])
    assert (row.status.value, row.attempts) == ("SUCCESS", 1)
    assert 0 <= row.history[0].start - (row.slot_at or 0) < SECOND


def test_a_late_order_of_a_busy_task_costs_four_calls_and_five_units_more(
    cloud: Cloud, wire: Wire, starts: list[Micros]
) -> None:
    place(cloud)
    cloud.clock.advance(4)
    slots.reserve("fetch", 60)  # for another order
    wire.calls.clear()
    meter = Meter(cloud, wire)
    cloud.drain()
    waited = ["UpdateItem", "UpdateItem", "UpdateItem", "ChangeMessageVisibility"]
    assert (wire.calls, meter.writes) == (waited, [1, 1, 3])

    cloud.clock.advance(2)
    cloud.drain()
    assert (wire.calls[4:], meter.writes[3:]) == (["UpdateItem", "UpdateItem"], [1, 2])
    assert statuses(cloud) == {"SUCCESS"}


def test_orders_that_waited_for_a_worker_do_not_start_together(cloud: Cloud) -> None:
    starts = register_fetch(cloud, per_minute=6)
    for _ in range(8):
        place(cloud)
    cloud.clock.advance(200)
    run_for(cloud, 90)

    assert len(starts) == 8
    assert most_in_a_minute(starts) <= 6
    assert {order.attempts for order in cloud.rows()} == {1}


def test_a_message_that_is_early_is_kept_until_the_slot(
    cloud: Cloud, wire: Wire, starts: list[Micros]
) -> None:
    place(cloud)
    order = place(cloud)
    lose_messages(cloud)
    message = next(r for r in reversed(wire.requests) if "MessageBody" in r)
    cloud.sqs.send_message(**{**message, "DelaySeconds": 0})
    wire.calls.clear()
    cloud.drain()

    assert wire.calls == ["UpdateItem", "ChangeMessageVisibility"]
    assert cloud.order(order["id"]).attempts == 0
    run_for(cloud, 3)
    assert cloud.get(order["id"])["status"] == "SUCCESS"


def test_an_order_with_a_later_time_takes_its_slot_then(
    cloud: Cloud, wire: Wire, starts: list[Micros]
) -> None:
    order = place(cloud, delay_s=600)
    assert free_slot(cloud) == 0

    cloud.clock.advance(603)
    run_for(cloud, 2)

    row = cloud.order(order["id"])
    assert row.status.value == "SUCCESS"
    assert (row.run_at or 0) < (row.slot_at or 0) <= row.history[0].start


def test_orders_for_the_same_later_time_start_a_step_apart(cloud: Cloud) -> None:
    starts = register_fetch(cloud, per_minute=6)
    for _ in range(8):
        place(cloud, delay_s=600)
    cloud.clock.advance(601)
    run_for(cloud, 90)

    assert len(starts) == 8
    assert most_in_a_minute(starts) <= 6


def test_a_slot_beyond_the_longest_delay_of_sqs_waits_for_the_sweeper(
    cloud: Cloud, wire: Wire
) -> None:
    starts = register_fetch(cloud, per_minute=0.1)
    orders = [place(cloud)["id"] for _ in range(3)]  # now, in 650 s and in 1,300 s
    assert cloud.messages() == 2

    for _ in range(24):
        run_for(cloud, 60, 2)
        cloud.sweep()

    assert {cloud.get(id)["status"] for id in orders} == {"SUCCESS"}
    assert [round((start - starts[0]) / SECOND / 10) for start in starts] == [0, 65, 130]


def test_a_late_order_whose_new_slot_is_far_leaves_the_queue_and_is_swept(cloud: Cloud) -> None:
    starts = register_fetch(cloud, per_minute=0.05)
    first = place(cloud)["id"]
    cloud.clock.advance(10)
    slots.reserve("fetch", 0.05)  # in 1,300 s
    cloud.drain()

    assert cloud.messages() == 0
    assert cloud.order(first).attempts == 0
    for _ in range(50):
        run_for(cloud, 60, 2)
        cloud.sweep()
    assert cloud.get(first)["status"] == "SUCCESS"
    assert len(starts) == 1


def test_a_lost_message_costs_the_slot_and_not_the_order(
    cloud: Cloud, starts: list[Micros]
) -> None:
    order = place(cloud)
    lose_messages(cloud)
    cloud.clock.advance(config.settings().resend_after_s + 2)
    assert cloud.sweep()["resent"] == 1
    cloud.drain()

    assert cloud.get(order["id"])["status"] == "SUCCESS"


def test_a_dead_letter_waits_for_the_sweeper(cloud: Cloud, starts: list[Micros]) -> None:
    place(cloud)
    order = place(cloud)
    lose_messages(cloud)
    cloud.bury(order["id"])
    cloud.drain(dead=True)
    row = cloud.order(order["id"])
    assert row.check_at == (row.slot_at or 0) + config.settings().resend_after_s * SECOND

    cloud.clock.advance(config.settings().resend_after_s + 2)
    cloud.sweep()
    run_for(cloud, 3)

    assert statuses(cloud) == {"SUCCESS"}


def test_an_order_that_is_always_late_fails_at_its_maximum_age(
    cloud: Cloud, starts: list[Micros]
) -> None:
    order = place(cloud)
    cloud.clock.advance(config.settings().max_age_s + 1)
    cloud.drain()

    assert cloud.get(order["id"])["error"]["code"] == "gave_up"
    assert starts == []


# Other attempts


def test_a_failed_attempt_is_repeated_without_a_slot(cloud: Cloud, starts: list[Micros]) -> None:
    order = place(cloud, input={"fails": 2})
    taken = free_slot(cloud)
    run_for(cloud, 10)

    assert (cloud.order(order["id"]).attempts, free_slot(cloud)) == (3, taken)
    assert cloud.get(order["id"])["status"] == "SUCCESS"


def test_the_attempt_after_a_crash_needs_no_slot(cloud: Cloud, starts: list[Micros]) -> None:
    order = place(cloud)
    cloud.claim(order["id"], lease_s=10)
    taken = free_slot(cloud)
    cloud.clock.advance(11)
    cloud.drain()

    assert (cloud.get(order["id"])["attempts"], free_slot(cloud)) == (2, taken)


def test_a_retry_of_the_owner_takes_another_slot(cloud: Cloud) -> None:
    starts = register_fetch(cloud, max_attempts=1)
    order = place(cloud, input={"fails": 1})
    cloud.drain()
    for _ in range(4):
        assert cloud.http("POST", f"/orders/{order['id']}/retry").status == 202
        assert cloud.order(order["id"]).slot_at is None
        run_for(cloud, 2, 0.1)

    assert len(starts) == 5
    assert all(b - a >= STEP_S * SECOND - SECOND for a, b in itertools.pairwise(starts))


def test_a_cancelled_order_never_starts_and_its_slot_stays_unused(
    cloud: Cloud, starts: list[Micros]
) -> None:
    orders = [place(cloud) for _ in range(3)]
    cloud.http("POST", f"/orders/{orders[1]['id']}/cancel")
    run_for(cloud, 5)

    assert len(starts) == 2
    assert starts[1] - starts[0] > 2 * SECOND


# What takes a slot at the intake, and what does not


@pytest.mark.parametrize(
    "input", [{"fails": "x"}, {"surplus": 1}, {"file": {"file": "0" * 64}}], ids=str
)
def test_an_order_that_is_refused_takes_no_slot(
    cloud: Cloud, starts: list[Micros], input: Any
) -> None:
    assert cloud.http("POST", "/orders", {"task": "fetch", "input": input}).status == 422
    assert free_slot(cloud) == 0


def test_a_repeated_request_is_the_same_order_and_wastes_a_slot(
    cloud: Cloud, starts: list[Micros]
) -> None:
    replies = [
        cloud.http("POST", "/orders", {"task": "fetch"}, {"Idempotency-Key": "k"}) for _ in range(2)
    ]
    run_for(cloud, 3)

    assert replies[0].json["id"] == replies[1].json["id"]
    assert len(starts) == 1


def test_a_failed_reservation_is_503_and_stores_nothing(
    cloud: Cloud, wire: Wire, starts: list[Micros]
) -> None:
    wire.breaks("UpdateItem")
    assert cloud.http("POST", "/orders", {"task": "fetch"}).status == 503
    assert cloud.rows() == []
    assert "PutItem" not in wire.calls


def test_a_failed_reservation_in_the_worker_keeps_the_message(
    cloud: Cloud, wire: Wire, starts: list[Micros]
) -> None:
    order = place(cloud)
    cloud.clock.advance(10)
    wire.faults = dict.fromkeys(range(len(wire.calls) + 1, len(wire.calls) + 4), lost_call)
    assert cloud.drain().kept == 1
    cloud.clock.advance(HOUR_S)
    cloud.drain()

    row = cloud.order(order["id"])
    assert (row.status.value, row.attempts) == ("SUCCESS", 1)


def lost_call(call: Any, answer: Callable[[], Any]) -> Any:
    from testkit import wire  # noqa: PLC0415  the fixture has the same name

    return wire.lost(call, answer)


def test_a_later_attempt_of_a_parent_takes_no_slots_for_the_same_follow_ups(
    cloud: Cloud, starts: list[Micros]
) -> None:
    taken: list[Micros] = []

    @task(max_attempts=3, backoff_s=0.1)
    def fan_out(order: Context) -> None:
        for n in range(5):
            order.place("fetch", {}, str(n))
        taken.append(free_slot(cloud))
        if order.attempt == 1:
            raise RuntimeError

    cloud.place("fan_out")
    run_for(cloud, 10)

    assert len(starts) == 5
    assert (len(taken), taken[0]) == (2, taken[1])


def test_a_follow_up_that_the_sweeper_sends_takes_its_slot_when_it_runs(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, starts: list[Micros]
) -> None:
    @task
    def parent(order: Context) -> None:
        order.place("fetch")

    monkeypatch.setattr("chalicelib.ending.MAX_DIRECT_DEPTH", 1)
    cloud.place("parent")
    cloud.drain()
    assert free_slot(cloud) == 0
    cloud.clock.advance(50)
    cloud.sweep()
    cloud.drain()

    assert len(starts) == 1
    assert statuses(cloud) == {"SUCCESS"}


def test_a_periodic_task_has_a_limit_too(cloud: Cloud) -> None:
    starts = register_fetch(cloud, every_s=60)
    cloud.sweep()
    for _ in range(3):
        cloud.clock.advance(60)
        cloud.sweep()
        cloud.drain()

    assert len(starts) == 3


# Versions


def test_a_limit_that_is_new_holds_for_the_orders_that_wait(cloud: Cloud) -> None:
    register_fetch(cloud, per_minute=None)
    for _ in range(8):
        place(cloud)
    starts = register_fetch(cloud, per_minute=6)
    run_for(cloud, 90)

    assert len(starts) == 8
    assert most_in_a_minute(starts) <= 6


def test_a_limit_that_is_gone_keeps_no_order(cloud: Cloud, starts: list[Micros]) -> None:
    for _ in range(20):
        place(cloud)
    unlimited = register_fetch(cloud, per_minute=None)
    run_for(cloud, 30, 5)

    assert len(unlimited) == 20


def test_the_row_knows_the_task_whose_limit_counts(
    cloud: Cloud, wire: Wire, starts: list[Micros]
) -> None:
    order = place(cloud)
    lose_messages(cloud)
    cloud.clock.advance(20)
    row: Order = cloud.order(order["id"])
    body = json.dumps({"v": queue.VERSION, "pk": row.key, "task": "cook_nuggets"})
    cloud.sqs.send_message(QueueUrl=queue.url(), MessageBody=body)
    cloud.drain()

    row = cloud.order(order["id"])
    assert row.status.value == "SUCCESS"
    assert row.history[0].start - (row.slot_at or 0) < SECOND


def test_an_order_without_a_limit_has_the_expressions_of_before(cloud: Cloud, wire: Wire) -> None:
    cloud.place("cook_nuggets", {"pieces": 1})
    cloud.drain()

    assert not [request for request in wire.requests if "slot" in json.dumps(request)]
