"""What becomes of a message: acknowledged, or kept and visible again after a while. A batch is as good as its parts."""

from __future__ import annotations

import json
from typing import Any

import pytest

import app as orderline
from chalicelib import config, orders, queue
from chalicelib.errors import ConditionFailed
from chalicelib.functions import worker
from chalicelib.orders import SECOND, Order
from chalicelib.table import transitions
from chalicelib.tasks import Context, task
from tests.kit import Cloud, Wire
from tests.kit.cloud import LambdaContext
from tests.kit.registry import restored

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
    """A message that our code did not send. SQS takes no empty body: it comes as a space."""
    cloud.sqs.send_message(QueueUrl=queue.url(), MessageBody=body or " ")


def counting() -> list[str]:
    """A task `work` whose runs are listed by their orders' ids."""
    runs: list[str] = []

    @task
    def work(context: Context) -> int:
        runs.append(context.id)
        return context.attempt

    return runs


def held_by_another(cloud: Cloud, order_id: str, lease_s: float) -> Order:
    """The order, claimed by a worker that is still at it, or died."""
    return cloud.claim(order_id, lease_s)


@pytest.mark.parametrize("body", UNREADABLE)
def test_in_a_batch_only_the_bad_message_is_kept(cloud: Cloud, body: str) -> None:
    runs = counting()
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
    """How many messages the mapping could receive now."""
    name = "ApproximateNumberOfMessages"
    return int(
        cloud.sqs.get_queue_attributes(QueueUrl=queue.url(), AttributeNames=[name])["Attributes"][
            name
        ]
    )


def test_an_order_of_a_task_that_comes_with_the_next_deploy_waits_for_it(cloud: Cloud) -> None:
    with restored():
        counting()  # the newer code's
        order = cloud.place("work")
    cloud.drain()
    assert (cloud.get(order["id"])["status"], cloud.get(order["id"])["attempts"]) == ("PENDING", 0)

    runs = counting()
    cloud.clock.advance(5)
    cloud.drain()

    assert runs == [order["id"]]
    assert cloud.get(order["id"])["status"] == "SUCCESS"


def test_what_is_received_too_often_is_a_dead_letter(cloud: Cloud) -> None:
    put(cloud, "no JSON")

    for _ in range(cloud.parameters["MaxReceives"]):
        assert cloud.deliver() == (1, 1)
        cloud.clock.advance(60)
    assert cloud.messages(dead=True) == 0

    assert cloud.deliver() is None
    assert (cloud.messages(), cloud.messages(dead=True)) == (0, 1)


def test_a_message_of_a_final_order_is_acknowledged_and_nothing_runs(cloud: Cloud) -> None:
    runs = counting()
    order = cloud.place("work")
    cloud.drain()
    before = cloud.order(order["id"])

    queue.send(before)

    assert cloud.deliver() == (1, 0)
    assert (runs, cloud.order(order["id"])) == ([order["id"]], before)


def test_a_message_of_no_order_is_acknowledged_and_makes_none(cloud: Cloud) -> None:
    counting()
    put(cloud, '{"v": 1, "pk": "kit#0", "task": "work"}')

    assert cloud.deliver() == (1, 0)
    assert cloud.rows() == []


def test_an_order_that_another_holds_is_kept_until_the_lease_is_over_and_then_taken(
    cloud: Cloud,
) -> None:
    runs = counting()
    order = cloud.place("work")
    held_by_another(cloud, order["id"], lease_s=30)

    assert cloud.deliver() == (1, 1)
    cloud.clock.advance(29)
    assert cloud.deliver() is None
    assert runs == []

    cloud.clock.advance(2)
    assert cloud.deliver() == (1, 0)
    done = cloud.get(order["id"])
    assert (done["status"], done["attempts"], done["result"]) == ("SUCCESS", 2, 2)
    assert runs == [order["id"]]


def test_whenever_a_lease_ends_the_order_is_done(cloud: Cloud) -> None:
    """The clock goes a microsecond on with every look: one of these leases ends between a claim and its refusal."""
    counting()

    for ends_after in range(30):
        order = cloud.place("work")
        transitions.claim(f"kit#{order['id']}", "work", cloud.clock() + ends_after)
        while cloud.drain().kept:
            cloud.clock.advance(1)

        done = cloud.get(order["id"])
        assert (done["status"], done["attempts"]) == ("SUCCESS", 2), f"{ends_after}: {done}"


@pytest.mark.parametrize("burns", [False, True])
def test_a_stale_worker_does_not_end_an_order_that_another_now_holds(
    cloud: Cloud, burns: bool
) -> None:
    @task
    def slow(context: Context) -> None:
        if context.attempt == 1:
            cloud.clock.advance(100)
            held_by_another(cloud, context.id, lease_s=30)
            if burns:
                raise ValueError

    order = cloud.place("slow")

    assert cloud.deliver() == (1, 0)

    row = cloud.order(order["id"])
    assert (row.status.value, row.attempts, row.error) == ("RUNNING", 2, None)
    assert row.lease_until is not None
    assert row.lease_until > cloud.clock()


def test_an_order_that_changed_since_it_was_read_is_not_given_up(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", {"pieces": 6})
    seen = cloud.order(order["id"])
    held = held_by_another(cloud, order["id"], lease_s=30)

    error = {"code": "gave_up", "message": "", "attempt": 1}

    with pytest.raises(ConditionFailed) as refused:  # its lease is live
        transitions.give_up(held, error)
    assert refused.value.row == held

    cloud.clock.advance(31)
    with pytest.raises(ConditionFailed):  # somebody wrote since
        transitions.give_up(seen, error)
    assert transitions.give_up(held, error).status.value == "FAILED"


def test_a_stale_workers_finish_is_refused_and_its_message_acknowledged(cloud: Cloud) -> None:
    @task
    def slow(context: Context) -> int:
        if context.attempt == 1:  # it hangs, its lease ends, and another worker takes the order
            cloud.clock.advance(100)
            queue.send(cloud.order(context.id))
            cloud.drain()
        return context.attempt

    order = cloud.place("slow")
    assert cloud.deliver() == (1, 0)

    done = cloud.get(order["id"])
    assert (done["status"], done["result"], done["attempts"]) == ("SUCCESS", 2, 2)


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

    done = cloud.get(order["id"])
    assert (done["status"], done["result"], done["error"]) == ("SUCCESS", 2, None)


def test_when_no_attempt_lived_to_report_the_order_fails_and_says_so(cloud: Cloud) -> None:
    @task(max_attempts=2)
    def work() -> None: ...

    order = cloud.place("work")
    for _ in range(2):  # killed twice
        held_by_another(cloud, order["id"], lease_s=10)
        cloud.clock.advance(11)

    assert cloud.deliver() == (1, 0)

    failed = cloud.get(order["id"])
    assert (failed["status"], failed["attempts"]) == ("FAILED", 2)
    assert failed["error"]["code"] == "attempts_exhausted"
    assert cloud.order(order["id"]).check_at is None


def test_the_last_attempts_lease_is_waited_for_before_the_order_is_given_up(cloud: Cloud) -> None:
    @task(max_attempts=1)
    def work() -> None: ...

    order = cloud.place("work")
    held_by_another(cloud, order["id"], lease_s=10)

    assert cloud.deliver() == (1, 1)
    assert cloud.get(order["id"])["status"] == "RUNNING"
    cloud.clock.advance(11)
    cloud.drain()
    assert cloud.get(order["id"])["error"]["code"] == "attempts_exhausted"


def test_the_row_says_what_runs_not_the_message(cloud: Cloud) -> None:
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

    done = cloud.get(order["id"])
    assert (done["status"], done["result"], done["attempts"], cloud.messages()) == (
        "SUCCESS",
        "right",
        1,
        0,
    )


def test_a_message_that_names_another_task_than_its_row_s_unknown_one_is_kept(cloud: Cloud) -> None:
    with restored():
        counting()
        order = cloud.place("work")
    cloud.sqs.purge_queue(QueueUrl=queue.url())
    put(cloud, json.dumps({"v": 1, "pk": f"kit#{order['id']}", "task": "cook_nuggets"}))

    assert cloud.deliver() == (1, 1)
    assert cloud.get(order["id"])["attempts"] == 0


@pytest.mark.parametrize(
    "missing", ["messageId", "receiptHandle", "body", "attributes", "messageAttributes"]
)
def test_a_record_without_a_member_concerns_that_record_alone(cloud: Cloud, missing: str) -> None:
    counting()
    placed = [cloud.place("work")["id"] for _ in range(3)]
    records = [record(f"m{n}", order_id) for n, order_id in enumerate(placed)]
    del records[1][missing]

    kept = orderline.order_worker({"Records": [*records, None, "text"]}, LambdaContext(60))[
        "batchItemFailures"
    ]

    assert kept == ([{"itemIdentifier": "m1"}] if missing == "body" else [])
    for order_id in (placed[0], placed[2]):
        assert cloud.get(order_id)["status"] == "SUCCESS"


def record(message_id: str, order_id: str) -> dict[str, Any]:
    """Return a record as Lambda delivers it, of an order of the task `work`."""
    return {
        "messageId": message_id,
        "receiptHandle": "r",
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {},
        "body": json.dumps({"v": 1, "pk": f"kit#{order_id}", "task": "work"}),
    }


def test_a_first_message_without_time_to_record_its_end_is_handed_back(cloud: Cloud) -> None:
    counting()
    order = cloud.place("work")

    assert cloud.deliver(time_left_s=worker.MARGIN_S) == (1, 1)

    assert cloud.get(order["id"])["attempts"] == 0


def test_the_second_of_a_batch_needs_half_of_the_time_that_there_was(cloud: Cloud) -> None:
    """However little that is: a function with a timeout of 5 s must not run only the first of each batch."""
    counting()
    for _ in range(2):
        cloud.place("work")

    assert cloud.deliver(batch=2, time_left_s=5) == (2, 0)


def test_what_no_time_is_left_for_is_handed_back_unclaimed_and_visible_at_once(
    cloud: Cloud,
) -> None:
    @task(timeout_s=20)
    def work() -> None: ...

    placed = [cloud.place("work")["id"] for _ in range(3)]

    assert cloud.deliver(batch=3, time_left_s=20) == (
        3,
        2,
    )  # one is always tried, or a batch would never go on

    assert sorted(cloud.get(order_id)["attempts"] for order_id in placed) == [0, 0, 1]
    assert visible(cloud) == 2
    cloud.drain()
    assert {cloud.get(order_id)["status"] for order_id in placed} == {"SUCCESS"}


def test_the_lease_covers_what_is_left_of_the_functions_time(cloud: Cloud) -> None:
    leases: list[float] = []

    @task
    def work(context: Context) -> None:
        row = cloud.order(context.id)
        leases.append(((row.lease_until or 0) - row.updated_at) / SECOND)

    cloud.place("work")
    cloud.drain(time_left_s=42)

    assert leases == pytest.approx([44], abs=0.01)


def test_a_message_that_cannot_be_hidden_stays_all_the_same(cloud: Cloud, wire: Wire) -> None:
    put(cloud, "no JSON")
    wire.breaks("ChangeMessageVisibility")

    assert cloud.deliver() == (1, 1)

    cloud.clock.advance(cloud.parameters["Visibility"] + 1)
    assert cloud.deliver() == (1, 1)


def test_an_order_says_who_ran_it_and_what_came_of_it(cloud: Cloud) -> None:
    @task(backoff_s=0)
    def work(context: Context) -> None:
        if context.attempt == 1:
            raise ValueError

    order = cloud.place("work")
    cloud.drain()

    burnt, fine = cloud.order(order["id"]).history
    assert (burnt["code"], "code" in fine) == ("task_error", False)
    assert burnt["start"] < burnt["end"] < fine["start"] < fine["end"]


def test_the_history_keeps_the_last_20_attempts(cloud: Cloud) -> None:
    @task(max_attempts=25, backoff_s=0)
    def burn() -> None:
        raise ValueError

    order = cloud.place("burn")
    cloud.drain()

    row = cloud.order(order["id"])
    assert (row.attempts, len(row.history)) == (25, orders.MAX_HISTORY)
    assert all("end" in entry for entry in row.history)


def test_the_answer_is_lambdas_partial_batch_answer(cloud: Cloud) -> None:
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


def test_a_message_is_hidden_for_long_though_its_attempt_took_a_while(cloud: Cloud) -> None:
    """SQS refuses a visibility that would end more than twelve hours after the receive."""
    cloud.place("cook_nuggets", {"pieces": 1})
    (received,) = cloud.sqs.receive_message(QueueUrl=queue.url())["Messages"]
    cloud.clock.advance(300)

    queue.hide(
        queue.Message(received["MessageId"], received["ReceiptHandle"], 1, None, "", 1), 1_000_000
    )

    cloud.clock.advance(10 * 3600)
    assert "Messages" not in cloud.sqs.receive_message(QueueUrl=queue.url())
