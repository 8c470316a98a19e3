"""Read the state of a running stack from AWS, for `python -m dev doctor`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.config import DEFAULT_LANE
from dev import aws
from dev.deploy import data, stack
from dev.packaging.lanes import lanes, logical

BLOCKED = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")

_FRONTS = {"HttpApi": "http", "Url": "url"}


@dataclass(frozen=True)
class BucketState:
    """State of the bucket of files."""

    name: str
    exists: bool
    blocked: bool = False
    """True if all public access is blocked."""
    days: int | None = None
    """Days after which S3 deletes a file; None: never."""


@dataclass(frozen=True)
class StackState:
    """State of a stack on AWS, read once for all checks. Keys of the dicts are logical names."""

    name: str
    functions: dict[str, Any]
    mappings: dict[str, Any]
    queues: dict[str, dict[str, str]]
    """Attributes of the queue of each function that has one."""
    ttl: str
    tokens: int
    retentions: dict[str, int | None]
    """Days that the log of each function is retained; None: forever."""
    concurrency: int
    """Concurrent executions of the account that are not reserved for single functions."""
    alarms_without_a_topic: int = field(default=0)
    reserved: Mapping[str, int] = field(default_factory=dict)
    """Concurrent executions that are reserved for single functions."""
    missing_secrets: tuple[tuple[str, str], ...] = ()
    """Declared secrets that are not stored: their names and SSM parameters."""
    bucket: BucketState | None = None
    """None: a version without files deployed the stack."""
    front: str = "rest"
    """What calls the HTTP function: rest, http or url, as in the template's parameter."""

    @property
    def workers(self) -> dict[str, str]:
        """The worker function of each lane, by the lane's name."""
        workers = [name for name in self.mappings if name.endswith("OrderWorker")]
        return {name.removesuffix("OrderWorker").lower() or DEFAULT_LANE: name for name in workers}


def read_state(name: str) -> StackState:
    """Read the state of the stack from AWS. Raises StackError if there is no such stack."""
    stack.outputs(name)
    resources = stack.resources(name)
    described = {
        each: aws.client("lambda").get_function_configuration(FunctionName=id)
        for each, (kind, id) in resources.items()
        if kind == "AWS::Lambda::Function"
    }
    functions = {  # a user's own functions have no such setting
        each: function
        for each, function in described.items()
        if "STACK" in function.get("Environment", {}).get("Variables", {})
    }
    queues = {"DeadLetters": "DeadQueue"} | {
        logical(lane, "OrderWorker"): logical(lane, "OrdersQueue") for lane in lanes(resources)
    }
    limits = aws.client("lambda").get_account_settings()["AccountLimit"]
    return StackState(
        name,
        functions,
        mappings={name: _mapping(functions[name]["FunctionName"]) for name in queues},
        queues={name: _attributes(resources[queue][1]) for name, queue in queues.items()},
        ttl=_ttl(f"{name}-orders"),
        tokens=_tokens(f"{name}-tokens"),
        retentions={
            each: _retention(function["LoggingConfig"]["LogGroup"])
            for each, function in functions.items()
        },
        concurrency=limits["UnreservedConcurrentExecutions"],
        alarms_without_a_topic=_count_alarms_without_topic(name),
        reserved=_reserved(functions),
        missing_secrets=_secrets_without_value(functions),
        bucket=_bucket(resources["FilesBucket"][1]) if "FilesBucket" in resources else None,
        front=next((front for each, front in _FRONTS.items() if each in resources), "rest"),
    )


def _bucket(name: str) -> BucketState:
    if not data.bucket_exists(name):
        return BucketState(name, exists=False)
    try:
        response = aws.client("s3").get_public_access_block(Bucket=name)
        settings = response["PublicAccessBlockConfiguration"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchPublicAccessBlockConfiguration":
            raise
        settings = {}
    blocked = all(settings.get(each) for each in BLOCKED)
    return BucketState(name, exists=True, blocked=blocked, days=data.lifecycle_days(name))


def _reserved(functions: Mapping[str, Any]) -> dict[str, int]:
    responses = {
        name: aws.client("lambda").get_function_concurrency(FunctionName=function["FunctionName"])
        for name, function in functions.items()
    }
    member = "ReservedConcurrentExecutions"
    return {name: response[member] for name, response in responses.items() if member in response}


def _secrets_without_value(functions: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the secrets of any worker whose SSM parameters do not exist."""
    declared = {
        pair
        for function in functions.values()
        for pair in json.loads(function["Environment"]["Variables"].get("SECRETS", "{}")).items()
    }
    parameters = sorted({parameter for _, parameter in declared})
    missing: set[str] = set()
    for at in range(0, len(parameters), 10):  # at most 10 in a call
        response = aws.client("ssm").get_parameters(Names=parameters[at : at + 10])
        missing.update(response["InvalidParameters"])
    return tuple(sorted(pair for pair in declared if pair[1] in missing))


def _mapping(function: str) -> Any:
    response = aws.client("lambda").list_event_source_mappings(FunctionName=function)
    mappings = response["EventSourceMappings"]
    return mappings[0] if mappings else None


def _attributes(url: str) -> dict[str, str]:
    response = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return dict(response["Attributes"])


def _ttl(table: str) -> str:
    response = aws.client("dynamodb").describe_time_to_live(TableName=table)
    return str(response["TimeToLiveDescription"]["TimeToLiveStatus"])


def _tokens(table: str) -> int:
    page = aws.client("dynamodb").scan(  # other rows are webhook endpoints
        TableName=table, FilterExpression="attribute_exists(sha256)"
    )
    return int(page["Count"])


def _retention(group: str) -> int | None:
    groups = aws.client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    return next(
        (each.get("retentionInDays") for each in groups if each["logGroupName"] == group), None
    )


def _count_alarms_without_topic(name: str) -> int:
    ids = [id for kind, id in stack.resources(name).values() if kind == "AWS::CloudWatch::Alarm"]
    alarms = aws.client("cloudwatch").describe_alarms(AlarmNames=ids)["MetricAlarms"] if ids else []
    return sum(not alarm.get("AlarmActions") for alarm in alarms)
