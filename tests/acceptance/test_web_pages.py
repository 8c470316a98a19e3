"""Protection of the local cloud from web pages: they can neither change nor read anything."""

from __future__ import annotations

import base64
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chalicelib import config
from chalicelib.aws import s3
from tests.acceptance.conftest import LocalCloud
from tests.acceptance.test_board import PICTURE
from tests.kit.raw import exchange

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.local

CREATE_QUEUE = "/?Action=CreateQueue&QueueName="
FORGED = """async (url) => {
    const answers = [];
    for (const mode of ["no-cors", "cors"]) {
        const request = {method: "POST", mode, headers: {"Content-Type": "text/plain"}, body: "x"};
        await fetch(url + mode, request).then(
            reply => answers.push(reply.status), error => answers.push(error.name));
    }
    return answers;
}"""


@pytest.fixture
def other_origin() -> Iterator[str]:
    """Serve an empty page from another origin, and return its address."""

    class EmptyPage(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), EmptyPage)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://localhost:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_page_of_another_origin_changes_and_reads_nothing(
    browser: Browser, local_cloud: LocalCloud, other_origin: str
) -> None:
    page = browser.new_page()  # not `opened`: the browser writes each refusal to the console
    page.goto(other_origin)

    answers = page.evaluate(FORGED, f"http://127.0.0.1:{local_cloud.port}{CREATE_QUEUE}forged-")

    # An opaque response, and one that the browser refuses, since no header allows to read it
    assert answers == [0, "TypeError"]
    assert (
        local_cloud.client("sqs").list_queues(QueueNamePrefix="forged-").get("QueueUrls", []) == []
    )


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("Host: rebound.example:{port}", b"Host 'rebound.example:"),
        ("Host: 127.0.0.1.rebound.example", b"Host '127.0.0.1.rebound.example'"),
        ("Host: 127.0.0.1:{port}\r\nOrigin: null", b"Origin 'null'"),
        ("Host: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:1", b"Origin 'http://127.0.0.1:1'"),
        ("Host: 127.0.0.1:{port}\r\nSec-Fetch-Site: cross-site", b"Sec-Fetch-Site 'cross-site'"),
        ("Host: 127.0.0.1:{port}\r\nSec-Fetch-Site: same-site", b"Sec-Fetch-Site 'same-site'"),
    ],
)
def test_a_request_from_another_origin_is_rejected_with_the_reason(
    local_cloud: LocalCloud, header: str, reason: bytes
) -> None:
    answer = exchange(
        local_cloud.port, f"POST {CREATE_QUEUE}forged", header.format(port=local_cloud.port)
    )

    assert answer.startswith(b"HTTP/1.1 403 ")
    assert reason in answer
    assert b"access-control-allow" not in answer.lower()
    assert (
        local_cloud.client("sqs").list_queues(QueueNamePrefix="forged").get("QueueUrls", []) == []
    )


@pytest.mark.parametrize(
    "header",
    [
        "Host: 127.0.0.1:{port}",
        "Host: LOCALHOST:{port}",
        "Host: [::1]:{port}",
        "Host: localhost",
        "Host: localhost:{port}\r\nOrigin: http://localhost:{port}\r\nSec-Fetch-Site: same-origin",
        "Host: 127.0.0.1:{port}\r\nSec-Fetch-Site: none",
    ],
)
def test_a_request_from_this_machine_is_answered(local_cloud: LocalCloud, header: str) -> None:
    answer = exchange(
        local_cloud.port, "GET /_ministack/health", header.format(port=local_cloud.port)
    )

    assert answer.startswith(b"HTTP/1.1 200 ")


FILE_SHOWN = """(url) => new Promise(done => {
    const image = document.createElement("img");
    image.onload = () => done("shown");
    image.onerror = () => done("refused");
    image.src = url;
    document.body.append(image);
})"""
FILE_READ = """url => fetch(url).then(reply => reply.text(), error => error.name)"""


@pytest.fixture(scope="module")
def presigned(local_cloud: LocalCloud) -> Callable[..., str]:
    """Store a picture, and return a function that signs its URL as the app does."""
    client, key = local_cloud.client("s3"), f"local/{'0' * 64}"
    client.create_bucket(Bucket="orderline-files")
    client.put_object(Bucket="orderline-files", Key=key, Body=base64.b64decode(PICTURE))

    def url(disposition: str = "attachment; filename=cat.png") -> str:
        query = {
            "response-content-type": "image/png",
            "response-content-disposition": disposition,
        }
        aws = config.aws()
        target = s3.object_url(aws, "orderline-files", key)
        return s3.presigned_url(aws, "GET", target, 900, {}, query, time.gmtime())

    return url


def test_a_page_shows_a_file_by_its_presigned_url_but_can_not_read_it(
    browser: Browser, presigned: Callable[..., str], other_origin: str
) -> None:
    page = browser.new_page()
    page.goto(other_origin)
    url = presigned()

    assert page.evaluate(FILE_SHOWN, url) == "shown"
    assert page.evaluate(FILE_READ, url) == "TypeError"
    assert page.evaluate(FILE_SHOWN, f"{url[:-1]}{'1' if url[-1] == '0' else '0'}") == "refused"
    assert page.evaluate(FILE_SHOWN, url.partition("?")[0]) == "refused"
    assert page.evaluate(FILE_SHOWN, presigned("inline")) == "refused"
    page.close()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda url: f"{url}0", b"SignatureDoesNotMatch"),
        (lambda url: url.replace("cat.png", "dog.png"), b"SignatureDoesNotMatch"),
        (lambda url: url.replace("0" * 64, "1" * 64), b"SignatureDoesNotMatch"),
        (lambda url: url.replace("Expires=900", "Expires=0"), b"AccessDenied"),
        (lambda url: url.replace("=local%2F", "=other%2F"), b"<Code>InvalidAccessKeyId"),
        (lambda url: f"{url}&Action=ListQueues", b"Sec-Fetch-Site 'same-site'"),
        (lambda url: url.replace("AWS4-HMAC-SHA256", "other"), b"Sec-Fetch-Site 'same-site'"),
        (lambda url: url.partition("?")[0], b"Sec-Fetch-Site 'same-site'"),
    ],
)
def test_a_page_gets_nothing_by_a_url_that_is_not_signed_for_it(
    local_cloud: LocalCloud,
    presigned: Callable[..., str],
    change: Callable[[str], str],
    reason: bytes,
) -> None:
    path = change(presigned()).removeprefix(f"http://127.0.0.1:{local_cloud.port}")
    headers = f"Host: 127.0.0.1:{local_cloud.port}\r\nSec-Fetch-Site: same-site"

    answer = exchange(local_cloud.port, f"GET {path}", headers)

    assert answer.startswith(b"HTTP/1.1 403 ")
    assert reason in answer


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_cloud_listens_on_one_port_of_127_0_0_1_alone(local_cloud: LocalCloud) -> None:
    sockets = {
        os.readlink(path)
        for path in Path(f"/proc/{local_cloud.pid}/fd").iterdir()
        if path.is_symlink()
    }
    listening = set[str]()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{local_cloud.pid}/net/{table}").read_text().splitlines()[1:]:
            _, address, _, state, *_, inode = line.split()[:10]
            if state == "0A" and f"socket:[{inode}]" in sockets:  # LISTEN
                listening.add(address)

    assert listening == {f"0100007F:{local_cloud.port:04X}"}
