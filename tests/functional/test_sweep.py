"""A sweep over many orders: what it calls, in which order, and what it leaves when it fails."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from chalicelib import config, queue, service
from chalicelib.building import NewOrder
from chalicelib.clock import SECOND
from chalicelib.functions import budgets, checks
from chalicelib.functions.sweeper import sweep
from chalicelib.table import by_due
from dev.packaging.package import ROOT
from testkit import Cloud, Wire
from testkit.wire import Call, Killed, one_call_at_a_time, throttled

NUGGETS = {"pieces": 1}
SHARDS = 4


def lost(cloud: Cloud, count: int) -> list[str]:
    """Place orders whose messages are lost, one each second; return their ids."""
    ids = []
    for _ in range(count):
        ids.append(cloud.place("cook_nuggets", NUGGETS)["id"])
        cloud.clock.advance(1)
    cloud.sqs.purge_queue(QueueUrl=queue.url())
    cloud.clock.advance(config.settings().resend_after_s)
    return ids


def overdue(cloud: Cloud) -> set[str]:
    """Return the ids of the orders that are still overdue."""
    now = cloud.clock()
    return {order.id for order in cloud.rows() if (order.check_at or now + 1) <= now}


def test_the_default_has_four_partitions() -> None:
    assert config.Settings().due_shards == SHARDS


def test_a_hundred_orders_are_read_with_one_call_and_ten_are_sent(cloud: Cloud, wire: Wire) -> None:
    ids = lost(cloud, 120)
    wire.calls.clear()
    swept = cloud.sweep()

    calls = Counter(wire.calls)
    assert (swept["resent"], cloud.messages()) == (120, 120)
    assert calls["BatchGetItem"] == 2
    assert calls["UpdateItem"] == 120
    assert calls["SendMessageBatch"] == 12
    assert calls["Query"] == 3 * SHARDS, "a page of each partition, of each kind"
    assert not {"GetItem", "SendMessage"} & set(calls)
    cloud.drain()
    assert {cloud.get(id)["status"] for id in ids} == {"SUCCESS"}


def test_each_group_of_rows_is_written_before_its_messages_are_sent(
    cloud: Cloud, wire: Wire
) -> None:
    lost(cloud, 20)
    wire.calls.clear()
    cloud.sweep()

    group = ["UpdateItem"] * 10 + ["SendMessageBatch"]
    first = wire.calls.index("UpdateItem")
    assert wire.calls[first : first + 22] == group * 2


def test_the_longest_overdue_of_all_partitions_come_first(cloud: Cloud, wire: Wire) -> None:
    ids = lost(cloud, 12)
    keys = [key for key, _ in by_due.overdue(by_due.shards("queued"), cloud.clock())]

    assert [key.partition("#")[2] for key in keys] == ids
    shards = {cloud.order(id).check_shard for id in ids}
    assert len(shards) > 1, "they are in several partitions"


def test_a_page_is_short_if_there_are_many_partitions(cloud: Cloud, wire: Wire) -> None:
    lost(cloud, 3)
    wire.requests.clear()
    assert len(list(by_due.overdue(by_due.shards("queued"), cloud.clock()))) == 3
    assert {request["Limit"] for request in wire.requests} == {by_due.MAX_ENTRIES // SHARDS}
    wire.requests.clear()
    list(by_due.overdue([f"queued#{n}" for n in range(256)], cloud.clock()))
    assert {request["Limit"] for request in wire.requests} == {100}


def test_a_sweep_reads_further_pages(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_due, "MAX_ENTRIES", 1)
    monkeypatch.setenv("DUE_SHARDS", "1")
    lost(cloud, 103)

    assert cloud.sweep()["resent"] == 103


def kill_at(wire: Wire, operation: str, nth: int) -> None:
    """Kill the process at its nth call of an operation."""
    calls = itertools.count(1)

    def gate(call: Call) -> None:
        if call.operation == operation and next(calls) == nth:
            wire.faults[call.n] = wire.killed

    wire.gate = gate


@pytest.mark.parametrize(("nth", "sent"), [(1, 0), (2, 10), (3, 20)])
def test_a_sweeper_that_dies_delays_ten_orders_at_most(
    cloud: Cloud, wire: Wire, nth: int, sent: int
) -> None:
    lost(cloud, 25)
    kill_at(wire, "SendMessageBatch", nth)
    with pytest.raises(Killed):
        cloud.sweep()
    wire.reborn()
    wire.gate = None

    assert cloud.messages() == sent
    left = 25 - sent - min(10, 25 - sent)
    assert len(overdue(cloud)) == left, "those whose rows were written wait for their next check"
    cloud.clock.advance(2 * config.settings().resend_after_s + 1)
    assert cloud.sweep()["resent"] >= 25 - sent, "they are not lost"


def test_if_sqs_is_down_few_orders_are_put_off(cloud: Cloud, wire: Wire) -> None:
    lost(cloud, 120)
    wire.throttles("SendMessageBatch", 1000)
    cloud.sweep()

    assert cloud.messages() == 0
    assert len(overdue(cloud)) == 110, "the sweep stops at the first group"


def test_a_message_that_sqs_refuses_stops_the_sweep(cloud: Cloud, wire: Wire) -> None:
    lost(cloud, 30)
    failed = [{"Id": "3", "Code": "OverLimit", "SenderFault": False}]
    wire.answers("SendMessageBatch", lambda answer: {**answer, "Failed": failed})
    cloud.sweep()

    assert len(overdue(cloud)) == 20


def test_no_order_is_written_without_time_left_to_send_its_message(
    cloud: Cloud, wire: Wire
) -> None:
    lost(cloud, 30)
    writes = 0

    def gate(call: Call) -> None:
        nonlocal writes
        writes += call.operation == "UpdateItem"

    wire.gate = gate
    swept = sweep(lambda: 60 if writes < 13 else 4)

    assert (swept.resent, writes, cloud.messages()) == (13, 13, 13)


def test_scheduled_orders_leave_time_for_lost_ones(cloud: Cloud) -> None:
    run_at = cloud.clock() + 3600 * SECOND
    for _ in range(3):
        service.place("kit", NewOrder("cook_nuggets", NUGGETS, run_at=run_at))
    cloud.clock.advance(3000)
    (last,) = lost(cloud, 1)
    # 18 s are left, and a quarter of the minute is not for scheduled orders
    times = itertools.chain([60], itertools.repeat(18))
    sweep(lambda: next(times))

    assert overdue(cloud) == {order.id for order in cloud.rows()} - {last}


def counted(wire: Wire) -> list[int]:
    """Return the limits of the queries that only count."""
    return [each["Limit"] for each in wire.requests if each.get("Select") == "COUNT"]


def test_no_more_overdue_orders_are_counted_than_a_sweep_can_send(
    cloud: Cloud, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "MAX_RESENT", 7)
    lost(cloud, 40)
    for _ in range(5):
        cloud.sqs.send_message(QueueUrl=queue.url(), MessageBody="{}")
    wire.requests.clear()

    assert budgets.of_lanes() == {"default": max(budgets.MIN_RESEND_BUDGET - 5, 7)}
    assert counted(wire)[0] == 5 + 7
    assert sum(counted(wire)) < 40


def test_behind_a_long_queue_nothing_is_counted(
    cloud: Cloud, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "MAX_WAITING", 110)
    monkeypatch.setattr(budgets, "MIN_RESEND_BUDGET", 100)
    lost(cloud, 120)
    for _ in range(111):
        cloud.sqs.send_message(QueueUrl=queue.url(), MessageBody="{}")
    wire.requests.clear()

    assert cloud.sweep()["resent"] == 0
    assert counted(wire) == []


def test_without_a_waiting_message_nothing_is_counted(cloud: Cloud, wire: Wire) -> None:
    lost(cloud, 3)
    wire.requests.clear()

    assert budgets.of_lanes() == {}
    assert counted(wire) == []


def test_threads_send_each_order_once() -> None:
    """The stub holds its answers back, so the threads overlap; moto would not be atomic."""
    command = [sys.executable, "-m", "benchmarks.sweep", "300"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    first, calls, *_ = done.stdout.splitlines()
    assert first.startswith("300 orders resent by 1 sweeps")
    assert "'BatchGetItem': 3, 'UpdateItem': 300, 'SendMessageBatch': 30}" in calls


@pytest.fixture
def in_lambda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the sweeper use threads, though moto is mocked."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "order_sweeper")
    monkeypatch.setenv("AWS_TRANSPORT", "botocore")
    monkeypatch.setenv("ACCESS", "token")
    with one_call_at_a_time():
        yield


def test_after_an_error_the_messages_of_all_threads_are_counted(
    cloud: Cloud, wire: Wire, in_lambda: None
) -> None:
    first, *_ = lost(cloud, 30)

    def gate(call: Call) -> None:
        if call.operation == "UpdateItem" and call.request["Key"]["pk"]["S"].endswith(first):
            wire.faults[call.n] = throttled

    wire.gate = gate
    swept = cloud.sweep()

    assert swept["resent"] == cloud.messages()
    assert first in overdue(cloud)


def test_threads_and_their_connections_are_used_again(
    cloud: Cloud, wire: Wire, in_lambda: None
) -> None:
    threads = set()

    def gate(call: Call) -> None:
        if call.operation == "UpdateItem":
            threads.add(threading.current_thread())

    wire.gate = gate
    lost(cloud, 250)  # read in three batches

    assert cloud.sweep()["resent"] == 250
    assert 1 < len(threads) <= checks.THREADS
