"""A task's attempts and what becomes of its order: results, errors, retries, limits."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import random
import sys
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from chalicelib import clock, config, ids
from chalicelib.tasks import Context, task
from testkit import Cloud
from testkit.registry import restored

REAL_NOW = clock.now


@dataclasses.dataclass(frozen=True)
class Box:
    pieces: int
    best_before: date


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def order_after_delivery(cloud: Cloud, name: str, input: Any = None) -> Any:
    """Place an order of this task, deliver it once and return it."""
    order = cloud.place(name, input)
    cloud.drain()
    return cloud.get(order["id"])


def test_a_result_is_shown_as_json_whatever_type_it_was(cloud: Cloud) -> None:
    @task
    def pack(day: date, counts: dict[int, int]) -> list[Box]:
        return [Box(pieces, day) for pieces in counts.values()]

    order = order_after_delivery(cloud, "pack", {"day": "2026-02-28", "counts": {"1": 6, "2": 9}})

    assert order["result"] == [
        {"pieces": 6, "best_before": "2026-02-28"},
        {"pieces": 9, "best_before": "2026-02-28"},
    ]


@pytest.mark.parametrize(
    "result", [None, False, 0, "", [], {}, 2**70, 0.1, 1e308, {"a": [1, {"b": None}]}, "😀"]
)
def test_a_result_comes_back_exactly(cloud: Cloud, result: Any) -> None:
    @task
    def give() -> Any:
        return result

    order = order_after_delivery(cloud, "give")

    assert (order["status"], order["result"], type(order["result"])) == (
        "SUCCESS",
        result,
        type(result),
    )
    assert cloud.messages() == 0


def test_a_task_can_read_its_order(cloud: Cloud) -> None:
    contexts: list[tuple[str, int, str, float]] = []

    @task(timeout_s=9)
    def look(context: Context) -> None:
        contexts.append((context.id, context.attempt, context.key, context.time_left_s()))
        if context.attempt == 1:
            raise ValueError

    order = order_after_delivery(cloud, "look")
    cloud.clock.advance(2)
    cloud.drain()

    (id, first, key, left), (_, second, same_key, _) = contexts
    assert (id, first, second) == (order["id"], 1, 2)
    assert key == same_key == f"{id}.{cloud.order(id).created_at}.0"
    assert 8 < left <= 9


def test_a_task_that_raises_runs_again_after_its_backoff_and_not_before(cloud: Cloud) -> None:
    runs = []

    @task(backoff_s=40)
    def burn() -> str:
        runs.append(1)
        if len(runs) == 1:
            raise ValueError("burnt")
        return "done"

    random.seed(7)
    wait_s = math.ceil(random.uniform(0, 40))
    assert wait_s > 5
    random.seed(7)
    order = cloud.place("burn")
    assert cloud.drain().kept == 1

    waiting = cloud.get(order["id"])
    assert (waiting["status"], waiting["done"], waiting["attempts"]) == ("PENDING", False, 1)
    assert waiting["error"] == {"code": "task_error", "message": "ValueError: burnt", "attempt": 1}

    cloud.clock.advance(wait_s - 1)
    assert (cloud.drain().batches, len(runs)) == (0, 1)
    cloud.clock.advance(1)
    cloud.drain()

    finished = cloud.get(order["id"])
    assert (finished["status"], finished["result"], finished["attempts"]) == ("SUCCESS", "done", 2)
    assert len(runs) == 2


def test_the_backoff_doubles_up_to_its_limit_and_the_row_is_due_after_it(cloud: Cloud) -> None:
    @task(max_attempts=9, backoff_s=10, max_backoff_s=60)
    def burn() -> None:
        raise ValueError

    random.seed(3)
    backoffs = [random.uniform(0, limit) for limit in (10, 20, 40, 60, 60, 60)]
    random.seed(3)
    order = cloud.place("burn")

    waits = []
    for _ in backoffs:
        cloud.drain()
        row = cloud.order(order["id"])
        assert row.check_at is not None
        waits.append(
            (row.check_at - row.updated_at) / clock.SECOND - config.settings().resend_after_s
        )
        cloud.clock.advance(60)

    assert waits == pytest.approx(backoffs, abs=1e-5)


def test_an_order_fails_after_its_last_attempt_with_the_last_error(cloud: Cloud) -> None:
    @task(max_attempts=3)
    def burn(context: Context) -> None:
        raise ValueError(f"burnt {context.attempt}")

    order = cloud.place("burn")
    for _ in range(5):
        cloud.drain()
        cloud.clock.advance(3600)

    failed = cloud.get(order["id"])
    assert (failed["status"], failed["done"], failed["attempts"], failed["max_attempts"]) == (
        "FAILED",
        True,
        3,
        3,
    )
    assert failed["error"] == {"code": "task_error", "message": "ValueError: burnt 3", "attempt": 3}
    assert cloud.messages() == cloud.messages(dead=True) == 0


def test_a_successful_order_has_left_the_due_index(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", {"pieces": 6})
    cloud.drain()

    row = cloud.order(order["id"])
    assert (row.check_at, row.check_shard, row.lease_until) == (None, None, None)


def test_a_failed_order_expires_and_is_listed_among_its_task_s_failures(cloud: Cloud) -> None:
    @task(max_attempts=1)
    def burn() -> None:
        raise ValueError

    order = cloud.place("burn")
    cloud.drain()

    row = cloud.order(order["id"])
    assert (row.check_at, row.check_shard) == (row.updated_at, "failed#burn#0")
    assert row.lease_until is None
    assert row.expires_at == row.updated_at // clock.SECOND + config.settings().retention_s
    (only,) = row.history
    assert only.code == "task_error"
    assert only.end is not None
    assert only.end > only.start


@pytest.mark.parametrize(
    ("options", "again"),
    [
        ({}, True),
        ({"no_retry_on": (LookupError,)}, False),
        ({"no_retry_on": (OSError,)}, True),
        ({"retry_on": (LookupError,)}, True),
        ({"retry_on": (OSError,)}, False),
        ({"retry_on": (Exception,), "no_retry_on": (KeyError,)}, False),
    ],
)
def test_the_options_decide_which_errors_are_retried(
    cloud: Cloud, options: dict[str, Any], again: bool
) -> None:
    def burn() -> None:
        raise KeyError("salt")

    task(**options)(burn)

    order = order_after_delivery(cloud, "burn")

    assert order["status"] == ("PENDING" if again else "FAILED")
    assert order["error"]["message"] == "KeyError: 'salt'"


@pytest.mark.parametrize(
    ("raises", "message"),
    [
        (lambda: sys.exit(3), "SystemExit: 3"),
        (KeyboardInterrupt, "KeyboardInterrupt: "),
        (GeneratorExit, "GeneratorExit: "),
        (asyncio.CancelledError, "CancelledError: "),
        (UnprintableError, "UnprintableError"),
        (lambda: RecursionError("deep"), "RecursionError: deep"),
        (lambda: ValueError("\ud800"), "ValueError: ?"),
    ],
    ids=[
        "sys.exit",
        "KeyboardInterrupt",
        "GeneratorExit",
        "CancelledError",
        "no words",
        "RecursionError",
        "surrogate",
    ],
)
def test_an_exception_of_a_task_never_ends_the_worker(
    cloud: Cloud, raises: Callable[[], BaseException], message: str
) -> None:
    @task
    def burn() -> None:
        raise raises()

    order = order_after_delivery(cloud, "burn")

    assert (order["status"], order["attempts"]) == ("PENDING", 1)
    assert order["error"] == {"code": "task_error", "message": message, "attempt": 1}


def test_a_long_error_message_is_cut(cloud: Cloud) -> None:
    @task(max_attempts=1)
    def burn() -> None:
        raise ValueError("x" * 100_000)

    assert len(order_after_delivery(cloud, "burn")["error"]["message"]) == 1000


def _swallow() -> None:
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0.01)


def _swallow_the_first_alarm() -> None:
    try:
        time.sleep(5)
    except BaseException:
        time.sleep(5)


@pytest.mark.parametrize("dawdles", [lambda: time.sleep(5), _swallow, _swallow_the_first_alarm])
def test_a_task_is_ended_at_its_time_limit_and_retried(
    cloud: Cloud, dawdles: Callable[[], None]
) -> None:
    @task(timeout_s=0.1)
    def dawdle() -> None:
        dawdles()

    began = time.monotonic()
    order = order_after_delivery(cloud, "dawdle")

    assert time.monotonic() - began < 2
    assert (order["status"], order["attempts"], order["error"]["code"]) == (
        "PENDING",
        1,
        "time_limit",
    )
    assert "0.1 s" in order["error"]["message"]


def test_a_task_without_a_limit_ends_before_its_function_does(cloud: Cloud) -> None:
    @task(max_attempts=1)
    def dawdle() -> None:
        time.sleep(5)

    order = cloud.place("dawdle")
    cloud.drain(time_left_s=0.8)

    error = cloud.get(order["id"])["error"]
    assert error["code"] == "time_limit"
    assert "0.2 s" in error["message"], "0.6 s are reserved for recording the end"


def test_no_alarm_fires_after_a_task_that_ended_in_time(cloud: Cloud) -> None:
    @task(timeout_s=0.3)
    def quick() -> None: ...

    order = order_after_delivery(cloud, "quick")
    time.sleep(0.4)  # an alarm left on would fire here, and end this test

    assert order["status"] == "SUCCESS"


def _cyclic() -> Any:
    ring: list[Any] = []
    ring.append(ring)
    return ring


def test_a_success_carries_no_error_of_an_earlier_attempt(cloud: Cloud) -> None:
    @task(backoff_s=0)
    def flaky(order: Context) -> str:
        if order.attempt == 1:
            raise RuntimeError("once")
        return "done"

    order = cloud.place("flaky")
    cloud.drain()

    assert (cloud.get(order["id"])["status"], cloud.get(order["id"])["error"]) == ("SUCCESS", None)
    assert cloud.order(order["id"]).history[0].code == "task_error"


@pytest.mark.parametrize(("levels", "status"), [(64, "SUCCESS"), (65, "FAILED")])
def test_a_result_may_be_nested_as_deep_as_an_input(cloud: Cloud, levels: int, status: str) -> None:
    @task
    def nest() -> Any:
        value: Any = "]"
        for _ in range(levels):
            value = [value]
        return value

    assert order_after_delivery(cloud, "nest")["status"] == status


@pytest.mark.parametrize(
    "result",
    [
        object(),
        float("nan"),
        [float("inf")],
        "\ud800",
        {"\ud800": 1},
        _cyclic(),
        {(1, 2): 3},
        10**5000,
        print,
    ],
    ids=[
        "object",
        "NaN",
        "Infinity",
        "surrogate",
        "surrogate key",
        "cycle",
        "tuple key",
        "10^5000",
        "function",
    ],
)
def test_a_result_that_is_not_json_fails_at_once(cloud: Cloud, result: Any) -> None:
    @task
    def give() -> Any:
        return result

    order = order_after_delivery(cloud, "give")

    assert (order["status"], order["attempts"], order["error"]["code"]) == (
        "FAILED",
        1,
        "result_not_json",
    )
    assert order["error"]["message"].startswith("the result is not valid JSON: ")
    assert cloud.messages() == 0


def test_a_result_over_the_limit_fails_at_once_with_its_size(cloud: Cloud) -> None:
    @task
    def give(bytes: int) -> str:
        return "é" * (bytes // 2 - 1)

    assert order_after_delivery(cloud, "give", {"bytes": 1_000_000})["status"] == "SUCCESS"

    order = order_after_delivery(cloud, "give", {"bytes": 1_000_002})
    assert (order["status"], order["error"]["code"]) == ("FAILED", "result_too_large")
    assert "1000002 bytes; the maximum is 1000000" in order["error"]["message"]


def test_an_input_that_no_longer_fits_after_a_deploy_fails_at_once(cloud: Cloud) -> None:
    def before(pieces: int) -> None: ...
    def after(pieces: str) -> None: ...

    before.__name__ = after.__name__ = "cook"
    with restored():
        task(before)
        order = cloud.place("cook", {"pieces": 6})
    task(after)
    cloud.drain()

    error = cloud.get(order["id"])["error"]
    assert error["code"] == "invalid_input"
    assert "/input/pieces" in error["message"]


def test_a_task_that_leaves_the_clock_patched_does_not_affect_later_orders(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", REAL_NOW)  # the app's own clock, which the kit replaces

    @task
    def patch_clock() -> None:
        for name in ("time_ns", "monotonic", "gmtime"):
            monkeypatch.setattr(time, name, lambda *_: 0)

    order_after_delivery(cloud, "patch_clock")
    after = order_after_delivery(cloud, "cook_nuggets", {"pieces": 1})

    assert after["status"] == "SUCCESS"
    assert not after["created_at"].startswith("1970")


def test_a_transition_keeps_what_a_newer_version_wrote_into_earlier_attempts(cloud: Cloud) -> None:
    @task(max_attempts=2, backoff_s=0)
    def burn() -> None:
        raise ValueError

    order = order_after_delivery(cloud, "burn")
    cloud.dynamodb.update_item(
        TableName=config.settings().orders_table,
        Key={"pk": {"S": ids.key_of("kit", order["id"])}},
        UpdateExpression="SET history[0].host = :host",
        ExpressionAttributeValues={":host": {"S": "fryer 2"}},
    )

    cloud.drain()
    cloud.http("POST", f"/orders/{order['id']}/retry")
    cloud.drain()

    assert [attempt.unknown for attempt in cloud.order(order["id"]).history] == [
        {"host": "fryer 2"},
        {},
        {},
        {},
    ]
