"""The slots of a task with per_minute, reserved in a row of its own."""

from __future__ import annotations

import itertools
import random
from unittest.mock import patch

import pytest

from chalicelib import config, orders
from chalicelib.clock import SECOND
from chalicelib.dispatch import plan
from chalicelib.errors import Unavailable
from chalicelib.orders import START_WITHIN_S, Order, Status
from chalicelib.table import last_ticks, slots
from chalicelib.table.last_ticks import LastTick
from testkit import Cloud, Wire
from testkit.wire import Call

STEP = slots.step(60)


def order(**fields: int | None) -> Order:
    row = {
        "created_at": 1,
        "updated_at": 1,
        "max_attempts": 5,
        "fingerprint": "",
        "fence": "f",
        **fields,
    }
    return Order("kit", "ID", "fetch", "{}", Status.PENDING, **row)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("per_minute", "distance"),
    [(60, 1_083_334), (1, 65_000_000), (0.5, 130_000_000), (1.5, 65_000_000), (60_000, 1_084)],
)
def test_slots_are_spread_over_65_seconds_and_rounded_up(per_minute: float, distance: int) -> None:
    assert slots.step(per_minute) == distance


@pytest.mark.parametrize("per_minute", [0.5, 1, 1.5, 7, 60, 999])
def test_no_window_of_60_seconds_has_more_starts_however_late_each_is(per_minute: float) -> None:
    """Start at the worst times: late at first, then early, on clocks that differ by 2 s."""
    distance = slots.step(per_minute)
    count = int(max(per_minute, 1)) + 1
    first = START_WITHIN_S * SECOND - 1 + orders.CLOCK_SKEW_S * SECOND
    last = (count - 1) * distance
    assert last - first > slots.WINDOW_S * SECOND


def test_an_idle_task_has_a_slot_now_and_the_next_ones_a_step_apart(cloud: Cloud) -> None:
    now = cloud.clock()
    first = slots.reserve("fetch", 60)
    reserved = [slots.reserve("fetch", 60) for _ in range(5)]

    assert now < first <= cloud.clock()
    assert reserved == [first + n * STEP for n in range(1, 6)]


def test_slots_that_passed_are_not_saved_up(cloud: Cloud) -> None:
    for _ in range(3):
        slots.reserve("fetch", 60)
    cloud.clock.advance(3600)

    now = cloud.clock()
    first = slots.reserve("fetch", 60)
    assert first > now
    assert slots.reserve("fetch", 60) == first + STEP


def test_each_task_has_its_own_slots(cloud: Cloud) -> None:
    slots.reserve("fetch", 1)
    now = cloud.clock()

    assert now < slots.reserve("push", 1) <= cloud.clock()


def test_an_idle_and_a_busy_task_cost_one_write_a_slot(cloud: Cloud, wire: Wire) -> None:
    for _ in range(20):
        slots.reserve("fetch", 60)
    cloud.clock.advance(3600)
    slots.reserve("fetch", 60)

    assert wire.calls == ["UpdateItem"] * 21


def test_a_process_that_knows_nothing_of_the_others_slots_writes_once_more(
    cloud: Cloud, wire: Wire
) -> None:
    first = slots.reserve("fetch", 60)
    slots.forget()

    assert slots.reserve("fetch", 60) == first + STEP
    assert slots.reserve("fetch", 60) == first + 2 * STEP
    assert wire.calls == ["UpdateItem"] * 4


def test_a_process_whose_table_was_reset_begins_again(cloud: Cloud) -> None:
    slots.reserve("fetch", 60)
    cloud.dynamodb.delete_item(
        TableName=config.settings().orders_table, Key={"pk": {"S": "#rate#fetch"}}
    )
    now = cloud.clock()

    assert now < slots.reserve("fetch", 60) <= cloud.clock()


@pytest.mark.parametrize("behind_s", [0.5, 2, 100])
def test_a_function_whose_clock_is_behind_gets_no_slot_twice(cloud: Cloud, behind_s: float) -> None:
    first = slots.reserve("fetch", 60)
    slots.forget()
    cloud.clock.advance(-behind_s)

    assert slots.reserve("fetch", 60) == first + STEP


def test_no_slot_is_reserved_twice_whatever_responses_are_lost(cloud: Cloud, wire: Wire) -> None:
    dice = random.Random(1)
    reserved: list[int] = []
    for _ in range(100):
        if dice.random() < 0.3:
            slots.forget()
        if dice.random() < 0.5:
            wire.loses_answer("UpdateItem", dice.choice((1, 2)))
        cloud.clock.advance(dice.choice((0, 0, 0.4, 5)))
        reserved.append(slots.reserve("fetch", 60))

    assert all(later - earlier >= STEP for earlier, later in itertools.pairwise(reserved))


def test_a_reservation_that_aws_does_not_answer_is_unavailable(cloud: Cloud, wire: Wire) -> None:
    wire.breaks("UpdateItem")
    with pytest.raises(Unavailable):
        slots.reserve("fetch", 60)


@pytest.mark.parametrize("call", [0, 1])
def test_two_processes_that_begin_at_once_get_two_slots(
    cloud: Cloud, wire: Wire, call: int
) -> None:
    """Let another process begin before the first or the second write of one that guesses wrong."""
    key = slots._key("fetch")
    others: list[int] = []

    def begin(current: Call) -> None:
        if current.n == call:
            wire.gate = None
            with patch.dict(slots._seen, clear=True):
                others.append(slots.reserve("fetch", 60))

    if call == 1:
        slots._seen[key] = cloud.clock() + SECOND
    wire.gate = begin
    mine = slots.reserve("fetch", 60)

    assert mine == others[0] + STEP
    assert len(wire.calls) == call + 3


def test_the_row_of_slots_is_not_the_row_of_a_last_tick(cloud: Cloud) -> None:
    last_ticks.record("fetch", LastTick(1, "every 60 s"), None)
    slots.reserve("fetch", 60)

    assert last_ticks.read("fetch") == LastTick(1, "every 60 s")
    assert cloud.rows() == []


@pytest.mark.parametrize(
    ("after_us", "open"),
    [(-1, False), (0, True), (START_WITHIN_S * SECOND - 1, True), (3 * SECOND, False)],
)
def test_a_slot_is_open_for_three_seconds(after_us: int, open: bool) -> None:
    slot_at = 1_000_000_000
    assert order(slot_at=slot_at).in_slot(slot_at + after_us) is open
    assert order(slot_at=None).in_slot(slot_at + after_us) is False


def test_the_message_of_a_slot_arrives_within_a_second_of_it() -> None:
    now = 1_800_000_000 * SECOND
    for ahead in (1, SECOND - 1, SECOND, 10 * SECOND + 1, 899 * SECOND, 900 * SECOND):
        dispatch = plan("ID", now, None, now + ahead)
        assert dispatch.delay_s is not None
        assert 0 <= dispatch.delay_s * SECOND - ahead < SECOND

    assert plan("ID", now, None, now).delay_s == 0
    assert plan("ID", now, None, now + 900 * SECOND + 1).delay_s is None


def test_the_age_of_an_order_counts_from_before_its_slot() -> None:
    """Otherwise files would have to outlive any number of waiting orders, and late ones not end."""
    assert order(slot_at=999).began_at == 1
