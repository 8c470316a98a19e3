"""What is seen of an order's way afterwards: log lines that name it, and the metrics in them."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

import pytest

from chalicelib import config, logs, metrics, queue
from tests.kit import Cloud

SECRET = "a-sauce-that-nobody-may-read"


class _Lines:
    """What was written to standard output so far."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured, self._text = captured, ""

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
    """The metrics that CloudWatch reads from a line, as its format wants them: {name: value}."""
    found = {}
    for block in line["_aws"]["CloudWatchMetrics"]:
        assert block["Namespace"] == "Orderline"
        assert all(isinstance(line[name], str) for names in block["Dimensions"] for name in names)
        for metric in block["Metrics"]:
            assert metric["Unit"] in ("Count", "Milliseconds", "Seconds")
            found[metric["Name"]] = line[metric["Name"]]
    return found


def test_the_worker_s_lines_name_the_order_its_client_s_hash_and_the_request_that_placed_it(
    cloud: Cloud, lines: _Lines
) -> None:
    order = cloud.place("cook_nuggets", {"pieces": 1})
    cloud.drain()

    (accepted,), (ended,) = lines.of("order_accepted"), lines.of("attempt_ended")
    assert accepted["request"] == ended["request"] != ""
    assert accepted["order"] == ended["order"] == order["id"]
    assert accepted["owner"] == ended["owner"] == logs.hashed("kit")
    assert (ended["task"], ended["attempt"], ended["status"]) == ("cook_nuggets", 1, "SUCCESS")


def test_no_line_has_an_input_a_result_a_token_or_a_client_s_name(
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


def test_what_an_order_goes_through_is_counted(cloud: Cloud, lines: _Lines) -> None:
    cloud.place("cook_nuggets", {"pieces": 1})
    cloud.clock.advance(3)
    cloud.drain()

    assert published(*lines.of("order_accepted")) == {"orders_accepted": 1}
    began = published(*lines.of("attempt_began"))
    assert began["attempts"] == 1
    assert 3000 <= began["age_ms"] < 3100
    assert published(*lines.of("attempt_ended"))["duration_ms"] >= 0
    (ended,) = lines.of("order_ended")
    assert (published(ended), ended["task"], ended["status"]) == (
        {"orders_ended": 1},
        "cook_nuggets",
        "SUCCESS",
    )


def test_the_sweeper_counts_what_it_sent_again_and_tells_the_largest_overdue(
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


def test_each_answer_that_is_our_own_failure_is_counted_and_no_other(
    cloud: Cloud, lines: _Lines
) -> None:
    """Lambda counts no error for an answer, so at 100 % of 503 its own metric stays at zero."""
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


def test_no_metric_has_a_dimension_that_grows_with_use() -> None:
    for dimensions, units in metrics.EVENTS.values():
        assert {name for names in dimensions for name in names} <= {"stack", "task", "status"}
        assert units


def test_a_fault_that_nobody_expected_is_one_line_with_its_traceback(
    cloud: Cloud, lines: _Lines
) -> None:
    token = cloud.new_token("kit")
    cloud.dynamodb.update_item(
        TableName=config.settings().tokens_table,
        Key={"pk": {"S": token.split("_")[1]}},
        UpdateExpression="REMOVE scopes",
    )
    assert cloud.http("GET", "/orders", headers={"Authorization": f"Bearer {token}"}).status == 500

    (fault,) = lines.of("internal")
    assert fault["traceback"].startswith("Traceback")
    assert "'scopes'" in fault["traceback"].splitlines()[-1]


def test_no_order_fails_for_its_log(cloud: Cloud) -> None:
    with patch("sys.stdout", None):
        order = cloud.place("cook_nuggets", {"pieces": 1})
        cloud.drain()

    assert cloud.get(order["id"])["status"] == "SUCCESS"
