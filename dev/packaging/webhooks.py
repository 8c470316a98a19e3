"""The rights that webhooks add to a template: few for who delivers them. Pure.

The function that delivers opens connections to addresses that owners name. So its role is written
here from nothing: what the worker's role has beside, also from a stage's file, does not reach it.
"""

from __future__ import annotations

from typing import Any

from chalicelib import config
from dev.packaging import PackageError

Json = dict[str, Any]

# Keys in the tokens table: an endpoint with its secrets, and the list of an owner's endpoints
ENDPOINTS = "hook#*"
LISTS = "hooks#*"
# A delivery's input and result are below it, so they are in the row and the bucket is not needed
MIN_SPILL_BYTES = 512


def limit(worker: Json, role: Json, queue: str, log: str) -> None:
    """Limit the function that delivers webhooks, given its properties and those of its role.

    It claims and finishes orders, reads them by their keys, reads an endpoint and disables it. It
    neither places orders nor sends messages, and sees no file and no variable of the user's own.
    Raises PackageError if it would need files.
    """
    statements = [
        _allow(
            ["dynamodb:UpdateItem", "dynamodb:BatchGetItem"],
            _arn("OrdersTable"),
        ),
        _of_tokens(["dynamodb:GetItem", "dynamodb:UpdateItem"], [ENDPOINTS]),
        _allow(
            [
                "sqs:ReceiveMessage",
                "sqs:DeleteMessage",
                "sqs:GetQueueAttributes",
                "sqs:ChangeMessageVisibility",
            ],
            _arn(queue),
        ),
        _allow(["logs:CreateLogStream", "logs:PutLogEvents"], _arn(log)),
        # X-Ray does not support a narrower resource
        _allow(["xray:PutTraceSegments", "xray:PutTelemetryRecords"], "*"),
    ]
    role["Policies"] = [_policy("orders", statements)]
    role.pop("ManagedPolicyArns", None)
    variables = worker["Environment"]["Variables"]
    spill_bytes = variables.get("SPILL_BYTES", MIN_SPILL_BYTES)
    if str(spill_bytes).isdigit() and int(spill_bytes) < MIN_SPILL_BYTES:
        raise PackageError(
            f"SPILL_BYTES is {spill_bytes}; with webhooks it must be at least {MIN_SPILL_BYTES},"
            " because the function that delivers them can't read the bucket"
        )
    worker["Environment"]["Variables"] = {
        name: value
        for name, value in variables.items()
        if name in config.VARIABLES and name != "SECRETS"
    }


def let_find_endpoints(role: Json) -> None:
    """Let a function that places orders read the endpoints of their owners."""
    statement = _of_tokens(["dynamodb:GetItem"], [ENDPOINTS, LISTS])
    role["Policies"].append(_policy("webhooks", [statement]))


def _of_tokens(actions: list[str], keys: list[str]) -> Json:
    """Return the right to do this to rows of the tokens table with such keys, to no others."""
    condition = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": keys}}
    return {**_allow(actions, _arn("TokensTable")), "Condition": condition}


def _allow(actions: list[str], resource: Any) -> Json:
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


def _arn(resource: str) -> Json:
    return {"Fn::GetAtt": [resource, "Arn"]}


def _policy(name: str, statements: list[Json]) -> Json:
    document = {"Version": "2012-10-17", "Statement": statements}
    return {"PolicyName": name, "PolicyDocument": document}
