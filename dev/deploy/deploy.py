"""`make deploy` and `make destroy`: show the changes, ask for confirmation, carry them out."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping

import click
from botocore.exceptions import BotoCoreError, ClientError

from dev import aws
from dev.deploy import bucket, data, growth, stack
from dev.deploy.formation import describe
from dev.deploy.stack import Change, ChangeSet
from dev.packaging.package import Package, package
from dev.packaging.template import data_names
from dev.timings import findings_of_template

_SIGNS = {"Add": "+", "Modify": "~", "Remove": "-", "Import": "<"}


class DeployAborted(Exception):
    """Nothing was changed; the message gives the reason and a fix."""


def deploy(
    stage: str,
    parameters: Mapping[str, str],
    yes: bool,
    adopt: bool,
    drop_messages: bool = False,
    change_address: bool = False,
) -> None:
    """Deploy a stage: package it, show the change set, ask for confirmation and execute it.

    Raises DeployAborted if the stage can't be deployed or the user declines.

    Args:
        stage: dev, prod, or one with a file .chalice/<stage>.yaml.
        parameters: values for the template's parameters; missing ones have their defaults.
        yes: do not ask for confirmation.
        adopt: import tables and files that an earlier stack of this name retained.
        drop_messages: also delete queues that have messages; the sweeper sends their orders again.
        change_address: do not ask for confirmation, with `yes`, of another address either.
    """
    began = time.monotonic()
    name = stack_name(stage)
    where = whereabouts()
    built = made_for_here(stage)
    _require_valid_parameters(built, parameters)
    adopts = _finds_data_to_adopt(name, built, adopt)
    change_set = stack.plan(name, built, parameters, adopt=adopts)
    if change_set is None:
        click.echo(f"{name} in {where} is up to date: nothing to change")
    else:
        click.echo(summary(change_set, where))
        if not drop_messages:
            stack.require_empty_queues(change_set, can_drop=True)
        _require_agreement(change_set, yes, change_address)
        if not drop_messages:  # again: orders may have come in meanwhile
            stack.require_empty_queues(change_set, can_drop=True)
        stack.carry_out(change_set, click.echo)
    click.echo(_next_steps(stage, stack.outputs(name)["API"], time.monotonic() - began))


def destroy(stage: str, yes: bool) -> None:
    """Delete the stack and its code, and list the tables and the bucket that the stage retains.

    Raises DeployAborted if the user declines.
    """
    name = stack_name(stage)
    where = whereabouts()
    question = (
        f"Delete the stack {name} in {where}, its orders and its files,"
        " unless the stage retains them?"
    )
    if not (yes or agreed(question)):
        raise DeployAborted("nothing was changed; to destroy without confirmation, set YES=1")
    stack.destroy(name, click.echo)
    click.echo(f"Deleted {name}")
    if retained := data.existing(name):
        click.echo(
            f"Kept: {', '.join(retained)}. To use them again: make deploy STAGE={stage} ADOPT=1."
            " To delete them for good, see docs/deploy.md."
        )


def made_for_here(stage: str) -> Package:
    """Build the stage's package, with Lambda's wheels or, for the local cloud, this machine's."""
    return package(stage, this_machine="AWS_ENDPOINT_URL" in os.environ)


def stack_name(stage: str) -> str:
    return f"orderline-{stage}"


def whereabouts() -> str:
    """Return the account and region that AWS's tools would use here.

    Raises DeployAborted if the region or the credentials are missing or invalid.
    """
    region = aws.region()
    if region is None:
        raise DeployAborted(
            "no AWS region is set; set one: AWS_REGION=eu-central-1 make deploy STAGE=..."
        )
    try:
        if aws.credentials() is None:
            raise DeployAborted(
                "no AWS credentials were found; run `aws configure`, or choose a profile:"
                " AWS_PROFILE=... make deploy. To try Orderline without an account: make run"
            )
        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        return f"account {bucket.account()}, {region}{f' at {endpoint}' if endpoint else ''}"
    except (BotoCoreError, ClientError) as error:
        raise DeployAborted(f"AWS rejects these credentials: {error}") from error


def _require_agreement(change_set: ChangeSet, yes: bool, change_address: bool) -> None:
    """Ask for confirmation unless `yes`. Drop the change set and raise DeployAborted without it.

    Another address breaks all clients, and YES=1 may stand in a script that lacks SET=Front=...
    """
    new_address = changes_address(change_set)
    if new_address:
        click.echo(
            f"  WARNING: clients must use another address: {stack.outputs(change_set.stack)['API']}"
            " stops answering, and the new one is shown at the end"
        )
    if yes and (change_address or not new_address):
        return
    variables = "YES=1 and CHANGE_ADDRESS=1" if new_address else "YES=1"
    if yes or not agreed("Make these changes?"):
        stack.drop(change_set)
        raise DeployAborted(f"nothing was changed; to deploy without confirmation, set {variables}")


def changes_address(change_set: ChangeSet) -> bool:
    """Return whether a stack that exists gets another front, and so another address."""
    return not change_set.new and "Front" in change_set.parameters


def summary(change_set: ChangeSet, where: str) -> str:
    """List the changes of resources and parameters; replaced and removed resources are marked."""
    lines = [f"{change_set.stack} in {where}: {'a new stack' if change_set.new else 'changes'}"]
    lines += [
        _line(change)
        for change in sorted(change_set.changes, key=lambda change: (change.kind, change.name))
    ]
    lines += [
        f"  parameter {name} = {after}" + (f", was {before}" if before is not None else "")
        for name, (before, after) in change_set.parameters.items()
    ]
    before, after = change_set.parameters.get("FileDays", (None, ""))
    if before is not None and int(after) < int(before):
        lines.append("  WARNING: S3 deletes older files too, also those of accepted orders")
    if any(change.action == "Import" for change in change_set.changes):
        lines.append(growth.warning(change_set.template, change_set.parameters))
    return "\n".join(lines)


def _line(change: Change) -> str:
    note = {
        "True": "  REPLACED: a new one is created, the old one is deleted",
        "Conditional": "  may be replaced",
    }.get(change.replaced, "  REMOVED" if change.action == "Remove" else "")
    sign = _SIGNS.get(change.action, "?")
    return f"  {sign} {change.name:<28} {change.kind.removeprefix('AWS::')}{note}"


def _require_valid_parameters(built: Package, parameters: Mapping[str, str]) -> None:
    """Raise DeployAborted for unknown parameters and inconsistent values."""
    known = built.template["Parameters"]
    if unknown := sorted(set(parameters) - set(known)):
        raise DeployAborted(
            f"the template has no parameter {unknown[0]}; it has: {', '.join(sorted(known))}"
        )
    try:
        findings = list(findings_of_template(built.template, parameters))
    except ValueError as error:
        raise DeployAborted(f"a parameter that must be a number is not one: {error}") from error
    if findings:
        raise DeployAborted(
            "\n".join(f"{finding.problem}\n  set {finding.fix}" for finding in findings)
        )


def _finds_data_to_adopt(name: str, built: Package, adopt: bool) -> bool:
    """Return whether an earlier stack of this name retained tables or its bucket.

    Raises DeployAborted if so and `adopt` is not set or the stage doesn't retain them.
    """
    if not stack.is_new(name, describe(name)):
        return False
    resources = built.template["Resources"]
    existing = {
        logical: data.described(resources[logical]["Type"], each)
        for logical, each in data_names(built.template, data.pseudo_parameters(name)).items()
        if data.exists(resources[logical]["Type"], each)
    }
    if existing and not adopt:
        raise DeployAborted(
            f"these already exist, from a deleted stack: {', '.join(existing.values())}; to use"
            " them with their orders, tokens and files, repeat the command with ADOPT=1"
        )
    for logical, each in existing.items():
        if resources[logical].get("DeletionPolicy", "Delete") == "Delete":
            raise DeployAborted(
                "CloudFormation imports only what the stack retains, and this stage does not"
                f" retain the {each}: set DeletionPolicy: Retain for the stage, as in"
                " .chalice/prod.yaml"
            )
    return bool(existing)


def agreed(question: str) -> bool:
    """Ask for confirmation. Without a terminal the answer is no."""
    return sys.stdin.isatty() and click.confirm(question)


def _next_steps(stage: str, api: str, seconds: float) -> str:
    return f"""
Orderline is running at {api} ({seconds:.0f} s)

  Create a token:   python -m dev token create --stage {stage} OWNER
  Place an order:   curl -H "Authorization: Bearer TOKEN" -H "Content-Type: application/json" \\
                      -d '{{"task": "cook_nuggets", "input": {{"pieces": 6}}}}' {api}/orders
  Check the stack:  python -m dev doctor --stage {stage}
  Delete it:        make destroy STAGE={stage}
"""
