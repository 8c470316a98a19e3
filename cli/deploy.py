"""`make deploy` and `make destroy`: what a person is shown and asked on the way to a stack and back."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping

import click
from botocore.exceptions import BotoCoreError, ClientError

from cli import aws, bucket, stack
from cli.formation import describe
from cli.package import Package, package
from cli.stack import Change, Plan
from cli.template import table_names
from cli.timings import Timings

_SIGNS = {"Add": "+", "Modify": "~", "Remove": "-", "Import": "<"}


class Refused(Exception):
    """Nothing was changed; the message says why, and what mends it."""


def deploy(stage: str, given: Mapping[str, str], yes: bool, adopt: bool) -> None:
    """Package, show the change set, ask, carry it out, say what to type next."""
    name, began = stack_name(stage), time.monotonic()
    where = whereabouts()
    made = made_for_here(stage)
    _require_fit(made, given)
    adopting = _tables_to_adopt(name, made, adopt)
    planned = stack.plan(name, made, given, adopt=bool(adopting))
    if planned is None:
        click.echo(f"{name} in {where} is as it should be: nothing to change")
    else:
        click.echo(summary(planned, where))
        if not (yes or agreed("Make these changes?")):
            stack.drop(planned)
            raise Refused("nothing was changed; YES=1 agrees without a question")
        stack.carry_out(planned, click.echo)
    click.echo(_next_steps(stage, stack.outputs(name)["API"], time.monotonic() - began))


def destroy(stage: str, yes: bool) -> None:
    """Delete the stack and its code. What the stage retains stays, and is named with what can be done with it."""
    name, where = stack_name(stage), whereabouts()
    if not (yes or agreed(f"Delete the stack {name} in {where}, its orders with it unless the stage retains them?")):
        raise Refused("nothing was changed; YES=1 agrees without a question")
    stack.destroy(name, click.echo)
    kept = [table for table in (f"{name}-orders", f"{name}-tokens") if table_exists(table)]
    click.echo(f"{name} is gone")
    if kept:
        click.echo(f"Kept: the tables {', '.join(kept)}. The next deploy takes them up: make deploy STAGE={stage}"
                   " ADOPT=1. To delete them for good, see docs/deploy.md.")


def made_for_here(stage: str) -> Package:
    """The stage's package: with Lambda's wheels, or for the local cloud with this machine's."""
    return package(stage, this_machine="AWS_ENDPOINT_URL" in os.environ)


def stack_name(stage: str) -> str:
    return f"orderline-{stage}"


def whereabouts() -> str:
    """Account and region that AWS's tools would use here. Raises Refused without either, or where AWS knows neither."""
    region = aws.region()
    if region is None:
        raise Refused("no AWS region is set; name one: AWS_REGION=eu-central-1 make deploy STAGE=...")
    try:
        if aws.credentials() is None:
            raise Refused("no AWS credentials were found; type `aws configure`, or name a profile: AWS_PROFILE=... make"
                          " deploy. To try it without an account: make run")
        local = os.environ.get("AWS_ENDPOINT_URL")
        return f"account {bucket.account()}, {region}{f' at {local}' if local else ''}"
    except (BotoCoreError, ClientError) as error:
        raise Refused(f"AWS doesn't take these credentials: {error}") from error


def summary(planned: Plan, where: str) -> str:
    """The change set in lines: what is added, changed, removed; what loses its content stands out."""
    lines = [f"{planned.stack} in {where}: {'a new stack' if planned.new else 'changes'}"]
    lines += [_line(change) for change in sorted(planned.changes, key=lambda change: (change.kind, change.name))]
    lines += [f"  parameter {name} = {after}" + (f", was {before}" if before is not None else "")
              for name, (before, after) in planned.parameters.items()]
    return "\n".join(lines)


def _line(change: Change) -> str:
    note = {"True": "  REPLACED: a new one is made, the old one goes", "Conditional": "  may be replaced"}.get(
        change.replaced, "  REMOVED" if change.action == "Remove" else "")
    sign = _SIGNS.get(change.action, "?")
    return f"  {sign} {change.name:<28} {change.kind.removeprefix('AWS::')}{note}"


def _require_fit(made: Package, given: Mapping[str, str]) -> None:
    """Parameters that the template has, with values that fit each other. Raises Refused."""
    known = made.template["Parameters"]
    if strange := sorted(set(given) - set(known)):
        raise Refused(f"the template has no parameter {strange[0]}; it has: {', '.join(sorted(known))}")
    try:
        findings = list(Timings.of_template(made.template, given).findings())
    except ValueError as error:
        raise Refused(f"a parameter that must be a number isn't one: {error}") from error
    if findings:
        raise Refused("\n".join(f"{finding.fault}\n  set {finding.mend}" for finding in findings))


def _tables_to_adopt(name: str, made: Package, adopt: bool) -> list[str]:
    """Tables that an earlier stack of this name left. Raises Refused if they are there and nobody said what to do."""
    if not stack.is_new(name, describe(name)):
        return []
    left = {logical: table for logical, table in table_names(made.template, name).items() if table_exists(table)}
    if left and not adopt:
        raise Refused(f"the tables {', '.join(left.values())} are here already, from a stack that is gone; to take them"
                      " up with the orders and tokens in them: the same command with ADOPT=1")
    for logical, table in left.items():
        if made.template["Resources"][logical]["DeletionPolicy"] == "Delete":
            raise Refused(f"CloudFormation takes up only tables that their stack would keep, and this stage would not"
                          f" keep {table}: give the stage DeletionPolicy: Retain, as .chalice/prod.yaml does")
    return list(left.values())


def table_exists(table: str) -> bool:
    dynamodb = aws.client("dynamodb")
    try:
        dynamodb.describe_table(TableName=table)
    except dynamodb.exceptions.ResourceNotFoundException:
        return False
    return True


def agreed(question: str) -> bool:
    """Whether a person says yes. Where nobody can answer nobody agrees."""
    return sys.stdin.isatty() and click.confirm(question)


def _next_steps(stage: str, api: str, seconds: float) -> str:
    return f"""
Orderline answers at {api} ({seconds:.0f} s)

  a token:     python -m cli token create --stage {stage} CLIENT
  an order:    curl -H "Authorization: Bearer TOKEN" -H "Content-Type: application/json" \\
                 -d '{{"task": "cook_nuggets", "input": {{"pieces": 6}}}}' {api}/orders
  a check-up:  python -m cli doctor --stage {stage}
  the end:     make destroy STAGE={stage}
"""
