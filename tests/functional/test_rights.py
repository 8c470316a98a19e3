"""Least privilege: each role allows the calls of its function, error paths too, and no others."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
from msgspec import structs

from chalicelib import auth, config, tasks
from chalicelib.execution import registry
from chalicelib.webhooks import endpoints, signing
from chalicelib.webhooks.endpoints import Endpoint, Registry, SigningSecret
from dev.packaging import package
from dev.packaging.lanes import logical, with_own
from dev.packaging.members import Lane, Right, Webhooks
from dev.packaging.own import Own
from testkit import Cloud
from testkit.cloud import running
from tests.kit.calls import Call, Recorder, Way, call_sites, recorded
from tests.kit.receiver import receiving, status

template = functools.cache(package.template)
ROLES = {"APIHandler": "ApiHandlerRole"}
API = "APIHandler"
WORKER = "OrderWorker"
DEAD = "DeadLetters"
SWEEPER = "OrderSweeper"
DELIVERY = logical(config.WEBHOOKS_LANE, WORKER)
NUGGETS = {"pieces": 1}
FILE = hashlib.sha256(b"abc").hexdigest()


def fail() -> None:
    raise RuntimeError("at every attempt")


def busy(order: tasks.Context) -> str:
    order.progress(50, "halfway")
    return order.place("cook_nuggets", NUGGETS)


def pacing(order: tasks.Context) -> None:
    """Place an order of a task with a limit, and fail: the next attempt reads what it placed."""
    order.place("paced", {})
    if order.attempt == 1:
        raise RuntimeError("once")


def gather(order: tasks.Context) -> int:
    return len(order.after())


def watchful(order: tasks.Context) -> None:
    order.check()


def charge() -> int:
    return len(tasks.secrets.get("KEY"))


def reverse(file: tasks.File) -> tasks.File:
    return tasks.File.of(file.read()[::-1])


def tick() -> None: ...


def paced() -> None: ...


@contextmanager
def registered_tasks(lane: str = config.DEFAULT_LANE) -> Iterator[None]:
    with patch.dict(registry._registry):
        tasks.task(max_attempts=2)(fail)
        tasks.task(busy)
        tasks.task(watchful)
        tasks.task(gather)
        tasks.task(reverse)
        tasks.task(every_s=60, per_minute=60)(tick)
        tasks.task(charge)
        tasks.task(per_minute=60)(paced)
        tasks.task(max_attempts=2)(pacing)
        _move_tasks(lane)
        yield


def _move_tasks(lane: str) -> None:
    for name, each in tasks.known().items():
        registry._registry[name] = structs.replace(each, lane=lane)


def http(cloud: Cloud, recorder: Recorder) -> None:
    """Send a request to every route, with refusals and conflicts."""
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
        bulk = {"orders": [{"task": "cook_nuggets", "input": NUGGETS}]}
        cloud.http("POST", "/orders/bulk", bulk, key)
        cloud.http("POST", "/orders/cancel", {"ids": [order]})


def operate(cloud: Cloud, recorder: Recorder) -> None:
    """Send a request to each of an operator's routes: there is an order that failed."""
    order = cloud.place("fail")["id"]
    for _ in range(4):  # it fails at the last attempt
        cloud.drain()
        cloud.clock.advance(3600)
    cloud.place("fail")
    cloud.clock.advance(600)  # it is overdue
    token = cloud.new_token("ops", scopes=(auth.ADMIN,))
    headers = {"Authorization": f"Bearer {token}"}
    since = "2020-01-01T00:00:00Z"
    with recorder.of(API):
        for path in ("overview", "failures", "durations?owner=kit", f"orders/kit/{order}"):
            cloud.http("GET", f"/operator/{path}", headers=headers)
        for name, body in (
            ("retry", {"task": "fail", "failed_since": since, "dry_run": True}),
            ("retry", {"task": "fail", "failed_since": since}),
            ("retry", {"orders": [{"owner": "kit", "id": order}]}),
            ("cancel", {"orders": [{"owner": "kit", "id": order}]}),
        ):
            cloud.http("POST", f"/operator/{name}", body, headers)


def transfer(cloud: Cloud, recorder: Recorder) -> None:
    """Get the URLs of an upload and a download, and use them as their signer could."""
    content = {"sha256": FILE, "size": 3, "type": "text/plain"}
    with recorder.of(API):
        if upload := cloud.http("POST", "/files", content).json.get("upload"):
            recorder.use(upload["method"], upload["url"])
    cloud.upload(b"abc", "text/plain")
    with recorder.of(API):
        if url := cloud.http("GET", f"/files/{FILE}").json.get("url"):
            recorder.use("GET", url)
        cloud.http("POST", "/orders", {"task": "reverse", "input": {"file": {"file": FILE}}})
    cloud.clock.advance(1.1 * 86_400)
    with recorder.of(API):  # renews the file
        cloud.http("POST", "/orders", {"task": "reverse", "input": {"file": {"file": FILE}}})


def work_on_files(cloud: Cloud, recorder: Recorder) -> None:
    """Run a task that reads a file and returns another."""
    cloud.upload(b"abc", "text/plain")
    cloud.place("reverse", {"file": {"file": FILE}})
    with recorder.of(WORKER):
        cloud.drain()


def work(cloud: Cloud, recorder: Recorder) -> None:
    """Run a success, a retry, a last attempt, a follow-up and progress."""
    for name in ("cook_nuggets", "fail", "busy", "pacing"):
        cloud.place(name, NUGGETS if name == "cook_nuggets" else {})
    for _ in range(3):
        with recorder.of(WORKER):
            cloud.drain()
        cloud.clock.advance(config.settings().worker_timeout_s * 7)


def refused_work(cloud: Cloud, recorder: Recorder) -> None:
    """Deliver messages of a live lease, of attempts that never reported and of a final order."""
    leased = cloud.place("fail")
    final = cloud.place("cook_nuggets", NUGGETS)
    cloud.http("POST", f"/orders/{final['id']}/cancel")
    cloud.claim(leased["id"], lease_s=1)
    with recorder.of(WORKER):
        cloud.drain()
    cloud.clock.advance(5)
    cloud.claim(leased["id"], lease_s=1)
    cloud.clock.advance(500)
    with recorder.of(WORKER):
        cloud.drain()


def dead_letter(cloud: Cloud, recorder: Recorder, claims: int = 0) -> None:
    """Deliver a dead letter of an order that has attempts left."""
    order = cloud.place("fail")
    for _ in range(claims):
        cloud.claim(order["id"], lease_s=1)
        cloud.clock.advance(5)
    cloud.bury(order["id"])
    with recorder.of(DEAD):
        cloud.drain(dead=True)


def stop(cloud: Cloud, recorder: Recorder) -> None:
    """Look for a stop while a task runs, and stop an order whose worker died."""
    cloud.place("watchful")
    with recorder.of(WORKER), patch("chalicelib.execution.context.REPORT_EVERY_S", 0):
        cloud.drain()
    order = cloud.place("cook_nuggets", NUGGETS)
    cloud.claim(order["id"], lease_s=1)
    with recorder.of(API):
        cloud.http("POST", f"/orders/{order['id']}/cancel")
    cloud.clock.advance(5)
    with recorder.of(WORKER):
        cloud.drain()


def last_dead_letter(cloud: Cloud, recorder: Recorder) -> None:
    """Deliver a dead letter of an order that has no attempts left."""
    dead_letter(cloud, recorder, claims=2)


def work_in_slots(cloud: Cloud, recorder: Recorder) -> None:
    """Run two orders of a task with per_minute that have missed their slots."""
    with recorder.of(API):
        for _ in range(2):
            cloud.http("POST", "/orders", {"task": "paced"})
    cloud.clock.advance(60)
    with recorder.of(WORKER):
        cloud.drain()


def sweep(cloud: Cloud, recorder: Recorder) -> None:
    """Sweep overdue, delayed and periodic orders, and one without attempts left."""
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


def use_secret(cloud: Cloud, recorder: Recorder) -> None:
    """Run a task that reads a secret."""
    cloud.place("charge")
    with recorder.of(WORKER):
        cloud.drain()


def move_between_lanes(cloud: Cloud, recorder: Recorder) -> None:
    """Move every task to the other lane while its order waits."""
    lane = tasks.lane_of("busy")
    cloud.place("busy")
    _move_tasks("heavy" if lane == config.DEFAULT_LANE else config.DEFAULT_LANE)
    with recorder.of(WORKER):
        cloud.drain(lane=lane)


def fan_in(cloud: Cloud, recorder: Recorder) -> None:
    """End orders that others wait for, by each function that may, and read them."""
    spent = cloud.place("fail")["id"]
    for _ in range(2):
        cloud.claim(spent, lease_s=1)
        cloud.clock.advance(5)
    cloud.bury(spent)
    failing = cloud.place("fail")["id"]
    for child in (spent, failing):
        with recorder.of(API):
            body = {"task": "gather", "input": {}, "after": [child], "when": "end"}
            cloud.http("POST", "/orders", body)
    with recorder.of(DEAD):
        cloud.drain(dead=True)
    for _ in range(3):
        with recorder.of(WORKER):
            cloud.drain()
        cloud.clock.advance(600)
    waiting = cloud.place("cook_nuggets", NUGGETS)["id"]
    with recorder.of(API):
        cloud.http("POST", "/orders", {"task": "gather", "input": {}, "after": [waiting]})
    cloud.clock.advance(10_000)
    with recorder.of(SWEEPER):
        cloud.sweep()


def deliver(cloud: Cloud, recorder: Recorder) -> None:
    """Deliver webhooks to a receiver that fails, and is gone at the next attempt."""
    secret = SigningSecret(signing.new_secret())
    with receiving() as receiver:
        receiver.answers = [status(500), status(410)]
        endpoint = Endpoint("kit", "main", receiver.url, (secret,))
        Registry(cloud.dynamodb, config.settings().tokens_table).store(endpoint)
        endpoints.forget()
        body = {"task": "cook_nuggets", "input": NUGGETS, "notify": ["main"]}
        assert cloud.http("POST", "/orders", body).status == 202
        cloud.drain(lane=config.DEFAULT_LANE)
        with patch("chalicelib.webhooks.targets.on_laptop", lambda: True):
            for _ in range(3):
                endpoints.forget()
                with recorder.of(WORKER):
                    cloud.drain(lane=config.WEBHOOKS_LANE)
                cloud.clock.advance(3600)


SCENARIOS = (
    http,
    operate,
    transfer,
    work,
    work_on_files,
    work_in_slots,
    refused_work,
    stop,
    fan_in,
    dead_letter,
    last_dead_letter,
    sweep,
)


@functools.cache
def run_scenarios() -> tuple[frozenset[Call], frozenset[tuple[str, int]]]:
    """Return all calls of all scenarios, and the lines that make them.

    Each scenario runs as it is, and once for each path to a call with AWS failing from there on.
    """
    calls: set[Call] = set()
    lines: set[tuple[str, int]] = set()
    failed: set[Way] = set()
    for scenario in SCENARIOS:
        recorder = _play(scenario, float("inf"))
        calls.update(recorder.calls)
        lines.update(path[0] for path in recorder.paths)
        for n, path in enumerate(recorder.paths):
            if path not in failed:
                failed.add(path)
                calls.update(_play(scenario, n).calls)
    return frozenset(calls), frozenset(lines)


def _play(
    scenario: Callable[[Cloud, Recorder], None],
    fail_from: float = float("inf"),
    lane: str = config.DEFAULT_LANE,
) -> Recorder:
    with running() as cloud, registered_tasks(lane), recorded() as recorder:
        recorder.fail_from = fail_from
        scenario(cloud, recorder)
    return recorder


@functools.cache
def run_scenarios_in_lanes() -> tuple[frozenset[Call], frozenset[tuple[str, int]]]:
    """Return all calls of the scenarios with two lanes and a secret, and the lines of a secret's.

    Each runs with its tasks in the one lane and in the other; nothing fails.
    """
    variables = {"LANES": '{"heavy": 300}', "SECRETS": '{"KEY": "/orderline-dev/KEY"}'}
    calls: set[Call] = set()
    lines: set[tuple[str, int]] = set()
    with patch.dict("os.environ", variables):
        for lane in config.settings().timeouts:
            for scenario in (*SCENARIOS, use_secret, move_between_lanes):
                recorder = _play(scenario, lane=lane)
                for call in recorder.calls:
                    worker = call.function == WORKER
                    function = logical(lane, WORKER) if worker else call.function
                    calls.add(replace(call, function=function))
                lines.update(path[0] for path in recorder.paths)
    return frozenset(calls), frozenset(line for line in lines if line[0] == "secrets.py")


@functools.cache
def run_deliveries() -> frozenset[tuple[str, str]]:
    """Return what a worker calls for a task in the lane of webhooks: (action, resource) pairs.

    Each scenario runs as it is, and once for each of its calls with AWS failing from there on.
    """
    calls: set[Call] = set()
    with patch.dict("os.environ", LANES='{"webhooks": 20}'):
        for scenario, lane in (
            (deliver, config.DEFAULT_LANE),
            (refused_work, config.WEBHOOKS_LANE),
        ):
            recorder = _play(scenario, lane=lane)
            calls.update(recorder.calls)
            for n in range(len(recorder.calls)):
                calls.update(_play(scenario, n, lane).calls)
    return frozenset((call.action, call.resource) for call in calls)


@functools.cache
def template_with_webhooks() -> Any:
    own = Own(lanes={"heavy": Lane(timeout_s=300)}, secrets={"KEY": None}, webhooks=Webhooks())
    return with_own(template("dev"), own)


@functools.cache
def template_with_lanes(stage: str) -> Any:
    own = Own(lanes={"heavy": Lane(timeout_s=300)}, secrets={"KEY": None})
    return with_own(template(stage), own)


def rights(packaged: Any, function: str) -> set[tuple[str, str]]:
    """Return the (action, resource) pairs that a function's role allows."""
    role = packaged["Resources"][ROLES.get(function, f"{function}Role")]["Properties"]
    assert not role.get("ManagedPolicyArns"), "a managed policy may allow more than this test reads"
    statements = [
        statement
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    assert all(
        statement["Effect"] == "Allow" and "NotAction" not in statement for statement in statements
    )
    return {
        (action, resource)
        for statement in statements
        for action in _as_list(statement["Action"])
        for resource in map(_resource_name, _as_list(statement["Resource"]))
    }


def conditions(packaged: Any, function: str) -> dict[tuple[str, str], Any]:
    """Return the condition of each (action, resource) pair that a role allows only under one."""
    role = packaged["Resources"][ROLES.get(function, f"{function}Role")]["Properties"]
    return {
        (action, _resource_name(statement["Resource"])): statement["Condition"]
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if "Condition" in statement
        for action in _as_list(statement["Action"])
    }


def keys(*patterns: str) -> Any:
    """Return the condition that lets a role see only rows with such keys."""
    return {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": list(patterns)}}


def platform_rights(packaged: Any, function: str) -> set[tuple[str, str]]:
    """Return what Lambda does with the role: it polls the queue, writes the log and the traces."""
    properties = packaged["Resources"][function]["Properties"]
    log = properties["LoggingConfig"]["LogGroup"]["Ref"]
    needed = {
        ("logs:CreateLogStream", log),
        ("logs:PutLogEvents", log),
        ("xray:PutTraceSegments", "*"),
        ("xray:PutTelemetryRecords", "*"),
    }
    for event in properties.get("Events", {}).values():
        if event["Type"] == "SQS":
            queue = _resource_name(event["Properties"]["Queue"])
            needed |= {
                (f"sqs:{name}", queue)
                for name in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
            }
    return needed


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _resource_name(resource: Any) -> str:
    if isinstance(resource, str):
        return resource
    if "Fn::GetAtt" in resource:
        return str(resource["Fn::GetAtt"][0])
    text = str(resource["Fn::Sub"])
    if ":parameter/" in text:
        return text.rpartition("${AWS::AccountId}:")[2]
    return re.sub(r"\$\{(\w+)\.Arn\}", r"\1", text)


@pytest.mark.parametrize("stage", ["dev", "prod"])
@pytest.mark.parametrize("function", [API, WORKER, DEAD, SWEEPER])
def test_a_role_allows_what_its_function_calls_and_nothing_else(stage: str, function: str) -> None:
    calls, _ = run_scenarios()
    called = {(call.action, call.resource) for call in calls if call.function == function}
    needed = called | platform_rights(template(stage), function)
    allowed = rights(template(stage), function)
    assert sorted(needed - allowed) == [], "missing: the function would be refused by AWS"
    assert sorted(allowed - needed) == [], "unused: remove it from .chalice/resources.yaml"


@pytest.mark.parametrize("function", [API, WORKER, "HeavyOrderWorker", DEAD, SWEEPER])
def test_with_lanes_a_role_allows_what_its_function_calls_and_nothing_else(function: str) -> None:
    packaged = template_with_lanes("dev")
    calls, _ = run_scenarios_in_lanes()
    called = {(call.action, call.resource) for call in calls if call.function == function}
    needed = called | platform_rights(packaged, function)
    allowed = rights(packaged, function)
    assert sorted(needed - allowed) == [], "missing: the function would be refused by AWS"
    assert sorted(allowed - needed) == [], "unused: remove it from dev/packaging/lanes.py"


def test_the_function_that_delivers_webhooks_has_exactly_these_rights() -> None:
    packaged = template_with_webhooks()
    assert rights(packaged, DELIVERY) - platform_rights(packaged, DELIVERY) == {
        ("dynamodb:UpdateItem", "OrdersTable"),
        ("dynamodb:BatchGetItem", "OrdersTable"),
        ("dynamodb:GetItem", "TokensTable"),
        ("dynamodb:UpdateItem", "TokensTable"),
        ("sqs:ChangeMessageVisibility", "WebhooksOrdersQueue"),
    }
    assert platform_rights(packaged, DELIVERY) <= rights(packaged, DELIVERY)
    assert conditions(packaged, DELIVERY) == {
        ("dynamodb:GetItem", "TokensTable"): keys("hook#*"),
        ("dynamodb:UpdateItem", "TokensTable"): keys("hook#*"),
    }


def test_the_function_that_delivers_webhooks_may_do_what_its_worker_calls() -> None:
    queue = logical(config.WEBHOOKS_LANE, "OrdersQueue")
    calls = run_deliveries()
    polled = {("sqs:ReceiveMessage", queue), ("sqs:DeleteMessage", queue)}
    assert calls == {
        ("dynamodb:UpdateItem", "OrdersTable"),
        ("dynamodb:BatchGetItem", "OrdersTable"),
        ("dynamodb:GetItem", "TokensTable"),
        ("dynamodb:UpdateItem", "TokensTable"),
        ("sqs:ChangeMessageVisibility", queue),
    }
    assert sorted((calls | polled) - rights(template_with_webhooks(), DELIVERY)) == []


def test_the_function_that_delivers_webhooks_has_nothing_of_the_user_s_own() -> None:
    """Nothing of orderline.yaml, and nothing that a stage's file adds to the worker."""
    base = copy.deepcopy(template("dev"))["Resources"]
    base[WORKER]["Properties"]["Environment"]["Variables"]["OF_A_STAGE"] = "yes"
    base[f"{WORKER}Role"]["Properties"]["ManagedPolicyArns"] = ["of-a-stage"]
    own = Own(
        environment={"PHOTOS": "album"},
        secrets={"STRIPE": None},
        rights=[Right("s3:PutObject", "of-photos")],
        webhooks=Webhooks(),
    )
    resources = with_own({**template("dev"), "Resources": base}, own)["Resources"]
    words = {"PHOTOS", "STRIPE", "SECRETS", "of-photos", "of-a-stage", "OF_A_STAGE"}
    for name, expected in ((WORKER, words), (DELIVERY, set())):
        text = json.dumps([resources[name], resources[f"{name}Role"]])
        assert set(re.findall("|".join(words), text)) == expected


@pytest.mark.parametrize("function", [WORKER, "HeavyOrderWorker", SWEEPER])
def test_with_webhooks_who_places_orders_may_read_endpoints_but_no_access_tokens(
    function: str,
) -> None:
    packaged = template_with_webhooks()
    more = rights(packaged, function) - rights(template_with_lanes("dev"), function)
    depth = {("sqs:GetQueueAttributes", "WebhooksOrdersQueue")} if function == SWEEPER else set()
    assert more - depth == {
        ("dynamodb:GetItem", "TokensTable"),
        ("sqs:SendMessage", "WebhooksOrdersQueue"),
    }
    assert depth <= more
    assert conditions(packaged, function) == {
        ("dynamodb:GetItem", "TokensTable"): keys("hook#*", "hooks#*")
    }


def test_with_webhooks_the_other_functions_may_only_send_and_count_there_too() -> None:
    packaged = template_with_webhooks()
    send_and_count = {
        (f"sqs:{action}", "WebhooksOrdersQueue") for action in ("SendMessage", "GetQueueAttributes")
    }
    for function, more in ((API, send_and_count), (DEAD, set())):
        assert rights(packaged, function) - rights(template_with_lanes("dev"), function) == more


def test_the_scenarios_reach_every_line_that_calls_aws() -> None:
    """Reach them all, so that no right is missing that only one line needs."""
    _, reached = run_scenarios()
    reached |= run_scenarios_in_lanes()[1]
    lookups = {
        (path, line)
        for path, line in call_sites()
        if path == "queue.py" and (path, line) not in reached
    }
    assert call_sites() - reached == lookups
    assert len(lookups) <= 1  # get_queue_url: in Lambda the template sets the address
    assert all(
        resource["Properties"]["Environment"]["Variables"]["QUEUE_URL"] == {"Ref": "OrdersQueue"}
        for resource in template_with_lanes("dev")["Resources"].values()
        if resource["Type"] == "AWS::Serverless::Function"
    )


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_each_function_has_a_role_of_its_own_and_no_role_scans_or_deletes(stage: str) -> None:
    resources = template(stage)["Resources"]
    functions = [
        name
        for name, resource in resources.items()
        if resource["Type"] == "AWS::Serverless::Function"
    ]
    roles = [resources[name]["Properties"]["Role"]["Fn::GetAtt"][0] for name in functions]
    assert sorted(roles) == sorted(
        name for name, resource in resources.items() if resource["Type"] == "AWS::IAM::Role"
    )
    for name in functions:
        for action, resource in rights(template(stage), name):
            assert resource != "*" or action.startswith("xray:")
            assert "*" not in action
            assert action.split(":")[1] not in ("Scan", "DeleteItem")
