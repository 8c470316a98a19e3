"""The doctor on a stack that is broken in one way after the other, on the local cloud."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib import auth
from cli import stack
from cli.doctor import examine
from cli.package import ROOT, package
from tests.acceptance.conftest import LocalCloud

pytestmark = pytest.mark.local
NAME = "orderline-sick"


class Patient:
    """A deployed stack, and what it is made of."""

    def __init__(self, cloud: LocalCloud) -> None:
        topic = cloud.client("sns").create_topic(Name="alarms")["TopicArn"]
        stack.deploy(NAME, package("dev", this_machine=True), {"AlarmTopic": topic})
        self.made = stack.resources(NAME)
        self.aws = cloud.client
        _, token = auth.issue("somebody")
        self.token = auth.encode(token)
        self.give_token()

    def give_token(self) -> None:
        self.aws("dynamodb").put_item(TableName=f"{NAME}-tokens", Item=self.token)

    def take_token(self) -> None:
        self.aws("dynamodb").delete_item(TableName=f"{NAME}-tokens", Key={"pk": self.token["pk"]})

    def mapping(self, **changes: Any) -> None:
        client = self.aws("lambda")
        found = client.list_event_source_mappings(FunctionName=self.made["OrderWorker"][1])[
            "EventSourceMappings"
        ]
        client.update_event_source_mapping(UUID=found[0]["UUID"], **changes)

    def worker(self, **variables: str) -> None:
        client, name = self.aws("lambda"), self.made["OrderWorker"][1]
        before = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        client.update_function_configuration(
            FunctionName=name, Environment={"Variables": {**before, **variables}}
        )

    def queue(self, logical: str = "OrdersQueue", **attributes: str) -> None:
        self.aws("sqs").set_queue_attributes(QueueUrl=self.made[logical][1], Attributes=attributes)

    def redrive(self, receives: int) -> None:
        arn = self.aws("sqs").get_queue_attributes(
            QueueUrl=self.made["DeadQueue"][1], AttributeNames=["QueueArn"]
        )
        policy = {"deadLetterTargetArn": arn["Attributes"]["QueueArn"], "maxReceiveCount": receives}
        self.queue(RedrivePolicy=json.dumps(policy))

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

    def alarm(self, on: bool) -> None:
        client, name = self.aws("cloudwatch"), self.made["OverdueAlarm"][1]
        alarm = client.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]
        kept = (
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
        topic = client.describe_alarms()["MetricAlarms"]
        actions = (
            next(each["AlarmActions"] for each in topic if each.get("AlarmActions")) if on else []
        )
        client.put_metric_alarm(**{member: alarm[member] for member in kept}, AlarmActions=actions)


@pytest.fixture(scope="module")
def patient(local_cloud: LocalCloud) -> Iterator[Patient]:
    yield Patient(local_cloud)
    stack.destroy(NAME)


def test_a_healthy_stack_has_no_findings(patient: Patient) -> None:
    assert examine(NAME) == []


@pytest.mark.parametrize(
    ("harm", "heal", "problem"),
    [
        (
            lambda it: it.mapping(FunctionResponseTypes=[]),
            lambda it: it.mapping(FunctionResponseTypes=["ReportBatchItemFailures"]),
            "Lambda deletes them",
        ),
        (
            lambda it: it.mapping(ScalingConfig={"MaximumConcurrency": 1000}),
            lambda it: it.mapping(ScalingConfig={"MaximumConcurrency": 10}),
            "1000 workers may take them all",
        ),
        (lambda it: it.mapping(Enabled=False), lambda it: it.mapping(Enabled=True), "only grows"),
        (lambda it: it.worker(ACCESS="open"), lambda it: it.worker(ACCESS="token"), "ACCESS=token"),
        (
            lambda it: it.worker(WORKER_TIMEOUT_S="900"),
            lambda it: it.worker(WORKER_TIMEOUT_S="60"),
            "WORKER_TIMEOUT_S is 900",
        ),
        (
            lambda it: it.queue(VisibilityTimeout="60"),
            lambda it: it.queue(VisibilityTimeout="360"),
            "visible again after",
        ),
        (lambda it: it.redrive(3), lambda it: it.redrive(30), "after 3 receives"),
        (lambda it: it.queue(RedrivePolicy=""), lambda it: it.redrive(30), "no dead-letter queue"),
        (
            lambda it: it.queue("DeadQueue", MessageRetentionPeriod="3600"),
            lambda it: it.queue("DeadQueue", MessageRetentionPeriod="1209600"),
            "no longer than",
        ),
        (lambda it: it.ttl(False), lambda it: it.ttl(True), "TTL is off"),
        (lambda it: it.take_token(), lambda it: it.give_token(), "no access token"),
        (lambda it: it.log(None), lambda it: it.log(14), "log of OrderWorker"),
        (lambda it: it.alarm(False), lambda it: it.alarm(True), "1 alarms notify nobody"),
    ],
)
def test_each_problem_is_found_alone_and_gone_after_its_fix(
    patient: Patient, harm: Any, heal: Any, problem: str
) -> None:
    harm(patient)
    try:
        (finding,) = examine(NAME)
        assert problem in finding.problem
        assert finding.fix
    finally:
        heal(patient)
    assert examine(NAME) == []


@pytest.mark.parametrize(
    ("stack_name", "code", "said"), [(NAME, 0, "healthy"), ("orderline-nowhere", 1, "no stack")]
)
def test_the_command_says_it_and_its_exit_code_too(
    patient: Patient, stack_name: str, code: int, said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "doctor", "--stack", stack_name],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), (
        done.stdout + done.stderr
    )
