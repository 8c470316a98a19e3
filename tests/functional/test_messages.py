"""Messages are acknowledged, or kept and visible again later; each of a batch on its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

import app as orderline
from chalicelib import config, orders, queue
from chalicelib.clock import SECOND
from chalicelib.errors import ConditionFailed
from chalicelib.functions import worker
from chalicelib.orders import Failure, Order
from chalicelib.table import transitions
from chalicelib.tasks import Context, task
from testkit import Cloud, Wire
from testkit.events import LambdaContext
from testkit.registry import restored

UNREADABLE = [
    pytest.param("no JSON", id="no JSON"),
    pytest.param("", id="empty"),
    pytest.param("[]", id="a list"),
    pytest.param("null", id="null"),
    pytest.param("{}", id="no members"),
    pytest.param('{"v": 1, "task": "work"}', id="no key"),
    pytest.param('{"v": 2, "pk": "kit#0", "task": "work"}', id="unknown version"),
    pytest.param('{"v": "x", "pk": "kit#0", "task": "work"}', id="version no number"),
    pytest.param('{"v": Infinity, "pk": "kit#0", "task": "work"}', id="infinite version"),
    pytest.param('{"v": 1, "pk": "kit#0", "task": "unheard_of"}', id="unknown task"),
    pytest.param("[" * 100_000, id="100,000 brackets"),
]


def put(cloud: Cloud, body: str) -> None:
    """Send a message that our code did not. SQS refuses an empty body: it becomes a space."""
    cloud.sqs.send_message(QueueUrl=queue.url(), MessageBody=body or " ")


def register_work() -> list[str]:
    """Register a task `work`, and return the list of the ids of the orders that ran."""
    runs: list[str] = []

    @task
    def work(context: Context) -> int:
        runs.append(context.id)
        return context.attempt

    return runs


def claim_by_another_worker(cloud: Cloud, order_id: str, lease_s: float) -> Order:
    """Claim the order as a worker that is still running it, or died."""
    return cloud.claim(order_id, lease_s)


@pytest.mark.parametrize("body", UNREADABLE)
def test_in_a_batch_only_the_bad_message_is_kept(cloud: Cloud, body: str) -> None:
    runs = register_work()
    first = cloud.place("work")
    put(cloud, body)
    last = cloud.place("work")

    assert cloud.deliver(batch=10) == (3, 1)

    assert runs == [first["id"], last["id"]]
    assert {cloud.get(order["id"])["status"] for order in (first, last)} == {"SUCCESS"}
    assert cloud.messages() == 1


def test_a_bad_message_comes_back_after_5_10_20_40_and_then_every_60_seconds(cloud: Cloud) -> None:
    put(cloud, '{"v": 2, "pk": "kit#0", "task": "cook_nuggets"}')

    waits = []
    for _ in range(6):
        assert cloud.deliver() == (1, 1)
        waits.append(0)
        while not visible(cloud):
            cloud.clock.advance(1)
            waits[-1] += 1

    assert waits == [5, 10, 20, 40, 60, 60]


def visible(cloud: Cloud) -> int:
    """Return how many messages the mapping could receive now."""
    name = "ApproximateNumberOfMessages"
    answer = cloud.sqs.get_queue_attributes(QueueUrl=queue.url(), AttributeNames=[name])
    return int(answer["Attributes"][name])


def test_an_order_of_a_task_of_the_next_deploy_waits_for_it(cloud: Cloud) -> None:
    with restored():
        register_work()  # as the newer code does
        order = cloud.place("work")
    cloud.drain()
    assert (cloud.get(order["id"])["status"], cloud.get(order["id"])["attempts"]) == ("PENDING", 0)

    runs = register_work()
    cloud.clock.advance(5)
    cloud.drain()

    assert runs == [order["id"]]
    assert cloud.get(order["id"])["status"] == "SUCCESS"


def test_a_message_that_is_received_too_often_becomes_a_dead_letter(cloud: Cloud) -> None:
    put(cloud, "no JSON")

    for _ in range(cloud.parameters["MaxReceives"]):
        assert cloud.deliver() == (1, 1)
        cloud.clock.advance(60)
    assert cloud.messages(dead=True) == 0

    assert cloud.deliver() is None
    assert (cloud.messages(), cloud.messages(dead=True)) == (0, 1)


def test_a_message_of_a_final_order_is_acknowledged_without_an_attempt(cloud: Cloud) -> None:
    runs = register_work()
    order = cloud.place("work")
    cloud.drain()
    before = cloud.order(order["id"])

    queue.send(before)

    assert cloud.deliver() == (1, 0)
    assert (runs, cloud.order(order["id"])) == ([order["id"]], before)


def test_a_message_without_an_order_is_acknowledged(cloud: Cloud) -> None:
    register_work()
    put(cloud, '{"v": 1, "pk": "kit#0", "task": "work"}')

    assert cloud.deliver() == (1, 0)
    assert cloud.rows() == []


def test_the_message_of_a_claimed_order_is_kept_until_the_lease_is_over(
    cloud: Cloud,
) -> None:
    runs = register_work()
    order = cloud.place("work")
    claim_by_another_worker(cloud, order["id"], lease_s=30)

    assert cloud.deliver() == (1, 1)
    cloud.clock.advance(29)
    assert cloud.deliver() is None
    assert runs == []

    cloud.clock.advance(2)
    assert cloud.deliver() == (1, 0)
    finished = cloud.get(order["id"])
    assert (finished["status"], finished["attempts"], finished["result"]) == ("SUCCESS", 2, 2)
    assert runs == [order["id"]]


def test_an_order_is_run_again_at_any_end_of_its_lease(cloud: Cloud) -> None:
    """Try 30 leases; one ends between a claim and its refusal, as each read takes a microsecond."""
    register_work()

    for ends_after in range(30):
        order = cloud.place("work")
        transitions.claim(f"kit#{order['id']}", "work", cloud.clock() + ends_after)
        while cloud.drain().kept:
            cloud.clock.advance(1)

        finished = cloud.get(order["id"])
        assert (finished["status"], finished["attempts"]) == ("SUCCESS", 2), (
            f"{ends_after}: {finished}"
        )


@pytest.mark.parametrize("raises", [False, True])
def test_a_stale_worker_does_not_end_an_order_that_another_has_claimed(
    cloud: Cloud, raises: bool
) -> None:
    @task
    def slow(context: Context) -> None:
        if context.attempt == 1:
            cloud.clock.advance(100)
            claim_by_another_worker(cloud, context.id, lease_s=30)
            if raises:
                raise ValueError

    order = cloud.place("slow")

    assert cloud.deliver() == (1, 0)

    row = cloud.order(order["id"])
    assert (row.status.value, row.attempts, row.error) == ("RUNNING", 2, None)
    assert row.lease_until is not None
    assert row.lease_until > cloud.clock()


def test_an_order_that_changed_after_it_was_read_is_not_given_up(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", {"pieces": 6})
    unclaimed = cloud.order(order["id"])
    claimed = claim_by_another_worker(cloud, order["id"], lease_s=30)

    error = Failure("gave_up", "", 1)

    with pytest.raises(ConditionFailed) as refused:  # its lease is live
        transitions.give_up(claimed, error)
    assert refused.value.row == claimed

    cloud.clock.advance(31)
    with pytest.raises(ConditionFailed):  # the row was written since
        transitions.give_up(unclaimed, error)
    assert transitions.give_up(claimed, error).status.value == "FAILED"


def test_a_stale_workers_finish_is_refused_and_its_message_acknowledged(cloud: Cloud) -> None:
    @task
    def slow(context: Context) -> int:
        if context.attempt == 1:  # it hangs, its lease ends, and another worker claims the order
            cloud.clock.advance(100)
            queue.send(cloud.order(context.id))
            cloud.drain()
        return context.attempt

    order = cloud.place("slow")
    assert cloud.deliver() == (1, 0)

    finished = cloud.get(order["id"])
    assert (finished["status"], finished["result"], finished["attempts"]) == ("SUCCESS", 2, 2)


@pytest.mark.parametrize("options", [{}, {"no_retry_on": (ValueError,)}])
def test_a_stale_workers_failure_does_not_undo_a_success(
    cloud: Cloud, options: dict[str, Any]
) -> None:
    def slow(context: Context) -> int:
        if context.attempt == 1:
            cloud.clock.advance(100)
            queue.send(cloud.order(context.id))
            cloud.drain()
            raise ValueError("too late")
        return context.attempt

    task(**options)(slow)
    order = cloud.place("slow")
    cloud.drain()

    finished = cloud.get(order["id"])
    assert (finished["status"], finished["result"], finished["error"]) == ("SUCCESS", 2, None)


def test_an_order_whose_attempts_all_crashed_fails_with_that_reason(cloud: Cloud) -> None:
    @task(max_attempts=2)
    def work() -> None: ...

    order = cloud.place("work")
    for _ in range(2):  # killed twice
        claim_by_another_worker(cloud, order["id"], lease_s=10)
        cloud.clock.advance(11)

    assert cloud.deliver() == (1, 0)

    failed = cloud.get(order["id"])
    assert (failed["status"], failed["attempts"]) == ("FAILED", 2)
    assert failed["error"]["code"] == "attempts_exhausted"
    assert cloud.sweep()["resent"] == 0


def test_an_order_is_not_given_up_before_the_lease_of_its_last_attempt_ends(cloud: Cloud) -> None:
    @task(max_attempts=1)
    def work() -> None: ...

    order = cloud.place("work")
    claim_by_another_worker(cloud, order["id"], lease_s=10)

    assert cloud.deliver() == (1, 1)
    assert cloud.get(order["id"])["status"] == "RUNNING"
    cloud.clock.advance(11)
    cloud.drain()
    assert cloud.get(order["id"])["error"]["code"] == "attempts_exhausted"


def test_the_row_names_the_task_to_run_not_the_message(cloud: Cloud) -> None:
    @task
    def named_in_row() -> str:
        return "right"

    @task
    def named_in_message() -> str:
        return "wrong"

    order = cloud.place("named_in_row")
    cloud.sqs.purge_queue(QueueUrl=queue.url())
    put(cloud, json.dumps({"v": 1, "pk": f"kit#{order['id']}", "task": "named_in_message"}))
    cloud.drain()

    finished = cloud.get(order["id"])
    assert (finished["status"], finished["result"], finished["attempts"], cloud.messages()) == (
        "SUCCESS",
        "right",
        1,
        0,
    )


def test_a_message_with_another_task_than_the_unknown_one_of_its_row_is_kept(
    cloud: Cloud,
) -> None:
    with restored():
        register_work()
        order = cloud.place("work")
    cloud.sqs.purge_queue(QueueUrl=queue.url())
    put(cloud, json.dumps({"v": 1, "pk": f"kit#{order['id']}", "task": "cook_nuggets"}))

    assert cloud.deliver() == (1, 1)
    assert cloud.get(order["id"])["attempts"] == 0


@pytest.mark.parametrize(
    "missing", ["messageId", "receiptHandle", "body", "attributes", "messageAttributes"]
)
def test_a_record_without_a_member_does_not_affect_the_others(cloud: Cloud, missing: str) -> None:
    register_work()
    order_ids = [cloud.place("work")["id"] for _ in range(3)]
    records = [record(f"m{n}", order_id) for n, order_id in enumerate(order_ids)]
    del records[1][missing]

    answer = orderline.order_worker({"Records": [*records, None, "text"]}, LambdaContext(60))

    assert answer["batchItemFailures"] == ([{"itemIdentifier": "m1"}] if missing == "body" else [])
    for order_id in (order_ids[0], order_ids[2]):
        assert cloud.get(order_id)["status"] == "SUCCESS"


def record(message_id: str, order_id: str) -> dict[str, Any]:
    """Return a record as Lambda delivers it, for an order of the task `work`."""
    return {
        "messageId": message_id,
        "receiptHandle": "r",
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {},
        "body": json.dumps({"v": 1, "pk": f"kit#{order_id}", "task": "work"}),
    }


def test_a_first_message_without_time_to_record_its_end_is_kept(cloud: Cloud) -> None:
    register_work()
    order = cloud.place("work")

    assert cloud.deliver(time_left_s=worker.MARGIN_S) == (1, 1)

    assert cloud.get(order["id"])["attempts"] == 0


def test_the_second_message_of_a_batch_runs_if_half_of_the_time_is_left(cloud: Cloud) -> None:
    """Run more than the first of each batch, even in a function with a timeout of 5 s."""
    register_work()
    for _ in range(2):
        cloud.place("work")

    assert cloud.deliver(batch=2, time_left_s=5) == (2, 0)


def test_messages_without_enough_time_are_kept_unclaimed_and_visible_at_once(
    cloud: Cloud,
) -> None:
    @task(timeout_s=20)
    def work() -> None: ...

    order_ids = [cloud.place("work")["id"] for _ in range(3)]

    # The first is always tried, or a batch would never make progress
    assert cloud.deliver(batch=3, time_left_s=20) == (3, 2)

    assert sorted(cloud.get(order_id)["attempts"] for order_id in order_ids) == [0, 0, 1]
    assert visible(cloud) == 2
    cloud.drain()
    assert {cloud.get(order_id)["status"] for order_id in order_ids} == {"SUCCESS"}


def test_the_lease_covers_the_rest_of_the_functions_time(cloud: Cloud) -> None:
    leases: list[float] = []

    @task
    def work(context: Context) -> None:
        row = cloud.order(context.id)
        leases.append(((row.lease_until or 0) - row.updated_at) / SECOND)

    cloud.place("work")
    cloud.drain(time_left_s=42)

    assert leases == pytest.approx([44], abs=0.01)


def test_a_message_that_cannot_be_hidden_is_kept_for_the_queues_timeout(
    cloud: Cloud, wire: Wire
) -> None:
    put(cloud, "no JSON")
    wire.breaks("ChangeMessageVisibility")

    assert cloud.deliver() == (1, 1)

    cloud.clock.advance(cloud.parameters["Visibility"] + 1)
    assert cloud.deliver() == (1, 1)


def test_the_history_has_the_times_and_the_error_of_each_attempt(cloud: Cloud) -> None:
    @task(backoff_s=0)
    def work(context: Context) -> None:
        if context.attempt == 1:
            raise ValueError

    order = cloud.place("work")
    cloud.drain()

    failed, succeeded = cloud.order(order["id"]).history
    assert (failed.code, succeeded.code) == ("task_error", None)
    assert failed.end is not None
    assert succeeded.end is not None
    assert failed.start < failed.end < succeeded.start < succeeded.end


def test_the_history_is_limited_to_the_last_20_attempts(cloud: Cloud) -> None:
    @task(max_attempts=25, backoff_s=0)
    def burn() -> None:
        raise ValueError

    order = cloud.place("burn")
    cloud.drain()

    row = cloud.order(order["id"])
    assert (row.attempts, len(row.history)) == (25, orders.MAX_HISTORY)
    assert all(attempt.end for attempt in row.history)


def test_the_workers_answer_is_a_partial_batch_response(cloud: Cloud) -> None:
    put(cloud, "no JSON")
    (message,) = cloud.sqs.receive_message(QueueUrl=queue.url())["Messages"]
    record: dict[str, Any] = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {"ApproximateReceiveCount": "1"},
    }

    answer = orderline.order_worker({"Records": [record]}, LambdaContext(60))

    assert json.loads(json.dumps(answer)) == {
        "batchItemFailures": [{"itemIdentifier": message["MessageId"]}]
    }
    assert orderline.order_worker({"Records": []}, LambdaContext(60)) == {"batchItemFailures": []}
    assert config.settings().max_receives == cloud.parameters["MaxReceives"]


def test_a_message_can_be_hidden_for_hours_after_a_long_attempt(cloud: Cloud) -> None:
    """Stay within SQS's limit: a visibility timeout ends at most 12 hours after the receive."""
    cloud.place("cook_nuggets", {"pieces": 1})
    (received,) = cloud.sqs.receive_message(QueueUrl=queue.url())["Messages"]
    cloud.clock.advance(300)

    queue.hide(
        queue.Message(received["MessageId"], received["ReceiptHandle"], 1, None, "", 1), 1_000_000
    )

    cloud.clock.advance(10 * 3600)
    assert "Messages" not in cloud.sqs.receive_message(QueueUrl=queue.url())
