"""Calls to AWS signed and read here: a third of botocore's CPU for an order, and two fifths for a cold start.

Only what our few calls need: JSON over one kept connection for each thread, Signature Version 4, botocore's timeouts
and its standard retries. AWS_CALLS=sdk takes botocore instead; the whole suite holds both to the same.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import random
import select
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.client import BadStatusLine, HTTPConnection, HTTPException, HTTPSConnection, IncompleteRead
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from chalicelib.errors import CallFailed, CallRefused

CONNECT_TIMEOUT_S, READ_TIMEOUT_S, ATTEMPTS = 2, 5, 3
_MAX_LINE = 65_536
_TARGETS = {"dynamodb": "DynamoDB_20120810", "sqs": "AmazonSQS"}
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
_AGAIN = {
    "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException",
    "TooManyRequestsException", "ProvisionedThroughputExceededException", "RequestLimitExceeded", "SlowDown",
    "LimitExceededException", "PriorRequestNotComplete", "RequestTimeout", "RequestTimeoutException",
}


class Client:
    """Botocore's client as far as we use it: `client.put_item(TableName=...)` is the operation PutItem.

    Raises CallRefused for AWS's answer of an error, CallFailed where none came.
    """

    def __init__(self, service: str, region: str, environ: Mapping[str, str]) -> None:
        domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        self.url = environ.get("AWS_ENDPOINT_URL") or f"https://{service}.{region}.{domain}"
        self.service, self.region, self._environ = service, region, environ
        self._of_thread = threading.local()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return functools.partial(self._call, name.title().replace("_", ""))

    def _call(self, operation: str, /, **members: Any) -> Any:
        body, fault = json.dumps(members).encode(), Exception()
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, 2 ** (attempt - 1)))
            try:
                return self._tried(operation, body)
            except CallRefused as refusal:
                if not refusal.again:
                    raise
                fault = refusal
            except (OSError, HTTPException) as failure:
                fault = CallFailed(type(failure).__name__)
        raise fault

    def _tried(self, operation: str, body: bytes) -> Any:
        headers = signed(self._environ, self.service, self.region, urlsplit(self.url).netloc,
                         f"{_TARGETS[self.service]}.{operation}", body, time.gmtime())
        status, text = self._exchange(headers, body)
        if status == 200:
            return json.loads(text or b"{}")
        raise _refused(status, text)

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


def signed(environ: Mapping[str, str], service: str, region: str, host: str, target: str, body: bytes,
           now: time.struct_time) -> dict[str, str]:
    """The headers of a POST to `/`, Authorization among them. The credentials are those of the environment."""
    day, moment = time.strftime("%Y%m%d", now), time.strftime("%Y%m%dT%H%M%SZ", now)
    headers = {"content-type": "application/x-amz-json-1.0", "host": host, "x-amz-date": moment}
    if environ.get("AWS_SESSION_TOKEN"):
        headers["x-amz-security-token"] = environ["AWS_SESSION_TOKEN"]
    headers["x-amz-target"] = target
    lines, names = "".join(f"{name}:{value}\n" for name, value in headers.items()), ";".join(headers)
    request = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{day}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.new(_key(environ["AWS_SECRET_ACCESS_KEY"], day, region, service), text.encode(), "sha256")
    headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={environ['AWS_ACCESS_KEY_ID']}/{scope},"
                                f" SignedHeaders={names}, Signature={signature.hexdigest()}")
    return headers


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
    """Its status, its body, and whether the connection is kept: https://www.rfc-editor.org/rfc/rfc9112

    http.client makes an e-mail message of each head, a sixth of an order's CPU. Raises HTTPException for a broken one.
    """
    try:
        status, headers = int(_line(stream).split()[1]), {}
        while line := _line(stream):
            name, _, value = line.lower().partition(b":")
            headers[name] = value.strip()
        if headers.get(b"transfer-encoding") == b"chunked":
            body = b"".join(_chunks(stream))
        else:
            body = _exactly(stream, int(headers[b"content-length"]))
    except (ValueError, LookupError) as fault:
        raise BadStatusLine("no answer that can be read") from fault
    return status, body, headers.get(b"connection") != b"close"


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while size := int(_line(stream).partition(b";")[0], 16):
        yield _exactly(stream, size)
        _line(stream)
    while _line(stream):  # trailers
        pass


def _line(stream: BinaryIO) -> bytes:
    line = stream.readline(_MAX_LINE)
    if not line.endswith(b"\n"):
        raise IncompleteRead(line)
    return line.rstrip(b"\r\n")


def _exactly(stream: BinaryIO, size: int) -> bytes:
    body = stream.read(size)
    if len(body) < size:
        raise IncompleteRead(body, size - len(body))
    return body


def _refused(status: int, text: bytes) -> CallRefused:
    try:
        told = json.loads(text)
        code = str(told["__type"]).rpartition("#")[2]
    except (ValueError, KeyError, TypeError):
        told, code = {}, str(status)
    return CallRefused(code, told.get("Item"), again=status >= 500 or code in _AGAIN)
