"""Calls to S3 that are signed here, and URLs that stand for a signed request.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from email.utils import parsedate_to_datetime
from http.client import (
    HTTPConnection,
    HTTPException,
    HTTPMessage,
    HTTPResponse,
    HTTPSConnection,
)
from pathlib import Path
from time import gmtime, monotonic  # bound here: a task may leave them patched
from typing import IO, Protocol
from urllib.parse import quote, urlsplit

from msgspec import Struct

from chalicelib.aws.connection import CONNECT_TIMEOUT_S, ssl_context
from chalicelib.aws.sigv4 import ATTEMPTS, signing_key
from chalicelib.endpoints import Aws
from chalicelib.errors import CallFailed, CallRefused

READ_TIMEOUT_S = {"HEAD": 5, "GET": 10, "PUT": 10}  # without a byte; a client waits for HEAD
_RETRY_WITHIN_S = 6
MISSING = ("404", "403", "NoSuchKey", "AccessDenied")  # 403: without the right to list, AWS says so
CHUNK = 2**20
_UNSAFE = "-_.~"  # what AWS leaves unquoted, besides letters and digits


class Stored(Struct, frozen=True):
    """An object in the bucket."""

    size: int
    """Size in bytes."""
    type: str
    """Media type."""
    modified_at: int
    """Time of the last upload, in microseconds since 1970."""


class Bucket(Protocol):
    """A bucket of S3. Calls raise CallRefused and CallFailed."""

    def head(self, key: str) -> Stored | None:
        """Return what is stored under a key; None if there is nothing."""

    def download(self, key: str) -> Iterator[bytes]:
        """Yield the bytes of an object in pieces."""

    def upload(self, key: str, content: bytes | Path, sha256: str, type: str) -> None:
        """Store an object, if its bytes have this SHA-256 (in hexadecimal)."""

    def renew(self, key: str, type: str) -> None:
        """Let an object's age begin again."""


def object_url(aws: Aws, bucket: str, key: str) -> str:
    """Return the URL of an object: the bucket is in the path of an endpoint of our own."""
    path = quote(key, safe="/" + _UNSAFE)
    if endpoint := aws.endpoint("s3"):
        return f"{endpoint.rstrip('/')}/{bucket}/{path}"
    return f"https://{bucket}.s3.{aws.region}.{aws.dns_suffix}/{path}"


def presigned_url(
    aws: Aws,
    method: str,
    url: str,
    valid_s: int,
    headers: Mapping[str, str],
    query: Mapping[str, str],
    now: time.struct_time,
) -> str:
    """Return a URL that stands for a signed request.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html

    Args:
        aws: region and credentials; if they are temporary, the URL ends with them
        method: PUT or GET
        url: the object's URL
        valid_s: how long it is valid, in seconds
        headers: what the request must send, by names in lower case
        query: further parameters, such as response-content-type
        now: the current time in UTC
    """
    signed = {**headers, "host": urlsplit(url).netloc}
    timestamp = time.strftime("%Y%m%dT%H%M%SZ", now)
    parameters = {
        **query,
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{aws.key_id}/{_scope(aws, timestamp)}",
        "X-Amz-Date": timestamp,
        "X-Amz-Expires": str(valid_s),
        "X-Amz-SignedHeaders": ";".join(sorted(signed)),
    }
    if aws.session_token:
        parameters["X-Amz-Security-Token"] = aws.session_token
    text = _query(parameters)
    payload = "UNSIGNED-PAYLOAD"
    signature = _signature(aws, method, urlsplit(url).path, text, signed, payload, timestamp)
    return f"{url}?{text}&X-Amz-Signature={signature}"


def _query(parameters: Mapping[str, str]) -> str:
    """Return a query as AWS signs it: sorted, and quoted more than browsers do."""
    return "&".join(
        f"{quote(name, safe=_UNSAFE)}={quote(value, safe=_UNSAFE)}"
        for name, value in sorted(parameters.items())
    )


class SignedBucket:
    """A bucket whose calls are signed here, to save the import of botocore."""

    def __init__(self, aws: Aws, name: str) -> None:
        self._aws = aws
        self._name = name

    def head(self, key: str) -> Stored | None:
        """Return what is stored under a key; None if there is nothing."""
        try:
            with closing(self._call("HEAD", key)) as response:
                return _stored(response.headers)
        except CallRefused as refusal:
            if refusal.code in MISSING:
                return None
            raise
        except (TypeError, ValueError) as error:
            raise CallFailed("malformed response") from error

    def download(self, key: str) -> Iterator[bytes]:
        """Yield the bytes of an object in pieces."""
        with closing(self._call("GET", key)) as response:
            try:
                while piece := response.read(CHUNK):
                    yield piece
            except (OSError, HTTPException) as error:
                raise CallFailed(type(error).__name__) from error

    def upload(self, key: str, content: bytes | Path, sha256: str, type: str) -> None:
        """Store an object, if its bytes have this SHA-256 (in hexadecimal)."""
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        headers = {
            "content-length": str(size),
            "content-type": type,
            "x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(sha256)).decode(),
        }
        self._call("PUT", key, headers, content, sha256).close()

    def renew(self, key: str, type: str) -> None:
        """Let an object's age begin again, by a copy onto itself; no bytes are transferred."""
        headers = {
            "content-type": type,
            "x-amz-copy-source": quote(f"/{self._name}/{key}", safe="/" + _UNSAFE),
            "x-amz-metadata-directive": "REPLACE",
        }
        with closing(self._call("PUT", key, headers)) as response:
            if b"<Error>" in response.read(CHUNK):  # a copy may fail after its status was sent
                raise CallFailed("the copy failed")

    def _call(
        self,
        method: str,
        key: str,
        headers: Mapping[str, str] | None = None,
        content: bytes | Path = b"",
        sha256: str = hashlib.sha256().hexdigest(),
    ) -> HTTPResponse:
        """Return a response of status 200, whose body is still to be read."""
        error: CallRefused | CallFailed = CallFailed("no attempt")
        started = monotonic()
        for attempt in range(ATTEMPTS):
            if attempt and monotonic() - started > _RETRY_WITHIN_S:
                break  # the HTTP function has 29 s for all its calls
            if attempt:
                time.sleep(random.uniform(0, 2 ** (attempt - 1)))
            try:
                response = self._send(method, key, headers or {}, content, sha256)
            except (OSError, HTTPException) as failure:
                error = CallFailed(type(failure).__name__)
                continue
            if response.status == 200:
                return response
            response.close()
            error = CallRefused(str(response.status), again=response.status >= 500)
            if not error.again:
                break
        raise error

    def _send(
        self, method: str, key: str, headers: Mapping[str, str], content: bytes | Path, sha256: str
    ) -> HTTPResponse:
        url = object_url(self._aws, self._name, key)
        signed = _signed_headers(self._aws, method, url, headers, sha256, gmtime())
        if isinstance(content, Path):
            with content.open("rb") as stream:
                return self._exchange(method, url, signed, stream)
        return self._exchange(method, url, signed, content)

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | IO[bytes]
    ) -> HTTPResponse:
        """Send a request on a connection of its own; closing the response closes it."""
        scheme, netloc, path = urlsplit(url)[:3]
        connection = (
            HTTPConnection(netloc, timeout=CONNECT_TIMEOUT_S)
            if scheme == "http"
            else HTTPSConnection(netloc, timeout=CONNECT_TIMEOUT_S, context=ssl_context())
        )
        try:
            connection.connect()
            sock = connection.sock
            sock.settimeout(READ_TIMEOUT_S[method])
            connection.request(method, path, body or None, {**headers, "connection": "close"})
            response = connection.getresponse()
            sock.close()  # takes effect when the response is closed
            return response
        except BaseException:
            connection.close()
            raise


def _stored(headers: HTTPMessage) -> Stored:
    """Return what an answer to HEAD says. Raises TypeError or ValueError if it is malformed."""
    modified_at = parsedate_to_datetime(headers.get("Last-Modified", "")).timestamp()
    return Stored(
        size=int(headers.get("Content-Length", "")),
        type=headers.get("Content-Type", ""),
        modified_at=int(modified_at * 1_000_000),
    )


def _signed_headers(
    aws: Aws, method: str, url: str, headers: Mapping[str, str], sha256: str, now: time.struct_time
) -> dict[str, str]:
    timestamp = time.strftime("%Y%m%dT%H%M%SZ", now)
    signed = {
        **headers,
        "host": urlsplit(url).netloc,
        "x-amz-content-sha256": sha256,
        "x-amz-date": timestamp,
    }
    if aws.session_token:
        signed["x-amz-security-token"] = aws.session_token
    signature = _signature(aws, method, urlsplit(url).path, "", signed, sha256, timestamp)
    return {
        **signed,
        "authorization": (
            f"AWS4-HMAC-SHA256 Credential={aws.key_id}/{_scope(aws, timestamp)},"
            f" SignedHeaders={';'.join(sorted(signed))}, Signature={signature}"
        ),
    }


def _signature(
    aws: Aws,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    payload: str,
    timestamp: str,
) -> str:
    """Return the signature of a request, in hexadecimal."""
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = f"{method}\n{path}\n{query}\n{lines}\n{';'.join(sorted(headers))}\n{payload}"
    request_hash = hashlib.sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{timestamp}\n{_scope(aws, timestamp)}\n{request_hash}"
    key = signing_key(aws.secret, timestamp[:8], aws.region, "s3")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def _scope(aws: Aws, timestamp: str) -> str:
    return f"{timestamp[:8]}/{aws.region}/s3/aws4_request"
