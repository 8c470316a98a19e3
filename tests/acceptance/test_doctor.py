"""The doctor on a deployed stack that is broken in one way after another, on the local cloud."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from chalicelib import auth
from dev.deploy import data, stack
from dev.doctor import examine
from dev.packaging.package import ROOT, Package, package
from tests.acceptance.conftest import LocalCloud

pytestmark = pytest.mark.local
NAME = "orderline-broken"
WITHOUT_FILES = "orderline-older"
# A function of the user's own is not examined
OWN = """
lanes: {heavy: {timeout_s: 100, concurrency: 2}}
webhooks: {}
secrets: {KEY: /key}
resources:
  Mine:
    Type: AWS::Lambda::Function
    Properties:
      Code: {ZipFile: 'def handler(event, context): ...'}
      Handler: index.handler
      Runtime: python3.12
      Role: !GetAtt OrderWorkerRole.Arn
"""


class BrokenStack:
    """A deployed stack whose resources can be broken and repaired."""

    def __init__(self, cloud: LocalCloud, own: Path) -> None:
        topic = cloud.client("sns").create_topic(Name="alarms")["TopicArn"]
        own.write_text(OWN)
        with patch.dict("os.environ", ORDERLINE_YAML=str(own)):
            stack.deploy(NAME, package("dev", this_machine=True), {"AlarmTopic": topic})
        cloud.client("ssm").put_parameter(Name="/key", Value="x", Type="SecureString")
        self.resources = stack.resources(NAME)
        self.bucket = self.resources["FilesBucket"][1]
        self.aws = cloud.client
        _, token = auth.issue("owner")
        self.token = auth.encode(token)
        self.give_token()

    def give_token(self) -> None:
        self.aws("dynamodb").put_item(TableName=f"{NAME}-tokens", Item=self.token)

    def take_token(self) -> None:
        self.aws("dynamodb").delete_item(TableName=f"{NAME}-tokens", Key={"pk": self.token["pk"]})

    def secret(self, stored: bool) -> None:
        if stored:
            self.aws("ssm").put_parameter(Name="/key", Value="x", Type="SecureString")
        else:
            self.aws("ssm").delete_parameter(Name="/key")

    def mapping(self, worker: str = "OrderWorker", **changes: Any) -> None:
        client = self.aws("lambda")
        found = client.list_event_source_mappings(FunctionName=self.resources[worker][1])[
            "EventSourceMappings"
        ]
        client.update_event_source_mapping(UUID=found[0]["UUID"], **changes)

    def worker(self, logical: str = "OrderWorker", **variables: str) -> None:
        client = self.aws("lambda")
        name = self.resources[logical][1]
        before = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        client.update_function_configuration(
            FunctionName=name, Environment={"Variables": {**before, **variables}}
        )

    def queue(self, logical: str = "OrdersQueue", **attributes: str) -> None:
        self.aws("sqs").set_queue_attributes(
            QueueUrl=self.resources[logical][1], Attributes=attributes
        )

    def redrive(self, receives: int, queue: str = "OrdersQueue") -> None:
        arn = self.aws("sqs").get_queue_attributes(
            QueueUrl=self.resources["DeadQueue"][1], AttributeNames=["QueueArn"]
        )
        policy = {"deadLetterTargetArn": arn["Attributes"]["QueueArn"], "maxReceiveCount": receives}
        self.queue(queue, RedrivePolicy=json.dumps(policy))

    def ttl(self, on: bool) -> None:
        self.aws("dynamodb").update_time_to_live(
            TableName=f"{NAME}-orders",
            TimeToLiveSpecification={"Enabled": on, "AttributeName": "expires_at"},
        )

    def log(self, days: int | None) -> None:
        group = f"/aws/lambda/{NAME}-worker"
        if days is None:
            self.aws("logs").delete_retention_policy(logGroupName=group)
        else:
            self.aws("logs").put_retention_policy(logGroupName=group, retentionInDays=days)

    def public_access(self, blocked: bool) -> None:
        names = (
            "BlockPublicAcls",
            "IgnorePublicAcls",
            "BlockPublicPolicy",
            "RestrictPublicBuckets",
        )
        settings = {**dict.fromkeys(names, True), "BlockPublicPolicy": blocked}
        self.aws("s3").put_public_access_block(
            Bucket=self.bucket, PublicAccessBlockConfiguration=settings
        )

    def no_lifecycle(self) -> None:
        self.aws("s3").delete_bucket_lifecycle(Bucket=self.bucket)

    def lifecycle(self, days: int) -> None:
        data.set_lifecycle(self.bucket, days)

    def no_bucket(self) -> None:
        self.aws("s3").delete_bucket(Bucket=self.bucket)

    def create_bucket(self) -> None:
        self.aws("s3").create_bucket(Bucket=self.bucket)
        self.public_access(True)
        self.lifecycle(12)

    def alarm(self, on: bool) -> None:
        client = self.aws("cloudwatch")
        name = self.resources["OverdueAlarm"][1]
        alarm = client.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]
        copied = (
            "AlarmName",
            "Namespace",
            "MetricName",
            "Dimensions",
            "Statistic",
            "Period",
            "EvaluationPeriods",
            "Threshold",
            "ComparisonOperator",
        )
        actions = []
        if on:
            alarms = client.describe_alarms()["MetricAlarms"]
            actions = next(other["AlarmActions"] for other in alarms if other.get("AlarmActions"))
        parameters = {member: alarm[member] for member in copied}
        client.put_metric_alarm(**parameters, AlarmActions=actions)


@pytest.fixture(scope="module")
def broken_stack(
    local_cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BrokenStack]:
    yield BrokenStack(local_cloud, tmp_path_factory.mktemp("own") / "orderline.yaml")
    stack.destroy(NAME)


def test_a_healthy_stack_has_no_findings(broken_stack: BrokenStack) -> None:
    assert examine(NAME) == []


@pytest.mark.parametrize(
    ("breaks", "repair", "text"),
    [
        (
            lambda broken: broken.mapping(FunctionResponseTypes=[]),
            lambda broken: broken.mapping(FunctionResponseTypes=["ReportBatchItemFailures"]),
            "Lambda deletes them",
        ),
        (
            lambda broken: broken.mapping(ScalingConfig={"MaximumConcurrency": 1000}),
            lambda broken: broken.mapping(ScalingConfig={"MaximumConcurrency": 10}),
            "1012 workers may take them all",
        ),
        (
            lambda broken: broken.mapping(Enabled=False),
            lambda broken: broken.mapping(Enabled=True),
            "only grows",
        ),
        (
            lambda broken: broken.worker(ACCESS="open"),
            lambda broken: broken.worker(ACCESS="token"),
            "ACCESS=token",
        ),
        (
            lambda broken: broken.worker(WORKER_TIMEOUT_S="900"),
            lambda broken: broken.worker(WORKER_TIMEOUT_S="60"),
            "WORKER_TIMEOUT_S is 900",
        ),
        (
            lambda broken: broken.queue(VisibilityTimeout="60"),
            lambda broken: broken.queue(VisibilityTimeout="360"),
            "visible again after",
        ),
        (lambda broken: broken.redrive(3), lambda broken: broken.redrive(30), "after 3 receives"),
        (
            lambda broken: broken.queue(RedrivePolicy=""),
            lambda broken: broken.redrive(30),
            "no dead-letter queue",
        ),
        (
            lambda broken: broken.queue("DeadQueue", MessageRetentionPeriod="3600"),
            lambda broken: broken.queue("DeadQueue", MessageRetentionPeriod="1209600"),
            "no longer than",
        ),
        (
            lambda broken: broken.public_access(False),
            lambda broken: broken.public_access(True),
            "does not block public access",
        ),
        (
            lambda broken: broken.lifecycle(11),
            lambda broken: broken.lifecycle(12),
            "S3 deletes files after 11 days, but FILE_DAYS is 12",
        ),
        (
            lambda broken: broken.no_lifecycle(),
            lambda broken: broken.lifecycle(12),
            "files are stored, and billed, forever",
        ),
        (
            lambda broken: broken.worker(FILE_DAYS="11"),
            lambda broken: broken.worker(FILE_DAYS="12"),
            "FILE_DAYS=11: must be at least 12",
        ),
        (
            lambda broken: broken.no_bucket(),
            lambda broken: broken.create_bucket(),
            "does not exist: no file can be uploaded",
        ),
        (
            lambda broken: broken.mapping("HeavyOrderWorker", Enabled=False),
            lambda broken: broken.mapping("HeavyOrderWorker", Enabled=True),
            "mapping of HeavyOrderWorker is Disabled",
        ),
        (
            lambda broken: broken.queue("HeavyOrdersQueue", VisibilityTimeout="599"),
            lambda broken: broken.queue("HeavyOrdersQueue", VisibilityTimeout="600"),
            "a message of the lane heavy is visible again after 599 s",
        ),
        (
            lambda broken: broken.queue("HeavyOrdersQueue", RedrivePolicy=""),
            lambda broken: broken.redrive(30, "HeavyOrdersQueue"),
            "queue of the lane heavy has no dead-letter queue",
        ),
        (
            lambda broken: broken.mapping("WebhooksOrderWorker", Enabled=False),
            lambda broken: broken.mapping("WebhooksOrderWorker", Enabled=True),
            "mapping of WebhooksOrderWorker is Disabled",
        ),
        (
            lambda broken: broken.queue("WebhooksOrdersQueue", RedrivePolicy=""),
            lambda broken: broken.redrive(30, "WebhooksOrdersQueue"),
            "queue of the lane webhooks has no dead-letter queue",
        ),
        (
            lambda broken: broken.worker("HeavyOrderWorker", LANES='{"heavy": 60}'),
            lambda broken: broken.worker("HeavyOrderWorker", LANES='{"heavy": 100}'),
            "timeout of HeavyOrderWorker is 100 s, but its LANES is 60",
        ),
        (
            lambda broken: broken.secret(False),
            lambda broken: broken.secret(True),
            "the secret KEY is not stored (SSM parameter /key)",
        ),
        (lambda broken: broken.ttl(False), lambda broken: broken.ttl(True), "TTL is off"),
        (lambda broken: broken.take_token(), lambda broken: broken.give_token(), "no access token"),
        (lambda broken: broken.log(None), lambda broken: broken.log(14), "log of OrderWorker"),
        (
            lambda broken: broken.alarm(False),
            lambda broken: broken.alarm(True),
            "1 alarms notify nobody",
        ),
    ],
)
def test_each_misconfiguration_is_the_only_finding_until_it_is_repaired(
    broken_stack: BrokenStack, breaks: Any, repair: Any, text: str
) -> None:
    breaks(broken_stack)
    try:
        (finding,) = examine(NAME)
        assert text in finding.problem
        assert finding.fix
    finally:
        repair(broken_stack)
    assert examine(NAME) == []


def test_a_stack_of_a_version_without_files_has_to_be_deployed_again(
    local_cloud: LocalCloud,
) -> None:
    stack.deploy(WITHOUT_FILES, without_files(package("dev", this_machine=True)), {})
    try:
        problems = [finding.problem for finding in examine(WITHOUT_FILES)]
    finally:
        stack.destroy(WITHOUT_FILES)
    assert "the stack has no bucket: no order can have a file" in problems


def without_files(built: Package) -> Package:
    """Return the package without its bucket."""
    text = json.dumps(built.template)
    text = text.replace('{"Ref": "FilesBucket"}', '"none"')
    text = text.replace('{"Fn::Sub": "${FilesBucket.Arn}/*"}', '"arn:aws:s3:::none/*"')
    template = json.loads(text)
    del template["Resources"]["FilesBucket"]
    del template["Resources"]["FilesBucketOverTLSOnly"]
    return Package(template, built.zip)


@pytest.mark.parametrize(
    ("stack_name", "code", "text"), [(NAME, 0, "healthy"), ("orderline-nowhere", 1, "no stack")]
)
def test_the_command_prints_the_verdict_and_exits_with_it(
    broken_stack: BrokenStack, stack_name: str, code: int, text: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dev", "doctor", "--stack", stack_name],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, text in done.stdout + done.stderr) == (code, True), (
        done.stdout + done.stderr
    )
