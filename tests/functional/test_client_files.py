"""The client's files as far as no bucket is needed; tests/acceptance has the transfers."""

from __future__ import annotations

import base64
import io
import json
import os
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from orderline import (
    NotReachable,
    Orderline,
    RequestRejected,
    TransferFailed,
    terminal,
    transfer,
)
from orderline.commands import main
from orderline.files import INLINE_BYTES, Prepared, Source, names, references, safe_name, written

from chalicelib.tasks import File, task
from testkit import Cloud
from tests.functional.test_files import sha256
from tests.kit.front import Front

ID = "0" * 64
LARGE = b"x" * (INLINE_BYTES + 1)


@pytest.fixture(autouse=True)
def tasks(cloud: Cloud) -> None:
    @task
    def one(image: File) -> list[Any]:
        return [image.read().decode(), image.name, image.type]

    @task
    def optional(image: File | str | None = None, text: str = "") -> str:
        return image if isinstance(image, str) else "a file" if image else text

    @task
    def several(images: list[File]) -> list[str]:
        return [image.read().decode() for image in images]

    @task
    def page() -> File:
        return File.of(b"<p>", name="../\x1b[31mevil.html")


def test_a_small_file_needs_no_upload(
    cloud: Cloud, front: Front, orderline: Orderline, tmp_path: Path
) -> None:
    path = tmp_path / "cat.txt"
    path.write_bytes(b"miaow")
    order = orderline.place("one", {"image": path})
    cloud.drain()

    assert orderline.get(order["id"])["result"] == ["miaow", "cat.txt", "text/plain"]
    assert [path for method, path, _ in front.requests if method == "POST"] == ["/orders"]


def test_a_stored_file_is_not_uploaded_again(
    cloud: Cloud, front: Front, orderline: Orderline
) -> None:
    cloud.upload(LARGE)
    order = orderline.place("one", {"image": LARGE}, key="once")
    again = orderline.place("one", {"image": orderline.upload(LARGE)}, key="once")

    assert order["id"] == again["id"]
    assert json.loads(cloud.order(order["id"]).input)["image"]["file"] == sha256(LARGE)
    assert [path for method, path, _ in front.requests if method == "POST"] == [
        "/files",
        "/orders",
        "/files",
        "/orders",
    ]


def test_a_file_that_only_its_id_names_is_not_uploaded(orderline: Orderline) -> None:
    with pytest.raises(RequestRejected, match="POST /files") as error:
        orderline.place("one", {"image": {"file": ID}})
    assert error.value.problem["pointer"] == "/input/image"


def test_an_input_has_few_inline_bytes_and_a_pointer_to_each_upload() -> None:
    half = b"x" * (INLINE_BYTES // 2)
    input = {"a/b": [half, half, b"y"], "c~": (LARGE,), "text": "z", "number": 1}

    prepared = Prepared(input)

    assert list(prepared.uploads) == ["/input/a~1b/2", "/input/c~0/0"]
    assert prepared.uploads["/input/a~1b/2"].content == b"y"
    assert [sorted(file) for file in prepared.value["a/b"]] == [["base64", "type"]] * 2 + [["file"]]
    assert (prepared.value["text"], prepared.value["number"]) == ("z", 1)
    assert input["a/b"] == [half, half, b"y"]


def test_a_pipe_is_read_once() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"from a pipe")
    os.close(writer)
    source = Source.of(f"/dev/fd/{reader}", name="cat.png")
    os.close(reader)

    assert (source.content, source.size, source.type) == (b"from a pipe", 11, "image/png")


def test_a_guess_from_a_hostile_name_is_a_media_type() -> None:
    """Python takes the name for a URL, which states its type."""
    assert Source.of(b"x", name="data:a b/c,d.png").type == "application/octet-stream"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("cat.jpg", "cat.jpg"),
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("C:\\Windows\\win.ini", "win.ini"),
        (".bashrc", "bashrc"),
        ("..", ID + ".png"),
        ("a/", ID + ".png"),
        ("", ID + ".png"),
        (None, ID + ".png"),
        ("-rf", "rf"),
        ("a\x00b\n\x1b[31m.txt", "a_b__[31m.txt"),
        ("gpj.\u202eexe", "gpj._exe"),
        (" . ~", "~"),
        (7, "7"),
        ("Grüße 猫.pdf", "Grüße 猫.pdf"),
    ],
)
def test_a_name_of_a_result_stays_in_its_folder(name: Any, safe: str) -> None:
    assert safe_name({"file": ID, "name": name, "type": "image/png"}) == safe


@pytest.mark.parametrize("name", ["猫" * 255 + ".jpg", "x." + "y" * 300, "z" * 300])
def test_a_long_name_fits_the_file_system(name: str, tmp_path: Path) -> None:
    short = safe_name({"file": ID, "name": name})
    (tmp_path / short).touch()
    assert short.startswith(name[:2])
    assert short.endswith(".jpg") == name.endswith(".jpg")


def test_two_files_of_a_result_get_two_names() -> None:
    found = [{"file": ID, "name": name} for name in ("a.txt", "A.txt", "b/a.txt", "a-2.txt")]
    assert names(found) == ["a.txt", "A-2.txt", "a-3.txt", "a-2-2.txt"]


def test_the_files_of_a_result_are_found_wherever_they_are() -> None:
    file = {"file": ID, "name": "a"}
    result = {"file": file, "list": [[file], {"file": "a name"}], "more": {**file, "extra": 1}}
    assert list(references(result)) == [file, file]
    assert list(references(None)) == []


def test_a_download_that_fails_leaves_the_target_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "old"
    target.write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to(target)

    with pytest.raises(KeyboardInterrupt), written(target):
        raise KeyboardInterrupt
    with written(link) as stream:
        stream.write(b"new")

    assert (target.read_bytes(), link.read_bytes()) == (b"old", b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "old"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", ""])
def test_only_urls_of_the_web_are_opened(url: str) -> None:
    with pytest.raises(TransferFailed, match="https"):
        transfer.download(url, ID, 1, "cat.jpg", io.BytesIO(), None)


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Answer each request with the same bytes; yield the server's URL."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_an_error_response_that_breaks_off_is_an_error_of_the_client() -> None:
    broken = b"HTTP/1.1 503 Slow Down\r\nTransfer-Encoding: chunked\r\n\r\nnot a chunk\r\n"
    with answering(broken) as url:
        with pytest.raises(TransferFailed, match=r"^cat\.jpg was not downloaded") as error:
            transfer.download(url, ID, 1, "cat.jpg", io.BytesIO(), None)
        with pytest.raises(NotReachable):
            Orderline(url, "token", patience_s=0).tasks()
    assert error.value.again


def test_only_the_path_of_a_file_may_redirect() -> None:
    redirect = b"HTTP/1.1 303 See Other\r\nLocation: /x\r\nContent-Length: 2\r\n\r\n{}"
    with answering(redirect) as url, pytest.raises(RequestRejected, match="303"):
        Orderline(url, "token", patience_s=0).get("x")


def test_an_error_without_a_path_is_shown_by_its_reason() -> None:
    with pytest.raises(click.UsageError, match=r"^timed out$"), terminal.file_errors():
        raise TimeoutError("timed out")


def run(front: Front, *words: str) -> Result:
    environment = {"ORDERLINE_URL": front.url, "ORDERLINE_TOKEN": front.cloud.token}
    return CliRunner().invoke(main, words, env={**environment, "COLUMNS": "120"})


@pytest.mark.parametrize(
    ("words", "result"),
    [
        (["one", "image=@a.txt"], ["A", "a.txt", "text/plain"]),
        (["optional", "image=@a.txt"], "a file"),
        (["optional", "image=a.txt"], "a.txt"),
        (["optional", "text=@a.txt"], "A"),
        (["several", "images=@a.txt"], ["A"]),
        (["several", "images=@a.txt", "images=@b.txt"], ["A", "B"]),
        (["several", "images=[]"], []),
        (["several", "images=7", "images=@b.txt"], ["B"]),
        (["one", 'image={"base64": "QQ==", "name": "x.txt"}'], ["A", "x.txt", "text/plain"]),
    ],
)
def test_the_schema_decides_what_an_at_sign_sends(
    cloud: Cloud,
    front: Front,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    result: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("A")
    (tmp_path / "b.txt").write_text("B")

    placed = run(front, "place", *words, "--json")
    cloud.drain()

    assert placed.exit_code == 0, placed.output
    assert cloud.get(json.loads(placed.stdout)["id"])["result"] == result


def test_without_an_at_sign_the_command_reads_no_schema(front: Front) -> None:
    run(front, "place", "page", "--json")
    assert [path for _, path, _ in front.requests] == ["/orders"]


def test_get_file_says_why_there_is_nothing_to_save(cloud: Cloud, front: Front) -> None:
    order = cloud.place("one", {"image": {"base64": base64.b64encode(b"A").decode()}})
    waiting = run(front, "get-file", order["id"])
    cloud.drain()
    without = run(front, "get-file", order["id"][-6:])
    unknown = run(front, "get-file", ID)

    assert (waiting.exit_code, "has no result yet; its status is PENDING" in waiting.output) == (
        2,
        True,
    )
    assert (without.exit_code, "has no files in its result" in without.output) == (2, True)
    assert (unknown.exit_code, "No file of yours" in unknown.stderr) == (3, True)


@pytest.mark.local
def test_the_files_of_a_result_are_listed_without_control_characters(
    cloud: Cloud, front: Front
) -> None:
    order = cloud.place("page")
    cloud.drain()
    shown = run(front, "status", order["id"]).stdout

    assert "\x1b" not in shown
    assert "text/html" in shown
    assert "3 bytes" in shown
    assert f"orderline get-file {order['id']}" in shown
