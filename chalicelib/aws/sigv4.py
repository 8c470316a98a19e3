"""A small AWS client that signs requests and reads responses itself, to save CPU and start fast.

It has only what our few calls need: JSON over one persistent connection per thread, Signature
Version 4, and botocore's timeouts and standard retries. AWS_TRANSPORT=botocore selects botocore
instead; the test suite runs with both. docs/performance.md has the measurements.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from time import gmtime  # bound here: a task may leave time.gmtime patched
from typing import Any
from urllib.parse import quote, urlsplit

from msgspec import json

from chalicelib.aws.connection import Connection, InvalidResponse
from chalicelib.endpoints import Aws
from chalicelib.errors import CallFailed, CallRefused

ATTEMPTS = 3
_TARGETS = {"dynamodb": "DynamoDB_20120810", "sqs": "AmazonSQS", "ssm": "AmazonSSM"}
_JSON = {"ssm": "application/x-amz-json-1.1"}  # of the others: 1.0
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
_RETRYABLE_CODES = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "SlowDown",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "RequestTimeout",
    "RequestTimeoutException",
}


class Client:
    """A client with botocore's interface: `client.put_item(TableName=...)` calls PutItem.

    Calls raise CallRefused if AWS answers with an error, CallFailed if no valid response arrives.
    """

    def __init__(self, service: str, aws: Aws) -> None:
        self.url = aws.endpoint(service) or f"https://{service}.{aws.region}.{aws.dns_suffix}"
        self.service = service
        self._aws = aws
        self._host = urlsplit(self.url).netloc
        self._of_thread = threading.local()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        call = functools.partial(self._call, name.title().replace("_", ""))
        setattr(self, name, call)  # found without this function from now on
        return call

    def _call(self, operation: str, /, **members: Any) -> Any:
        body = json.encode(members)
        error = Exception()
        pause = False
        for attempt in range(ATTEMPTS):
            if pause:
                time.sleep(random.uniform(0, 2 ** (attempt - 1)))
            reused = self._connection().sock is not None
            pause = True
            try:
                return self._send(operation, body)
            except CallRefused as refusal:
                if not refusal.again:
                    raise
                error = refusal
            except (OSError, InvalidResponse) as failure:
                error = CallFailed(type(failure).__name__)
                # If AWS closed an idle connection, that is no sign of load: retry at once
                pause = isinstance(failure, TimeoutError) or not reused
        raise error

    def _send(self, operation: str, body: bytes) -> Any:
        target = f"{_TARGETS[self.service]}.{operation}"
        headers = signed(self._aws, self.service, self._host, target, body, gmtime())
        if trace := _trace(self._aws):
            headers["x-amzn-trace-id"] = trace
        status, text = self._exchange(headers, body)
        if status != 200:
            raise _refusal(status, text)
        try:
            return json.decode(text or b"{}")
        except (ValueError, RecursionError) as error:
            raise InvalidResponse("not valid JSON") from error

    def _exchange(self, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        return self._connection().exchange(_encode_request(headers, body))

    def _connection(self) -> Connection:
        """Return this thread's connection."""
        connection: Connection | None = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = self._of_thread.connection = Connection(self.url)
        return connection


def signed(
    aws: Aws, service: str, host: str, target: str, body: bytes, now: time.struct_time
) -> dict[str, str]:
    """Return the headers of a POST to `/`, including Authorization.

    Args:
        aws: region and credentials
        service: `dynamodb`, `sqs` or `ssm`
        host: the endpoint's host, with its port if it has one
        target: value of X-Amz-Target, such as AmazonSQS.SendMessage
        body: the request's body
        now: the current time in UTC
    """
    timestamp = time.strftime("%Y%m%dT%H%M%SZ", now)
    day = timestamp[:8]
    content_type = _JSON.get(service, "application/x-amz-json-1.0")
    headers = {"content-type": content_type, "host": host, "x-amz-date": timestamp}
    if aws.session_token:
        headers["x-amz-security-token"] = aws.session_token
    headers["x-amz-target"] = target
    lines = "".join([f"{name}:{value}\n" for name, value in headers.items()])
    names = ";".join(headers)
    request = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    request_hash = hashlib.sha256(request.encode()).hexdigest()
    scope = f"{day}/{aws.region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{request_hash}"
    signature = _signer(aws.secret, day, aws.region, service).copy()
    signature.update(text.encode())
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={aws.key_id}/{scope},"
        f" SignedHeaders={names}, Signature={signature.hexdigest()}"
    )
    return headers


def _trace(aws: Aws) -> str | None:
    """Return the header that links this call to its invocation; None outside Lambda.

    It is not signed, as in botocore. X-Ray joins traces and Lambda detects endless loops by it:
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
    """
    trace = os.environ.get("_X_AMZN_TRACE_ID") if aws.in_lambda else None
    return _quoted(trace) if trace else None


@functools.lru_cache(maxsize=1)
def _quoted(trace: str) -> str:
    return quote(trace, safe="-=;:+&[]{}\"',")


@functools.lru_cache(maxsize=4)
def signing_key(secret: str, *scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (*scope, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


@functools.lru_cache(maxsize=4)
def _signer(secret: str, *scope: str) -> hmac.HMAC:
    """Return an HMAC to copy, which is quicker than a new one for each call."""
    return hmac.new(signing_key(secret, *scope), digestmod="sha256")


def _encode_request(headers: Mapping[str, str], body: bytes) -> bytes:
    """Return the whole request as one piece, so that it is sent in one packet."""
    head = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    return f"POST / HTTP/1.1\r\n{head}content-length: {len(body)}\r\n\r\n".encode("ascii") + body


def _refusal(status: int, text: bytes) -> CallRefused:
    try:
        error = json.decode(text)
        code = str(error["__type"]).rpartition("#")[2]
    except (ValueError, KeyError, TypeError, RecursionError):
        error = {}
        code = str(status)
    return CallRefused(code, error.get("Item"), again=status >= 500 or code in _RETRYABLE_CODES)
