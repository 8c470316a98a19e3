"""AWS is unreachable, throttles, or loses answers: accepted orders still end, with one result."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib import config, queue
from chalicelib.orders import Status
from chalicelib.tasks import Context, task
from testkit import Cloud, Reply, Wire
from testkit.wire import ATTEMPTS
from tests.functional.test_bad_input import problem_of

SIX = {"task": "cook_nuggets", "input": {"pieces": 6}}


def assert_unavailable(reply: Reply) -> Any:
    assert (reply.status, problem_of(reply)["type"]) == (503, "/problems/unavailable")
    assert reply.headers["Retry-After"] == "2"
    return reply.json


def register_work() -> list[int]:
    """Register a task `work`, and return the list of the attempts that ran."""
    runs: list[int] = []

    @task
    def work(context: Context) -> str:
        runs.append(context.attempt)
        return f"run {context.attempt}"

    return runs


def redeliver(cloud: Cloud) -> None:
    """Let the queue's visibility timeout pass, and with it every lease; then deliver."""
    cloud.clock.advance(cloud.parameters["Visibility"] + 1)
    cloud.drain()


@pytest.mark.parametrize(
    ("operation", "method", "path"),
    [
        ("GetItem", "GET", "/tasks"),
        ("PutItem", "POST", "/orders"),
        ("GetItem", "GET", "/orders/" + "0" * 26),
        ("Query", "GET", "/orders"),
        ("BatchGetItem", "GET", "/orders"),
    ],
)
@pytest.mark.parametrize("fault", ["breaks", "throttles"])
def test_a_call_that_aws_cannot_answer_now_is_503_and_may_be_repeated(
    cloud: Cloud, wire: Wire, fault: str, operation: str, method: str, path: str
) -> None:
    if operation == "BatchGetItem":
        cloud.place("cook_nuggets", {"pieces": 6})
    getattr(wire, fault)(operation)

    problem = assert_unavailable(cloud.http(method, path, SIX if method == "POST" else None))

    assert ("TimeoutError" if fault == "breaks" else "ThrottlingException") in problem["detail"]
    assert cloud.http(method, path, SIX if method == "POST" else None).status in (200, 202, 404)


def test_a_short_fault_is_retried_without_a_trace(cloud: Cloud, wire: Wire) -> None:
    for operation in ("PutItem", "SendMessage", "UpdateItem"):
        wire.breaks(operation, times=ATTEMPTS - 1)

    order = cloud.place("cook_nuggets", {"pieces": 6})
    cloud.drain()

    assert (cloud.get(order["id"])["status"], cloud.get(order["id"])["attempts"]) == ("SUCCESS", 1)


def test_an_insert_whose_answer_was_lost_is_recognised(cloud: Cloud, wire: Wire) -> None:
    wire.loses_answer("PutItem", times=1)

    reply = cloud.http("POST", "/orders", SIX, {"Idempotency-Key": "k"})

    assert reply.status == 202
    assert "Idempotency-Replayed" not in reply.headers
    assert (len(cloud.rows()), cloud.messages()) == (1, 1)


def test_after_a_503_a_repeat_with_the_same_key_finds_the_order(cloud: Cloud, wire: Wire) -> None:
    wire.loses_answer("PutItem")
    assert_unavailable(cloud.http("POST", "/orders", SIX, {"Idempotency-Key": "k"}))

    reply = cloud.http("POST", "/orders", SIX, {"Idempotency-Key": "k"})

    assert (reply.status, reply.headers["Idempotency-Replayed"]) == (202, "true")
    (row,) = cloud.rows()
    assert row.check_at is not None  # no message was sent: the sweeper will


@pytest.mark.parametrize("fault", ["breaks", "throttles"])
def test_a_claim_that_did_not_reach_aws_is_not_an_attempt(
    cloud: Cloud, wire: Wire, fault: str
) -> None:
    runs = register_work()
    order = cloud.place("work")
    getattr(wire, fault)("UpdateItem")

    assert cloud.deliver() == (1, 1)
    assert (cloud.get(order["id"])["attempts"], runs) == (0, [])

    redeliver(cloud)
    assert cloud.get(order["id"])["result"] == "run 1"
    assert runs == [1]


def test_a_claim_whose_answer_was_lost_once_is_one_attempt(cloud: Cloud, wire: Wire) -> None:
    runs = register_work()
    order = cloud.place("work")
    wire.loses_answer("UpdateItem", times=1)

    assert cloud.deliver() == (1, 0)

    assert (cloud.get(order["id"])["result"], runs) == ("run 1", [1])


def test_a_claim_whose_answers_were_all_lost_is_repeated_after_its_lease(
    cloud: Cloud, wire: Wire
) -> None:
    runs = register_work()
    order = cloud.place("work")
    wire.loses_answer("UpdateItem")

    assert cloud.deliver() == (1, 1)
    assert (cloud.get(order["id"])["status"], runs) == ("RUNNING", [])

    redeliver(cloud)
    finished = cloud.get(order["id"])
    assert (finished["status"], finished["attempts"], runs) == ("SUCCESS", 2, [2])
    assert cloud.messages() == 0


@pytest.mark.parametrize("fault", ["breaks", "throttles"])
@pytest.mark.parametrize("raises", [False, True])
def test_an_attempt_whose_finish_did_not_reach_aws_is_repeated(
    cloud: Cloud, wire: Wire, fault: str, raises: bool
) -> None:
    @task
    def work(context: Context) -> str:
        if context.attempt == 1:
            getattr(wire, fault)("UpdateItem")
            if raises:
                raise ValueError
        return f"run {context.attempt}"

    order = cloud.place("work")
    assert cloud.deliver() == (1, 1)
    assert cloud.get(order["id"])["status"] == "RUNNING"

    redeliver(cloud)
    finished = cloud.get(order["id"])
    assert (finished["status"], finished["attempts"], finished["result"]) == ("SUCCESS", 2, "run 2")
    assert cloud.messages() == 0


@pytest.mark.parametrize(("times", "kept_messages"), [(1, 0), (ATTEMPTS, 1)])
def test_a_finish_whose_answer_was_lost_is_not_repeated(
    cloud: Cloud, wire: Wire, times: int, kept_messages: int
) -> None:
    runs = []

    @task
    def work() -> str:
        runs.append(1)
        wire.loses_answer("UpdateItem", times)
        return "once"

    order = cloud.place("work")
    assert cloud.deliver() == (1, kept_messages)
    finished = cloud.order(order["id"])

    redeliver(cloud)
    assert (finished.status, len(runs)) == (Status.SUCCESS, 1)
    assert cloud.order(order["id"]) == finished
    assert cloud.messages() == 0


def test_a_retry_whose_answer_was_lost_once_is_one_retry(cloud: Cloud, wire: Wire) -> None:
    @task
    def work(context: Context) -> str:
        if context.attempt == 1:
            wire.loses_answer("UpdateItem", times=1)
            raise ValueError
        return "done"

    order = cloud.place("work")
    assert cloud.deliver() == (1, 1)
    waiting = cloud.order(order["id"])
    assert (waiting.status, waiting.attempts, waiting.version) == (Status.PENDING, 1, 3)

    cloud.clock.advance(3)
    cloud.drain()
    assert (cloud.get(order["id"])["result"], cloud.get(order["id"])["attempts"]) == ("done", 2)


def test_a_fault_at_one_order_of_a_batch_does_not_affect_the_others(
    cloud: Cloud, wire: Wire
) -> None:
    register_work()
    order_ids = [cloud.place("work")["id"] for _ in range(3)]
    wire.breaks("UpdateItem")

    assert cloud.deliver(batch=3) == (3, 1)
    assert sorted(cloud.get(order_id)["status"] for order_id in order_ids) == [
        "PENDING",
        "SUCCESS",
        "SUCCESS",
    ]

    redeliver(cloud)
    assert {cloud.get(order_id)["status"] for order_id in order_ids} == {"SUCCESS"}


def test_a_list_that_aws_reads_only_in_part_is_503(cloud: Cloud, wire: Wire) -> None:
    key = {"pk": {"S": f"kit#{cloud.place('cook_nuggets', {'pieces': 6})['id']}"}}

    def in_part(answer: Any) -> Any:
        return {
            "Responses": {config.settings().orders_table: []},
            "UnprocessedKeys": {config.settings().orders_table: {"Keys": [key]}},
        }

    wire.answers("BatchGetItem", in_part, times=9)

    assert_unavailable(cloud.http("GET", "/orders"))


def test_without_the_stack_the_answer_names_make_run(cloud: Cloud) -> None:
    assert cloud.http("GET", "/orders").status == 200
    cloud.dynamodb.delete_table(TableName=config.settings().orders_table)

    assert "make run" in assert_unavailable(cloud.http("POST", "/orders", SIX))["detail"]


def test_without_the_queue_an_order_is_accepted_and_durable(cloud: Cloud) -> None:
    cloud.sqs.delete_queue(QueueUrl=queue.url())

    assert cloud.place("cook_nuggets", {"pieces": 6})["status"] == "PENDING"
    assert len(cloud.rows()) == 1
