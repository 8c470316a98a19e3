"""Periodic tasks: one order for each tick, whatever sweepers do and however long orders live."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from types import FunctionType
from typing import Any

import pytest
from moto.dynamodb.models import dynamodb_backends

from chalicelib import clock, config
from chalicelib.clock import SECOND
from chalicelib.errors import Unavailable
from chalicelib.execution import registry
from chalicelib.functions import periodic
from chalicelib.tasks import task
from testkit import Cloud, Wire
from testkit.cloud import REGION
from testkit.wire import Call, Fault, Killed, answer_lost, lost
from tests.faults.interleave import Action, interleaved, schedules

DAY_S = 86400


def do_nothing() -> None: ...


def register(name: str, **period: Any) -> None:
    """Register a periodic task that does nothing; a second call replaces it, as a deploy would."""
    registry._registry.pop(name, None)
    function = FunctionType(do_nothing.__code__, {}, name)
    task(**period)(function)


def count_orders(cloud: Cloud) -> Counter[str]:
    return Counter(order.task for order in cloud.rows())


def set_time(cloud: Cloud, text: str) -> None:
    """Move the clock forward to a moment in UTC."""
    moment = datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
    cloud.clock.advance(moment.timestamp() - cloud.clock() / SECOND)


def test_each_tick_has_one_order_after_several_sweeps(cloud: Cloud) -> None:
    register("hourly", every_s=3600)
    cloud.sweep()
    for _ in range(2):
        cloud.clock.advance(3600)
        for _ in range(3):
            cloud.sweep()
            cloud.drain()

    ticks = cloud.rows()
    assert [order.status.value for order in ticks] == ["SUCCESS"] * 2
    assert {order.owner for order in ticks} == {config.settings().periodic_owner}


def test_two_tasks_with_the_same_period_have_an_order_each(cloud: Cloud) -> None:
    register("first", every_s=3600)
    register("second", every_s=3600)
    cloud.sweep()
    cloud.clock.advance(3600)
    cloud.sweep()

    assert count_orders(cloud) == {"first": 1, "second": 1}


def test_the_first_deploy_does_not_run_an_earlier_tick(cloud: Cloud) -> None:
    register("yearly", cron="0 6 1 1 *")
    cloud.sweep()
    cloud.sweep()
    assert count_orders(cloud) == {}

    cloud.clock.advance(366 * DAY_S)
    cloud.sweep()
    assert count_orders(cloud) == {"yearly": 1}


def test_a_tick_years_after_the_deploy_runs_when_it_comes(cloud: Cloud) -> None:
    register("leap", cron="0 6 29 2 *")
    set_time(cloud, "2030-06-01")
    cloud.sweep()
    set_time(cloud, "2032-02-29T06:00:30")
    cloud.sweep()

    assert count_orders(cloud) == {"leap": 1}


def test_a_changed_schedule_does_not_run_a_tick_before_the_deploy(cloud: Cloud) -> None:
    set_time(cloud, "2030-06-01T00:00:00")
    register("bill", cron="0 6 1 1 *")
    cloud.sweep()
    register("bill", cron="0 6 2 1 *")
    cloud.sweep()
    assert count_orders(cloud) == {}

    set_time(cloud, "2031-01-02T06:00:30")
    cloud.sweep()
    assert count_orders(cloud) == {"bill": 1}


def test_missed_ticks_are_skipped_and_logged(
    cloud: Cloud, capfd: pytest.CaptureFixture[str]
) -> None:
    register("hourly", cron="0 * * * *")
    cloud.sweep()
    cloud.clock.advance(3600)
    cloud.sweep()
    assert "ticks_skipped" not in "".join(capfd.readouterr())

    cloud.clock.advance(5 * 3600)
    cloud.sweep()
    assert count_orders(cloud) == {"hourly": 2}
    assert "ticks_skipped" in "".join(capfd.readouterr())


def faults(wire: Wire) -> dict[str, Fault]:
    return {
        "killed before": wire.killed,
        "killed after": wire.killed_after,
        "lost": lost,
        "answer lost": answer_lost,
    }


@pytest.mark.parametrize("fault", faults(Wire()))
def test_a_sweeper_that_dies_at_any_call_loses_no_tick_and_places_none_twice(
    cloud: Cloud, wire: Wire, fault: str
) -> None:
    register("hourly", every_s=3600)
    cloud.sweep()
    inserted = count_inserts(wire)
    for hour in range(8):
        cloud.clock.advance(3600)
        wire.faults = dict.fromkeys(
            range(len(wire.calls) + hour, len(wire.calls) + hour + 3), faults(wire)[fault]
        )
        place_ticks(cloud, wire)
        wire.faults = {}
        place_ticks(cloud, wire)
        assert inserted["hourly"] == hour + 1


def test_two_sweepers_in_every_order_of_their_calls_place_a_tick_once(
    cloud: Cloud, wire: Wire
) -> None:
    register("hourly", every_s=3600)
    cloud.sweep()
    inserted = count_inserts(wire)

    def run(schedule: list[str]) -> list[tuple[str, list[str]]]:
        cloud.clock.advance(3600)
        inserted.clear()
        sweepers: dict[str, Action] = {
            name: lambda: periodic.place_ticks(clock.now()) for name in ("first", "second")
        }
        steps = interleaved(wire, sweepers, schedule)
        assert inserted == {"hourly": 1}, steps
        return steps

    assert len(list(schedules(run))) > 10


# Four schedules, each with the number of its ticks in 400 days from 2027-01-15
PERIODS: dict[str, tuple[dict[str, Any], int]] = {
    "daily": ({"cron": "0 6 * * *"}, 400),
    "monthly": ({"cron": "0 6 1 * *"}, 13),
    "in_30_days": ({"every_s": 30 * DAY_S}, 13),
    "yearly": ({"cron": "0 6 1 1 *"}, 1),
}


def test_400_days_with_sweepers_that_die_have_the_right_number_of_orders(
    cloud: Cloud, wire: Wire
) -> None:
    """Sweep each morning, kill every third sweeper at some call, expire all orders each 8th day."""
    for name, (period, _) in PERIODS.items():
        register(name, **period)
    set_time(cloud, "2027-01-15T07:00:00")
    place_ticks(cloud, wire)
    inserted = count_inserts(wire)
    dice = random.Random(400)
    for day in range(400):
        cloud.clock.advance(DAY_S)
        if day % 3 == 0:
            wire.faults = {
                len(wire.calls) + dice.randrange(8): dice.choice((wire.killed, wire.killed_after))
            }
            place_ticks(cloud, wire)
            wire.faults = {}
        place_ticks(cloud, wire)
        if day % 8 == 0:
            expire_orders()

    assert inserted == {name: count for name, (_, count) in PERIODS.items()}


def place_ticks(cloud: Cloud, wire: Wire) -> None:
    with suppress(Killed, Unavailable):
        periodic.place_ticks(cloud.clock())
    wire.reborn()


def expire_orders() -> None:
    """Delete every order, as DynamoDB's TTL does; other rows stay."""
    table: Any = dynamodb_backends["123456789012"][REGION].tables[config.settings().orders_table]
    for key, item in list(table.items.items()):
        if "task" in item.attrs:
            del table.items[key]


def count_inserts(wire: Wire) -> Counter[str]:
    """Return a counter, by task, of the orders that are inserted from now on."""
    inserted: Counter[str] = Counter()

    def count(call: Call) -> None:
        if call.operation == "PutItem" and "task" in call.request["Item"]:
            inserted[call.request["Item"]["task"]["S"]] += 1

    wire.seen = count
    return inserted


def test_the_expected_numbers_of_the_400_days_are_those_of_a_calendar() -> None:
    days = [datetime(2027, 1, 16, 6, tzinfo=timezone.utc) + timedelta(days=n) for n in range(400)]
    start = datetime(2027, 1, 15, 7, tzinfo=timezone.utc).timestamp()
    expected = {
        "daily": len(days),
        "monthly": sum(day.day == 1 for day in days),
        "in_30_days": int((start + 400 * DAY_S) // (30 * DAY_S) - start // (30 * DAY_S)),
        "yearly": sum((day.month, day.day) == (1, 1) for day in days),
    }
    assert expected == {name: count for name, (_, count) in PERIODS.items()}
