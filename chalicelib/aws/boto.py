"""Calls to AWS through botocore: for moto, and in Lambda with AWS_TRANSPORT=botocore."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from chalicelib.config import Aws
from chalicelib.errors import CallFailed, CallRefused

_TUNED = Config(
    connect_timeout=2,
    read_timeout=5,
    retries={"mode": "standard", "total_max_attempts": 3},
    parameter_validation=False,  # saves CPU; our calls have fixed shapes, tested against moto
    max_pool_connections=16,
    tcp_keepalive=True,
)


@functools.lru_cache(maxsize=1)
def session() -> botocore.session.Session:
    """Return the session, which caches service models; botocore's loads faster than boto3's."""
    return botocore.session.Session()


class Client:
    """A botocore client that raises CallRefused and CallFailed."""

    def __init__(self, service: str, aws: Aws) -> None:
        self._client = session().create_client(
            service,
            region_name=aws.region,
            endpoint_url=aws.endpoint(service) or None,
            aws_access_key_id=aws.key_id or None,
            aws_secret_access_key=aws.secret or None,
            aws_session_token=aws.session_token or None,
            config=_TUNED,
        )

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = getattr(self._client, name)

        def call(**members: Any) -> Any:
            try:
                return operation(**members)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                raise CallRefused(code, error.response.get("Item")) from error
            except (BotoCoreError, HTTPClientError) as error:
                raise CallFailed(type(error).__name__) from error

        return call
