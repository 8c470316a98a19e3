"""Calls to AWS signed and read here: a third of botocore's CPU for an order, and two fifths for a cold start.

Only what our few calls need: JSON over one kept connection for each thread, Signature Version 4, botocore's timeouts
and its standard retries. AWS_TRANSPORT=botocore takes botocore instead; the whole suite holds both to the same.
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

from chalicelib.config import Aws
from chalicelib.errors import CallFailed, CallRefused

CONNECT_TIMEOUT_S, READ_TIMEOUT_S, ATTEMPTS = 2, 5, 3
_MAX_LINE = 65_536
_MAX_LINES = 200
_MAX_BODY = 32 * 2**20  # BatchGetItem answers with 16 MB at most, the largest of our calls
_TARGETS = {"dynamodb": "DynamoDB_20120810", "sqs": "AmazonSQS"}
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
_AGAIN = {
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
    """Botocore's client as far as we use it: `client.put_item(TableName=...)` is the operation PutItem.

    Raises CallRefused for AWS's answer of an error, CallFailed where no answer came that can be read.
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
                return self._tried(operation, body)
            except CallRefused as refusal:
                if not refusal.again:
                    raise
                error = refusal
            except (OSError, HTTPException) as failure:
                error = CallFailed(type(failure).__name__)
                # A kept connection that AWS had closed says nothing about AWS's load: a new one is worth a try at once
                pause = isinstance(failure, TimeoutError) or not reused
        raise error

    def _tried(self, operation: str, body: bytes) -> Any:
        target = f"{_TARGETS[self.service]}.{operation}"
        headers = signed(self._aws, self.service, urlsplit(self.url).netloc, target, body, gmtime())
        status, text = self._exchange({**headers, **_trace(self._aws)}, body)
        if status != 200:
            raise _refused(status, text)
        try:
            return json.loads(text or b"{}")
        except (ValueError, RecursionError) as error:
            raise HTTPException("not valid JSON") from error

    def _exchange(self, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """One request and its answer. A connection that was left in the middle, by a time limit say, is closed."""
        connection = self._connection()
        try:
            self._ready(connection)
            connection.sock.sendall(_request(headers, body))
            with connection.sock.makefile("rb") as stream:
                status, text, kept = _answer(stream)
            if not kept:
                connection.close()
            return status, text
        except BaseException:
            connection.close()
            raise

    def _connection(self) -> HTTPConnection:
        """This thread's."""
        connection: HTTPConnection | None = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = self._of_thread.connection = self._new_connection()
        return connection

    def _ready(self, connection: HTTPConnection) -> None:
        """Connected; anew if AWS closed it while nobody used it."""
        if connection.sock and select.select([connection.sock], [], [], 0)[0]:
            connection.close()
        if not connection.sock:
            connection.connect()
            connection.sock.settimeout(READ_TIMEOUT_S)

    def _new_connection(self) -> HTTPConnection:
        scheme, place = urlsplit(self.url)[:2]
        if scheme == "http":
            return HTTPConnection(place, timeout=CONNECT_TIMEOUT_S)
        return HTTPSConnection(place, timeout=CONNECT_TIMEOUT_S, context=_trust())


def signed(
    aws: Aws, service: str, host: str, target: str, body: bytes, now: time.struct_time
) -> dict[str, str]:
    """Return the headers of a POST to `/`, Authorization among them."""
    day, moment = time.strftime("%Y%m%d", now), time.strftime("%Y%m%dT%H%M%SZ", now)
    headers = {"content-type": "application/x-amz-json-1.0", "host": host, "x-amz-date": moment}
    if aws.session_token:
        headers["x-amz-security-token"] = aws.session_token
    headers["x-amz-target"] = target
    lines, names = (
        "".join(f"{name}:{value}\n" for name, value in headers.items()),
        ";".join(headers),
    )
    request = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{day}/{aws.region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.new(_key(aws.secret, day, aws.region, service), text.encode(), "sha256")
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={aws.key_id}/{scope},"
        f" SignedHeaders={names}, Signature={signature.hexdigest()}"
    )
    return headers


def _trace(aws: Aws) -> dict[str, str]:
    """Return the header that links this call to its invocation, as botocore sends it: unsigned, and in Lambda only.

    Traces are joined by it, and Lambda's detection of endless loops counts by it:
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
    """
    trace = os.environ.get("_X_AMZN_TRACE_ID") if aws.in_lambda else None
    return {"x-amzn-trace-id": quote(trace, safe="-=;:+&[]{}\"',")} if trace else {}


@functools.lru_cache(maxsize=4)
def _key(secret: str, *scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (*scope, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


@functools.lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    """The machine's own certificate authorities; loaded once, it takes milliseconds."""
    return ssl.create_default_context()


def _request(headers: Mapping[str, str], body: bytes) -> bytes:
    """In one piece, so that it leaves in one packet."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST / HTTP/1.1\r\n{head}content-length: {len(body)}\r\n\r\n".encode("ascii") + body


def _answer(stream: BinaryIO) -> tuple[int, bytes, bool]:
    """Return status, body, and whether the connection is kept: https://www.rfc-editor.org/rfc/rfc9112

    http.client makes an e-mail message of each head, a sixth of an order's CPU. Raises HTTPException for a broken one.
    """
    try:
        status, headers = int(_line(stream).split()[1]), {}
        for line in _lines(stream):
            name, _, value = line.lower().partition(b":")
            headers[name] = value.strip()
        if headers.get(b"transfer-encoding") == b"chunked":
            body = _chunks(stream)
        else:
            body = _exactly(stream, int(headers[b"content-length"]))
    except (ValueError, LookupError) as error:
        raise BadStatusLine("no answer that can be read") from error
    return status, body, headers.get(b"connection") != b"close"


def _chunks(stream: BinaryIO) -> bytes:
    body = bytearray()
    while size := int(_line(stream).partition(b";")[0], 16):
        body += _exactly(stream, size, _MAX_BODY - len(body))
        _line(stream)
    for _ in _lines(stream):  # trailers
        pass
    return bytes(body)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield header lines up to the empty one."""
    for _ in range(_MAX_LINES):
        line = _line(stream)
        if not line:
            return
        yield line
    raise LineTooLong("headers")


def _line(stream: BinaryIO) -> bytes:
    line = stream.readline(_MAX_LINE)
    if not line.endswith(b"\n"):
        raise IncompleteRead(line)
    return line.rstrip(b"\r\n")


def _exactly(stream: BinaryIO, size: int, most: int = _MAX_BODY) -> bytes:
    if not 0 <= size <= most:
        raise BadStatusLine(f"a body of {size} bytes")
    body = stream.read(size)
    if len(body) < size:
        raise IncompleteRead(body, size - len(body))
    return body


def _refused(status: int, text: bytes) -> CallRefused:
    try:
        error = json.loads(text)
        code = str(error["__type"]).rpartition("#")[2]
    except (ValueError, KeyError, TypeError, RecursionError):
        error, code = {}, str(status)
    return CallRefused(code, error.get("Item"), again=status >= 500 or code in _AGAIN)
