"""`python -m dev doctor`: check a running stack and report problems with their fixes. Read-only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from chalicelib.config import Settings
from dev import aws
from dev.deploy import data, stack
from dev.timings import Finding, Timings

_QUEUES = {"OrderWorker": "OrdersQueue", "DeadLetters": "DeadQueue"}  # function -> its queue
_BLOCKED = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_REDEPLOY = "deploy again: make deploy STAGE=..."


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
    ttl: str
    tokens: int
    retentions: dict[str, int | None]
    """Days that the log of each function is retained; None: forever."""
    concurrency: int
    """Concurrent executions of the account that are not reserved for single functions."""
    alarms_without_a_topic: int = field(default=0)
    bucket: BucketState | None = None
    """None: a version without files deployed the stack."""


def examine(name: str) -> list[Finding]:
    """Return all findings, the most severe first. Raises StackError if there is no such stack."""
    state = read_state(name)
    checks = (
        _ignored_batch_failures,
        _disabled_mappings,
        _open_access,
        _timings,
        _missing_dead_letter_queue,
        _missing_bucket,
        _public_bucket,
        _lifecycle,
        _too_many_workers,
        _disabled_ttl,
        _missing_tokens,
        _unlimited_logs,
        _alarms_without_topic,
    )
    return [finding for check in checks for finding in check(state)]


def read_state(name: str) -> StackState:
    """Read the state of the stack from AWS. Raises StackError if there is no such stack."""
    stack.outputs(name)
    resources = stack.resources(name)
    functions = {
        logical: aws.client("lambda").get_function_configuration(FunctionName=id)
        for logical, (kind, id) in resources.items()
        if kind == "AWS::Lambda::Function"
    }
    limits = aws.client("lambda").get_account_settings()["AccountLimit"]
    return StackState(
        name,
        functions,
        mappings={logical: _mapping(functions[logical]["FunctionName"]) for logical in _QUEUES},
        queues={logical: _attributes(resources[logical][1]) for logical in _QUEUES.values()},
        ttl=_ttl(f"{name}-orders"),
        tokens=_tokens(f"{name}-tokens"),
        retentions={
            logical: _retention(function["LoggingConfig"]["LogGroup"])
            for logical, function in functions.items()
        },
        concurrency=limits["UnreservedConcurrentExecutions"],
        alarms_without_a_topic=_count_alarms_without_topic(name),
        bucket=_bucket(resources["FilesBucket"][1]) if "FilesBucket" in resources else None,
    )


def _ignored_batch_failures(state: StackState) -> Iterator[Finding]:
    for logical, mapping in state.mappings.items():
        if mapping and "ReportBatchItemFailures" not in mapping.get("FunctionResponseTypes", []):
            yield Finding(
                f"the mapping of {logical} ignores batchItemFailures: messages that should be"
                " delivered again are lost, since Lambda deletes them",
                f"aws lambda update-event-source-mapping --uuid {mapping['UUID']}"
                " --function-response-types ReportBatchItemFailures",
            )


def _disabled_mappings(state: StackState) -> Iterator[Finding]:
    for logical, mapping in state.mappings.items():
        if mapping is None:
            yield Finding(f"{logical} has no event source mapping", _REDEPLOY)
        elif mapping["State"] not in ("Enabled", "Enabling", "Creating", "Updating"):
            yield Finding(
                f"the mapping of {logical} is {mapping['State']}: its queue only grows",
                f"aws lambda update-event-source-mapping --uuid {mapping['UUID']} --enabled",
            )


def _open_access(state: StackState) -> Iterator[Finding]:
    for logical, function in state.functions.items():
        if function["Environment"]["Variables"].get("ACCESS") != "token":
            yield Finding(
                f"{logical} is not set to ACCESS=token: it does not start, or requires no token",
                _REDEPLOY,
            )


def _timings(state: StackState) -> Iterator[Finding]:
    orders = state.queues["OrdersQueue"]
    dead = state.queues["DeadQueue"]
    worker = state.functions["OrderWorker"]
    receives = json.loads(orders.get("RedrivePolicy", "{}")).get("maxReceiveCount", 1000)
    variables = worker["Environment"]["Variables"]
    timings = Timings.of_stack(worker["Timeout"], variables, orders, dead, int(receives))
    yield from timings.findings()
    variable = variables.get("WORKER_TIMEOUT_S")
    if str(worker["Timeout"]) != variable:
        yield Finding(
            f"the worker's timeout is {worker['Timeout']} s,"
            f" but its WORKER_TIMEOUT_S is {variable}",
            _REDEPLOY,
        )


def _missing_dead_letter_queue(state: StackState) -> Iterator[Finding]:
    if "RedrivePolicy" not in state.queues["OrdersQueue"]:
        yield Finding(
            "the orders queue has no dead-letter queue: failing messages are redelivered until they"
            " expire",
            _REDEPLOY,
        )


def _missing_bucket(state: StackState) -> Iterator[Finding]:
    if state.bucket is None:
        yield Finding("the stack has no bucket: no order can have a file", _REDEPLOY)
    elif not state.bucket.exists:
        yield Finding(
            f"the bucket {state.bucket.name} does not exist: no file can be uploaded or read",
            "make destroy STAGE=..., then make deploy STAGE=... ADOPT=1, which creates it; a stage"
            " that retains its tables keeps its orders",
        )


def _public_bucket(state: StackState) -> Iterator[Finding]:
    if state.bucket and state.bucket.exists and not state.bucket.blocked:
        settings = ",".join(f"{name}=true" for name in _BLOCKED)
        yield Finding(
            f"the bucket {state.bucket.name} does not block public access",
            f"aws s3api put-public-access-block --bucket {state.bucket.name}"
            f" --public-access-block-configuration {settings}",
        )


def _lifecycle(state: StackState) -> Iterator[Finding]:
    """Compare with FILE_DAYS, for which the app trusts that files exist."""
    bucket = state.bucket
    if bucket is None or not bucket.exists:
        return
    variables = state.functions["APIHandler"]["Environment"]["Variables"]
    file_days = int(variables.get("FILE_DAYS", Settings.file_days))
    fix = (
        f"aws s3api put-bucket-lifecycle-configuration --bucket {bucket.name}"
        f" --lifecycle-configuration '{json.dumps(data.lifecycle(file_days))}'"
    )
    if bucket.days is None:
        yield Finding("files are stored, and billed, forever: the bucket has no lifecycle", fix)
    elif bucket.days < file_days:
        yield Finding(
            f"S3 deletes files after {bucket.days} days, but FILE_DAYS is {file_days}: accepted"
            " orders lose their files",
            fix,
        )


def _too_many_workers(state: StackState) -> Iterator[Finding]:
    mapping = state.mappings["OrderWorker"] or {}
    workers = mapping.get("ScalingConfig", {}).get("MaximumConcurrency", 0)
    if workers >= state.concurrency:
        yield Finding(
            f"the account runs at most {state.concurrency} functions at once, and {workers} workers"
            " may take them all: HTTP requests are throttled meanwhile",
            "make deploy STAGE=... SET=WorkerConcurrency=... with a smaller number, or request a"
            " higher limit: aws service-quotas request-service-quota-increase --service-code lambda"
            " --quota-code L-B99A9384 --desired-value 1000",
        )


def _disabled_ttl(state: StackState) -> Iterator[Finding]:
    if state.ttl not in ("ENABLED", "ENABLING"):
        yield Finding(
            "the orders table's TTL is off: final orders are stored, and billed, forever",
            f"aws dynamodb update-time-to-live --table-name {state.name}-orders"
            " --time-to-live-specification Enabled=true,AttributeName=expires_at",
        )


def _missing_tokens(state: StackState) -> Iterator[Finding]:
    if state.tokens == 0:
        yield Finding(
            "there is no access token: no client can place an order",
            f"python -m dev token create --stack {state.name} OWNER",
        )


def _unlimited_logs(state: StackState) -> Iterator[Finding]:
    for logical, days in state.retentions.items():
        if days is None:
            yield Finding(f"the log of {logical} is stored, and billed, forever", _REDEPLOY)


def _alarms_without_topic(state: StackState) -> Iterator[Finding]:
    if state.alarms_without_a_topic:
        yield Finding(
            f"{state.alarms_without_a_topic} alarms notify nobody",
            "make deploy STAGE=... SET=AlarmTopic=ARN",
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
    blocked = all(settings.get(each) for each in _BLOCKED)
    return BucketState(name, exists=True, blocked=blocked, days=data.lifecycle_days(name))


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
    return int(aws.client("dynamodb").scan(TableName=table, Limit=1)["Count"])


def _retention(group: str) -> int | None:
    groups = aws.client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    return next(
        (each.get("retentionInDays") for each in groups if each["logGroupName"] == group), None
    )


def _count_alarms_without_topic(name: str) -> int:
    ids = [id for kind, id in stack.resources(name).values() if kind == "AWS::CloudWatch::Alarm"]
    alarms = aws.client("cloudwatch").describe_alarms(AlarmNames=ids)["MetricAlarms"] if ids else []
    return sum(not alarm.get("AlarmActions") for alarm in alarms)
