"""Least privilege: each function's role allows what its code asks of AWS, error paths included, and nothing else."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from chalicelib import config, tasks
from chalicelib.execution import registry
from cli import package
from tests.kit import Cloud
from tests.kit.calls import Call, Recorder, Way, call_sites, recorded
from tests.kit.cloud import running

template = functools.cache(package.template)
ROLES = {"APIHandler": "ApiHandlerRole"}
API, WORKER, DEAD, SWEEPER = "APIHandler", "OrderWorker", "DeadLetters", "OrderSweeper"
NUGGETS = {"pieces": 1}


def fail() -> None:
    raise RuntimeError("as often as it is tried")


def busy(order: tasks.Context) -> str:
    order.progress(50, "halfway")
    return order.place("cook_nuggets", NUGGETS)


def tick() -> None: ...


@contextmanager
def tasks_of_the_test() -> Iterator[None]:
    with patch.dict(registry._registry):
        tasks.task(max_attempts=2)(fail)
        tasks.task(busy)
        tasks.task(every_s=60)(tick)
        yield


def http(cloud: Cloud, recorder: Recorder) -> None:
    """Every route, its refusals and its conflicts."""
    with recorder.of(API):
        key = {"Idempotency-Key": "k"}
        order = cloud.http(
            "POST", "/orders", {"task": "cook_nuggets", "input": NUGGETS}, key
        ).json.get("id", "0" * 26)
        cloud.http("POST", "/orders", {"task": "cook_nuggets", "input": NUGGETS}, key)
        cloud.http("POST", "/orders", {"task": "cook_nuggets", "input": {"pieces": 2}}, key)
        for method, path in (
            ("GET", f"/orders/{order}"),
            ("GET", "/orders"),
            ("GET", "/tasks"),
            ("GET", "/health"),
            ("POST", f"/orders/{order}/retry"),
            ("POST", f"/orders/{order}/cancel"),
            ("POST", f"/orders/{order}/cancel"),
            ("POST", f"/orders/{order}/retry"),
        ):
            cloud.http(method, path)


def work(cloud: Cloud, recorder: Recorder) -> None:
    """Success, retry, last attempt, follow-up and progress."""
    for name in ("cook_nuggets", "fail", "busy"):
        cloud.place(name, NUGGETS if name == "cook_nuggets" else {})
    for _ in range(3):
        with recorder.of(WORKER):
            cloud.drain()
        cloud.clock.advance(config.settings().worker_timeout_s * 7)


def work_that_is_refused(cloud: Cloud, recorder: Recorder) -> None:
    """A live lease, then attempts that nobody reported, and a message of an order that is final."""
    held, final = cloud.place("fail"), cloud.place("cook_nuggets", NUGGETS)
    cloud.http("POST", f"/orders/{final['id']}/cancel")
    cloud.claim(held["id"], lease_s=1)
    with recorder.of(WORKER):
        cloud.drain()
    cloud.clock.advance(5)
    cloud.claim(held["id"], lease_s=1)
    cloud.clock.advance(500)
    with recorder.of(WORKER):
        cloud.drain()


def dead_letter(cloud: Cloud, recorder: Recorder, claims: int = 0) -> None:
    """Of an order that has attempts left."""
    order = cloud.place("fail")
    for _ in range(claims):
        cloud.claim(order["id"], lease_s=1)
        cloud.clock.advance(5)
    cloud.bury(order["id"])
    with recorder.of(DEAD):
        cloud.drain(dead=True)


def last_dead_letter(cloud: Cloud, recorder: Recorder) -> None:
    """Of an order that has none."""
    dead_letter(cloud, recorder, claims=2)


def sweep(cloud: Cloud, recorder: Recorder) -> None:
    """Overdue ones, one of them without attempts, one for later, the ticks of a periodic task; a full queue."""
    spent = cloud.place("fail")
    for _ in range(2):
        cloud.claim(spent["id"], lease_s=1)
        cloud.clock.advance(5)
    cloud.place("cook_nuggets", NUGGETS)
    cloud.http("POST", "/orders", {"task": "cook_nuggets", "input": NUGGETS, "delay_s": 4000})
    for seconds in (600, 4000):
        cloud.clock.advance(seconds)
        with recorder.of(SWEEPER):
            cloud.sweep()


SCENARIOS = (http, work, work_that_is_refused, dead_letter, last_dead_letter, sweep)


@functools.cache
def everything() -> tuple[frozenset[Call], frozenset[tuple[str, int]]]:
    """All calls of all scenarios: as they go, and again with AWS failing from a call on, once for each way to one."""
    calls: set[Call] = set()
    lines: set[tuple[str, int]] = set()
    failed: set[Way] = set()
    for scenario in SCENARIOS:
        whole = _play(scenario, float("inf"))
        calls.update(whole.calls)
        lines.update(way[0] for way in whole.paths)
        for n, way in enumerate(whole.paths):
            if way not in failed:
                failed.add(way)
                calls.update(_play(scenario, n).calls)
    return frozenset(calls), frozenset(lines)


def _play(scenario: Callable[[Cloud, Recorder], None], fail_from: float) -> Recorder:
    with running() as cloud, tasks_of_the_test(), recorded() as recorder:
        recorder.fail_from = fail_from
        scenario(cloud, recorder)
    return recorder


def rights(stage: str, function: str) -> set[tuple[str, str]]:
    """(action, resource) pairs that a function's role allows."""
    role = template(stage)["Resources"][ROLES.get(function, f"{function}Role")]["Properties"]
    assert not role.get("ManagedPolicyArns"), "a managed policy allows what nobody reads here"
    statements = [
        each for policy in role["Policies"] for each in policy["PolicyDocument"]["Statement"]
    ]
    assert all(each["Effect"] == "Allow" and "NotAction" not in each for each in statements)
    return {
        (action, resource)
        for each in statements
        for action in _listed(each["Action"])
        for resource in map(_named, _listed(each["Resource"]))
    }


def of_the_platform(stage: str, function: str) -> set[tuple[str, str]]:
    """What Lambda itself does in the function's name: polls its queue, writes its log and its traces."""
    made = template(stage)["Resources"][function]["Properties"]
    log = made["LoggingConfig"]["LogGroup"]["Ref"]
    used = {
        ("logs:CreateLogStream", log),
        ("logs:PutLogEvents", log),
        ("xray:PutTraceSegments", "*"),
        ("xray:PutTelemetryRecords", "*"),
    }
    for event in made.get("Events", {}).values():
        if event["Type"] == "SQS":
            queue = _named(event["Properties"]["Queue"])
            used |= {
                (f"sqs:{name}", queue)
                for name in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
            }
    return used


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _named(resource: Any) -> str:
    if isinstance(resource, str):
        return resource
    if "Fn::GetAtt" in resource:
        return str(resource["Fn::GetAtt"][0])
    return str(resource["Fn::Sub"]).replace("${OrdersTable.Arn}", "OrdersTable")


@pytest.mark.parametrize("stage", ["dev", "prod"])
@pytest.mark.parametrize("function", [API, WORKER, DEAD, SWEEPER])
def test_a_role_allows_what_its_function_calls_and_nothing_else(stage: str, function: str) -> None:
    calls, _ = everything()
    called = {(call.action, call.resource) for call in calls if call.function == function}
    needed, allowed = called | of_the_platform(stage, function), rights(stage, function)
    assert sorted(needed - allowed) == [], "missing: the function would be refused by AWS"
    assert sorted(allowed - needed) == [], "unused: take it out of .chalice/resources.yaml"


def test_the_scenarios_reach_every_line_that_calls_aws() -> None:
    """Or a right that only that line needs would be missed."""
    _, reached = everything()
    asked_by_name = {
        (path, line)
        for path, line in call_sites()
        if path == "queue.py" and (path, line) not in reached
    }
    assert call_sites() - reached == asked_by_name
    assert len(asked_by_name) <= 1  # get_queue_url: in Lambda the template tells the address
    assert all(
        made["Properties"]["Environment"]["Variables"]["QUEUE_URL"] == {"Ref": "OrdersQueue"}
        for made in template("dev")["Resources"].values()
        if made["Type"] == "AWS::Serverless::Function"
    )


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_each_function_has_a_role_of_its_own_and_no_role_scans_or_deletes(stage: str) -> None:
    resources = template(stage)["Resources"]
    functions = [
        name for name, made in resources.items() if made["Type"] == "AWS::Serverless::Function"
    ]
    roles = [resources[name]["Properties"]["Role"]["Fn::GetAtt"][0] for name in functions]
    assert sorted(roles) == sorted(
        name for name, made in resources.items() if made["Type"] == "AWS::IAM::Role"
    )
    for name in functions:
        for action, resource in rights(stage, name):
            assert resource != "*" or action.startswith("xray:")
            assert "*" not in action
            assert action.split(":")[1] not in ("Scan", "DeleteItem")
