"""What `make verify-aws` checks of a running stack, in this order. A check is a function of one visitor."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import click

from chalicelib.metrics import NAMESPACE
from chalicelib.orders import SECOND, key_of, now
from chalicelib.queue import VERSION
from cli import aws, stack
from cli.doctor import examine
from cli.timings import Finding
from cli.visitor import PATIENCE_S, Visitor, eventually, is_success, seconds, send

NAME = "orderline-verify"
OWNER = "verify"
ORIGIN = "https://verify.example"
# The throttle is low, so that a burst of 200 requests exceeds it
PARAMETERS = {"RequestsPerSecond": "10", "RequestBurst": "20", "CorsOrigins": ORIGIN}
_CLOUDWATCH_PATIENCE_S = 600  # metrics and the first state of alarms take minutes
_BURST = 50
_NO_GATEWAY_RESPONSES = "the local cloud ignores the gateway's responses in an API's definition"
_TOLERATED = ("alarms tell nobody", "functions at once")


@dataclass(frozen=True)
class Check:
    """A sentence and whether it holds. Without a function it is skipped everywhere, else on the local cloud alone if
    there is a reason."""

    sentence: str
    holds: Callable[[Visitor], bool] | None
    why_skipped: str = ""


def ready(visit: Visitor) -> bool:
    """Wait for a new stack: its name must spread, then its roles; its mappings start late. Orders are placed until one
    passes, since one whose worker met AccessDenied stays hidden for the visibility timeout."""
    works = (eventually(lambda: visit("GET", "/health").status == 200, PATIENCE_S)
             and eventually(lambda: visit("GET", "/orders").status == 200, PATIENCE_S)
             and eventually(_mappings_enabled, PATIENCE_S)
             and eventually(lambda: visit.succeeds(visit.place(), 10), PATIENCE_S))
    visit.ready_at = time.time()
    return works


def _mappings_enabled() -> bool:
    mappings = [mapping for function in (_id("OrderWorker"), _id("DeadLetters"))
                for mapping in aws.client("lambda").list_event_source_mappings(FunctionName=function)[
                    "EventSourceMappings"]]
    return [mapping["State"] for mapping in mappings] == ["Enabled", "Enabled"]


def _same_twice(visit: Visitor) -> bool:
    first, second = (visit.place(Idempotency_Key="verify") for _ in range(2))
    return (first.status, second.status) == (202, 202) and bool(first.body["id"] == second.body["id"])


def _listed(visit: Visitor) -> bool:
    ids = [visit.place().body["id"] for _ in range(2)]
    if not eventually(lambda: visit("GET", "/orders?limit=1").body["items"][0]["id"] == ids[1], PATIENCE_S):
        return False  # the index follows the table
    _, _, query = visit("GET", "/orders?limit=1").body["next"].partition("?")
    following = visit("GET", f"/orders?{query}")
    return following.status == 200 and bool(following.body["items"][0]["id"] == ids[0])


def _linked(visit: Visitor) -> bool:
    """The function learns the stage's prefix from each request."""
    order = visit.place().body
    return bool(order["links"]["self"] == f"{visit.api}/orders/{order['id']}")


def _delayed(visit: Visitor) -> bool:
    placed = visit.place(delay_s=2)
    order = visit.wait(placed.body["id"])
    took_s = seconds(order["updated_at"]) - seconds(order["created_at"])
    return order["status"] == "SUCCESS" and took_s >= 2


def _cancelled_and_retried(visit: Visitor) -> bool:
    path = f"/orders/{visit.place(delay_s=5).body['id']}"
    cancelled = visit("POST", f"{path}/cancel")
    return (cancelled.status, cancelled.body["status"]) == (200, "CANCELLED") and visit.succeeds(
        visit("POST", f"{path}/retry"))


def _tried_again(visit: Visitor) -> bool:
    order = visit.wait(visit.place("fail_once", {}).body["id"])
    return (order["status"], order["attempts"], order["result"]) == ("SUCCESS", 2, 2)


def _fails(visit: Visitor) -> bool:
    order = visit.wait(visit.place("process_email", {"message": "no header lines"}).body["id"])
    return (order["status"], order["attempts"]) == ("FAILED", 1) and order["error"]["code"] == "task_error"


def _followed_up(visit: Visitor) -> bool:
    first = visit.wait(visit.place("place_follow_up", {}).body["id"])
    following = visit.wait(first["result"])
    return (following["status"], following["links"]["parent"]) == ("SUCCESS", first["links"]["self"])


def _no_second_stage(visit: Visitor) -> bool:
    api, _, _ = visit.api.rpartition("/")
    visit.last = send(urllib.request.Request(f"{api}/Stage/health"))
    return visit.last.status in (403, 404)


def _no_head(visit: Visitor) -> bool:
    reply = visit("HEAD", "/health", Authorization="")
    return (reply.status, reply.body) == (404, "")


def _preflight(visit: Visitor) -> bool:
    """A browser sends no token with it."""
    reply = visit("OPTIONS", "/orders", Authorization="", Origin=ORIGIN, Access_Control_Request_Method="POST")
    return (reply.status, reply.headers.get("Access-Control-Allow-Origin")) == (204, ORIGIN)


def _swept(visit: Visitor) -> bool:
    """An order for later has no message. Its time is moved to the present, and only the sweeper can send it."""
    order_id = visit.place(delay_s=3600).body["id"]
    _change_row(order_id, "SET run_at = :now, due_at = :now", {":now": {"N": str(now() - SECOND)}})

    def sent() -> bool:
        swept = aws.client("lambda").invoke(FunctionName=_id("OrderSweeper"), Payload=b"{}")
        if "FunctionError" in swept:
            raise RuntimeError(swept["Payload"].read().decode())
        return bool(visit("GET", f"/orders/{order_id}").body["attempts"])

    return eventually(sent, PATIENCE_S) and is_success(visit.wait(order_id))


def _scheduled(visit: Visitor) -> bool:
    events = aws.client("events")
    arn = aws.client("lambda").get_function_configuration(FunctionName=_id("OrderSweeper"))["FunctionArn"]
    rules = [events.describe_rule(Name=id) for id in _ids("AWS::Events::Rule")]
    targets = [target["Arn"] for rule in rules for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]]
    return [rule["State"] for rule in rules] == ["ENABLED"] and targets == [arn]


def _settled(visit: Visitor) -> bool:
    """A dead letter ends an order whose task is gone. The row is given such a task: none can be ordered."""
    order_id = visit.place(delay_s=3600).body["id"]
    _change_row(order_id, "SET task = :gone", {":gone": {"S": "gone"}})
    body = {"v": VERSION, "pk": key_of(OWNER, order_id), "task": "gone"}
    aws.client("sqs").send_message(QueueUrl=_id("DeadQueue"), MessageBody=json.dumps(body))
    order = visit.wait(order_id)
    return order["status"] == "FAILED" and bool(order["error"]["code"] == "unknown_task")


def _throttled(visit: Visitor) -> bool:
    """Up to 200 requests until one is refused, ten at once: Lambda runs no more functions of a new account."""
    request = urllib.request.Request(f"{visit.api}/health")
    with ThreadPoolExecutor(10) as pool:
        for _ in range(200 // _BURST):
            replies = list(pool.map(send, [request] * _BURST))
            if refused := [reply for reply in replies if reply.status == 429]:
                visit.last = refused[0]
                return True
            visit.last = replies[-1]
    return False


def _throttled_with_a_problem(visit: Visitor) -> bool:
    return (_throttled(visit) and visit.last is not None and visit.last.is_problem(429)
            and "Retry-After" in visit.last.headers)


def _nothing_denied(visit: Visitor) -> bool:
    """Denials before the stack was ready don't count: a new role takes seconds to spread."""
    lines = aws.client("logs").get_paginator("filter_log_events")
    found = [event["message"] for group in _ids("AWS::Logs::LogGroup")
             for page in lines.paginate(
                 logGroupName=group, startTime=int(visit.ready_at * 1000),
                 filterPattern="?AccessDenied ?AccessDeniedException")
             for event in page["events"]]
    for line in found[:5]:
        click.echo(f"      {line.strip()[:300]}")
    return not found


def _counted(visit: Visitor) -> bool:
    """A value of this run counts: `list_metrics` shows those of earlier runs for two weeks, and new ones too late."""
    def has_values(metric: str) -> bool:
        return bool(aws.client("cloudwatch").get_metric_statistics(
            Namespace=NAMESPACE, MetricName=metric, Dimensions=[{"Name": "stack", "Value": NAME}],
            StartTime=datetime.fromtimestamp(visit.ready_at, timezone.utc), EndTime=datetime.now(timezone.utc),
            Period=60, Statistics=["Sum"])["Datapoints"])

    return eventually(lambda: has_values("orders_accepted") and has_values("largest_overdue_s"),
                      _CLOUDWATCH_PATIENCE_S, pause_s=10)


def _alarms_evaluated(visit: Visitor) -> bool:
    def none_undecided() -> bool:
        alarms = aws.client("cloudwatch").describe_alarms(AlarmNames=_ids("AWS::CloudWatch::Alarm"))["MetricAlarms"]
        return bool(alarms) and all(alarm["StateValue"] != "INSUFFICIENT_DATA" for alarm in alarms)

    return eventually(none_undecided, _CLOUDWATCH_PATIENCE_S, pause_s=10)


def is_tolerated(finding: Finding) -> bool:
    """Whether it says nothing against the stack: no topic was named for its alarms, or the account is new, and Lambda
    runs only ten functions of such a one at once."""
    return any(words in finding.fault for words in _TOLERATED)


def _healthy(visit: Visitor) -> bool:
    findings = examine(NAME)
    for finding in findings:
        click.echo(f"      {'note' if is_tolerated(finding) else 'doctor'}: {finding.fault}")
    return all(map(is_tolerated, findings))


def _id(logical: str) -> str:
    return stack.resources(NAME)[logical][1]


def _ids(kind: str) -> list[str]:
    return [id for each, id in stack.resources(NAME).values() if each == kind]


def _change_row(order_id: str, expression: str, values: Any) -> None:
    aws.client("dynamodb").update_item(
        TableName=f"{NAME}-orders", Key={"pk": {"S": key_of(OWNER, order_id)}}, UpdateExpression=expression,
        ExpressionAttributeValues=values)


CHECKS = (
    Check("the stack is ready: /health answers, roles and mappings work", ready),
    Check("without a token 401, as problem+json",
          lambda visit: visit("GET", "/orders", Authorization="").is_problem(401)),
    Check("an invalid input is 422, as problem+json",
          lambda visit: visit.place(input={"pieces": "many"}).is_problem(422)),
    Check("an unknown order is 404, as problem+json",
          lambda visit: visit("GET", f"/orders/{'0' * 26}").is_problem(404)),
    Check("an unknown route is 404 without a token, as problem+json",
          lambda visit: visit("GET", "/nothing", Authorization="").is_problem(404), _NO_GATEWAY_RESPONSES),
    Check("an unknown route is 404 with a Bearer token, as problem+json",
          lambda visit: visit("GET", "/nothing").is_problem(404), _NO_GATEWAY_RESPONSES),
    Check("SAM's second stage, /Stage, does not exist", _no_second_stage),
    Check("HEAD is 404, without a body", _no_head, _NO_GATEWAY_RESPONSES),
    Check("OPTIONS allows the origin of CorsOrigins", _preflight),
    Check("the board is served as HTML", lambda visit: visit("GET", "/board").type == "text/html"),
    Check("an order is accepted and ends in SUCCESS", lambda visit: visit.succeeds(visit.place())),
    Check("the same Idempotency-Key gives the same order", _same_twice),
    Check("the list shows the newest order first, and its `next` leads on", _listed),
    Check("links are URLs of the stage", _linked, "the local cloud's functions see another path than its clients"),
    Check("a delayed order does not run before its time", _delayed),
    Check("a cancelled order can be retried, and ends in SUCCESS", _cancelled_and_retried),
    Check("an attempt that failed is followed by another", _tried_again),
    Check("a task that can't succeed ends in FAILED at once", _fails),
    Check("a task's follow-up order runs", _followed_up),
    Check("the sweeper sends an order that has no message", _swept),
    Check("the sweeper's schedule is enabled", _scheduled),
    Check("a dead letter ends its order", _settled),
)
AFTER_MEASURING = (
    Check("a burst over the stage's throttle is 429", _throttled),
    Check("that 429 is problem+json with Retry-After", _throttled_with_a_problem, _NO_GATEWAY_RESPONSES),
    Check("log lines became metrics", _counted, "the local cloud makes no metrics of log lines"),
    Check("every alarm has left INSUFFICIENT_DATA", _alarms_evaluated,
          "the local cloud makes no metrics, so none of its alarms is evaluated"),
    Check("no function was denied an AWS call", _nothing_denied, "the local cloud checks no rights"),
    Check("the last element of a set can be deleted", None, "only tokens have a set, and nothing deletes from it"),
    Check("a file can be uploaded by a presigned PUT", None, "Orderline takes no uploads yet"),
    Check("doctor finds nothing wrong", _healthy),
)
