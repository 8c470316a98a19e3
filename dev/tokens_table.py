"""The tokens table of a stack: where it is, and what AWS's errors about it mean."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from dev import aws
from dev.packaging.package import ROOT

_LOCAL_STACK = "orderline-dev"
_REFUSALS = ("ConditionalCheckFailedException", "TransactionCanceledException")


class TableError(Exception):
    """The operation failed; the message gives the reason and a fix."""


class Connection(NamedTuple):
    """A stack, and a client that reaches its tables."""

    stack: str
    dynamodb: Any
    is_local: bool
    """True: the stack that `make run` runs on this machine."""


def connect(stack: str | None, stage: str | None) -> Connection:
    """Connect to a deployed stack, or without a name or stage to the local stack.

    A deployed stack is in the account that AWS's variables or profile select. Raises TableError if
    there is no local stack, or if AWS's settings name no region.
    """
    if stack or stage:
        return Connection(stack or f"orderline-{stage}", _client_of_deployed(), False)
    path = ROOT / os.environ.get("LOCAL", ".local") / "env"
    if not path.exists():
        raise TableError(
            "there is no local stack: start it with `make run`, or select a deployed one with"
            " --stage or --stack"
        )
    local = _exported(path)
    client = aws.client(
        "dynamodb",
        endpoint_url=local["AWS_ENDPOINT_URL"],
        region_name=local["AWS_REGION"],
        aws_access_key_id=local["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=local["AWS_SECRET_ACCESS_KEY"],
    )
    return Connection(local.get("STACK", _LOCAL_STACK), client, True)


@contextmanager
def translated(table: str, refusal: str) -> Iterator[None]:
    """Raise TableError for AWS's errors; `refusal` is its message if a condition does not hold."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in _REFUSALS:
            raise TableError(refusal) from error
        if code == "ResourceNotFoundException":
            raise TableError(
                f"there is no table {table}: is the stack deployed, and are these its account and"
                " region?"
            ) from error
        raise TableError(str(error)) from error
    except BotoCoreError as error:
        raise TableError(
            f"AWS can't be reached: {error}; locally: is `make run` running?"
        ) from error


def _client_of_deployed() -> Any:
    """Create a client for a deployed stack. Raises TableError without a region or valid profile."""
    try:
        return aws.client("dynamodb")
    except BotoCoreError as error:  # no region, or an unknown profile
        raise TableError(f"{error} Set AWS_REGION=eu-central-1, or AWS_PROFILE=...") from error


def _exported(path: Path) -> dict[str, str]:
    """Return the variables in .local/env, whose lines are `export NAME='value'`."""
    pairs = (line.removeprefix("export ").partition("=") for line in path.read_text().splitlines())
    return {name: value.strip("'") for name, _, value in pairs}
