"""Every order ends, with a reason: the sweeper, the dead letters, cancel and retry."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import app as orderline
from chalicelib import config, dispatch, queue
from chalicelib.functions.budgets import MIN_RESEND_BUDGET
from chalicelib.tasks import task
from testkit import Cloud, Wire
from testkit.events import LambdaContext

NUGGETS = {"pieces": 1}


def test_a_lost_message_is_sent_again_once_its_order_is_overdue(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)
    cloud.sqs.purge_queue(QueueUrl=queue.url())

    cloud.clock.advance(config.settings().resend_after_s - 1)
    assert cloud.sweep()["resent"] == 0
    cloud.clock.advance(2)
    assert cloud.sweep()["resent"] == 1
    assert cloud.sweep()["resent"] == 0, "an order whose message was just sent is not overdue"
    cloud.drain()

    assert cloud.get(order["id"])["status"] == "SUCCESS"


def test_the_order_of_a_crashed_worker_is_claimed_again_after_its_lease(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)
    cloud.claim(order["id"], lease_s=60)
    cloud.sqs.purge_queue(QueueUrl=queue.url())

    cloud.clock.advance(config.settings().resend_after_s + 1)
    cloud.sweep()
    cloud.drain()

    ready = cloud.get(order["id"])
    assert (ready["status"], ready["attempts"]) == ("SUCCESS", 2)


def test_a_second_crash_waits_no_longer_than_the_first(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)
    cloud.sqs.purge_queue(QueueUrl=queue.url())
    for _ in range(2):
        cloud.claim(order["id"], lease_s=60)
        cloud.clock.advance(config.settings().resend_after_s + 1)
        assert cloud.sweep()["resent"] == 1
        cloud.clock.advance(1)
        cloud.sqs.receive_message(QueueUrl=queue.url())  # by a worker that dies


def test_a_failing_step_does_not_stop_the_sweep(cloud: Cloud, wire: Wire) -> None:
    @task(every_s=3600)
    def hourly() -> None: ...

    cloud.sweep()
    cloud.clock.advance(3600)
    wire.breaks("GetQueueAttributes")
    cloud.sweep()

    assert [order.task for order in cloud.rows()] == ["hourly"]


def test_the_sweeper_and_dead_letters_respect_a_live_lease(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)
    cloud.claim(order["id"], lease_s=3600)
    before = cloud.order(order["id"])

    cloud.clock.advance(config.settings().resend_after_s + 1)
    cloud.sweep()
    cloud.sqs.purge_queue(QueueUrl=queue.url())
    cloud.bury(order["id"])
    cloud.drain(dead=True)

    assert cloud.order(order["id"]) == before


def test_an_order_whose_attempts_never_report_fails(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)
    for _ in range(order["max_attempts"]):
        cloud.claim(order["id"], lease_s=10)
        cloud.clock.advance(11)

    cloud.clock.advance(config.settings().resend_after_s)
    assert cloud.sweep()["ended"] == 1

    failed = cloud.get(order["id"])
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "attempts_exhausted")


def test_an_order_that_does_not_end_fails_at_its_maximum_age(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)
    cloud.sqs.purge_queue(QueueUrl=queue.url())

    cloud.clock.advance(config.settings().max_age_s + 1)
    cloud.sweep()

    assert cloud.get(order["id"])["error"]["code"] == "gave_up"


def test_a_dead_letter_of_an_unknown_task_fails_its_order(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)
    cloud.dynamodb.update_item(
        TableName=config.settings().orders_table,
        Key={"pk": {"S": f"kit#{order['id']}"}},
        UpdateExpression="SET task = :task",
        ExpressionAttributeValues={":task": {"S": "gone"}},
    )
    cloud.sqs.purge_queue(QueueUrl=queue.url())
    cloud.bury(order["id"])

    cloud.drain(dead=True)

    assert cloud.get(order["id"])["error"]["code"] == "unknown_task"
    assert cloud.messages(dead=True) == 0


def test_a_dead_letter_with_attempts_left_gets_another_message(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)
    cloud.sqs.purge_queue(QueueUrl=queue.url())
    cloud.bury(order["id"])

    cloud.drain(dead=True)
    cloud.clock.advance(config.settings().resend_after_s + 1)
    cloud.sweep()
    cloud.drain()

    assert cloud.get(order["id"])["status"] == "SUCCESS"


def test_a_cancelled_order_never_runs_and_may_be_retried(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)

    cancelled = cloud.http("POST", f"/orders/{order['id']}/cancel")
    again = cloud.http("POST", f"/orders/{order['id']}/cancel")
    cloud.drain()

    assert (cancelled.status, cancelled.json["status"], again.status) == (200, "CANCELLED", 200)
    assert cloud.get(order["id"])["attempts"] == 0

    retried = cloud.http("POST", f"/orders/{order['id']}/retry")
    cloud.drain()

    assert (retried.status, retried.json["status"]) == (202, "PENDING")
    assert cloud.get(order["id"])["status"] == "SUCCESS"


def test_a_retried_order_has_all_its_attempts_again(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)
    for _ in range(order["max_attempts"]):
        cloud.claim(order["id"], lease_s=10)
        cloud.clock.advance(11)
    cloud.drain()
    assert cloud.get(order["id"])["status"] == "FAILED"

    retried = cloud.http("POST", f"/orders/{order['id']}/retry")
    cloud.drain()

    assert (retried.status, retried.json["attempts"], retried.json["error"]) == (202, 0, None)
    assert cloud.get(order["id"])["status"] == "SUCCESS"
    row = cloud.order(order["id"])
    assert (row.attempts, row.retry_round, len(row.history)) == (1, 1, order["max_attempts"] + 1)


def test_a_running_order_is_neither_retried_nor_cancelled_without_a_stop(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)
    cloud.claim(order["id"], lease_s=60)
    running = [
        cloud.http("POST", f"/orders/{order['id']}/{action}")
        for action in ("cancel?running=refuse", "retry")
    ]

    assert [reply.status for reply in running] == [409, 409]
    assert [reply.json["type"] for reply in running] == [
        "/problems/not-cancellable",
        "/problems/not-retryable",
    ]
    assert running[0].json["order_status"] == "RUNNING"


def test_another_owners_order_can_be_neither_cancelled_nor_retried(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)
    stranger = {"Authorization": f"Bearer {cloud.new_token('stranger')}"}

    replies = [
        cloud.http("POST", f"/orders/{order['id']}/{action}", headers=stranger)
        for action in ("cancel", "retry")
    ]

    assert [reply.status for reply in replies] == [404, 404]


def test_a_delayed_order_waits_in_the_queue(cloud: Cloud) -> None:
    order = _post(cloud, delay_s=300)

    cloud.drain()
    assert cloud.get(order["id"])["attempts"] == 0
    cloud.clock.advance(303)
    cloud.drain()

    assert cloud.get(order["id"])["status"] == "SUCCESS"


def test_an_order_for_next_month_waits_in_the_due_index_only(cloud: Cloud) -> None:
    moment = datetime.fromtimestamp(cloud.clock() / 1e6, timezone.utc) + timedelta(days=30)
    order = _post(cloud, run_at=moment.isoformat())
    assert cloud.messages() == 0

    cloud.clock.advance(30 * 86400 - 1000)
    assert cloud.sweep()["resent"] == 0
    cloud.clock.advance(200)
    assert cloud.sweep()["resent"] == 1
    cloud.drain()
    assert cloud.get(order["id"])["attempts"] == 0, "the message is delayed until the time has come"
    cloud.clock.advance(803)
    cloud.drain()

    assert cloud.get(order["id"])["status"] == "SUCCESS"


def test_the_sweeper_does_not_multiply_a_backlog(cloud: Cloud) -> None:
    for _ in range(150):
        cloud.place("cook_nuggets", NUGGETS)

    for _ in range(10):
        cloud.clock.advance(config.settings().resend_after_s + 1)
        cloud.sweep()

    assert cloud.messages() <= 150 * 1.1


def test_an_order_that_is_overdue_by_an_hour_is_sent_again_despite_a_backlog(cloud: Cloud) -> None:
    """Send nothing again for a backlog, except for an order that is long overdue."""
    cloud.place("cook_nuggets", NUGGETS)
    cloud.sqs.purge_queue(QueueUrl=queue.url())
    for _ in range(MIN_RESEND_BUDGET + 1):
        cloud.sqs.send_message(QueueUrl=queue.url(), MessageBody="{}")

    cloud.clock.advance(config.settings().resend_after_s + 1)
    assert cloud.sweep()["resent"] == 0
    cloud.clock.advance(3600)
    assert cloud.sweep()["resent"] == 1
    assert cloud.messages() == MIN_RESEND_BUDGET + 2


def test_a_retry_of_a_delayed_order_waits_for_its_time(cloud: Cloud) -> None:
    order = _post(cloud, delay_s=3600)
    cloud.http("POST", f"/orders/{order['id']}/cancel")

    assert cloud.http("POST", f"/orders/{order['id']}/retry").status == 202

    assert cloud.messages() == 0, "its message would come an hour early"
    assert str(cloud.order(order["id"]).check_shard).startswith(dispatch.SCHEDULED)


def test_a_message_is_delayed_by_2_s_more_since_clocks_differ(cloud: Cloud, wire: Wire) -> None:
    _post(cloud, delay_s=300)

    assert wire.requests[wire.calls.index("SendMessage")]["DelaySeconds"] == 302


@pytest.mark.parametrize("event", [{}, {"key1": "value1"}])
def test_a_test_event_of_the_console_is_not_an_error(cloud: Cloud, event: dict[str, str]) -> None:
    assert orderline.order_sweeper(event, LambdaContext(60))["resent"] == 0
    assert orderline.order_worker(event, LambdaContext(60)) == {"batchItemFailures": []}
    assert orderline.dead_letters(event, LambdaContext(60)) == {"batchItemFailures": []}


def _post(cloud: Cloud, **time: Any) -> Any:
    reply = cloud.http("POST", "/orders", {"task": "cook_nuggets", "input": NUGGETS, **time})
    assert reply.status == 202, reply.body
    return reply.json
