"""Calls to S3 that the app signs itself: botocore's exact signatures, and broken answers."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from threading import Thread
from time import gmtime
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from chalicelib.aws import s3
from chalicelib.config import Settings
from chalicelib.endpoints import Aws, read_aws
from chalicelib.errors import CallFailed, CallRefused, FileUnavailable
from chalicelib.files import OrderFiles

ENVIRON = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "AWS_REGION": "eu-central-1",
}
NOW = 1_800_000_000
CONTENT = b"the bytes of a file"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
KEYS = ("kit/0123456789abcdef", "kit/a b+c%/é~!'()*.png", "kit//../x")
UPLOAD = {"content-length": "19", "content-type": "image/svg+xml", "x-amz-checksum-sha256": "a+/="}
DOWNLOAD = {
    "response-content-type": "text/html",
    "response-content-disposition": "attachment; filename*=UTF-8''a%20b%22%C3%A9.html",
}


def settings(**environ: str) -> Aws:
    return read_aws({**ENVIRON, **environ}, Settings())


def credentials(aws: Aws) -> Credentials:
    return Credentials(aws.key_id, aws.secret, aws.session_token or None)


@pytest.fixture
def botocore_now() -> Iterator[None]:
    now = datetime.fromtimestamp(NOW, timezone.utc)
    with patch("botocore.auth.get_current_datetime", lambda *_: now):
        yield


@pytest.mark.usefixtures("botocore_now")
@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:4566"])
@pytest.mark.parametrize("token", ["", "a/session+token=="])
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("method", "headers", "query"), [("PUT", UPLOAD, {}), ("GET", {}, DOWNLOAD), ("GET", {}, {})]
)
def test_a_presigned_url_equals_botocores(
    method: str, headers: dict[str, str], query: dict[str, str], key: str, token: str, endpoint: str
) -> None:
    aws = settings(AWS_SESSION_TOKEN=token, AWS_ENDPOINT_URL_S3=endpoint)
    url = s3.object_url(aws, "files", key)

    ours = s3.presigned_url(aws, method, url, 900, headers, query, gmtime(NOW))

    request = AWSRequest(method, url, headers=headers, params=query)
    S3SigV4QueryAuth(credentials(aws), "s3", aws.region, 900).add_auth(request)
    assert sorted(urlsplit(ours).query.split("&")) == sorted(urlsplit(request.url).query.split("&"))
    assert ours.partition("?")[0] == url
    assert dict(parse_qsl(urlsplit(ours).query)).items() >= query.items()


@pytest.mark.usefixtures("botocore_now")
@pytest.mark.parametrize("token", ["", "a/session+token=="])
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("method", "headers", "body"), [("PUT", UPLOAD, CONTENT), ("GET", {}, b""), ("HEAD", {}, b"")]
)
def test_a_signed_call_equals_botocores(
    method: str, headers: dict[str, str], body: bytes, key: str, token: str
) -> None:
    aws = settings(AWS_SESSION_TOKEN=token)
    url = s3.object_url(aws, "files", key)
    sha256 = hashlib.sha256(body).hexdigest()

    ours = s3._signed_headers(aws, method, url, headers, sha256, gmtime(NOW))

    request = AWSRequest(method, url, headers=headers, data=body)
    S3SigV4Auth(credentials(aws), "s3", aws.region).add_auth(request)
    theirs = {name.lower(): value for name, value in request.headers.items()}
    assert ours["authorization"] == theirs["authorization"]
    assert ours["x-amz-content-sha256"] == theirs["x-amz-content-sha256"]
    assert ours.get("x-amz-security-token") == theirs.get("x-amz-security-token")


class S3Server:
    """A server that sends the raw `answers` in turn, one on each connection.

    An empty answer closes the connection; None says nothing until the client gives up.
    """

    def __init__(self) -> None:
        self.answers: list[bytes | None] = []
        self.requests: list[tuple[str, bytes]] = []
        self._closing = False
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._address = self._listening.getsockname()
        self.url = f"http://127.0.0.1:{self._address[1]}"
        self._thread = Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._closing = True
        socket.create_connection(self._address).close()  # ends the wait for the next one
        self._thread.join()
        self._listening.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            with connection, connection.makefile("rb") as stream:
                if self._closing:
                    return
                self._answer(connection, stream)

    def _answer(self, connection: socket.socket, stream: Any) -> None:
        request_line = stream.readline().decode()
        size = 0
        while (line := stream.readline().lower()).strip():
            if line.startswith(b"content-length:"):
                size = int(line.split(b":")[1])
        self.requests.append((request_line.split()[0], stream.read(size)))
        answer = self.answers.pop(0)
        if answer is None:
            stream.read()
        else:
            with suppress(OSError):
                connection.sendall(answer)


@pytest.fixture
def server() -> Iterator[S3Server]:
    server = S3Server()
    with patch("chalicelib.aws.s3.time.sleep"):
        yield server
    server.close()


@pytest.fixture
def bucket(server: S3Server) -> s3.SignedBucket:
    return s3.SignedBucket(settings(AWS_ENDPOINT_URL_S3=server.url), "files")


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    fields = {"Content_Length": str(len(body)), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Fine\r\n{lines}\r\n".encode() + body


DATE = "Fri, 15 Jan 2027 08:00:00 GMT"
HEAD = answer(200, Content_Length="19", Last_Modified=DATE, Content_Type="image/png")
OK = b"HTTP/1.1 200 OK\r\n"
BROKEN = (
    b"",
    b"SSH-2.0-OpenSSH_9\r\n",
    b"HTTP/1.1 fine\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"a" * 70_000 + b": b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000 + b"\r\n",
)


def test_what_is_stored_is_read_from_the_headers(server: S3Server, bucket: s3.SignedBucket) -> None:
    server.answers = [HEAD, answer(404), answer(403)]

    assert bucket.head("kit/a") == s3.Stored(19, "image/png", 1_800_000_000_000_000)
    assert bucket.head("kit/b") is None
    assert bucket.head("kit/c") is None
    assert [method for method, _ in server.requests] == ["HEAD"] * 3


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Length": "19"},
        {"Last_Modified": DATE, "Content_Length": "two"},
        {"Last_Modified": "yesterday", "Content_Length": "19"},
        {"Last_Modified": "Fri, 99 Jan 2027 08:00:00 GMT", "Content_Length": "19"},
    ],
)
def test_a_malformed_answer_to_head_is_a_failed_call(
    server: S3Server, bucket: s3.SignedBucket, headers: dict[str, str]
) -> None:
    server.answers = [answer(200, b"", **headers)]
    with pytest.raises(CallFailed, match="malformed"):
        bucket.head("kit/a")


@pytest.mark.parametrize("fault", [answer(500), answer(503, b"<Error/>"), *BROKEN])
def test_a_transient_error_is_tried_three_times(
    server: S3Server, bucket: s3.SignedBucket, fault: bytes
) -> None:
    server.answers = [fault, fault, HEAD]
    assert bucket.head("kit/a")

    server.answers = [fault] * 3
    with pytest.raises((CallFailed, CallRefused)):
        bucket.head("kit/a")
    assert server.answers == []


def test_a_silent_server_is_a_failed_call(server: S3Server, bucket: s3.SignedBucket) -> None:
    server.answers = [None] * 3
    with patch.dict(s3.READ_TIMEOUT_S, HEAD=0.05), pytest.raises(CallFailed, match="Timeout"):
        bucket.head("kit/a")


@pytest.mark.parametrize("status", [301, 307, 400, 412])
def test_a_redirect_or_refusal_is_neither_followed_nor_repeated(
    server: S3Server, bucket: s3.SignedBucket, status: int
) -> None:
    refusal = answer(status, Location=f"{server.url}/elsewhere")
    server.answers = [refusal] * 3
    calls = (
        lambda: bucket.head("kit/a"),
        lambda: list(bucket.download("kit/a")),
        lambda: bucket.upload("kit/a", CONTENT, SHA256, "text/plain"),
    )
    for call in calls:
        with pytest.raises(CallRefused) as caught:
            call()
        assert caught.value.code == str(status)
    assert [method for method, _ in server.requests] == ["HEAD", "GET", "PUT"]


def test_an_upload_sends_all_bytes_with_each_attempt(
    server: S3Server, bucket: s3.SignedBucket, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    server.answers = [answer(500), b"", answer(200)] * 2

    for content in (CONTENT, path):
        bucket.upload("kit/a", content, SHA256, "text/plain")

    assert server.requests == [("PUT", CONTENT)] * 6


CUT = (
    answer(200, CONTENT[:-1], Content_Length="19"),
    answer(200, CONTENT[:-1]),
    answer(200, CONTENT[:-1] + b"!"),
    answer(200, b""),
    OK + b"Transfer-Encoding: chunked\r\n\r\n13\r\nthe bytes",
    OK + b"Transfer-Encoding: chunked\r\n\r\ntwo\r\n",
    OK + b"\r\n" + CONTENT[:-1],
)


@pytest.mark.parametrize("transport", ["sigv4", "botocore"])
@pytest.mark.parametrize("fault", CUT)
def test_a_cut_body_is_never_taken_for_the_file(
    server: S3Server, monkeypatch: pytest.MonkeyPatch, fault: bytes, transport: str
) -> None:
    for name, value in {**ENVIRON, "AWS_ENDPOINT_URL_S3": server.url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_TRANSPORT", transport)
    server.answers = [fault, fault, answer(200, CONTENT)]
    files = OrderFiles("kit")

    with pytest.raises(FileUnavailable):
        files.read(SHA256)
    with pytest.raises(FileUnavailable):
        files.path(SHA256)
    assert files.path(SHA256).read_bytes() == CONTENT
    files.close()
