"""`make verify-aws`: what only a running stack can show. Deploys one of its own, checks, measures, destroys it."""

from __future__ import annotations

import json
import re
import statistics
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

from cli import aws, stack
from cli.deploy import Refused, agreed, made_for_here, summary, whereabouts
from cli.doctor import examine
from cli.formation import StackError
from cli.tokens import Tokens

NAME = "orderline-verify"
ORDERS = 20
_PATIENCE_S = 120
_REPORT = re.compile(
    r"REPORT .*?Billed Duration: (\d+) ms.*?(?:Init Duration: ([\d.]+) ms)?\s*$", re.DOTALL
)


@dataclass(frozen=True)
class Reply:
    status: int
    type: str
    body: Any
    ms: float


class Visitor:
    """Speaks HTTP with the stack, as its clients do."""

    def __init__(self, api: str, token: str) -> None:
        self.api, self.token = api, token

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(
            self.api + path, data, {k: v for k, v in headers.items() if v}, method=method
        )
        began = time.monotonic()
        try:
            answer = urllib.request.urlopen(request, timeout=40)
        except urllib.error.HTTPError as refusal:
            answer = refusal
        with answer:
            text = answer.read().decode()
        kind = answer.headers.get_content_type()
        ms = (time.monotonic() - began) * 1000
        return Reply(answer.status, kind, json.loads(text) if kind.endswith("json") else text, ms)


def verify(yes: bool) -> None:
    """Raises Refused if anything is otherwise than it should be, once the stack is gone again."""
    where = whereabouts()
    planned = stack.plan(NAME, made_for_here("dev"), {})
    if planned is None or not planned.new:
        raise Refused(
            f"the stack {NAME} is there already; python -m cli verify makes its own: destroy that one first"
        )
    click.echo(summary(planned, where))
    if not (yes or agreed("Make this stack, measure it and destroy it?")):
        stack.drop(planned)
        raise Refused("nothing was changed; YES=1 agrees without a question")
    try:
        began = time.monotonic()
        api = stack.carry_out(planned)["API"]
        click.echo(f"stands after {time.monotonic() - began:.0f} s, at {api}")
        faults = check(api)
    finally:
        stack.destroy(NAME)
        click.echo(f"{NAME} is gone")
    if faults:
        raise Refused("\n".join(faults))


def check(api: str) -> list[str]:
    """Run every check, print its line, then the measures. Returns what failed."""
    token, _ = Tokens.of_stack(NAME, None).create("verify", ("orders:read", "orders:write"), 1)
    visit, faults = Visitor(api, token), []
    for what, holds in CHECKS.items():
        good = holds(visit)
        click.echo(f"  {'ok ' if good else 'BAD'} {what}")
        faults += [] if good else [f"failed: {what}"]
    faults += [
        f"doctor: {finding.fault}"
        for finding in examine(NAME)
        if "tell nobody" not in finding.fault
    ]
    measure(visit)
    return faults


def _placed(visit: Visitor, **headers: str) -> Reply:
    return visit("POST", "/orders", {"task": "cook_nuggets", "input": {"pieces": 1}}, **headers)


def _ends_well(visit: Visitor) -> bool:
    return bool(_until_done(visit, _placed(visit).body["id"])["status"] == "SUCCESS")


def _same_twice(visit: Visitor) -> bool:
    first, second = (_placed(visit, Idempotency_Key="verify") for _ in range(2))
    return (first.status, second.status) == (202, 202) and bool(
        first.body["id"] == second.body["id"]
    )


CHECKS: dict[str, Callable[[Visitor], bool]] = {
    "GET /health answers": lambda visit: visit("GET", "/health").status == 200,
    "without a token 401, as problem+json": lambda visit: _is_problem(
        visit("GET", "/orders", Authorization=""), 401
    ),
    "a wrong input is 422, as problem+json": lambda visit: _is_problem(
        visit("POST", "/orders", {"task": "cook_nuggets", "input": {"pieces": "many"}}), 422
    ),
    "an order is accepted and ends in SUCCESS": _ends_well,
    "the same Idempotency-Key gives the same order": _same_twice,
    "the board is served as HTML": lambda visit: visit("GET", "/board").type == "text/html",
}


def _is_problem(reply: Reply, status: int) -> bool:
    return (reply.status, reply.type) == (status, "application/problem+json")


def measure(visit: Visitor) -> None:
    """Latencies as a client sees them, then what the functions' own reports say: cold starts and billed time."""
    placed = [_placed(visit) for _ in range(ORDERS)]
    ends = [_until_done(visit, reply.body["id"]) for reply in placed]
    waits = [
        (_seconds(order["updated_at"]) - _seconds(order["created_at"])) * 1000 for order in ends
    ]
    click.echo(
        f"  POST /orders: median {statistics.median(reply.ms for reply in placed):.0f} ms;"
        f" accepted to SUCCESS: median {statistics.median(waits):.0f} ms, of {ORDERS}"
    )
    for logical, (kind, id) in sorted(stack.resources(NAME).items()):
        if kind == "AWS::Logs::LogGroup":
            click.echo(f"  {logical.removesuffix('Log')}: {_reports(id)}")


def _reports(group: str) -> str:
    pages = (
        aws.client("logs")
        .get_paginator("filter_log_events")
        .paginate(logGroupName=group, filterPattern='"REPORT RequestId"')
    )
    found = [
        match
        for page in pages
        for event in page["events"]
        if (match := _REPORT.search(event["message"]))
    ]
    cold = [float(match[2]) for match in found if match[2]]
    said = (
        f"cold starts, median {statistics.median(cold):.0f} ms of {len(cold)}"
        if cold
        else "no cold start reported"
    )
    return f"{len(found)} invocations, {sum(int(match[1]) for match in found)} ms billed; {said}"


def _until_done(visit: Visitor, order_id: str) -> Any:
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        order = visit("GET", f"/orders/{order_id}", Prefer="wait=10").body
        if order["done"]:
            return order
        time.sleep(0.2)
    raise StackError(f"the order {order_id} is not done after {_PATIENCE_S} s")


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()
