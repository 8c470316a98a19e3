"""Make AWS clients on demand and translate AWS's errors. No other module makes a client."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, overload

from chalicelib import config, endpoints
from chalicelib.aws import sigv4
from chalicelib.errors import CallFailed, CallRefused, NoCloud, Unavailable

if TYPE_CHECKING:
    from chalicelib.aws.boto import Client as BotoClient
    from chalicelib.aws.calls import SQS, SSM, DynamoDB
    from chalicelib.aws.s3 import Bucket


@overload
def client(service: Literal["dynamodb"]) -> DynamoDB: ...
@overload
def client(service: Literal["sqs"]) -> SQS: ...
@overload
def client(service: Literal["ssm"]) -> SSM: ...


def client(service: str) -> sigv4.Client | BotoClient:
    """Return the client of `dynamodb`, `sqs` or `ssm`, one per environment.

    It signs calls itself in Lambda and uses botocore elsewhere, unless AWS_TRANSPORT is set; both
    raise the same errors.

    Raises NoCloud if no AWS is configured, see endpoints.Aws.missing. Every call of this function
    checks that, so that code which outlives a mocked test reaches no AWS.
    """
    aws = config.aws()
    if missing := aws.missing(service):
        raise NoCloud(missing)
    return _client(service, aws)


@functools.lru_cache(maxsize=16)
def _client(service: str, aws: endpoints.Aws) -> sigv4.Client | BotoClient:
    if aws.sigv4:
        return sigv4.Client(service, aws)
    from chalicelib.aws import boto  # noqa: PLC0415  slow to import, and Lambda does not need it

    return boto.Client(service, aws)


def bucket() -> Bucket:
    """Return the bucket of the files, one object per environment; otherwise as `client`."""
    aws = config.aws()
    if missing := aws.missing("s3"):
        raise NoCloud(missing)
    return _bucket(config.settings().files_bucket, aws)


@functools.lru_cache(maxsize=16)
def _bucket(name: str, aws: endpoints.Aws) -> Bucket:
    # Few functions need either
    if aws.sigv4:
        from chalicelib.aws import s3  # noqa: PLC0415

        return s3.SignedBucket(aws, name)
    from chalicelib.aws import boto  # noqa: PLC0415

    return boto.Bucket(aws, name)


@contextmanager
def translated() -> Iterator[None]:
    """Raise Unavailable for AWS errors in the block, except for those that are answers."""
    try:
        yield
    except CallRefused as refusal:
        if refusal.code in ("ConditionalCheckFailedException", "ParameterNotFound"):
            raise
        hint = _HINTS.get(refusal.code, "try again")
        raise Unavailable(f"AWS answered {refusal.code}: {hint}") from refusal
    except CallFailed as error:
        local = bool(config.aws().endpoint("dynamodb"))
        hint = "is the local cloud running? `make run`" if local else "try again"
        raise Unavailable(f"AWS can't be reached ({error}): {hint}") from error


_NO_TABLE = "the table does not exist; is the stack deployed? locally: `make run`"
_NO_QUEUE = "the queue does not exist; is the stack deployed? locally: `make run`"
_NO_BUCKET = "the bucket does not exist; is the stack deployed? locally: `make run`"
_HINTS = {
    "AccessDeniedException": "the function's role lacks a right; see `rights` in orderline.yaml",
    "ResourceNotFoundException": _NO_TABLE,
    "AWS.SimpleQueueService.NonExistentQueue": _NO_QUEUE,
    "QueueDoesNotExist": _NO_QUEUE,
    "NoSuchBucket": _NO_BUCKET,
}
