"""Create, update and delete CloudFormation stacks from packages, by change sets.

dev/deploy/bucket.py uploads the code; dev/deploy/deploy.py asks for confirmation.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dev import aws
from dev.deploy import bucket, data, growth, removal
from dev.deploy.address import api_address
from dev.deploy.formation import Say, StackError, describe, settled, wait
from dev.packaging.lanes import lanes
from dev.packaging.package import Package
from dev.packaging.template import BUCKET, data_names, literal_names, localized, located

QUEUE = "AWS::SQS::Queue"
_COUNTS = [f"ApproximateNumberOfMessages{which}" for which in ("", "NotVisible", "Delayed")]
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]


@dataclass(frozen=True)
class Change:
    """Change of a resource, in CloudFormation's terms.

    `action`: Add, Modify, Remove or Import. `replaced`: True, False or Conditional, as text.
    """

    action: str
    name: str
    kind: str
    replaced: str


@dataclass(frozen=True)
class ChangeSet:
    """Change set that can be carried out or dropped.

    `new`: it creates the stack. `parameters`: those that change, as name -> (before, after).
    """

    stack: str
    change_set: str
    new: bool
    changes: tuple[Change, ...]
    template: Mapping[str, Any]
    parameters: Mapping[str, tuple[str | None, str]]


def deploy(name: str, package: Package, parameters: Mapping[str, str]) -> dict[str, str]:
    """Create or update the stack without confirmation. Return its outputs.

    Raises StackError if that would delete a queue that has messages.
    """
    change_set = plan(name, package, parameters)
    if change_set is None:
        return outputs(name)
    require_empty_queues(change_set)
    return carry_out(change_set)


def plan(
    name: str, package: Package, parameters: Mapping[str, str], adopt: bool = False
) -> ChangeSet | None:
    """Upload the package and create a change set, or return None if nothing would change.

    `adopt`: import tables and a bucket that exist. Raises StackError if CloudFormation rejects it,
    or if it lowers a number of partitions.
    """
    formation = aws.client("cloudformation")
    current = describe(name)
    new = is_new(name, current)
    template = _adapted(package.template, name, parameters, adopt)
    created = formation.create_change_set(
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
    described = settled(created["Id"])
    if described["Status"] == "FAILED":
        drop(ChangeSet(name, created["Id"], new, (), template, {}))
        reason = described.get("StatusReason", "")
        if any(sentence in reason for sentence in _NO_CHANGE):
            return None
        raise StackError(f"CloudFormation rejects the change: {reason}")
    changed = _changed_parameters(None if new else current, template, parameters)
    change_set = ChangeSet(name, created["Id"], new, tuple(_changes(described)), template, changed)
    if reason := growth.refusal(changed):
        drop(change_set)
        raise StackError(reason)
    return change_set


def _adapted(
    template: dict[str, Any], name: str, parameters: Mapping[str, str], adopt: bool
) -> dict[str, Any]:
    """Return the template as an adoption, or the local cloud, needs it."""
    if adopt:
        template = literal_names(template, data.pseudo_parameters(name))
    return localized(template, parameters) if _endpoint() else template


def require_empty_queues(change_set: ChangeSet, can_drop: bool = False) -> None:
    """Drop the change set and raise StackError if it deletes a queue that has messages.

    `can_drop`: tell that DROP_MESSAGES=1 deletes it nonetheless.
    """
    ids = {} if change_set.new else resources(change_set.stack)
    for change in change_set.changes:
        if (change.action, change.kind) == ("Remove", QUEUE) and (
            count := _messages(ids[change.name][1])
        ):
            drop(change_set)
            fix = removal.fix(change.name, lanes(ids), can_drop)
            raise StackError(
                f"{count} {'message is' if count == 1 else 'messages are'} still in the queue"
                f" {change.name}, which this change would delete; nothing was changed. {fix}"
            )


def _messages(url: str) -> int:
    """Return the number of messages in a queue, hidden and delayed ones included."""
    sqs = aws.client("sqs")
    try:
        counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=_COUNTS)["Attributes"]
    except sqs.exceptions.QueueDoesNotExist:  # it was deleted by hand
        return 0
    return sum(int(counts[name]) for name in _COUNTS)


def drop(change_set: ChangeSet) -> None:
    """Delete the change set, and the empty stack that CloudFormation makes for a first one."""
    formation = aws.client("cloudformation")
    formation.delete_change_set(ChangeSetName=change_set.change_set)
    if change_set.new:
        formation.delete_stack(StackName=change_set.stack)


def carry_out(change_set: ChangeSet, say: Say = lambda _: None) -> dict[str, str]:
    """Execute the change set and wait; print each resource when it is done. Return the outputs.

    Raises StackError with CloudFormation's reasons if it fails.
    """
    began = time.time()
    aws.client("cloudformation").execute_change_set(ChangeSetName=change_set.change_set)
    wait(change_set.stack, ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"), began, say)
    if _endpoint():
        _set_expiry(change_set.template, change_set.stack)
    return outputs(change_set.stack)


def destroy(name: str, say: Say = lambda _: None) -> None:
    """Delete the stack, wait, then delete its code. Resources that the template retains stay.

    Files are deleted first, since CloudFormation can't delete a bucket that is not empty.
    """
    described = describe(name)
    if described:
        began = time.time()
        for files in _deleted_buckets(name):
            data.empty_bucket(files)
        aws.client("cloudformation").delete_stack(StackName=described["StackId"])
        wait(described["StackId"], ("DELETE_COMPLETE",), began, say)
    bucket.forget(name)


def outputs(name: str) -> dict[str, str]:
    """Return the stack's outputs. API is the address of its HTTP API, also on the local cloud.

    Raises StackError if there is no such stack.
    """
    described = describe(name)
    if described is None:
        raise StackError(f"there is no stack {name}; create it with `make deploy`")
    values = {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}
    return {**values, "API": api_address(values, _endpoint())}


def resources(name: str) -> dict[str, tuple[str, str]]:
    """Return the stack's resources: logical name -> (type, physical id)."""
    pages = (
        aws.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
    )
    return {
        each["LogicalResourceId"]: (each["ResourceType"], each["PhysicalResourceId"])
        for page in pages
        for each in page["StackResourceSummaries"]
    }


def functions(name: str) -> list[str]:
    """Return the names of the stack's Lambda functions."""
    return [id for kind, id in resources(name).values() if kind == "AWS::Lambda::Function"]


def _endpoint() -> str | None:
    """Return the local cloud's URL, or None for AWS."""
    return os.environ.get("AWS_ENDPOINT_URL")


def _deleted_buckets(name: str) -> list[str]:
    """Return the buckets that are deleted together with the stack."""
    buckets = {logical: id for logical, (kind, id) in resources(name).items() if kind == BUCKET}
    if not buckets:
        return []
    deployed = aws.client("cloudformation").get_template(StackName=name)["TemplateBody"]
    return [
        id
        for logical, id in buckets.items()
        if deployed["Resources"][logical].get("DeletionPolicy", "Delete") == "Delete"
        and data.bucket_exists(id)
    ]


def _set_expiry(template: Mapping[str, Any], name: str) -> None:
    """Set TTL and lifecycle, which the local cloud does not read from the template."""
    for logical, each in data_names(template, data.pseudo_parameters(name)).items():
        properties = template["Resources"][logical]["Properties"]
        if ttl := properties.get("TimeToLiveSpecification"):
            aws.client("dynamodb").update_time_to_live(TableName=each, TimeToLiveSpecification=ttl)
        for rule in properties.get("LifecycleConfiguration", {}).get("Rules", []):
            if days := rule.get("ExpirationInDays"):
                data.set_lifecycle(each, days)


def is_new(name: str, described: Mapping[str, Any] | None) -> bool:
    """Return True if the stack must be created, False if it can be updated.

    Raises StackError if its status allows neither.
    """
    # Without a stack, or with the empty one that an interrupted confirmation leaves
    status = described["StackStatus"] if described else "REVIEW_IN_PROGRESS"
    if status == "REVIEW_IN_PROGRESS":
        return True
    if status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"):
        raise StackError(
            f"the stack {name} is {status} and can only be deleted: run `make destroy`, then deploy"
        )
    if status.endswith("IN_PROGRESS"):
        raise StackError(
            f"the stack {name} is {status}: another change is in progress; wait and try again"
        )
    return False


_NO_CHANGE = ("didn't contain changes", "No updates are to be performed")


def _changed_parameters(
    current: Mapping[str, Any] | None,
    template: Mapping[str, Any],
    parameters: Mapping[str, str],
) -> dict[str, tuple[str | None, str]]:
    """Return the parameters that differ from the stack's, or for a new stack from the defaults."""
    defaults = {
        name: str(parameter["Default"]) for name, parameter in template["Parameters"].items()
    }
    before = {
        each["ParameterKey"]: each["ParameterValue"]
        for each in (current or {}).get("Parameters", [])
    }
    after = {**defaults, **parameters}
    return {
        name: (before.get(name), after[name])
        for name, default in defaults.items()
        if after[name] != before.get(name, default)
    }


def _changes(described: Mapping[str, Any]) -> Iterator[Change]:
    for change in described["Changes"]:
        resource = change["ResourceChange"]
        yield Change(
            resource["Action"],
            resource["LogicalResourceId"],
            resource["ResourceType"],
            resource.get("Replacement", "False"),
        )
