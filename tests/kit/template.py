"""The tables and queues of .chalice/resources.yaml as calls to AWS: one template for the cloud and for the tests."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import yaml

RESOURCES = Path(__file__).parents[2] / ".chalice" / "resources.yaml"


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: `!Ref X` is {"Ref": "X"}."""


def _short_form(loader: _Loader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _short_form)


@functools.lru_cache(maxsize=1)
def load() -> dict[str, Any]:
    return yaml.load(RESOURCES.read_text(), _Loader)  # type: ignore[no-any-return]


def create(stack: str, dynamodb: Any, sqs: Any, **parameters: int) -> dict[str, int]:
    """Make them in whatever cloud the clients reach. Returns the template's parameters as they were used."""
    template = load()
    used = {
        name: parameters.get(name, given["Default"])
        for name, given in template["Parameters"].items()
    }
    resources = template["Resources"]
    for resource in resources.values():
        if resource.get("Type") == "AWS::DynamoDB::Table":
            dynamodb.create_table(**_table(resource["Properties"], stack))
    dead = sqs.create_queue(**_queue(resources["DeadQueue"]["Properties"], stack, used, None))[
        "QueueUrl"
    ]
    dead_arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    sqs.create_queue(**_queue(resources["OrdersQueue"]["Properties"], stack, used, dead_arn))
    return used


def _table(properties: dict[str, Any], stack: str) -> dict[str, Any]:
    kept = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    shape = {name: properties[name] for name in kept if name in properties}
    return {"TableName": _named(properties["TableName"], stack), **shape}


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
    return {"QueueName": _named(properties["QueueName"], stack), "Attributes": attributes}


def _named(name: dict[str, str], stack: str) -> str:
    return name["Fn::Sub"].replace("${AWS::StackName}", stack)
