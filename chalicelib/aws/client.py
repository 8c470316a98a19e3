"""Make AWS clients, lazily, and translate AWS's errors into ours. No other module makes a client."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chalicelib import config
from chalicelib.aws import sigv4
from chalicelib.errors import CallFailed, CallRefused, NoCloud, Unavailable


def client(service: str) -> Any:
    """Return the client of `dynamodb` or `sqs`: one for each environment that it can be made from.

    Signed here in Lambda, botocore's elsewhere, unless AWS_TRANSPORT says otherwise; both raise the same errors. Raises
    NoCloud where none is configured: see config.Aws.missing. That is checked for each call, so that a call made after
    a mocked test reaches nothing.
    """
    aws = config.aws()
    if missing := aws.missing(service):
        raise NoCloud(missing)
    return _client(service, aws)


@functools.lru_cache(maxsize=16)
def _client(service: str, aws: config.Aws) -> Any:
    if aws.sigv4:
        return sigv4.Client(service, aws)
    from chalicelib.aws import boto  # noqa: PLC0415  half a cold start, where nobody may need it

    return boto.Client(service, aws)


@contextmanager
def translated() -> Iterator[None]:
    """What AWS can't do now becomes Unavailable. A refused condition and everything else passes as it is."""
    try:
        yield
    except CallRefused as refusal:
        if refusal.code == "ConditionalCheckFailedException":
            raise
        raise Unavailable(
            f"AWS answered {refusal.code}: {_MENDS.get(refusal.code, 'try again')}"
        ) from refusal
    except CallFailed as error:
        local = bool(config.aws().endpoint("dynamodb"))
        mend = "is the local cloud running? `make run`" if local else "try again"
        raise Unavailable(f"AWS can't be reached ({error}): {mend}") from error


_MENDS = {
    "ResourceNotFoundException": "the table isn't there; is the stack deployed? locally: `make run`",
    "AWS.SimpleQueueService.NonExistentQueue": "the queue isn't there; is the stack deployed? locally: `make run`",
    "QueueDoesNotExist": "the queue isn't there; is the stack deployed? locally: `make run`",
}
