"""Create the tables and queues of .chalice/resources.yaml, the template of the real cloud."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import yaml

from chalicelib import config
from chalicelib.config import DEFAULT_LANE, lane_queue
from dev.packaging.cloudformation import Loader
from dev.packaging.lanes import VISIBILITY_FACTOR

RESOURCES = Path(__file__).parents[1] / ".chalice" / "resources.yaml"


@functools.lru_cache(maxsize=1)
def load() -> dict[str, Any]:
    return yaml.load(RESOURCES.read_text(), Loader)  # type: ignore[no-any-return]


def create(stack: str, dynamodb: Any, sqs: Any, **parameters: int) -> dict[str, int]:
    """Create the tables and each lane's queue with these clients.

    Return the parameters that were used.
    """
    template = load()
    used = {
        name: parameters.get(name, parameter["Default"])
        for name, parameter in template["Parameters"].items()
    }
    resources = template["Resources"]
    for resource in resources.values():
        if resource.get("Type") == "AWS::DynamoDB::Table":
            dynamodb.create_table(**_table(resource["Properties"], stack))
    dead = sqs.create_queue(**_queue(resources["DeadQueue"]["Properties"], stack, used, None))
    answer = sqs.get_queue_attributes(QueueUrl=dead["QueueUrl"], AttributeNames=["QueueArn"])
    dead_arn = answer["Attributes"]["QueueArn"]
    orders = _queue(resources["OrdersQueue"]["Properties"], stack, used, dead_arn)
    for lane, timeout_s in config.settings().timeouts.items():
        name = lane_queue(orders["QueueName"], lane)
        attributes = dict(orders["Attributes"])
        if lane != DEFAULT_LANE:
            attributes["VisibilityTimeout"] = str(VISIBILITY_FACTOR * timeout_s)
        sqs.create_queue(QueueName=name, Attributes=attributes)
    return used


def _table(properties: dict[str, Any], stack: str) -> dict[str, Any]:
    names = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    schema = {name: properties[name] for name in names if name in properties}
    return {"TableName": _full_name(properties["TableName"], stack), **schema}


def _queue(
    properties: dict[str, Any], stack: str, used: dict[str, int], dead_arn: str | None
) -> dict[str, Any]:
    attributes = {
        "VisibilityTimeout": str(used[properties["VisibilityTimeout"]["Ref"]]),
        "MessageRetentionPeriod": str(properties["MessageRetentionPeriod"]),
    }
    if dead_arn:
        receives = used[properties["RedrivePolicy"]["maxReceiveCount"]["Ref"]]
        attributes["RedrivePolicy"] = (
            f'{{"deadLetterTargetArn": "{dead_arn}", "maxReceiveCount": {receives}}}'
        )
    return {"QueueName": _full_name(properties["QueueName"], stack), "Attributes": attributes}


def _full_name(name: dict[str, str], stack: str) -> str:
    return name["Fn::Sub"].replace("${AWS::StackName}", stack)
