"""Checks of `make verify-aws` that ask AWS itself: mappings, schedule, logs, metrics, alarms."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import click

from chalicelib.clock import SECOND, now
from chalicelib.ids import key_of
from chalicelib.metrics import NAMESPACE
from chalicelib.queue import VERSION
from dev import aws
from dev.deploy import stack
from dev.doctor import examine
from dev.timings import Finding
from dev.verify.visitor import PATIENCE_S, Visitor, eventually, is_success

NAME = "orderline-verify"
OWNER = "verify"
_CLOUDWATCH_PATIENCE_S = 600  # metrics and the first state of alarms take minutes
_TOLERATED = ("alarms notify nobody", "functions at once", "URL has no throttle")


def mappings_enabled() -> bool:
    mappings = [
        mapping
        for function in (_id("OrderWorker"), _id("DeadLetters"))
        for mapping in aws.client("lambda").list_event_source_mappings(FunctionName=function)[
            "EventSourceMappings"
        ]
    ]
    return [mapping["State"] for mapping in mappings] == ["Enabled", "Enabled"]


def swept(visit: Visitor) -> bool:
    """Make a scheduled order due now: it has no message, so only the sweeper can send it."""
    order_id = visit.place(delay_s=3600).body["id"]
    _change_row(
        order_id, "SET run_at = :now, check_at = :now", {":now": {"N": str(now() - SECOND)}}
    )

    def sent() -> bool:
        swept = aws.client("lambda").invoke(FunctionName=_id("OrderSweeper"), Payload=b"{}")
        if "FunctionError" in swept:
            raise RuntimeError(swept["Payload"].read().decode())
        return bool(visit("GET", f"/orders/{order_id}").body["attempts"])

    return eventually(sent, PATIENCE_S) and is_success(visit.wait(order_id))


def scheduled(visit: Visitor) -> bool:
    events = aws.client("events")
    arn = aws.client("lambda").get_function_configuration(FunctionName=_id("OrderSweeper"))[
        "FunctionArn"
    ]
    rules = [events.describe_rule(Name=id) for id in _ids("AWS::Events::Rule")]
    targets = [
        target["Arn"]
        for rule in rules
        for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    ]
    return [rule["State"] for rule in rules] == ["ENABLED"] and targets == [arn]


def settled(visit: Visitor) -> bool:
    """Send a dead letter for an order whose row names a task that does not exist."""
    order_id = visit.place(delay_s=3600).body["id"]
    _change_row(order_id, "SET task = :gone", {":gone": {"S": "gone"}})
    body = {"v": VERSION, "pk": key_of(OWNER, order_id), "task": "gone"}
    aws.client("sqs").send_message(QueueUrl=_id("DeadQueue"), MessageBody=json.dumps(body))
    order = visit.wait(order_id)
    return order["status"] == "FAILED" and bool(order["error"]["code"] == "unknown_task")


def nothing_denied(visit: Visitor) -> bool:
    """Denials before the stack was ready don't count: a new role takes seconds to spread."""
    lines = aws.client("logs").get_paginator("filter_log_events")
    found = [
        event["message"]
        for group in _ids("AWS::Logs::LogGroup")
        for page in lines.paginate(
            logGroupName=group,
            startTime=int(visit.ready_at * 1000),
            filterPattern="?AccessDenied ?AccessDeniedException",
        )
        for event in page["events"]
    ]
    for line in found[:5]:
        click.echo(f"      {line.strip()[:300]}")
    return not found


def counted(visit: Visitor) -> bool:
    """Wait for values of this run; `list_metrics` is late, and shows earlier runs for two weeks."""

    def has_values(metric: str) -> bool:
        return bool(
            aws.client("cloudwatch").get_metric_statistics(
                Namespace=NAMESPACE,
                MetricName=metric,
                Dimensions=[{"Name": "stack", "Value": NAME}],
                StartTime=datetime.fromtimestamp(visit.ready_at, timezone.utc),
                EndTime=datetime.now(timezone.utc),
                Period=60,
                Statistics=["Sum"],
            )["Datapoints"]
        )

    return eventually(
        lambda: has_values("orders_accepted") and has_values("largest_overdue_s"),
        _CLOUDWATCH_PATIENCE_S,
        pause_s=10,
    )


def alarms_evaluated(visit: Visitor) -> bool:
    def none_undecided() -> bool:
        alarms = aws.client("cloudwatch").describe_alarms(
            AlarmNames=_ids("AWS::CloudWatch::Alarm")
        )["MetricAlarms"]
        return bool(alarms) and all(alarm["StateValue"] != "INSUFFICIENT_DATA" for alarm in alarms)

    return eventually(none_undecided, _CLOUDWATCH_PATIENCE_S, pause_s=10)


def is_tolerated(finding: Finding) -> bool:
    """Return whether a finding says nothing against the stack.

    No topic was named for its alarms, or the account is new and runs only ten functions at once, so
    that it can reserve none either.
    """
    return any(words in finding.problem for words in _TOLERATED)


def healthy(visit: Visitor) -> bool:
    findings = examine(NAME)
    for finding in findings:
        click.echo(f"      {'note' if is_tolerated(finding) else 'doctor'}: {finding.problem}")
    return all(map(is_tolerated, findings))


def _id(logical: str) -> str:
    return stack.resources(NAME)[logical][1]


def _ids(kind: str) -> list[str]:
    return [id for each, id in stack.resources(NAME).values() if each == kind]


def _change_row(order_id: str, expression: str, values: Any) -> None:
    aws.client("dynamodb").update_item(
        TableName=f"{NAME}-orders",
        Key={"pk": {"S": key_of(OWNER, order_id)}},
        UpdateExpression=expression,
        ExpressionAttributeValues=values,
    )
