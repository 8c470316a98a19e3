"""Log lines that name the order, and the metrics in them."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

import pytest

from chalicelib import config, logs, metrics, queue
from chalicelib.tasks import task
from testkit import Cloud, Wire
from testkit.wire import denied

SECRET = "a-sauce-that-nobody-may-read"


class _Lines:
    """The lines of standard output so far."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured
        self._text = ""

    @property
    def text(self) -> list[str]:
        self._text += self._captured.readouterr().out
        return self._text.splitlines()

    def of(self, event: str) -> list[Any]:
        return [line for line in map(json.loads, self.text) if line["event"] == event]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> _Lines:
    return _Lines(capsys)


def published(line: Any) -> dict[str, Any]:
    """Return the metrics that CloudWatch reads from a line in its embedded format, by name."""
    values = {}
    for block in line["_aws"]["CloudWatchMetrics"]:
        assert block["Namespace"] == "Orderline"
        assert all(isinstance(line[name], str) for names in block["Dimensions"] for name in names)
        for metric in block["Metrics"]:
            assert metric["Unit"] in ("Count", "Milliseconds", "Seconds")
            values[metric["Name"]] = line[metric["Name"]]
    return values


def test_the_workers_lines_name_the_order_the_owners_hash_and_the_request_that_placed_it(
    cloud: Cloud, lines: _Lines
) -> None:
    order = cloud.place("cook_nuggets", {"pieces": 1})
    cloud.drain()

    (accepted,) = lines.of("order_accepted")
    (ended,) = lines.of("order_ended")
    assert accepted["request"] == ended["request"] != ""
    assert accepted["order"] == ended["order"] == order["id"]
    assert accepted["owner"] == ended["owner"] == logs.hashed("kit")
    assert (ended["task"], ended["attempt"], ended["status"]) == ("cook_nuggets", 1, "SUCCESS")


def test_no_line_contains_an_input_a_result_a_token_or_an_owners_name(
    cloud: Cloud, lines: _Lines
) -> None:
    cloud.place("cook_nuggets", {"pieces": 1, "sauce": "curry"})
    cloud.http("POST", "/orders", {"task": "cook_nuggets", "input": {"pieces": SECRET}})
    cloud.drain()
    text = "\n".join(lines.text)
    assert text
    assert not [
        word for word in (SECRET, "curry", cloud.token, '"kit"', "total_cents") if word in text
    ]


def test_each_step_of_an_order_is_counted(cloud: Cloud, lines: _Lines) -> None:
    cloud.place("cook_nuggets", {"pieces": 1})
    cloud.clock.advance(3)
    cloud.drain()

    assert published(*lines.of("order_accepted")) == {"orders_accepted": 1}
    began = published(*lines.of("attempt_began"))
    assert began["attempts"] == 1
    assert 3000 <= began["age_ms"] < 3100
    (ended,) = lines.of("order_ended")
    assert published(ended) == {"orders_ended": 1, "duration_ms": ended["duration_ms"]}
    assert (ended["task"], ended["status"]) == ("cook_nuggets", "SUCCESS")
    assert ended["duration_ms"] >= 0
    assert lines.of("attempt_ended") == []


def test_an_attempt_that_does_not_end_its_order_has_a_line_of_its_own(
    cloud: Cloud, lines: _Lines
) -> None:
    @task(max_attempts=2)
    def burn() -> None:
        raise ValueError

    cloud.place("burn")
    cloud.deliver()

    (ended,) = lines.of("attempt_ended")
    assert (ended["attempt"], ended["status"], ended["code"]) == (1, "PENDING", "task_error")
    assert published(ended) == {"duration_ms": ended["duration_ms"]}
    assert lines.of("order_ended") == []


def test_each_end_of_an_order_is_counted_once(cloud: Cloud, lines: _Lines) -> None:
    @task(max_attempts=1)
    def burn() -> None:
        raise ValueError

    failed, by_worker, by_dead_letters, by_sweeper, cancelled = (
        cloud.place("burn", headers={"Idempotency-Key": f"{n}"})["id"] for n in range(5)
    )
    for order_id in (by_worker, by_dead_letters, by_sweeper):
        cloud.claim(order_id, lease_s=10)
    for _ in range(2):
        cloud.http("POST", f"/orders/{cancelled}/cancel")
    cloud.clock.advance(11)
    cloud.bury(by_dead_letters)
    cloud.drain(dead=True)
    cloud.deliver(batch=2)
    cloud.sqs.purge_queue(QueueUrl=queue.url())
    cloud.clock.advance(config.settings().resend_after_s)
    cloud.sweep()

    ended = {line["order"]: (line["status"], line["code"]) for line in lines.of("order_ended")}
    assert ended == {
        failed: ("FAILED", "task_error"),
        by_worker: ("FAILED", "attempts_exhausted"),
        by_dead_letters: ("FAILED", "attempts_exhausted"),
        by_sweeper: ("FAILED", "attempts_exhausted"),
        cancelled: ("CANCELLED", None),
    }
    assert len(lines.of("order_ended")) == len(ended)
    assert {line["owner"] for line in lines.of("order_ended")} == {logs.hashed("kit")}


def test_the_sweeper_publishes_the_resent_count_and_the_largest_delay(
    cloud: Cloud, lines: _Lines
) -> None:
    cloud.place("cook_nuggets", {"pieces": 1})
    cloud.sqs.purge_queue(QueueUrl=queue.url())
    cloud.clock.advance(120 + 7)
    cloud.sweep()
    assert published(*lines.of("swept")) == {"largest_overdue_s": 7, "resent": 1}


def test_dead_letters_and_lost_sends_are_counted(cloud: Cloud, lines: _Lines) -> None:
    cloud.sqs.send_message(QueueUrl=cloud.dead_url, MessageBody="{}")
    cloud.drain(dead=True)
    assert published(*lines.of("dead_letter")) == {"dead_letters": 1}

    cloud.sqs.delete_queue(QueueUrl=queue.url())
    cloud.place("cook_nuggets", {"pieces": 1})
    assert published(*lines.of("send_failed")) == {"sends_failed": 1}


def test_only_server_errors_are_counted_as_failures(cloud: Cloud, lines: _Lines) -> None:
    """Count in our own metric: for Lambda a 503 is a success, even if all answers are 503."""
    order_id = cloud.place("cook_nuggets", {"pieces": 1})["id"]
    cloud.http("GET", "/orders/nothing")
    assert lines.of("http_failed") == []

    cloud.garble(order_id)
    cloud.http("GET", f"/orders/{order_id}")
    cloud.dynamodb.delete_table(TableName="orderline-dev-orders")
    cloud.http("GET", f"/orders/{order_id}")

    failed = lines.of("http_failed")
    assert [(line["status"], line["problem"]) for line in failed] == [
        (500, "unreadable-order"),
        (503, "unavailable"),
    ]
    assert [published(line) for line in failed] == [{"http_failures": 1}] * 2
    assert "ResourceNotFoundException" in failed[1]["reason"]
    assert all(line["request"] for line in failed)


def test_a_bulk_that_aws_cut_short_is_counted_as_a_failure(
    cloud: Cloud, wire: Wire, lines: _Lines
) -> None:
    cloud.http("GET", "/tasks")  # reads the token
    last = len(wire.calls) + 1
    wire.faults = {last: denied}
    bulk = {"orders": [{"task": "cook_nuggets", "input": {"pieces": 1}}] * 2}

    cloud.http("POST", "/orders/bulk", bulk, {"Idempotency-Key": "k"})

    (failed,) = lines.of("bulk_failed")
    assert (failed["done"], failed["orders"]) == (1, 2)
    assert "AccessDenied" in failed["reason"]
    assert published(failed) == {"http_failures": 1}
    assert lines.of("http_failed") == []


def test_no_metric_has_a_dimension_that_grows_with_use() -> None:
    for dimensions, units in (each for own in metrics.EVENTS.values() for each in own):
        assert {name for names in dimensions for name in names} <= {"stack", "task", "status"}
        assert units


def test_an_unexpected_error_is_one_line_with_its_traceback(cloud: Cloud, lines: _Lines) -> None:
    token = cloud.new_token("kit")
    cloud.dynamodb.update_item(
        TableName=config.settings().tokens_table,
        Key={"pk": {"S": token.split("_")[1]}},
        UpdateExpression="REMOVE scopes",
    )
    assert cloud.http("GET", "/orders", headers={"Authorization": f"Bearer {token}"}).status == 500

    (error,) = lines.of("internal")
    assert error["traceback"].startswith("Traceback")
    assert "'scopes'" in error["traceback"].splitlines()[-1]


@pytest.mark.parametrize("text", ["größer", "a lone \udc80"])
def test_a_line_is_ascii_whatever_it_says(lines: _Lines, text: str) -> None:
    """Standard output may have another encoding, and a file name may hold any bytes."""
    logs.event("attempt_ended", task=text, duration_ms=1)

    (line,) = lines.of("attempt_ended")
    assert (line["task"], published(line)) == (text, {"duration_ms": 1})
    assert lines.text[0].isascii()


def test_an_order_succeeds_when_logging_fails(cloud: Cloud) -> None:
    with patch("sys.stdout", None):
        order = cloud.place("cook_nuggets", {"pieces": 1})
        cloud.drain()

    assert cloud.get(order["id"])["status"] == "SUCCESS"
