"""`make verify-aws`: deploy a stack of its own, check it, measure it and destroy it."""

from __future__ import annotations

import copy
import functools
import os
import re
import statistics
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import click

from dev import aws
from dev.deploy import data, stack
from dev.deploy.deploy import (
    DeployAborted,
    agreed,
    made_for_here,
    summary,
    whereabouts,
)
from dev.deploy.stack import ChangeSet
from dev.packaging.package import Package, extended
from dev.packaging.template import TABLE, data_names
from dev.tokens import Tokens
from dev.verify.aws_checks import NAME, OWNER
from dev.verify.checks import AFTER_MEASURING, CHECKS, PARAMETERS, Check, ready
from dev.verify.visitor import Visitor, is_success, seconds

ORDERS = 20
_TASKS = Path(__file__).with_name("verify_tasks.py")
_BILLED = re.compile(r"Billed Duration: (\d+) ms")
_INIT = re.compile(r"Init Duration: ([\d.]+) ms")


def verify(yes: bool, checks: Iterable[Check] | None = None, front: str = "rest") -> None:
    """Deploy, run the checks, destroy. Raises DeployAborted at the end if any failed."""
    where = whereabouts()
    planned = _plan(front)
    click.echo(summary(planned, where))
    if not (yes or agreed("Make this stack, measure it and destroy it?")):
        stack.drop(planned)
        raise DeployAborted("nothing was changed; to verify without confirmation, set YES=1")
    try:
        visit = _deployed(planned)
        failures = run(all_checks(front) if checks is None else checks, visit)
    finally:
        _remove()
        click.echo(f"{NAME} is gone")
    if failures:
        raise DeployAborted("\n".join(f"failed: {sentence}" for sentence in failures))


def all_checks(front: str = "rest") -> tuple[Check, ...]:
    """Every check of a front, in order. The last one takes the stack away and makes it again."""
    checks = (
        *CHECKS,
        Check(f"{ORDERS} orders one after the other, measured", measure),
        *AFTER_MEASURING,
        Check(
            "a destroyed stack's tables and files are adopted by the next (ADOPT=1)",
            functools.partial(_adopted, front),
        ),
    )
    return tuple(check for check in checks if front in check.fronts)


def run(checks: Iterable[Check], visit: Visitor) -> list[str]:
    """Run the checks and print a line for each. Returns the sentences of those that failed."""
    failures = []
    for check in checks:
        verdict = _verdict(check, visit)
        click.echo(f"  {verdict}")
        if verdict.startswith("BAD"):
            failures.append(check.sentence)
    return failures


def _verdict(check: Check, visit: Visitor) -> str:
    if check.holds is None or (check.why_skipped and "AWS_ENDPOINT_URL" in os.environ):
        return f"--  {check.sentence} (skipped: {check.why_skipped})"
    visit.last = None
    try:
        if check.holds(visit):
            return f"ok  {check.sentence}"
        reason = f"the last response was {visit.last}" if visit.last else "it does not hold"
    except Exception as error:  # of whatever kind: the other checks go on
        reason = f"{type(error).__name__}: {error}; the last response was {visit.last}"
    return f"BAD {check.sentence}\n      {reason}"


def measure(visit: Visitor) -> bool:
    """Print latencies as a client sees them, then cold starts and billed time.

    Return whether all orders succeeded.
    """
    placed = [visit.place() for _ in range(ORDERS)]
    ends = [visit.wait(reply.body["id"]) for reply in placed]
    waits = [(seconds(order["updated_at"]) - seconds(order["created_at"])) * 1000 for order in ends]
    click.echo(
        f"      POST /orders: median {statistics.median(reply.ms for reply in placed):.0f} ms;"
        f" accepted to SUCCESS: median {statistics.median(waits):.0f} ms, of {ORDERS}"
    )
    for logical, (kind, id) in sorted(stack.resources(NAME).items()):
        if kind == "AWS::Logs::LogGroup":
            click.echo(f"      {logical.removesuffix('Log')}: {summarized(_reports(id))}")
    return all(map(is_success, ends))


def _reports(group: str) -> list[str]:
    """Return the lines that Lambda writes at the end of each invocation."""
    pages = (
        aws.client("logs")
        .get_paginator("filter_log_events")
        .paginate(logGroupName=group, filterPattern='"REPORT RequestId"')
    )
    return [event["message"] for page in pages for event in page["events"]]


def summarized(reports: list[str]) -> str:
    """Return a sentence on invocations, billed time and cold starts.

    Members of a report line come in any order: with X-Ray on, `XRAY TraceId: ...` follows them.
    """
    billed_ms = [int(match[1]) for report in reports if (match := _BILLED.search(report))]
    cold_ms = [float(match[1]) for report in reports if (match := _INIT.search(report))]
    cold = (
        f"cold starts, median {statistics.median(cold_ms):.0f} ms of {len(cold_ms)}"
        if cold_ms
        else ("no cold start reported")
    )
    return f"{len(billed_ms)} invocations, {sum(billed_ms)} ms billed; {cold}"


def _adopted(front: str, visit: Visitor) -> bool:
    """Whether the next stack serves what the one before it accepted, with the same token."""
    order_id = visit.place().body["id"]
    visit.wait(order_id)
    file_id = visit.upload(b"kept")
    stack.destroy(NAME)
    planned = stack.plan(NAME, _package(), {**PARAMETERS, "Front": front}, adopt=True)
    assert planned is not None
    visit.api = stack.carry_out(planned)["API"]
    return (
        ready(visit)
        and is_success(visit("GET", f"/orders/{order_id}").body)
        and visit.download(file_id) == b"kept"
    )


def _plan(front: str) -> ChangeSet:
    """Return the change set of a new stack. Raises DeployAborted if the name is in use."""
    if there := data.existing(NAME):
        raise DeployAborted(
            f"these exist already: {', '.join(there)}; this command makes and deletes its own:"
            " delete those first, as docs/deploy.md shows"
        )
    planned = stack.plan(NAME, _package(), {**PARAMETERS, "Front": front})
    if planned is None or not planned.new:
        raise DeployAborted(
            f"the stack {NAME} already exists, and this command makes its own: destroy it first"
        )
    return planned


def _deployed(planned: ChangeSet) -> Visitor:
    began = time.monotonic()
    api = stack.carry_out(planned)["API"]
    click.echo(f"deployed in {time.monotonic() - began:.0f} s, at {api}")
    token, _ = Tokens.of_stack(NAME, None).create(OWNER, ("orders:read", "orders:write"), 1)
    return Visitor(api, token)


@functools.cache
def _package() -> Package:
    """Return the package of dev with more tasks, and with data that outlives its stack."""
    made = extended(made_for_here("dev"), {f"chalicelib/tasks/{_TASKS.name}": _TASKS.read_bytes()})
    template = copy.deepcopy(made.template)
    for logical in data_names(template, {}):
        resource = template["Resources"][logical]
        resource["DeletionPolicy"] = "Retain"
        if resource["Type"] == TABLE:
            resource["Properties"]["DeletionProtectionEnabled"] = False  # deleted at the end
    return replace(made, template=template)


def _remove() -> None:
    """Destroy the stack, and the tables and the bucket that it would keep."""
    try:
        stack.destroy(NAME)
    finally:
        data.delete(NAME)
