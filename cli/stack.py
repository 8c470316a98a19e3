"""A CloudFormation stack made of a package: create or update it, and wait until it stands."""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.exceptions import ClientError

from cli.package import Package


class StackError(Exception):
    """The stack could not be made; the message is CloudFormation's own reason."""


def deploy(name: str, package: Package, parameters: Mapping[str, str], bucket: str) -> dict[str, str]:
    """Upload the zip, create or update the stack, wait. Returns the stack's outputs."""
    body = package.zip.read_bytes()
    key = f"{name}/{hashlib.sha256(body).hexdigest()}.zip"
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    template_key = key.replace(".zip", ".json")
    s3.put_object(Bucket=bucket, Key=template_key, Body=json.dumps(located(package.template, bucket, key)))
    formation = boto3.client("cloudformation")
    wanted: dict[str, Any] = {
        "StackName": name,
        "TemplateURL": f"{s3.meta.endpoint_url}/{bucket}/{template_key}",
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    }
    if _exists(formation, name):
        _update(formation, wanted)
    else:
        formation.create_stack(**wanted)
    return _wait(formation, name)


def located(template: dict[str, Any], bucket: str, key: str) -> dict[str, Any]:
    """The template with its code in S3."""
    copied = copy.deepcopy(template)
    for resource in copied["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = {"Bucket": bucket, "Key": key}
    return copied


def functions(name: str) -> list[str]:
    """The names of the stack's Lambda functions."""
    resources = boto3.client("cloudformation").describe_stack_resources(StackName=name)["StackResources"]
    return [made["PhysicalResourceId"] for made in resources if made["ResourceType"] == "AWS::Lambda::Function"]


def _exists(formation: Any, name: str) -> bool:
    try:
        return bool(formation.describe_stacks(StackName=name)["Stacks"])
    except ClientError:
        return False


def _update(formation: Any, wanted: dict[str, Any]) -> None:
    try:
        formation.update_stack(**wanted)
    except ClientError as error:
        if "No updates" not in str(error):
            raise StackError(str(error)) from error


def _wait(formation: Any, name: str) -> dict[str, str]:
    for _ in range(600):
        stack = formation.describe_stacks(StackName=name)["Stacks"][0]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            break
        time.sleep(0.1)
    if stack["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise StackError(f"the stack {name} is {stack['StackStatus']}: {stack.get('StackStatusReason', 'no reason')}")
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
