"""Adapt packaged templates for deployment. All functions are pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any


def table_names(template: Mapping[str, Any], name: str) -> dict[str, str]:
    """Return the template's tables: logical name -> name in the stack called `name`."""

    def resolve(table: Any) -> str:
        text = str(table if isinstance(table, str) else table["Fn::Sub"])
        return text.replace("${AWS::StackName}", name)

    return {
        logical: resolve(resource["Properties"]["TableName"])
        for logical, resource in template["Resources"].items()
        if resource["Type"] == "AWS::DynamoDB::Table"
    }


def located(template: dict[str, Any], location: Mapping[str, str]) -> dict[str, Any]:
    """Return the template with its code at this location in S3 (Bucket and Key)."""
    copied = copy.deepcopy(template)
    for resource in copied["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = dict(location)
    return copied


def literal_names(template: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the template with literal table names; CloudFormation imports no others."""
    copied = copy.deepcopy(template)
    for logical, table in table_names(template, name).items():
        copied["Resources"][logical]["Properties"]["TableName"] = table
    return copied


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
