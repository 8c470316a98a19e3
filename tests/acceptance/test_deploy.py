"""`make deploy` and `make destroy`, run as commands against the local cloud."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from chalicelib import auth
from dev.deploy import data, stack
from dev.deploy.formation import describe
from dev.packaging.package import ROOT, package
from dev.stack_state import read_state
from tests.acceptance.conftest import LocalCloud
from tests.acceptance.stack import PATIENCE_S
from tests.acceptance.stack import environment as without_aws
from tests.soak.stack_control import SCHEDULE

pytestmark = pytest.mark.local


def typed(
    command: str, *options: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python -m dev COMMAND` without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "dev", command, *options],
        cwd=ROOT,
        text=True,
        check=False,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )


def bare_environment() -> dict[str, str]:
    """Return an environment without AWS variables, profiles and instance credentials."""
    return without_aws(
        AWS_CONFIG_FILE="/nonexistent",
        AWS_SHARED_CREDENTIALS_FILE="/nonexistent",
        AWS_EC2_METADATA_DISABLED="true",
    )


def call(url: str, token: str, body: Any = None) -> Any:
    request = urllib.request.Request(
        url,
        data=json.dumps(body).encode() if body else None,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
        return json.load(response)


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
    """Remove everything that a test leaves behind, retained tables and files too."""
    yield local_cloud
    dynamodb = local_cloud.client("dynamodb")
    for stage in ("dev", "prod"):
        stack.destroy(f"orderline-{stage}")
        for table in dynamodb.list_tables()["TableNames"]:
            if table.startswith(f"orderline-{stage}-"):
                dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
        data.delete(f"orderline-{stage}")


def test_dev_is_deployed_runs_orders_and_is_destroyed_without_a_trace(clean: LocalCloud) -> None:
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
    (bucket,) = buckets_of("orderline-dev")
    put(bucket, "owner/file")

    again = typed(
        "deploy", "--stage", "dev", "--yes", "--set", "WorkerTimeout=10", "--set", "Visibility=60"
    )
    assert "nothing to change" in again.stdout, again.stdout + again.stderr

    changed = typed(
        "deploy", "--stage", "dev", "--yes", "--set", "Visibility=60", "--set", "WorkerTimeout=9"
    )
    assert "parameter WorkerTimeout = 9, was 10" in changed.stdout, changed.stdout + changed.stderr
    reset = typed("deploy", "--stage", "dev", "--yes")
    assert "parameter Visibility = 360, was 60" in reset.stdout, reset.stdout + reset.stderr

    destroyed = typed("destroy", "--stage", "dev", "--yes")
    assert destroyed.returncode == 0, destroyed.stderr
    assert left_of(clean, "orderline-dev") == []
    # An object without its bucket would come back with the next bucket of this name
    assert not list(clean.state.rglob("*file*.meta.json"))


@pytest.mark.parametrize(
    ("text", "lane", "fix"),
    [
        ("lanes: {heavy: {timeout_s: 60}}\n", "heavy", "its worker forwards"),
        ("webhooks: {}\n", "webhooks", "Keep `webhooks:` in orderline.yaml"),
    ],
)
def test_a_lane_is_removed_only_when_its_queue_is_empty(
    clean: LocalCloud, tmp_path: Path, text: str, lane: str, fix: str
) -> None:
    own = tmp_path / "orderline.yaml"
    own.write_text(text)
    with_lane = {"ORDERLINE_YAML": str(own)}
    done = typed("deploy", "--stage", "dev", "--yes", environment=with_lane)
    assert f"+ {lane.capitalize()}OrderWorker " in done.stdout, done.stderr
    sqs = clean.client("sqs")
    queue = sqs.get_queue_url(QueueName=f"orderline-dev-orders-{lane}")["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="{}", DelaySeconds=900)

    refused = typed("deploy", "--stage", "dev", "--yes")
    assert refused.returncode == 1
    assert f"1 message is still in the queue {lane.capitalize()}OrdersQueue" in refused.stderr
    assert fix in refused.stderr
    assert "DROP_MESSAGES=1" in refused.stderr
    sqs.get_queue_url(QueueName=f"orderline-dev-orders-{lane}")
    assert "nothing to change" in typed("deploy", "--stage", "dev", environment=with_lane).stdout

    removed = typed("deploy", "--stage", "dev", "--yes", "--drop-messages")
    assert f"- {lane.capitalize()}OrdersQueue " in removed.stdout, removed.stderr
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.get_queue_url(QueueName=f"orderline-dev-orders-{lane}")


def test_partitions_only_grow(clean: LocalCloud) -> None:
    deploy = ("deploy", "--stage", "dev", "--yes")
    assert typed(*deploy, "--set", "DueShards=8").returncode == 0
    formation = clean.client("cloudformation")
    before = formation.list_change_sets(StackName="orderline-dev")["Summaries"]

    refused = typed(*deploy)  # with the default, 4
    assert refused.returncode == 1
    assert "DueShards may only grow: the stack has 8 partitions" in refused.stderr
    assert 'SET="DueShards=8"' in refused.stderr
    assert formation.list_change_sets(StackName="orderline-dev")["Summaries"] == before

    grown = typed(*deploy, "--set", "DueShards=16")
    assert "parameter DueShards = 16, was 8" in grown.stdout, grown.stderr


def test_another_front_needs_a_yes_of_its_own_and_keeps_the_orders(clean: LocalCloud) -> None:
    deploy = ("deploy", "--stage", "dev", "--yes")
    assert typed(*deploy).returncode == 0
    rest, token = stack.outputs("orderline-dev")["API"], new_token(clean, "orderline-dev")
    order = call(f"{rest}/orders", token, {"task": "cook_nuggets", "input": {"pieces": 1}})

    refused = typed(*deploy, "--set", "Front=http")
    assert refused.returncode == 1
    assert "parameter Front = http, was rest" in refused.stdout
    assert f"clients must use another address: {rest} stops answering" in refused.stdout
    assert "set YES=1 and CHANGE_ADDRESS=1" in refused.stderr
    assert call(f"{rest}/orders/{order['id']}", token)["id"] == order["id"]

    changed = typed(*deploy, "--set", "Front=http", "--change-address")
    assert changed.returncode == 0, changed.stderr
    api = stack.outputs("orderline-dev")["API"]
    assert f"Orderline is running at {api} " in changed.stdout
    assert api != rest
    assert call(f"{api}/orders/{order['id']}", token)["id"] == order["id"]
    assert "RestAPI" not in stack.resources("orderline-dev")

    again = typed(*deploy, "--set", "Front=http")
    assert "nothing to change" in again.stdout, again.stdout + again.stderr
    forgotten = typed(*deploy)  # parameters are not remembered
    assert (forgotten.returncode, "stops answering" in forgotten.stdout) == (1, True)
    assert "HttpApi" in stack.resources("orderline-dev")

    destroyed = typed("destroy", "--stage", "dev", "--yes")
    assert destroyed.returncode == 0, destroyed.stderr
    assert left_of(clean, "orderline-dev") == []


def test_the_doctor_finds_a_function_url_without_a_throttle(clean: LocalCloud) -> None:
    assert typed("deploy", "--stage", "dev", "--yes", "--set", "Front=url").returncode == 0

    assert read_state("orderline-dev").front == "url"
    examined = typed("doctor", "--stage", "dev")
    assert "the function URL has no throttle" in examined.stdout


def buckets_of(name: str) -> list[str]:
    buckets = boto3.resource("s3").buckets.all()
    return [bucket.name for bucket in buckets if bucket.name.startswith(name)]


def put(bucket: str, key: str) -> None:
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=b"a file")


def left_of(cloud: LocalCloud, name: str) -> list[str]:
    """Return every resource that still carries the stack's name."""
    found = cloud.client("dynamodb").list_tables()["TableNames"]
    found += cloud.client("sqs").list_queues().get("QueueUrls", [])
    found += [
        function["FunctionName"]
        for function in cloud.client("lambda").list_functions()["Functions"]
    ]
    groups = cloud.client("logs").describe_log_groups()["logGroups"]
    found += [group["logGroupName"] for group in groups]
    found += [role["RoleName"] for role in cloud.client("iam").list_roles()["Roles"]]
    found += [api["name"] for api in cloud.client("apigateway").get_rest_apis()["items"]]
    found += [api["Name"] for api in cloud.client("apigatewayv2").get_apis()["Items"]]
    found += [rule["Name"] for rule in cloud.client("events").list_rules()["Rules"]]
    alarms = cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
    found += [alarm["AlarmName"] for alarm in alarms]
    found += [topic["TopicArn"] for topic in cloud.client("sns").list_topics()["Topics"]]
    found += buckets_of(name)
    buckets = boto3.resource("s3").buckets.all()
    found += [file.key for bucket in buckets for file in bucket.objects.all()]
    return [text for text in found if name in text]


def test_prod_keeps_its_tables_and_files_and_the_next_deploy_adopts_them(clean: LocalCloud) -> None:
    quick = (
        "--stage",
        "prod",
        "--yes",
        "--set",
        "WorkerTimeout=10",
        "--set",
        "Visibility=60",
        "--set",
        "ResendAfter=1",
    )
    assert typed("deploy", *quick).returncode == 0
    api, token = stack.outputs("orderline-prod")["API"], new_token(clean, "orderline-prod")
    first = call(f"{api}/orders", token, {"task": "cook_nuggets", "input": {"pieces": 1}})
    until_done(api, token, first["id"])
    waiting = call(
        f"{api}/orders", token, {"task": "cook_nuggets", "input": {"pieces": 1}, "delay_s": 5}
    )

    (bucket,) = buckets_of("orderline-prod")
    put(bucket, "deployed/file")

    destroyed = typed("destroy", "--stage", "prod", "--yes")
    kept = f"bucket {bucket}, table orderline-prod-orders, table orderline-prod-tokens"
    assert f"Kept: {kept}. To use them again" in destroyed.stdout
    names = ["orderline-prod-orders", "orderline-prod-tokens", bucket]
    assert left_of(clean, "orderline-prod") == names

    refused = typed("deploy", *quick)
    assert refused.returncode == 1
    assert f"these already exist, from a deleted stack: {kept}" in refused.stderr
    assert "ADOPT=1" in refused.stderr

    adopted = typed("deploy", *quick, "--adopt")
    assert adopted.returncode == 0, adopted.stderr
    assert "< OrdersTable" in adopted.stdout
    assert "< FilesBucket" in adopted.stdout
    assert "WARNING: the imported tables must have no more partitions than" in adopted.stdout
    assert boto3.client("s3").get_object(Bucket=bucket, Key="deployed/file")["Body"].read()
    assert data.lifecycle_days(bucket) == 12
    api = stack.outputs("orderline-prod")["API"]
    assert call(f"{api}/orders/{first['id']}", token)["status"] == "SUCCESS"
    # The message of the waiting order went with the queue; the sweeper finds its row
    sweeper = stack.resources("orderline-prod")["OrderSweeper"][1]
    for _ in range(10):
        swept = clean.client("lambda").invoke(FunctionName=sweeper, Payload=SCHEDULE)
        assert "FunctionError" not in swept, swept["Payload"].read()
        if call(f"{api}/orders/{waiting['id']}", token)["done"]:
            break
        time.sleep(1)
    assert until_done(api, token, waiting["id"])["status"] == "SUCCESS"


def test_tables_are_adopted_after_an_interrupted_question_too(clean: LocalCloud) -> None:
    """Ctrl-C at the question leaves an empty stack in REVIEW_IN_PROGRESS, without a table."""
    quick = ("--stage", "prod", "--yes", "--set", "WorkerTimeout=10", "--set", "Visibility=60")
    assert typed("deploy", *quick).returncode == 0
    assert typed("destroy", "--stage", "prod", "--yes").returncode == 0
    assert stack.plan("orderline-prod", package("prod", this_machine=True), {}, adopt=True)
    described = describe("orderline-prod")
    assert described
    assert described["StackStatus"] == "REVIEW_IN_PROGRESS"

    refused = typed("deploy", *quick)
    assert (refused.returncode, "ADOPT=1" in refused.stderr) == (1, True), refused.stderr
    adopted = typed("deploy", *quick, "--adopt")
    assert (adopted.returncode, "< OrdersTable" in adopted.stdout) == (0, True), (
        adopted.stdout + adopted.stderr
    )


@pytest.mark.parametrize(
    ("options", "environment", "error_text"),
    [
        (("--yes",), {}, "no AWS region"),
        (("--yes",), {"AWS_DEFAULT_REGION": "eu-central-1"}, "no AWS credentials"),
    ],
)
def test_without_a_region_or_credentials_deploy_stops_at_once(
    options: Any, environment: Any, error_text: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dev", "deploy", *options],
        cwd=ROOT,
        text=True,
        check=False,
        capture_output=True,
        env={**bare_environment(), **environment},
    )
    assert (done.returncode, error_text in done.stderr, "Traceback" in done.stderr) == (
        1,
        True,
        False,
    ), done.stderr


@pytest.mark.parametrize(
    ("options", "error_text"),
    [
        (("--stage", "staging", "--yes"), "dev, prod"),
        (("--yes", "--set", "Visibilty=9"), "no parameter Visibilty"),
        (("--yes", "--set", "Visibility=60"), "set Visibility=360"),
        (("--yes", "--set", "MaxReceives=5"), "set MaxReceives="),
        (("--yes", "--set", "FileDays=11"), "set a larger FileDays"),
        (("--yes", "--set", "WorkerTimeout"), "NAME=VALUE"),
        ((), "YES=1"),
    ],
)
def test_wrong_options_are_rejected_and_nothing_is_created(
    clean: LocalCloud, options: Any, error_text: str
) -> None:
    done = typed("deploy", *options)
    assert (done.returncode, error_text in done.stderr, "Traceback" in done.stderr) == (
        1,
        True,
        False,
    ), done.stderr
    assert describe("orderline-dev") is None
