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
import json
import os
import random
import select
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.client import (
    BadStatusLine,
    HTTPConnection,
    HTTPException,
    HTTPSConnection,
    IncompleteRead,
    LineTooLong,
)
from time import gmtime  # bound here: a task may leave time.gmtime patched
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

from chalicelib.endpoints import Aws
from chalicelib.errors import CallFailed, CallRefused

CONNECT_TIMEOUT_S = 2
READ_TIMEOUT_S = 5
ATTEMPTS = 3
_MAX_LINE = 65_536  # bytes
_MAX_LINES = 200
_MAX_BODY = 32 * 2**20  # bytes; our largest response is BatchGetItem's, of at most 16 MB
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
        self._of_thread = threading.local()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return functools.partial(self._call, name.title().replace("_", ""))

    def _call(self, operation: str, /, **members: Any) -> Any:
        body = json.dumps(members).encode()
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
            except (OSError, HTTPException) as failure:
                error = CallFailed(type(failure).__name__)
                # If AWS closed an idle connection, that is no sign of load: retry at once
                pause = isinstance(failure, TimeoutError) or not reused
        raise error

    def _send(self, operation: str, body: bytes) -> Any:
        target = f"{_TARGETS[self.service]}.{operation}"
        headers = signed(self._aws, self.service, urlsplit(self.url).netloc, target, body, gmtime())
        status, text = self._exchange({**headers, **_trace_header(self._aws)}, body)
        if status != 200:
            raise _refusal(status, text)
        try:
            return json.loads(text or b"{}")
        except (ValueError, RecursionError) as error:
            raise HTTPException("not valid JSON") from error

    def _exchange(self, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Send a request; return the status and body of the response.

        Any exception, such as a task's time limit, closes the connection, which may hold half a
        response.
        """
        connection = self._connection()
        try:
            self._ensure_connected(connection)
            connection.sock.sendall(_encode_request(headers, body))
            with connection.sock.makefile("rb") as stream:
                status, text, persistent = _read_response(stream)
            if not persistent:
                connection.close()
            return status, text
        except BaseException:
            connection.close()
            raise

    def _connection(self) -> HTTPConnection:
        """Return this thread's connection."""
        connection: HTTPConnection | None = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = self._new_connection()
            self._of_thread.connection = connection
        return connection

    def _ensure_connected(self, connection: HTTPConnection) -> None:
        """Connect, also if AWS has closed the connection while it was idle."""
        if connection.sock and select.select([connection.sock], [], [], 0)[0]:
            connection.close()
        if not connection.sock:
            connection.connect()
            connection.sock.settimeout(READ_TIMEOUT_S)

    def _new_connection(self) -> HTTPConnection:
        scheme, netloc = urlsplit(self.url)[:2]
        if scheme == "http":
            return HTTPConnection(netloc, timeout=CONNECT_TIMEOUT_S)
        return HTTPSConnection(netloc, timeout=CONNECT_TIMEOUT_S, context=ssl_context())


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
    day = time.strftime("%Y%m%d", now)
    timestamp = time.strftime("%Y%m%dT%H%M%SZ", now)
    content_type = _JSON.get(service, "application/x-amz-json-1.0")
    headers = {"content-type": content_type, "host": host, "x-amz-date": timestamp}
    if aws.session_token:
        headers["x-amz-security-token"] = aws.session_token
    headers["x-amz-target"] = target
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    names = ";".join(headers)
    request = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    request_hash = hashlib.sha256(request.encode()).hexdigest()
    scope = f"{day}/{aws.region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{request_hash}"
    key = signing_key(aws.secret, day, aws.region, service)
    signature = hmac.new(key, text.encode(), "sha256")
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={aws.key_id}/{scope},"
        f" SignedHeaders={names}, Signature={signature.hexdigest()}"
    )
    return headers


def _trace_header(aws: Aws) -> dict[str, str]:
    """Return the header that links this call to its invocation; empty outside Lambda.

    It is not signed, as in botocore. X-Ray joins traces and Lambda detects endless loops by it:
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
    """
    trace = os.environ.get("_X_AMZN_TRACE_ID") if aws.in_lambda else None
    return {"x-amzn-trace-id": quote(trace, safe="-=;:+&[]{}\"',")} if trace else {}


@functools.lru_cache(maxsize=4)
def signing_key(secret: str, *scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (*scope, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


@functools.lru_cache(maxsize=1)
def ssl_context() -> ssl.SSLContext:
    """Return a context that trusts the system's authorities; cached, since loading is slow."""
    return ssl.create_default_context()


def _encode_request(headers: Mapping[str, str], body: bytes) -> bytes:
    """Return the whole request as one piece, so that it is sent in one packet."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST / HTTP/1.1\r\n{head}content-length: {len(body)}\r\n\r\n".encode("ascii") + body


def _read_response(stream: BinaryIO) -> tuple[int, bytes, bool]:
    """Return status, body, and True if the connection persists.

    http.client is slower: it parses each head as an e-mail message. Raises HTTPException if the
    response is malformed: https://www.rfc-editor.org/rfc/rfc9112
    """
    try:
        status = int(_read_line(stream).split()[1])
        headers = {}
        for line in _read_headers(stream):
            name, _, value = line.lower().partition(b":")
            headers[name] = value.strip()
        if headers.get(b"transfer-encoding") == b"chunked":
            body = _read_chunks(stream)
        else:
            body = _read_exactly(stream, int(headers[b"content-length"]))
    except (ValueError, LookupError) as error:
        raise BadStatusLine("malformed response") from error
    return status, body, headers.get(b"connection") != b"close"


def _read_chunks(stream: BinaryIO) -> bytes:
    body = bytearray()
    while size := int(_read_line(stream).partition(b";")[0], 16):
        body += _read_exactly(stream, size, _MAX_BODY - len(body))
        _read_line(stream)
    for _ in _read_headers(stream):  # trailers
        pass
    return bytes(body)


def _read_headers(stream: BinaryIO) -> Iterator[bytes]:
    """Yield header lines up to the empty one."""
    for _ in range(_MAX_LINES):
        line = _read_line(stream)
        if not line:
            return
        yield line
    raise LineTooLong("headers")


def _read_line(stream: BinaryIO) -> bytes:
    line = stream.readline(_MAX_LINE)
    if not line.endswith(b"\n"):
        raise IncompleteRead(line)
    return line.rstrip(b"\r\n")


def _read_exactly(stream: BinaryIO, size: int, max_size: int = _MAX_BODY) -> bytes:
    if not 0 <= size <= max_size:
        raise BadStatusLine(f"a body of {size} bytes")
    body = stream.read(size)
    if len(body) < size:
        raise IncompleteRead(body, size - len(body))
    return body


def _refusal(status: int, text: bytes) -> CallRefused:
    try:
        error = json.loads(text)
        code = str(error["__type"]).rpartition("#")[2]
    except (ValueError, KeyError, TypeError, RecursionError):
        error = {}
        code = str(status)
    return CallRefused(code, error.get("Item"), again=status >= 500 or code in _RETRYABLE_CODES)
