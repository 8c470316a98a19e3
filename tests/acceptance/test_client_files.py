"""The client uploads and downloads files at the local cloud, which checks signed URLs as S3 does."""

from __future__ import annotations

import hashlib
import http.client
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result
from orderline import Orderline, RequestRejected, TransferFailed, transfer
from orderline.commands import main

from tests.acceptance.stack import Stack

pytestmark = pytest.mark.local

PHOTO = bytes(range(256)) * 12_000  # 3 MB
TASKS = '''
    from typing import Annotated

    from chalicelib.tasks import File, limits, task


    @task
    def mirror(image: File) -> File:
        """Reverse the bytes."""
        return File.of(image.read()[::-1], name=f"mirror-{image.name}")


    @task
    def sizes(images: list[File], note: str | File = "") -> dict[str, object]:
        """Measure files, and return some."""
        odd = [File.of(b"one", name="../../a.txt"), File.of(b"two", name="a.txt")]
        return {"sizes": [len(image.read()) for image in images], "odd": odd}


    @task
    def small(image: Annotated[File, limits(max_bytes=1000)]) -> int:
        """Take a small file."""
        return image.size
'''


@pytest.fixture(scope="module")
def served(_own: Stack) -> Stack:
    """Return a stack with tasks that take files."""
    path = _own.project / "chalicelib" / "tasks" / "of_files.py"
    path.write_text(textwrap.dedent(TASKS))
    return _own


@pytest.fixture
def orderline(served: Stack) -> Orderline:
    return Orderline(served.url, served.token)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "cat.jpg"
    path.write_bytes(PHOTO)
    return path


class Sent:
    """The bytes that this process sends over HTTP, by (host, port)."""

    def __init__(self) -> None:
        self.requests: list[tuple[int, bytes]] = []
        self.break_uploads = 0

    @property
    def to_s3(self) -> list[bytes]:
        return [data for port, data in self.requests if port == self.s3_port]

    s3_port = 0


@pytest.fixture
def sent(served: Stack) -> Iterator[Sent]:
    """Record what http.client sends, and cut some connections within an upload."""
    record = Sent()
    record.s3_port = int(served.options["CLOUD_PORT"])
    send = http.client.HTTPConnection.send

    def recorded(connection: http.client.HTTPConnection, data: Any) -> None:
        assert connection.port is not None
        if not isinstance(data, bytes):  # the body of an upload
            if record.break_uploads:
                record.break_uploads -= 1
                send(connection, data.read(1000))
                raise ConnectionResetError("cut by the test")
        else:
            record.requests.append((connection.port, data))
        send(connection, data)

    with patch.object(http.client.HTTPConnection, "send", recorded):
        yield record


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def unique(name: str) -> bytes:
    """Return 100 kB that no other test uploads."""
    return name.encode() * (100_000 // len(name))


def test_a_file_goes_to_a_task_and_its_result_comes_back(
    orderline: Orderline, photo: Path, tmp_path: Path, sent: Sent
) -> None:
    progress = []
    file = orderline.upload(photo, progress=lambda *report: progress.append(report))
    order = orderline.wait(orderline.place("mirror", {"image": file})["id"], timeout_s=30)
    target = orderline.download(order["result"], tmp_path / "back.jpg")

    assert file == {"file": sha256(PHOTO), "name": "cat.jpg"}
    assert order["result"]["name"] == "mirror-cat.jpg"
    assert target.read_bytes() == PHOTO[::-1] == orderline.download(order["result"]["file"])
    assert progress[-1] == ("cat.jpg", len(PHOTO), len(PHOTO))
    assert len(progress) > 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back.jpg", "cat.jpg"]


def test_the_access_token_is_never_sent_to_the_bucket(
    served: Stack, orderline: Orderline, sent: Sent
) -> None:
    orderline.download(orderline.upload(unique("secret")))

    heads = [data.split(b"\r\n\r\n")[0].lower() for data in sent.to_s3]
    assert [head.split()[0] for head in heads] == [b"put", b"get"]
    assert not any(b"authorization:" in head or b"bearer" in head for head in heads)
    assert not any(served.token.encode() in data for data in sent.to_s3)
    assert any(served.token.encode() in data for _, data in sent.requests)


def test_a_file_that_is_stored_is_not_sent_again(orderline: Orderline, sent: Sent) -> None:
    content = unique("again")
    files = [orderline.upload(content) for _ in range(2)]

    assert files[0] == files[1] == {"file": sha256(content)}
    assert len(sent.to_s3) == 1


@pytest.mark.parametrize("breaks", [1, 2])
def test_an_upload_whose_connection_breaks_is_repeated(
    orderline: Orderline, sent: Sent, breaks: int
) -> None:
    sent.break_uploads = breaks
    content = unique(f"broken {breaks}")

    assert orderline.download(orderline.upload(content)) == content
    assert len(sent.to_s3) == breaks + 2


def test_an_upload_that_always_breaks_ends_with_an_error(orderline: Orderline, sent: Sent) -> None:
    sent.break_uploads = 99
    with pytest.raises(TransferFailed, match=r"^cat\.jpg was not uploaded: .* does not answer"):
        orderline.upload(unique("always"), name="cat.jpg")


def test_place_uploads_paths_and_bytes(orderline: Orderline, photo: Path, sent: Sent) -> None:
    images = [photo, b"", b"tiny", unique("bytes"), photo]
    order = orderline.wait(orderline.place("sizes", {"images": images})["id"], timeout_s=30)

    assert order["result"]["sizes"] == [len(PHOTO), 0, 4, len(images[3]), len(PHOTO)]  # type: ignore[arg-type]
    assert not any(b"tiny" in data for data in sent.to_s3)


def test_place_uploads_again_what_was_deleted_meanwhile(
    served: Stack, orderline: Orderline, photo: Path, sent: Sent
) -> None:
    """A day's delay needs a file that was uploaded just now; the client renews it."""
    orderline.upload(photo)
    sent.requests.clear()
    delay_s = 86_400 - 5
    served.age_files(seconds=60)

    order = orderline.place("mirror", {"image": photo}, delay_s=delay_s)

    assert order["status"] == "PENDING"
