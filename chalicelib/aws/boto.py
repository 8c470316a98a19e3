"""Calls to AWS through botocore: for moto, and in Lambda with AWS_TRANSPORT=botocore."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from chalicelib.aws.s3 import CHUNK, MISSING, Stored
from chalicelib.endpoints import Aws
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


class Bucket:
    """A bucket of S3, as in aws/s3.py."""

    def __init__(self, aws: Aws, name: str) -> None:
        self._client = Client("s3", aws)
        self._name = name

    def head(self, key: str) -> Stored | None:
        """Return what is stored under a key; None if there is nothing."""
        try:
            response = self._client.head_object(Bucket=self._name, Key=key)
        except CallRefused as refusal:
            if refusal.code in MISSING:
                return None
            raise
        return Stored(
            response["ContentLength"],
            response["ContentType"],
            int(response["LastModified"].timestamp() * 1_000_000),
        )

    def download(self, key: str) -> Iterator[bytes]:
        """Yield the bytes of an object in pieces."""
        body = self._client.get_object(Bucket=self._name, Key=key)["Body"]
        try:
            yield from body.iter_chunks(CHUNK)
        except (BotoCoreError, HTTPClientError) as error:
            raise CallFailed(type(error).__name__) from error

    def upload(self, key: str, content: bytes | Path, sha256: str, type: str) -> None:
        """Store an object, if its bytes have this SHA-256 (in hexadecimal)."""
        members = {
            "Bucket": self._name,
            "Key": key,
            "ContentType": type,
            "ChecksumSHA256": base64.b64encode(bytes.fromhex(sha256)).decode(),
        }
        if isinstance(content, bytes):
            self._client.put_object(Body=content, **members)
            return
        with content.open("rb") as stream:
            self._client.put_object(Body=stream, **members)

    def renew(self, key: str, type: str) -> None:
        """Let an object's age begin again, by a copy onto itself."""
        self._client.copy_object(
            Bucket=self._name,
            Key=key,
            CopySource={"Bucket": self._name, "Key": key},
            MetadataDirective="REPLACE",
            ContentType=type,
        )
