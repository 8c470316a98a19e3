"""Let moto answer the calls to AWS that the app signs itself.

moto sees botocore's requests only; `installed` hands it the app's own ones in the same form.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any
from unittest.mock import patch

from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from botocore.exceptions import HTTPClientError
from moto.core.models import botocore_stubber

from chalicelib.aws import s3, sigv4


@contextmanager
def installed() -> Iterator[None]:
    """Hand the app's own calls to moto."""
    with (
        patch.object(sigv4.Client, "_exchange", _moto),
        patch.object(s3.SignedBucket, "_exchange", _moto_object),
    ):
        yield


class _ObjectResponse(io.BytesIO):
    """A response of S3, as http.client returns it."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(body)
        self.status = status
        self.headers = HTTPHeaders.from_pairs(headers.items())


def _moto_object(
    bucket: s3.SignedBucket,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | IO[bytes],
) -> _ObjectResponse:
    """Let moto answer a call to the bucket that the app signed."""
    content = body if isinstance(body, bytes) else body.read()
    request = AWSPreparedRequest(
        method, url, HTTPHeaders.from_pairs(headers.items()), content, False
    )
    try:
        answer: Any = botocore_stubber("before-send", request)
    except HTTPClientError as error:
        raise TimeoutError from error
    return _ObjectResponse(answer.status_code, dict(answer.headers), answer.content)


def _moto(client: sigv4.Client, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    """Let moto answer a call that the app signed, with the wire's faults as for botocore's."""
    request = AWSPreparedRequest(
        "POST", f"{client.url}/", HTTPHeaders.from_pairs(headers.items()), body, False
    )
    try:
        answer: Any = botocore_stubber("before-send", request)
    except HTTPClientError as error:
        raise TimeoutError from error
    return answer.status_code, answer.content
