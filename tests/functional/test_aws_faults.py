"""AWS is not there, throttles, or its answer is lost: accepted orders end all the same, with one result."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib import config, queue
from chalicelib.orders import Status
from chalicelib.tasks import Context, task
from tests.functional.test_bad_input import problem_of
from tests.kit import Cloud, Reply, Wire
from tests.kit.wire import ATTEMPTS

SIX = {"task": "cook_nuggets", "input": {"pieces": 6}}


def unavailable(reply: Reply) -> Any:
    assert (reply.status, problem_of(reply)["type"]) == (503, "/problems/unavailable")
    assert reply.headers["Retry-After"] == "2"
    return reply.json


def counting() -> list[int]:
    """A task `work` whose runs are listed by their attempts."""
    runs: list[int] = []

    @task
    def work(context: Context) -> str:
        runs.append(context.attempt)
        return f"run {context.attempt}"

    return runs


def come_back(cloud: Cloud) -> None:
    """The queue's own visibility timeout is over, and with it every lease."""
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
def test_what_aws_cannot_do_now_is_503_and_worth_a_repeat(
    cloud: Cloud, wire: Wire, fault: str, operation: str, method: str, path: str
) -> None:
    if operation == "BatchGetItem":
        cloud.place("cook_nuggets", {"pieces": 6})
    getattr(wire, fault)(operation)

    problem = unavailable(cloud.http(method, path, SIX if method == "POST" else None))

    assert ("TimeoutError" if fault == "breaks" else "ThrottlingException") in problem["detail"]
    assert cloud.http(method, path, SIX if method == "POST" else None).status in (200, 202, 404)


def test_a_short_fault_is_not_even_noticed(cloud: Cloud, wire: Wire) -> None:
    for operation in ("PutItem", "SendMessage", "UpdateItem"):
        wire.breaks(operation, times=ATTEMPTS - 1)

    order = cloud.place("cook_nuggets", {"pieces": 6})
    cloud.drain()

    assert (cloud.get(order["id"])["status"], cloud.get(order["id"])["attempts"]) == ("SUCCESS", 1)


def test_an_insert_whose_answer_was_lost_is_known_for_our_own(cloud: Cloud, wire: Wire) -> None:
    wire.loses_answer("PutItem", times=1)

    reply = cloud.http("POST", "/orders", SIX, {"Idempotency-Key": "k"})

    assert reply.status == 202
    assert "Idempotency-Replayed" not in reply.headers
    assert (len(cloud.rows()), cloud.messages()) == (1, 1)


def test_after_a_503_a_repeat_with_the_same_key_finds_the_order(cloud: Cloud, wire: Wire) -> None:
    wire.loses_answer("PutItem")
    unavailable(cloud.http("POST", "/orders", SIX, {"Idempotency-Key": "k"}))

    reply = cloud.http("POST", "/orders", SIX, {"Idempotency-Key": "k"})

    assert (reply.status, reply.headers["Idempotency-Replayed"]) == (202, "true")
    (row,) = cloud.rows()
    assert row.check_at is not None  # no message was sent: the sweeper will


@pytest.mark.parametrize("fault", ["breaks", "throttles"])
def test_a_claim_that_did_not_reach_aws_burns_nothing(cloud: Cloud, wire: Wire, fault: str) -> None:
    runs = counting()
    order = cloud.place("work")
    getattr(wire, fault)("UpdateItem")

    assert cloud.deliver() == (1, 1)
    assert (cloud.get(order["id"])["attempts"], runs) == (0, [])

    come_back(cloud)
    assert cloud.get(order["id"])["result"] == "run 1"
    assert runs == [1]


def test_a_claim_whose_answer_was_lost_once_is_one_attempt(cloud: Cloud, wire: Wire) -> None:
    runs = counting()
    order = cloud.place("work")
    wire.loses_answer("UpdateItem", times=1)

    assert cloud.deliver() == (1, 0)

    assert (cloud.get(order["id"])["result"], runs) == ("run 1", [1])


def test_a_claim_that_nobody_heard_of_is_taken_again_when_its_lease_is_over(
    cloud: Cloud, wire: Wire
) -> None:
    runs = counting()
    order = cloud.place("work")
    wire.loses_answer("UpdateItem")

    assert cloud.deliver() == (1, 1)
    assert (cloud.get(order["id"])["status"], runs) == ("RUNNING", [])

    come_back(cloud)
    done = cloud.get(order["id"])
    assert (done["status"], done["attempts"], runs) == ("SUCCESS", 2, [2])
    assert cloud.messages() == 0


@pytest.mark.parametrize("fault", ["breaks", "throttles"])
@pytest.mark.parametrize("burns", [False, True])
def test_a_finish_that_did_not_reach_aws_is_made_up_for(
    cloud: Cloud, wire: Wire, fault: str, burns: bool
) -> None:
    @task
    def work(context: Context) -> str:
        if context.attempt == 1:
            getattr(wire, fault)("UpdateItem")
            if burns:
                raise ValueError
        return f"run {context.attempt}"

    order = cloud.place("work")
    assert cloud.deliver() == (1, 1)
    assert cloud.get(order["id"])["status"] == "RUNNING"

    come_back(cloud)
    done = cloud.get(order["id"])
    assert (done["status"], done["attempts"], done["result"]) == ("SUCCESS", 2, "run 2")
    assert cloud.messages() == 0


@pytest.mark.parametrize(("times", "kept"), [(1, 0), (ATTEMPTS, 1)])
def test_a_finish_whose_answer_was_lost_stands(
    cloud: Cloud, wire: Wire, times: int, kept: int
) -> None:
    runs = []

    @task
    def work() -> str:
        runs.append(1)
        wire.loses_answer("UpdateItem", times)
        return "once"

    order = cloud.place("work")
    assert cloud.deliver() == (1, kept)
    finished = cloud.order(order["id"])

    come_back(cloud)
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


def test_a_fault_at_one_order_of_a_batch_leaves_the_others_alone(cloud: Cloud, wire: Wire) -> None:
    counting()
    placed = [cloud.place("work")["id"] for _ in range(3)]
    wire.breaks("UpdateItem")

    assert cloud.deliver(batch=3) == (3, 1)
    assert sorted(cloud.get(order_id)["status"] for order_id in placed) == [
        "PENDING",
        "SUCCESS",
        "SUCCESS",
    ]

    come_back(cloud)
    assert {cloud.get(order_id)["status"] for order_id in placed} == {"SUCCESS"}


def test_a_list_that_aws_reads_only_in_part_is_not_shown_as_whole(cloud: Cloud, wire: Wire) -> None:
    key = {"pk": {"S": f"kit#{cloud.place('cook_nuggets', {'pieces': 6})['id']}"}}

    def in_part(answer: Any) -> Any:
        return {
            "Responses": {config.settings().orders_table: []},
            "UnprocessedKeys": {config.settings().orders_table: {"Keys": [key]}},
        }

    wire.answers("BatchGetItem", in_part, times=9)

    unavailable(cloud.http("GET", "/orders"))


def test_without_the_stack_the_answer_says_what_is_missing(cloud: Cloud) -> None:
    assert cloud.http("GET", "/orders").status == 200
    cloud.dynamodb.delete_table(TableName=config.settings().orders_table)

    assert "make run" in unavailable(cloud.http("POST", "/orders", SIX))["detail"]


def test_without_the_queue_an_order_is_accepted_and_durable(cloud: Cloud) -> None:
    cloud.sqs.delete_queue(QueueUrl=queue.url())

    assert cloud.place("cook_nuggets", {"pieces": 6})["status"] == "PENDING"
    assert len(cloud.rows()) == 1
