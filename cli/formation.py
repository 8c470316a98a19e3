"""CloudFormation's answers, and the waiting for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from cli import aws

Say = Callable[[str], None]
_PATIENCE_S = 3600


class StackError(Exception):
    """The stack could not be made; the message is CloudFormation's own reason."""


def describe(name: str) -> dict[str, Any] | None:
    """CloudFormation's description of the stack, or None: there is none."""
    try:
        return aws.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]  # type: ignore[no-any-return]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise


def settled(change_set: str) -> dict[str, Any]:
    formation = aws.client("cloudformation")
    for _ in _beats():
        described: dict[str, Any] = formation.describe_change_set(ChangeSetName=change_set)
        if described["Status"] in ("CREATE_COMPLETE", "FAILED"):
            return described
    raise StackError("CloudFormation made no change set in time")


def wait(stack: str, good: tuple[str, ...], since: float, say: Say) -> None:
    """Until the stack rests. Raises StackError with what failed first, unless it rests well."""
    seen: set[str] = set()
    failed: list[str] = []
    status = ""
    for _ in _beats():
        described = describe(stack)
        status = described["StackStatus"] if described else "DELETE_COMPLETE"
        for event in _events(stack, seen, since):
            say(f"  {event['ResourceStatus']:<24} {event['LogicalResourceId']}")
            if event["ResourceStatus"].endswith("_FAILED"):
                failed.append(
                    f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason')}"
                )
        if not status.endswith("IN_PROGRESS"):
            break
    if status not in good:
        raise StackError("\n  ".join([f"the stack {stack} is {status}", *failed]))


def _events(stack: str, seen: set[str], since: float) -> list[dict[str, Any]]:
    """What ended since the last look, the oldest first."""
    try:
        found = aws.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]
    except ClientError:
        return []  # the stack is gone, and its events with it
    new = [
        event
        for event in reversed(found)
        if event["EventId"] not in seen
        and event["Timestamp"].timestamp() >= since - 1
        and not event["ResourceStatus"].endswith("IN_PROGRESS")
    ]
    seen.update(event["EventId"] for event in new)
    return new


def _beats() -> Iterator[None]:
    """Looks at growing distances: a local cloud is done in a moment, AWS asks not to be asked too often."""
    began, wait_s = time.monotonic(), 0.05
    while time.monotonic() - began < _PATIENCE_S:
        yield
        time.sleep(wait_s)
        wait_s = min(wait_s * 1.5, 3)
