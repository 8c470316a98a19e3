"""A CloudFormation stack made of a package: a change set to look at, then its execution, then the wait.

Only CloudFormation is spoken here; where the code goes is cli/bucket.py, what a person is asked is cli/deploy.py.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cli import aws, bucket
from cli.formation import Say, StackError, describe, settled, wait
from cli.package import Package
from cli.template import literal_names, located, numbered, table_names

_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]


@dataclass(frozen=True)
class Change:
    """One resource. `action` is CloudFormation's: Add, Modify, Remove, Import; `replaced`: True, False, Conditional."""

    action: str
    name: str
    kind: str
    replaced: str


@dataclass(frozen=True)
class Plan:
    """A change set, ready to be carried out or dropped. `parameters`: those that change, (before, after)."""

    stack: str
    change_set: str
    new: bool
    changes: tuple[Change, ...]
    template: Mapping[str, Any]
    parameters: Mapping[str, tuple[str | None, str]]


def deploy(name: str, package: Package, parameters: Mapping[str, str]) -> dict[str, str]:
    """Create or update the stack without asking. Returns its outputs."""
    planned = plan(name, package, parameters)
    return carry_out(planned) if planned else outputs(name)


def plan(
    name: str, package: Package, parameters: Mapping[str, str], adopt: bool = False
) -> Plan | None:
    """Upload the package and ask CloudFormation what it would do; None: nothing. `adopt`: take up tables that exist."""
    formation = aws.client("cloudformation")
    running = describe(name)
    new = is_new(name, running)
    template = package.template if not adopt else literal_names(package.template, name)
    if _local():
        template = numbered(template, parameters)
    made = formation.create_change_set(
        StackName=name,
        ChangeSetName=f"orderline-{time.time_ns()}",
        ChangeSetType="CREATE" if new else "UPDATE",
        TemplateURL=bucket.upload(name, package.zip, lambda where: located(template, where)),
        Capabilities=_CAPABILITIES,
        ImportExistingResources=adopt,
        Parameters=[
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
    )
    described = settled(made["Id"])
    if described["Status"] == "FAILED":
        drop(Plan(name, made["Id"], new, (), template, {}))
        reason = described.get("StatusReason", "")
        if any(sentence in reason for sentence in _NO_CHANGE):
            return None
        raise StackError(f"CloudFormation refuses the change: {reason}")
    return Plan(
        name,
        made["Id"],
        new,
        tuple(_changes(described)),
        template,
        _parameters(None if new else running, template, parameters),
    )


def drop(planned: Plan) -> None:
    """Nothing was changed, and nothing is left of the question."""
    formation = aws.client("cloudformation")
    formation.delete_change_set(ChangeSetName=planned.change_set)
    if planned.new:
        formation.delete_stack(
            StackName=planned.stack
        )  # the empty one that a first change set belongs to


def carry_out(planned: Plan, say: Say = lambda _: None) -> dict[str, str]:
    """Make the changes, say each resource as it is done. Returns the outputs; raises StackError with the reasons."""
    began = time.time()
    aws.client("cloudformation").execute_change_set(ChangeSetName=planned.change_set)
    wait(planned.stack, ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"), began, say)
    if _local():
        _expire(planned.template, planned.stack)
    return outputs(planned.stack)


def destroy(name: str, say: Say = lambda _: None) -> None:
    """Delete the stack, wait until it is gone, then forget its code. What its template retains stays."""
    described = describe(name)
    if described:
        began = time.time()
        aws.client("cloudformation").delete_stack(StackName=described["StackId"])
        wait(described["StackId"], ("DELETE_COMPLETE",), began, say)
    bucket.forget(name)


def outputs(name: str) -> dict[str, str]:
    """The stack's outputs; API is where its HTTP front is reached, the local cloud's too."""
    described = describe(name)
    if described is None:
        raise StackError(f"there is no stack {name}; make deploy makes it")
    found = {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}
    local = _local()
    api = (
        f"{local}/_aws/execute-api/{found['RestAPIId']}/api"
        if local
        else found["EndpointURL"].rstrip("/")
    )
    return {**found, "API": api}


def resources(name: str) -> dict[str, tuple[str, str]]:
    """What the stack is made of: logical name -> (type, physical id)."""
    pages = (
        aws.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
    )
    return {
        made["LogicalResourceId"]: (made["ResourceType"], made["PhysicalResourceId"])
        for page in pages
        for made in page["StackResourceSummaries"]
    }


def functions(name: str) -> list[str]:
    """The names of the stack's Lambda functions."""
    return [id for kind, id in resources(name).values() if kind == "AWS::Lambda::Function"]


def _local() -> str | None:
    """The local cloud's address, if it is the one spoken to."""
    return os.environ.get("AWS_ENDPOINT_URL")


def _expire(template: Mapping[str, Any], name: str) -> None:
    """The local cloud reads a table's TTL in no template; rows shall expire there too."""
    for logical, table in table_names(template, name).items():
        ttl = template["Resources"][logical]["Properties"].get("TimeToLiveSpecification")
        if ttl:
            aws.client("dynamodb").update_time_to_live(TableName=table, TimeToLiveSpecification=ttl)


def is_new(name: str, described: Mapping[str, Any] | None) -> bool:
    """Whether a stack must be created. Raises StackError where neither that nor an update can work now."""
    status = described["StackStatus"] if described else "REVIEW_IN_PROGRESS"
    if (
        status == "REVIEW_IN_PROGRESS"
    ):  # there is none, or an empty one that a question left which was interrupted
        return True
    if status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"):
        raise StackError(
            f"the stack {name} is {status}: only its removal is possible now; make destroy, then deploy"
        )
    if status.endswith("IN_PROGRESS"):
        raise StackError(
            f"the stack {name} is {status}: somebody is at it; wait until that is over"
        )
    return False


_NO_CHANGE = ("didn't contain changes", "No updates are to be performed")


def _parameters(
    running: Mapping[str, Any] | None,
    template: Mapping[str, Any],
    given: Mapping[str, str],
) -> dict[str, tuple[str | None, str]]:
    """What differs from the running stack, or for a new one from the template. What isn't given has its default."""
    defaults = {
        name: str(parameter["Default"]) for name, parameter in template["Parameters"].items()
    }
    before = {
        each["ParameterKey"]: each["ParameterValue"]
        for each in (running or {}).get("Parameters", [])
    }
    after = {**defaults, **given}
    return {
        name: (before.get(name), after[name])
        for name, default in defaults.items()
        if after[name] != before.get(name, default)
    }


def _changes(described: Mapping[str, Any]) -> Iterator[Change]:
    for change in described["Changes"]:
        made = change["ResourceChange"]
        yield Change(
            made["Action"],
            made["LogicalResourceId"],
            made["ResourceType"],
            made.get("Replacement", "False"),
        )
