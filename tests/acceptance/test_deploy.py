"""`make deploy` and `make destroy`, typed as a person types them, against the local cloud's endpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from chalicelib import auth
from cli import stack
from cli.formation import describe
from cli.package import ROOT, package
from tests.acceptance.conftest import LocalCloud
from tests.soak.stack_control import SCHEDULE

pytestmark = pytest.mark.local


def typed(
    command: str, *options: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -m cli COMMAND`, with nobody at the keyboard."""
    return subprocess.run(
        [sys.executable, "-m", "cli", command, *options],
        cwd=ROOT,
        text=True,
        check=False,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )


def bare_environment() -> dict[str, str]:
    """Nothing of AWS in it, no profile and no machine that could lend credentials either."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nowhere = {"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"}
    return {**kept, **nowhere, "AWS_EC2_METADATA_DISABLED": "true"}


def call(url: str, token: str, body: Any = None) -> Any:
    request = urllib.request.Request(
        url,
        data=json.dumps(body).encode() if body else None,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def new_token(cloud: LocalCloud, name: str) -> str:
    text, token = auth.issue("deployed")
    cloud.client("dynamodb").put_item(TableName=f"{name}-tokens", Item=auth.encode(token))
    return text


def until_done(api: str, token: str, order_id: str) -> Any:
    for _ in range(300):
        order = call(f"{api}/orders/{order_id}", token)
        if order["done"]:
            return order
        time.sleep(0.1)
    raise AssertionError(f"not done: {order}")


@pytest.fixture
def clean(local_cloud: LocalCloud) -> Iterator[LocalCloud]:
    """Whatever a test leaves is removed, retained tables too."""
    yield local_cloud
    dynamodb = local_cloud.client("dynamodb")
    for stage in ("dev", "prod"):
        stack.destroy(f"orderline-{stage}")
        for table in dynamodb.list_tables()["TableNames"]:
            if table.startswith(f"orderline-{stage}-"):
                dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
                dynamodb.delete_table(TableName=table)


def test_dev_is_deployed_takes_orders_at_its_gateway_and_leaves_nothing(clean: LocalCloud) -> None:
    done = typed(
        "deploy", "--stage", "dev", "--yes", "--set", "WorkerTimeout=10", "--set", "Visibility=60"
    )
    assert done.returncode == 0, done.stderr
    assert "+ OrdersTable " in done.stdout
    assert "CREATE_COMPLETE          OrderWorker" in done.stdout

    api, token = stack.outputs("orderline-dev")["API"], new_token(clean, "orderline-dev")
    assert api in done.stdout
    order = call(f"{api}/orders", token, {"task": "cook_nuggets", "input": {"pieces": 1}})
    assert until_done(api, token, order["id"])["status"] == "SUCCESS"

    again = typed(
        "deploy", "--stage", "dev", "--yes", "--set", "WorkerTimeout=10", "--set", "Visibility=60"
    )
    assert "nothing to change" in again.stdout, again.stdout + again.stderr

    forgotten = typed(
        "deploy", "--stage", "dev", "--yes", "--set", "Visibility=60", "--set", "WorkerTimeout=9"
    )
    assert "parameter WorkerTimeout = 9, was 10" in forgotten.stdout, (
        forgotten.stdout + forgotten.stderr
    )
    forgotten = typed("deploy", "--stage", "dev", "--yes")
    assert "parameter Visibility = 360, was 60" in forgotten.stdout, (
        forgotten.stdout + forgotten.stderr
    )

    gone = typed("destroy", "--stage", "dev", "--yes")
    assert gone.returncode == 0, gone.stderr
    assert left_of(clean, "orderline-dev") == []


def left_of(cloud: LocalCloud, name: str) -> list[str]:
    """Everything that carries the stack's name still."""
    found = cloud.client("dynamodb").list_tables()["TableNames"]
    found += cloud.client("sqs").list_queues().get("QueueUrls", [])
    found += [made["FunctionName"] for made in cloud.client("lambda").list_functions()["Functions"]]
    found += [
        made["logGroupName"] for made in cloud.client("logs").describe_log_groups()["logGroups"]
    ]
    found += [made["RoleName"] for made in cloud.client("iam").list_roles()["Roles"]]
    found += [made["name"] for made in cloud.client("apigateway").get_rest_apis()["items"]]
    found += [made["Name"] for made in cloud.client("events").list_rules()["Rules"]]
    found += [
        made["AlarmName"] for made in cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
    ]
    found += [made["TopicArn"] for made in cloud.client("sns").list_topics()["Topics"]]
    found += [key.key for made in boto3.resource("s3").buckets.all() for key in made.objects.all()]
    return [text for text in found if name in text]


def test_prod_keeps_its_tables_and_the_next_deploy_takes_them_up(clean: LocalCloud) -> None:
    quick = (
        "--stage",
        "prod",
        "--yes",
        "--set",
        "WorkerTimeout=10",
        "--set",
        "Visibility=60",
        "--set",
        "Grace=1",
    )
    assert typed("deploy", *quick).returncode == 0
    api, token = stack.outputs("orderline-prod")["API"], new_token(clean, "orderline-prod")
    first = call(f"{api}/orders", token, {"task": "cook_nuggets", "input": {"pieces": 1}})
    until_done(api, token, first["id"])
    waiting = call(
        f"{api}/orders", token, {"task": "cook_nuggets", "input": {"pieces": 1}, "delay_s": 5}
    )

    gone = typed("destroy", "--stage", "prod", "--yes")
    assert "Kept: the tables orderline-prod-orders, orderline-prod-tokens" in gone.stdout
    assert left_of(clean, "orderline-prod") == ["orderline-prod-orders", "orderline-prod-tokens"]

    refused = typed("deploy", *quick)
    assert refused.returncode == 1
    assert "ADOPT=1" in refused.stderr

    taken = typed("deploy", *quick, "--adopt")
    assert taken.returncode == 0, taken.stderr
    assert "< OrdersTable" in taken.stdout
    api = stack.outputs("orderline-prod")["API"]
    assert (
        call(f"{api}/orders/{first['id']}", token)["status"] == "SUCCESS"
    )  # the old token, the old order
    # Its message went with the queue. The sweeper finds the row: accepted is kept
    made = stack.resources("orderline-prod")["OrderSweeper"][1]
    for _ in range(10):
        swept = clean.client("lambda").invoke(FunctionName=made, Payload=SCHEDULE)
        assert "FunctionError" not in swept, swept["Payload"].read()
        if call(f"{api}/orders/{waiting['id']}", token)["done"]:
            break
        time.sleep(1)
    assert until_done(api, token, waiting["id"])["status"] == "SUCCESS"


def test_tables_are_adopted_after_a_question_that_was_interrupted_too(clean: LocalCloud) -> None:
    """Ctrl-C at the question leaves a stack in REVIEW_IN_PROGRESS: an empty one, which has no table of its own."""
    quick = ("--stage", "prod", "--yes", "--set", "WorkerTimeout=10", "--set", "Visibility=60")
    assert typed("deploy", *quick).returncode == 0
    assert typed("destroy", "--stage", "prod", "--yes").returncode == 0
    assert stack.plan("orderline-prod", package("prod", this_machine=True), {}, adopt=True)
    described = describe("orderline-prod")
    assert described
    assert described["StackStatus"] == "REVIEW_IN_PROGRESS"

    refused = typed("deploy", *quick)
    assert (refused.returncode, "ADOPT=1" in refused.stderr) == (1, True), refused.stderr
    taken = typed("deploy", *quick, "--adopt")
    assert (taken.returncode, "< OrdersTable" in taken.stdout) == (0, True), (
        taken.stdout + taken.stderr
    )


@pytest.mark.parametrize(
    ("options", "environment", "said"),
    [
        (("--yes",), {}, "no AWS region"),
        (("--yes",), {"AWS_DEFAULT_REGION": "eu-central-1"}, "no AWS credentials"),
    ],
)
def test_without_a_region_or_credentials_nothing_begins(
    options: Any, environment: Any, said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "deploy", *options],
        cwd=ROOT,
        text=True,
        check=False,
        capture_output=True,
        env={**bare_environment(), **environment},
    )
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (1, True, False), (
        done.stderr
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--stage", "staging", "--yes"), "dev, prod"),
        (("--yes", "--set", "Visibilty=9"), "no parameter Visibilty"),
        (("--yes", "--set", "Visibility=60"), "set Visibility=360"),
        (("--yes", "--set", "MaxReceives=5"), "set MaxReceives="),
        (("--yes", "--set", "WorkerTimeout"), "NAME=VALUE"),
        ((), "YES=1"),
    ],
)
def test_what_cannot_work_is_refused_and_nothing_is_made(
    clean: LocalCloud, options: Any, said: str
) -> None:
    done = typed("deploy", *options)
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (1, True, False), (
        done.stderr
    )
    assert describe("orderline-dev") is None
