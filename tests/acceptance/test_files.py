"""Files over HTTP on the local cloud, which checks what S3 checks of a presigned request."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import random
import subprocess
import textwrap
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from time import gmtime, time
from typing import IO, Any
from urllib.parse import urlsplit

import boto3
import pytest

from chalicelib.aws import s3
from chalicelib.config import Settings
from chalicelib.endpoints import Aws, read_aws
from dev.local import cloud
from testkit.cloud import Reply
from tests.acceptance.stack import PATIENCE_S, Stack, copy_of_the_project

pytestmark = pytest.mark.local

PHOTO = b"\xff\xd8\xff\xe0" + random.Random(1).randbytes(3_000_000)
EMAIL = b"From: ada@example.org\r\n\r\n" + random.Random(2).randbytes(2_000_000)
MIRROR = textwrap.dedent('''
    from chalicelib.tasks import File, task


    @task
    def mirror(file: File) -> File:
        """Reverse the bytes of a file."""
        return File.of(file.read()[::-1], name=f"mirror of {file.name}", type=file.type)
''')


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    project = copy_of_the_project(tmp_path_factory.mktemp("files"))
    (project / "chalicelib" / "tasks" / "mirror.py").write_text(MIRROR)
    running = Stack(project).start()
    yield running
    running.stop()


@pytest.fixture
def aws(stack: Stack) -> Aws:
    environment = cloud.client_environment(int(stack.options["CLOUD_PORT"]))
    return read_aws(environment, Settings())


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def declare(stack: Stack, content: bytes, type: str) -> Any:
    """Return how to upload a file; None if it is stored."""
    body = {"sha256": sha256(content), "size": len(content), "type": type}
    reply = stack.http("POST", "/files", body)
    assert reply.status == 200, reply.body
    return reply.json["upload"]


def put(url: str, content: bytes | IO[bytes], headers: dict[str, str]) -> Reply:
    """Send bytes to S3 as any client does, without an access token."""
    request = urllib.request.Request(url, content, headers, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return Reply(answer.status, dict(answer.headers), answer.read().decode())
    except urllib.error.HTTPError as error:
        return Reply(error.code, dict(error.headers), error.read().decode())


def upload(stack: Stack, content: bytes, type: str = "application/octet-stream") -> str:
    if request := declare(stack, content, type):
        reply = put(request["url"], content, request["headers"])
        assert reply.status == 200, reply.body
    return sha256(content)


def location(stack: Stack, file_id: str) -> Any:
    """Return what GET /files/{sha256} says, without following its redirect."""
    connection = http.client.HTTPConnection(urlsplit(stack.url).netloc, timeout=PATIENCE_S)
    connection.request(
        "GET", f"/files/{file_id}", headers={"Authorization": f"Bearer {stack.token}"}
    )
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    assert answer.status == 303, body
    assert answer.headers["Location"] == body["url"]
    return body


def download(stack: Stack, file_id: str) -> tuple[bytes, dict[str, str]]:
    with urllib.request.urlopen(location(stack, file_id)["url"], timeout=PATIENCE_S) as answer:
        return answer.read(), dict(answer.headers)


@pytest.mark.parametrize(
    ("content", "name", "type"),
    [(PHOTO, "cat.jpg", "image/jpeg"), (EMAIL, "tea.eml", "message/rfc822")],
)
def test_a_file_goes_in_and_another_comes_out(
    stack: Stack, content: bytes, name: str, type: str
) -> None:
    file_id = upload(stack, content, type)
    order = stack.place("mirror", {"file": {"file": file_id, "name": name}})
    ended = stack.ended_order(order["id"])

    assert ended["status"] == "SUCCESS", ended
    mirrored = content[::-1]
    assert ended["result"] == {
        "file": sha256(mirrored),
        "name": f"mirror of {name}",
        "type": type,
        "size": len(content),
    }
    assert download(stack, ended["result"]["file"])[0] == mirrored
    assert download(stack, file_id)[0] == content
    assert declare(stack, content, type) is None


def _changed(request: Any, **headers: str) -> dict[str, str]:
    return {**request["headers"], **{k.replace("_", "-"): v for k, v in headers.items()}}


def test_other_bytes_than_the_declared_ones_are_refused(stack: Stack) -> None:
    content = b"the declared bytes"
    other = b"other bytes, alike"
    longer = content + b"!"
    checksum = base64.b64encode(hashlib.sha256(other).digest()).decode()
    request = declare(stack, content, "text/plain")
    url = request["url"]

    replies = {
        "other bytes": put(url, other, request["headers"]),
        "checksum": put(url, other, _changed(request, x_amz_checksum_sha256=checksum)),
        "length": put(url, longer, _changed(request, content_length=str(len(longer)))),
        "type": put(url, content, _changed(request, content_type="text/html")),
        "key": put(url.replace(sha256(content), sha256(other)), content, request["headers"]),
        "owner": put(url.replace("/local/", "/other/"), content, request["headers"]),
        "method": put(location(stack, upload(stack, b"stored"))["url"], content, {}),
    }

    assert {name: reply.status for name, reply in replies.items()} == {
        "other bytes": 400,
        **dict.fromkeys(("checksum", "length", "type", "key", "owner", "method"), 403),
    }
    assert "BadDigest" in replies["other bytes"].body
    assert "SignatureDoesNotMatch" in replies["length"].body
    assert declare(stack, content, "text/plain") is not None  # nothing was stored
    assert put(url, content, request["headers"]).status == 200


def test_an_expired_url_is_refused(stack: Stack, aws: Aws) -> None:
    file_id = upload(stack, b"a file")
    url = location(stack, file_id)["url"].partition("?")[0]

    def signed(age_s: int) -> str:
        return s3.presigned_url(aws, "GET", url, 900, {}, {}, gmtime(time() - age_s))

    with urllib.request.urlopen(signed(600)) as answer:
        assert answer.read() == b"a file"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(signed(1000))
    assert caught.value.code == 403
    assert "expired" in caught.value.read().decode()
    caught.value.close()


def test_the_file_of_another_owner_does_not_exist(stack: Stack, aws: Aws) -> None:
    content = b"only the other owner has this"
    bucket = urlsplit(location(stack, upload(stack, b"any"))["url"]).path.split("/")[1]
    boto3.client(
        "s3",
        endpoint_url=aws.s3_url,
        region_name=aws.region,
        aws_access_key_id=aws.key_id,
        aws_secret_access_key=aws.secret,
    ).put_object(Bucket=bucket, Key=f"other/{sha256(content)}", Body=content)

    read = stack.http("GET", f"/files/{sha256(content)}")
    body = {"task": "mirror", "input": {"file": {"file": sha256(content)}}}
    placed = stack.http("POST", "/orders", body)

    assert (read.status, read.json["type"]) == (404, "/problems/not-found")
    assert (placed.status, placed.json["type"]) == (422, "/problems/file-missing")
    assert placed.json["pointer"] == "/input/file"
    assert declare(stack, content, "text/plain") is not None


def test_a_claim_of_5_gb_is_refused(stack: Stack) -> None:
    reply = stack.http("POST", "/files", {"sha256": "0" * 64, "size": 5 * 10**9})

    assert (reply.status, reply.json["type"]) == (422, "/problems/invalid-file")
    assert "the maximum is 100000000" in reply.json["detail"]


@pytest.mark.parametrize(
    ("type", "disposition"),
    [("text/html", "attachment"), ("image/svg+xml", "attachment"), ("image/png", "inline")],
)
def test_a_browser_shows_no_file_that_may_run_scripts(
    stack: Stack, type: str, disposition: str
) -> None:
    content = f"<script>alert('{type}')</script>".encode()

    body, headers = download(stack, upload(stack, content, type))

    lower = {name.lower(): value for name, value in headers.items()}
    assert body == content
    assert (lower["content-type"], lower["content-disposition"]) == (type, disposition)


def test_the_memory_of_the_http_server_does_not_grow_with_a_file(
    stack: Stack, tmp_path: Path
) -> None:
    upload(stack, b"warm up")
    content = random.Random(3).randbytes(900_000) * 100
    path = tmp_path / "large"
    path.write_bytes(content)
    before = _memory_of_the_http_server(stack)

    request = declare(stack, content, "video/mp4")
    with path.open("rb") as stream:
        assert put(request["url"], stream, request["headers"]).status == 200
    downloaded = location(stack, sha256(content))

    assert downloaded["size"] == len(content) == 90_000_000
    with urllib.request.urlopen(downloaded["url"], timeout=PATIENCE_S) as answer:
        assert answer.read() == content
    assert _memory_of_the_http_server(stack) - before < 5_000_000


def _memory_of_the_http_server(stack: Stack) -> int:
    """Return the resident set size of the server's processes, in bytes."""
    pids = ",".join(map(str, stack.processes("dev.local.serve")))
    ps = ["ps", "-o", "rss=", "-p", pids]
    kilobytes = subprocess.run(ps, capture_output=True, text=True, check=True).stdout.split()
    return sum(map(int, kilobytes)) * 1024
