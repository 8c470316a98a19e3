"""Read the state of stacks and change sets from CloudFormation, and wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from dev import aws

Say = Callable[[str], None]
_TIMEOUT_S = 3600


class StackError(Exception):
    """The stack could not be changed; the message is CloudFormation's reason."""


def describe(name: str) -> dict[str, Any] | None:
    """Return CloudFormation's description of the stack, or None if there is no such stack."""
    formation = aws.client("cloudformation")
    try:
        stack: dict[str, Any] = formation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return stack


def settled(change_set: str) -> dict[str, Any]:
    """Wait until the change set is complete or failed, and return its description."""
    formation = aws.client("cloudformation")
    for _ in _polls():
        described: dict[str, Any] = formation.describe_change_set(ChangeSetName=change_set)
        if described["Status"] in ("CREATE_COMPLETE", "FAILED"):
            return described
    raise StackError(f"CloudFormation created no change set within {_TIMEOUT_S} s")


def wait(stack: str, good: tuple[str, ...], since: float, say: Say) -> None:
    """Wait until no change of the stack is in progress.

    Raises StackError with the reasons unless the stack's status is then one of `good`.

    Args:
        stack: name or id of the stack.
        good: statuses that mean success.
        since: time (in seconds since the epoch) before which events are ignored.
        say: function that prints a line; called for each resource that is done.
    """
    event_ids: set[str] = set()
    reasons: list[str] = []
    status = ""
    for _ in _polls():
        described = describe(stack)
        status = described["StackStatus"] if described else "DELETE_COMPLETE"
        for event in _new_events(stack, event_ids, since):
            name = event["LogicalResourceId"]
            say(f"  {event['ResourceStatus']:<24} {name}")
            if event["ResourceStatus"].endswith("_FAILED"):
                reasons.append(f"{name}: {event.get('ResourceStatusReason', 'no reason')}")
        if not status.endswith("IN_PROGRESS"):
            break
    if status not in good:
        raise StackError("\n  ".join([f"the stack {stack} is {status}", *reasons]))


def _new_events(stack: str, event_ids: set[str], since: float) -> list[dict[str, Any]]:
    """Return the events of resources that are done, oldest first, and add them to `event_ids`."""
    try:
        events = aws.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]
    except ClientError:
        return []  # the stack is deleted, and its events with it
    new = [
        event
        for event in reversed(events)
        if event["EventId"] not in event_ids
        and event["Timestamp"].timestamp() >= since - 1
        and not event["ResourceStatus"].endswith("IN_PROGRESS")
    ]
    event_ids.update(event["EventId"] for event in new)
    return new


def _polls() -> Iterator[None]:
    """Yield at growing intervals: a local cloud is quick, AWS throttles frequent calls."""
    began = time.monotonic()
    wait_s = 0.05
    while time.monotonic() - began < _TIMEOUT_S:
        yield
        time.sleep(wait_s)
        wait_s = min(wait_s * 1.5, 3)
