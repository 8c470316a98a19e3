"""The only place that makes AWS clients: lazily, once each; and where AWS's errors become ours."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chalicelib import config, direct
from chalicelib.errors import CallFailed, CallRefused, NoCloud, Unavailable


@functools.lru_cache(maxsize=4)
def client(service: str) -> Any:
    """The client of `dynamodb` or `sqs`. Raises NoCloud where none is configured: see config.cloud.

    Signed here in Lambda, botocore's elsewhere, unless AWS_CALLS says otherwise; both raise the same.
    """
    missing = config.cloud(config.ENVIRON)
    if missing:
        raise NoCloud(missing)
    region = config.region(config.ENVIRON)
    if config.signs_itself(config.SETTINGS, config.ENVIRON):
        return direct.Client(service, region, config.ENVIRON)
    from chalicelib import sdk  # noqa: PLC0415  half a cold start, where nobody may need it

    return sdk.Client(service, region)


@contextmanager
def translated() -> Iterator[None]:
    """What AWS can't do now becomes Unavailable. A refused condition and everything else passes as it is."""
    try:
        yield
    except CallRefused as refusal:
        if refusal.code == "ConditionalCheckFailedException":
            raise
        raise Unavailable(f"AWS answered {refusal.code}: {_MENDS.get(refusal.code, 'try again')}") from refusal
    except CallFailed as error:
        local = bool(config.ENVIRON.get("AWS_ENDPOINT_URL"))
        mend = "is the local cloud running? `make run`" if local else "try again"
        raise Unavailable(f"AWS can't be reached ({error}): {mend}") from error


_MENDS = {
    "ResourceNotFoundException": "the table isn't there; is the stack deployed? locally: `make run`",
    "AWS.SimpleQueueService.NonExistentQueue": "the queue isn't there; is the stack deployed? locally: `make run`",
    "QueueDoesNotExist": "the queue isn't there; is the stack deployed? locally: `make run`",
}
