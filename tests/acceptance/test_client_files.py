"""The client uploads and downloads files at the local cloud, which checks URLs as S3 does."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import re
import shlex
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from click.testing import CliRunner, Result
from orderline import Orderline, RequestRejected, TransferFailed, transfer
from orderline.commands import main
from orderline.files import PIECE, written

from dev.local import cloud
from tests.acceptance.stack import ROOT, Stack, copy_of_the_project
from tests.functional.test_commands import at_a_screen

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
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start a stack with tasks that take files."""
    project = copy_of_the_project(tmp_path_factory.mktemp("files"))
    tasks = project / "chalicelib" / "tasks"
    (tasks / "of_files.py").write_text(textwrap.dedent(TASKS))
    (tasks / "stamp.py").write_text(snippets("python")[0])
    running = Stack(project).start()
    yield running
    running.stop()


@pytest.fixture
def orderline(served: Stack) -> Orderline:
    return Orderline(served.url, served.token)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "cat.jpg"
    path.write_bytes(PHOTO)
    return path


class Sent:
    """What this process sends over HTTP: the port, and a request's bytes but a file's."""

    def __init__(self, stack: Stack) -> None:
        self.requests: list[tuple[int, bytes]] = []
        self.breaks = 0
        """How many uploads to cut."""
        self.before_order: Callable[[], None] | None = None
        """What to do before the next order is placed."""
        self._s3_port = int(stack.options["CLOUD_PORT"])

    @property
    def to_s3(self) -> list[bytes]:
        return [data for port, data in self.requests if port == self._s3_port]

    @contextmanager
    def recording(self) -> Iterator[Sent]:
        send = http.client.HTTPConnection.send

        def recorded(connection: http.client.HTTPConnection, data: Any) -> None:
            assert connection.port is not None
            if data.startswith(b"POST /orders ") and (action := self.before_order):
                self.before_order = None
                action()
            self.requests.append((connection.port, data[:4096]))
            if self.breaks and connection.port == self._s3_port and not data.startswith(b"PUT "):
                self.breaks -= 1
                raise ConnectionResetError("cut by the test")
            send(connection, data)

        with patch.object(http.client.HTTPConnection, "send", recorded):
            yield self

    @property
    def puts(self) -> int:
        return sum(data.startswith(b"PUT ") for data in self.to_s3)


@pytest.fixture
def sent(served: Stack) -> Iterator[Sent]:
    with Sent(served).recording() as sent:
        yield sent


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

    heads = [data.lower() for data in sent.to_s3 if data.startswith((b"PUT ", b"GET "))]
    assert len(heads) == 2
    assert not any(b"authorization:" in head or b"bearer" in head for head in heads)
    assert not any(served.token.encode() in data for data in sent.to_s3)
    assert any(served.token.encode() in data for _, data in sent.requests)


def test_a_file_that_is_stored_is_not_sent_again(orderline: Orderline, sent: Sent) -> None:
    content = unique("again")
    files = [orderline.upload(content) for _ in range(2)]

    assert files[0] == files[1] == {"file": sha256(content)}
    assert sent.puts == 1


@pytest.mark.parametrize("breaks", [1, 2])
def test_an_upload_whose_connection_breaks_is_repeated(
    orderline: Orderline, sent: Sent, breaks: int
) -> None:
    sent.breaks = breaks
    content = unique(f"broken {breaks}")

    file = orderline.upload(content)

    assert sent.puts == breaks + 1
    assert orderline.download(file) == content


def test_an_upload_that_always_breaks_ends_with_an_error(orderline: Orderline, sent: Sent) -> None:
    sent.breaks = 99
    with pytest.raises(TransferFailed, match=r"^cat\.jpg was not uploaded: .* cut by the test"):
        orderline.upload(unique("always"), name="cat.jpg")
    assert sent.puts == transfer.TRIES


def test_place_uploads_paths_and_bytes(orderline: Orderline, photo: Path, sent: Sent) -> None:
    images = [photo, b"", b"tiny", unique("bytes"), photo]
    order = orderline.wait(orderline.place("sizes", {"images": images})["id"], timeout_s=30)

    sizes = [len(PHOTO), 0, 4, len(unique("bytes")), len(PHOTO)]
    assert order["result"]["sizes"] == sizes
    assert base64.b64encode(b"tiny") in b"".join(data for _, data in sent.requests)


def test_place_uploads_a_file_again_that_was_deleted_meanwhile(
    served: Stack, orderline: Orderline, tmp_path: Path, sent: Sent
) -> None:
    path = tmp_path / "cat.jpg"
    path.write_bytes(unique("deleted"))
    sent.before_order = lambda: delete_files(served)

    order = orderline.wait(orderline.place("mirror", {"image": path})["id"], timeout_s=30)

    assert order["status"] == "SUCCESS"
    assert sent.puts == 2


def test_place_can_not_upload_a_file_that_it_knows_by_id_only(
    served: Stack, orderline: Orderline, photo: Path
) -> None:
    file = orderline.upload(unique("by id"))
    delete_files(served)
    with pytest.raises(RequestRejected, match="POST /files") as error:
        orderline.place("sizes", {"images": [photo, file]})
    assert error.value.problem["pointer"] == "/input/images/1"


def test_a_file_that_changes_during_its_upload_is_refused(
    orderline: Orderline, tmp_path: Path
) -> None:
    path = tmp_path / "log.txt"

    def change(content: bytes) -> Callable[..., Any]:
        return lambda *_: path.write_bytes(content)

    path.write_bytes(b"a" * 3 * PIECE)
    with pytest.raises(TransferFailed, match=r"log\.txt is shorter than when"):
        orderline.upload(path, progress=change(b""))
    path.write_bytes(b"a" * 3 * PIECE)
    with pytest.raises(TransferFailed, match=r"log.txt .* 400 BadDigest.*changed meanwhile"):
        orderline.upload(path, progress=change(b"b" * 3 * PIECE))


def test_an_expired_url_is_an_error_that_a_new_url_may_fix(orderline: Orderline) -> None:
    file_id = orderline.upload(unique("expired"))["file"]
    url = orderline._calls.call("GET", f"/files/{file_id}").value["url"]
    expired = re.sub(r"X-Amz-Date=2\d+", "X-Amz-Date=20200101", url)

    with pytest.raises(TransferFailed, match=r"^cat\.jpg was not downloaded: S3 answered 403") as e:
        transfer.download(expired, file_id, 1, "cat.jpg", io.BytesIO(), None)
    assert e.value.again


def test_a_download_has_the_right_bytes_or_none(orderline: Orderline, tmp_path: Path) -> None:
    file_id = orderline.upload(unique("right"))["file"]
    url = orderline._calls.call("GET", f"/files/{file_id}").value["url"]
    target = tmp_path / "old"
    target.write_bytes(b"old")

    with (
        pytest.raises(TransferFailed, match="don't match its SHA-256"),
        written(target) as stream,
    ):
        transfer.download(url, sha256(b"other"), 1, "cat.jpg", stream, None)

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("old", b"old")]


def run(stack: Stack, *words: str) -> Result:
    return CliRunner().invoke(main, words, env=variables(stack))


def variables(stack: Stack) -> dict[str, str]:
    return {"ORDERLINE_URL": stack.url, "ORDERLINE_TOKEN": stack.token, "COLUMNS": "120"}


def test_the_command_sends_a_photo_and_saves_the_result(
    served: Stack, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    placed = run(served, "place", "mirror", "image=@cat.jpg", "--wait")
    order_id = placed.stdout.split()[0]
    saved = run(served, "get-file", order_id)
    again = run(served, "get-file", order_id)
    forced = run(served, "get-file", order_id, "--force")
    by_id = run(served, "get-file", sha256(PHOTO), "-o", "same.jpg")
    piped = run(served, "get-file", sha256(PHOTO), "-o", "-")

    assert placed.exit_code == 0, placed.output
    assert re.search(r"mirror-cat\.jpg +image/jpeg +3\.1 MB", placed.stdout), placed.stdout
    assert f"orderline get-file {order_id}" in placed.stdout
    assert (saved.exit_code, saved.stdout) == (0, "mirror-cat.jpg\n"), saved.output
    assert (tmp_path / "mirror-cat.jpg").read_bytes() == PHOTO[::-1]
    assert (again.exit_code, forced.exit_code) == (2, 0)
    assert "mirror-cat.jpg exists; use --force" in again.output
    assert by_id.exit_code == 0, by_id.output
    assert (tmp_path / "same.jpg").read_bytes() == PHOTO == piped.stdout_bytes


def test_a_terminal_shows_a_bar_for_a_large_file_only(
    served: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "large.bin").write_bytes(PHOTO * 5)
    (tmp_path / "small.bin").write_bytes(PHOTO[:100_000])
    terminal: Any = SimpleNamespace(
        environment=variables(served) | {"PYTHONPATH": f"{ROOT}/client"}
    )
    shown = []
    for name in ("large.bin", "small.bin"):
        command = ("place", "mirror", f"image=@{tmp_path / name}", "--json")
        with at_a_screen(terminal, *command) as screen:
            screen.reads('"task": "mirror"')
        shown.append(screen.text)

    assert re.search(r"large\.bin .*/15\.4 MB", shown[0]), shown[0]
    assert "small.bin" not in shown[1]


def test_the_command_takes_lists_of_files_and_never_leaves_the_folder(
    served: Stack, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    two = (f"images=@{photo}", f"images=@{photo}")
    placed = run(served, "place", "sizes", *two, "--wait", "--json")
    order = json.loads(placed.stdout)
    saved = run(served, "get-file", order["id"][-8:])

    assert order["result"]["sizes"] == [len(PHOTO)] * 2
    assert saved.stdout.split() == ["a.txt", "a-2.txt"], saved.output
    assert (folder / "a-2.txt").read_bytes() == b"two"
    assert not (tmp_path / "a.txt").exists()


def test_errors_of_the_command_name_the_file_or_the_member(
    served: Stack, photo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    large = tmp_path / "large"
    with large.open("wb") as stream:
        stream.truncate(100_000_001)
    no_files = run(served, "place", "cook_nuggets", "pieces=1", "--wait", "--json").stdout
    cases = [
        (("place", "mirror", "image=@nowhere.jpg"), 2, "nowhere.jpg: No such file"),
        (("place", "mirror", f"image=@{tmp_path}"), 2, "Is a directory"),
        (("place", "mirror", f"image=@{large}"), 3, "maximum is 100000000"),
        (("place", "mirror", f"image=@{large}"), 3, "(at /input/image)"),
        (("place", "small", f"image=@{photo}"), 3, "the maximum is 1000 (at /input/image)"),
        (("place", "mirror", "image=cat.jpg"), 3, "(at /input/image)"),
        (("get-file", "0" * 64), 3, "SHA-256"),
        (("get-file", json.loads(no_files)["id"]), 2, "no files in its result"),
        (("get-file", sha256(PHOTO), "-o", "/no/such/folder"), 2, "No such file or directory"),
    ]
    for words, exit_code, message in cases:
        result = run(served, *words)
        assert (result.exit_code, message in result.output) == (exit_code, True), result.output


def test_the_lines_of_the_page_run(
    served: Stack, orderline: Orderline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    letter = tmp_path / "letter.txt"
    letter.write_bytes(b"Dear Ada")
    names = {"orderline": orderline}
    for snippet in snippets("python")[1:3]:
        exec(snippet, names)
    place, get_file = (shlex.split(line)[1:] for line in snippets("sh")[0].splitlines())
    placed = run(served, *place)
    saved = run(served, *get_file[:-1], placed.stdout.split()[0][-5:])

    assert (tmp_path / "stamped.txt").read_bytes() == b"Dear Ada\nSEEN\n"
    assert saved.stdout == "stamped-letter.txt\n", saved.output
    assert (tmp_path / "stamped-letter.txt").read_bytes() == b"Dear Ada\nSEEN\n"


def snippets(language: str) -> list[str]:
    """Return the snippets of docs/files.md."""
    page = (ROOT / "docs" / "files.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def delete_files(stack: Stack) -> None:
    with patch.dict("os.environ", cloud.client_environment(int(stack.options["CLOUD_PORT"]))):
        s3 = boto3.client("s3")
    (bucket,) = [each["Name"] for each in s3.list_buckets()["Buckets"] if "files" in each["Name"]]
    for item in s3.list_objects_v2(Bucket=bucket).get("Contents", ()):
        s3.delete_object(Bucket=bucket, Key=item["Key"])
