"""`python -m cli doctor`: what is wrong with a stack that runs, and how to mend it. It reads, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cli import aws, stack
from cli.timings import Finding, Timings

_MAPPED = {"OrderWorker": "OrdersQueue", "DeadLetters": "DeadQueue"}
_AGAIN = "deploy again: make deploy STAGE=..."


@dataclass(frozen=True)
class Seen:
    """The stack as AWS shows it: read once, so that every check speaks of the same moment."""

    name: str
    functions: dict[str, Any]
    mappings: dict[str, Any]
    queues: dict[str, dict[str, str]]
    ttl: str
    tokens: int
    retentions: dict[str, int | None]
    concurrency: int
    """How many functions of the account run at once, besides those that have concurrency of their own."""
    alarms_without_a_topic: int = field(default=0)


def examine(name: str) -> list[Finding]:
    """Every finding, the gravest first. Raises StackError if there is no such stack."""
    seen = look(name)
    checks = (
        _lost_failures,
        _sleeping_mappings,
        _open_doors,
        _times,
        _no_dead_letters,
        _too_many_workers,
        _no_expiry,
        _no_tokens,
        _endless_logs,
        _silent_alarms,
    )
    return [finding for check in checks for finding in check(seen)]


def look(name: str) -> Seen:
    stack.outputs(name)
    made = stack.resources(name)
    functions = {
        logical: aws.client("lambda").get_function_configuration(FunctionName=id)
        for logical, (kind, id) in made.items()
        if kind == "AWS::Lambda::Function"
    }
    return Seen(
        name,
        functions,
        mappings={logical: _mapping(functions[logical]["FunctionName"]) for logical in _MAPPED},
        queues={logical: _attributes(made[logical][1]) for logical in _MAPPED.values()},
        ttl=_ttl(f"{name}-orders"),
        tokens=_tokens(f"{name}-tokens"),
        retentions={
            logical: _retention(function["LoggingConfig"]["LogGroup"])
            for logical, function in functions.items()
        },
        concurrency=aws.client("lambda").get_account_settings()["AccountLimit"][
            "UnreservedConcurrentExecutions"
        ],
        alarms_without_a_topic=_unheard(name),
    )


def _lost_failures(seen: Seen) -> Iterator[Finding]:
    for logical, mapping in seen.mappings.items():
        if mapping and "ReportBatchItemFailures" not in mapping.get("FunctionResponseTypes", []):
            yield Finding(
                f"the mapping of {logical} ignores which messages it keeps: Lambda deletes them",
                f"aws lambda update-event-source-mapping --uuid {mapping['UUID']}"
                " --function-response-types ReportBatchItemFailures",
            )


def _sleeping_mappings(seen: Seen) -> Iterator[Finding]:
    for logical, mapping in seen.mappings.items():
        if mapping is None:
            yield Finding(f"no queue feeds {logical}", _AGAIN)
        elif mapping["State"] not in ("Enabled", "Enabling", "Creating", "Updating"):
            yield Finding(
                f"the mapping of {logical} is {mapping['State']}: its queue only grows",
                f"aws lambda update-event-source-mapping --uuid {mapping['UUID']} --enabled",
            )


def _open_doors(seen: Seen) -> Iterator[Finding]:
    for logical, function in seen.functions.items():
        if function["Environment"]["Variables"].get("ACCESS") != "token":
            yield Finding(
                f"{logical} has not ACCESS=token: it refuses to start, or would let everybody in",
                _AGAIN,
            )


def _times(seen: Seen) -> Iterator[Finding]:
    orders, dead = seen.queues["OrdersQueue"], seen.queues["DeadQueue"]
    worker = seen.functions["OrderWorker"]
    receives = json.loads(orders.get("RedrivePolicy", "{}")).get("maxReceiveCount", 1000)
    yield from Timings.of_stack(worker["Timeout"], orders, dead, int(receives)).findings()
    told = worker["Environment"]["Variables"].get("WORKER_TIMEOUT_S")
    if str(worker["Timeout"]) != told:
        yield Finding(
            f"the worker's timeout is {worker['Timeout']} s, and it believes {told} s", _AGAIN
        )


def _no_dead_letters(seen: Seen) -> Iterator[Finding]:
    if "RedrivePolicy" not in seen.queues["OrdersQueue"]:
        yield Finding(
            "the orders queue has no dead-letter queue: what fails comes back until it is too old",
            _AGAIN,
        )


def _too_many_workers(seen: Seen) -> Iterator[Finding]:
    mapping = seen.mappings["OrderWorker"] or {}
    workers = mapping.get("ScalingConfig", {}).get("MaximumConcurrency", 0)
    if workers >= seen.concurrency:
        yield Finding(
            f"the account runs {seen.concurrency} functions at once, and {workers} workers may take them all:"
            " HTTP requests are refused meanwhile",
            "make deploy STAGE=... SET=WorkerConcurrency=... with a smaller number, or ask for more: aws"
            " service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384"
            " --desired-value 1000",
        )


def _no_expiry(seen: Seen) -> Iterator[Finding]:
    if seen.ttl not in ("ENABLED", "ENABLING"):
        yield Finding(
            "the orders table's TTL is off: final orders are kept, and billed, for ever",
            f"aws dynamodb update-time-to-live --table-name {seen.name}-orders"
            " --time-to-live-specification Enabled=true,AttributeName=expires_at",
        )


def _no_tokens(seen: Seen) -> Iterator[Finding]:
    if seen.tokens == 0:
        yield Finding(
            "there is no access token: nobody can place an order",
            f"python -m cli token create --stack {seen.name} CLIENT",
        )


def _endless_logs(seen: Seen) -> Iterator[Finding]:
    for logical, days in seen.retentions.items():
        if days is None:
            yield Finding(f"the log of {logical} is kept, and billed, for ever", _AGAIN)


def _silent_alarms(seen: Seen) -> Iterator[Finding]:
    if seen.alarms_without_a_topic:
        yield Finding(
            f"{seen.alarms_without_a_topic} alarms tell nobody",
            "make deploy STAGE=... SET=AlarmTopic=ARN",
        )


def _mapping(function: str) -> Any:
    found = aws.client("lambda").list_event_source_mappings(FunctionName=function)[
        "EventSourceMappings"
    ]
    return found[0] if found else None


def _attributes(url: str) -> dict[str, str]:
    answer = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return dict(answer["Attributes"])


def _ttl(table: str) -> str:
    answer = aws.client("dynamodb").describe_time_to_live(TableName=table)
    return str(answer["TimeToLiveDescription"]["TimeToLiveStatus"])


def _tokens(table: str) -> int:
    return int(aws.client("dynamodb").scan(TableName=table, Limit=1)["Count"])


def _retention(group: str) -> int | None:
    found = aws.client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    return next(
        (each.get("retentionInDays") for each in found if each["logGroupName"] == group), None
    )


def _unheard(name: str) -> int:
    ids = [id for kind, id in stack.resources(name).values() if kind == "AWS::CloudWatch::Alarm"]
    alarms = aws.client("cloudwatch").describe_alarms(AlarmNames=ids)["MetricAlarms"] if ids else []
    return sum(not alarm.get("AlarmActions") for alarm in alarms)
