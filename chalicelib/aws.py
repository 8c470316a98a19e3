"""The only place that makes AWS clients: lazily, once each, tuned; and where AWS's errors become ours."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from chalicelib import config
from chalicelib.errors import NoCloud, Unavailable

_TUNED = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 3},
    parameter_validation=False,  # 5 % of a call's CPU; our calls are fixed shapes, tested against moto
    max_pool_connections=16,
    tcp_keepalive=True,
)


@functools.lru_cache(maxsize=1)
def _session() -> botocore.session.Session:
    return botocore.session.Session()


@functools.lru_cache(maxsize=4)
def client(service: str) -> Any:
    """The client of `dynamodb` or `sqs`. Raises NoCloud where none is configured: see config.cloud.

    Botocore's rather than boto3's: the same calls, and 15 % less of a cold start. The session is shared, since it
    holds the loaded service models.
    """
    missing = config.cloud(config.ENVIRON)
    if missing:
        raise NoCloud(missing)
    return _session().create_client(service, region_name=config.region(config.ENVIRON), config=_TUNED)


@contextmanager
def translated() -> Iterator[None]:
    """What AWS can't do now becomes Unavailable. A refused condition and everything else passes as it is."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ConditionalCheckFailedException":
            raise
        raise Unavailable(f"AWS answered {code}: {_MENDS.get(code, 'try again')}") from error
    except (BotoCoreError, HTTPClientError) as error:
        local = bool(config.ENVIRON.get("AWS_ENDPOINT_URL"))
        mend = "is the local cloud running? `make run`" if local else "try again"
        raise Unavailable(f"AWS can't be reached ({type(error).__name__}): {mend}") from error


_MENDS = {
    "ResourceNotFoundException": "the table isn't there; is the stack deployed? locally: `make run`",
    "AWS.SimpleQueueService.NonExistentQueue": "the queue isn't there; is the stack deployed? locally: `make run`",
    "QueueDoesNotExist": "the queue isn't there; is the stack deployed? locally: `make run`",
}
