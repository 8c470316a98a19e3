"""Adapt packaged templates for deployment. All functions are pure."""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Mapping
from typing import Any

# Of the 63 characters of orderline-<stage>-files-<account>-<region>; us-isof-south-1 is the longest
# region. https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
MAX_STAGE = 18
CODE = "./deployment.zip"  # as Chalice writes it
_STAGE = re.compile(rf"[a-z0-9-]{{1,{MAX_STAGE}}}")
TABLE = "AWS::DynamoDB::Table"
BUCKET = "AWS::S3::Bucket"
_NAMES = {TABLE: "TableName", BUCKET: "BucketName"}


def stage_mistake(stage: str, stages: Collection[str]) -> str:
    """Return why this stage can't be packaged, or an empty text. `stages`: those that exist."""
    if stage not in stages:
        return f"there is no stage {stage!r}, only {', '.join(stages)}; add .chalice/{stage}.yaml"
    if not _STAGE.fullmatch(stage):
        return (
            f"the stage {stage!r} must have at most {MAX_STAGE} lowercase letters, digits and"
            " hyphens, since the name of its bucket contains it"
        )
    return ""


def data_names(template: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, str]:
    """Return the tables and buckets that the template names: logical name -> name.

    Those of users may have no name there: CloudFormation then gives them one.

    `values`: those of CloudFormation's pseudo parameters, such as AWS::StackName.
    """
    names = {}
    for logical, resource in template["Resources"].items():
        name = resource.get("Properties", {}).get(_NAMES.get(resource["Type"], ""))
        text = name.get("Fn::Sub") if isinstance(name, dict) else name
        if not isinstance(text, str):
            continue
        for parameter, value in values.items():
            text = text.replace(f"${{{parameter}}}", value)
        names[logical] = text
    return names


def located(template: dict[str, Any], location: Mapping[str, str]) -> dict[str, Any]:
    """Return the template with its code at this location in S3 (Bucket and Key)."""
    copied = copy.deepcopy(template)
    for resource in copied["Resources"].values():
        function = resource["Type"] == "AWS::Serverless::Function"
        if function and resource["Properties"].get("CodeUri") == CODE:  # not a user's own
            resource["Properties"]["CodeUri"] = dict(location)
    return copied


def literal_names(template: dict[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """Return the template with literal names of `data_names`; CloudFormation imports no others."""
    copied = copy.deepcopy(template)
    for logical, name in data_names(template, values).items():
        resource = copied["Resources"][logical]
        resource["Properties"][_NAMES[resource["Type"]]] = name
    return copied


def localized(template: dict[str, Any], parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the template as the local cloud needs it."""
    return numbered(conditioned(template, parameters), parameters)


def numbered(template: dict[str, Any], parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the template with the values of Number parameters, except in environment variables.

    CloudFormation converts them to numbers where a property needs one. ministack passes text on,
    and its event source mapping then fails to compare it.
    """
    numbers = {
        name: int(parameters.get(name, parameter["Default"]))
        for name, parameter in template["Parameters"].items()
        if parameter["Type"] == "Number"
    }

    def resolve(value: Any) -> Any:
        if isinstance(value, dict):
            if value.get("Ref") in numbers:
                return numbers[value["Ref"]]
            return {
                name: member if name == "Variables" else resolve(member)
                for name, member in value.items()
            }
        return [resolve(member) for member in value] if isinstance(value, list) else value

    return {**template, "Resources": resolve(template["Resources"])}


def conditioned(template: dict[str, Any], parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the template without the resources whose condition is false.

    CloudFormation leaves them out itself. ministack does so too, but sees no change in a stack when
    only a parameter of a condition changes.
    """
    values = {
        name: str(parameters.get(name, parameter["Default"]))
        for name, parameter in template["Parameters"].items()
    }

    def holds(condition: Mapping[str, Any]) -> bool:
        if "Fn::Not" in condition:
            return not holds(condition["Fn::Not"][0])
        left, right = condition["Fn::Equals"]
        return values[left["Ref"]] == str(right)

    holding = {name for name, condition in template["Conditions"].items() if holds(condition)}
    return {
        **template,
        "Resources": {
            name: resource
            for name, resource in template["Resources"].items()
            if resource.get("Condition") in (None, *holding)
        },
    }
