"""What a packaged template needs on its way to a stack. Pure: a template in, a template out."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any


def table_names(template: Mapping[str, Any], name: str) -> dict[str, str]:
    """The tables that a template has: logical name -> what it is called in the stack of that name."""

    def called(table: Any) -> str:
        return str(table if isinstance(table, str) else table["Fn::Sub"]).replace(
            "${AWS::StackName}", name
        )

    return {
        logical: called(made["Properties"]["TableName"])
        for logical, made in template["Resources"].items()
        if made["Type"] == "AWS::DynamoDB::Table"
    }


def located(template: dict[str, Any], where: Mapping[str, str]) -> dict[str, Any]:
    """The template with its code in S3."""
    copied = copy.deepcopy(template)
    for resource in copied["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = dict(where)
    return copied


def literal_names(template: dict[str, Any], name: str) -> dict[str, Any]:
    """CloudFormation takes up what exists only by a name that is written out."""
    copied = copy.deepcopy(template)
    for logical, table in table_names(template, name).items():
        copied["Resources"][logical]["Properties"]["TableName"] = table
    return copied


def numbered(template: dict[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """The template with its Number parameters filled in, outside of environments. CloudFormation makes numbers of them
    where a property wants one; ministack hands on text, and its event source mapping then fails to compare it."""
    numbers = {
        name: int(given.get(name, parameter["Default"]))
        for name, parameter in template["Parameters"].items()
        if parameter["Type"] == "Number"
    }

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            if value.get("Ref") in numbers:
                return numbers[value["Ref"]]
            return {
                name: member if name == "Variables" else filled(member)
                for name, member in value.items()
            }
        return [filled(member) for member in value] if isinstance(value, list) else value

    return {**template, "Resources": filled(template["Resources"])}
