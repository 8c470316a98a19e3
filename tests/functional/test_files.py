"""Files: uploaded before the order, read and returned by its task, downloaded after it."""

from __future__ import annotations

import base64
import hashlib
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypedDict

import attrs
import pytest
from msgspec import Struct
from msgspec.structs import replace

from chalicelib import config
from chalicelib.errors import TaskMistake
from chalicelib.orders import Status
from chalicelib.tasks import Context, File, limits, task
from testkit import Cloud, Wire

PHOTO = b"\xff\xd8 a photo of 3 MB " * 100
DAY = 86_400
Picture = Annotated[File, limits(max_bytes=10, types=("image/*",))]


def stored(cloud: Cloud, file_id: str) -> Any:
    return cloud.s3.head_object(Bucket=config.settings().files_bucket, Key=f"kit/{file_id}")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def size() -> None:
    @task
    def size(image: File) -> dict[str, Any]:
        content = image.read()
        assert image.path().read_bytes() == content
        return {"bytes": len(content), "name": image.name, "type": image.type, "size": image.size}


@pytest.fixture
def reverse() -> None:
    @task
    def reverse(image: File) -> File:
        return File.of(image.read()[::-1], name="mirror.png")


@pytest.mark.usefixtures("size")
def test_a_task_reads_the_uploaded_file(cloud: Cloud) -> None:
    file_id = cloud.upload(PHOTO, "image/jpeg")
    order = cloud.place("size", {"image": {"file": file_id, "name": "cat.jpg"}})
    cloud.drain()

    result = cloud.get(order["id"])["result"]

    expected = {"bytes": len(PHOTO), "name": "cat.jpg", "type": "image/jpeg", "size": len(PHOTO)}
    assert result == expected


@pytest.mark.usefixtures("size")
def test_a_small_file_is_sent_inline(cloud: Cloud) -> None:
    @task
    def inline(image: File) -> list[Any]:
        return [image.read().decode(), image.file, image.type]

    content = base64.b64encode(b"tiny").decode()
    order = cloud.place("inline", {"image": {"base64": content, "name": "cat.png"}})
    cloud.drain()

    assert cloud.get(order["id"])["result"] == ["tiny", sha256(b"tiny"), "image/png"]


@pytest.mark.usefixtures("reverse")
def test_a_result_file_is_downloaded(cloud: Cloud) -> None:
    order = cloud.place("reverse", {"image": {"file": cloud.upload(PHOTO)}})
    cloud.drain()

    result = cloud.get(order["id"])["result"]

    mirrored = PHOTO[::-1]
    expected = {"file": sha256(mirrored), "name": "mirror.png", "type": "image/png"}
    assert result == {**expected, "size": len(PHOTO)}
    assert cloud.download(result["file"]) == mirrored


def test_a_file_in_a_list_in_a_result_is_stored(cloud: Cloud, tmp_path: Path) -> None:
    path = tmp_path / "b.txt"
    path.write_bytes(b"second")

    @task
    def two() -> dict[str, list[File]]:
        return {"files": [File.of(b"first", name="a.txt"), File.of(path)]}

    order = cloud.place("two")
    cloud.drain()

    first, second = cloud.get(order["id"])["result"]["files"]
    assert (cloud.download(first["file"]), cloud.download(second["file"])) == (b"first", b"second")
    assert (second["name"], second["type"]) == ("b.txt", "text/plain")


@pytest.mark.usefixtures("reverse")
def test_a_follow_up_gets_a_file_that_its_parent_made(cloud: Cloud) -> None:
    @task
    def parent(order: Context) -> str:
        return order.place("reverse", {"image": File.of(b"abc")}, "mirror")

    placed = cloud.place("parent")
    cloud.drain()
    cloud.drain()

    child = cloud.get(cloud.get(placed["id"])["result"])
    assert cloud.download(child["result"]["file"]) == b"cba"


def test_a_file_in_any_class_that_msgspec_encodes_is_stored(cloud: Cloud) -> None:
    @dataclass
    class Page:
        image: File

    @attrs.define
    class Book:
        pages: tuple[Page, ...]

    @task
    def scan() -> Any:
        return Book((Page(File.of(b"first")),))

    order = cloud.place("scan")
    cloud.drain()

    (page,) = cloud.get(order["id"])["result"]["pages"]
    assert cloud.download(page["image"]["file"]) == b"first"


def test_an_inline_file_that_is_the_result_is_stored(cloud: Cloud) -> None:
    @task
    def echo(image: File) -> File:
        return image

    inline = {"base64": base64.b64encode(b"tiny").decode()}
    order = cloud.place("echo", {"image": inline})
    cloud.drain()

    assert cloud.download(cloud.get(order["id"])["result"]["file"]) == b"tiny"


def test_a_result_can_not_name_a_file_that_is_not_stored(cloud: Cloud) -> None:
    @task(max_attempts=1)
    def invent(id: str) -> File:
        return File(file=id)

    invented = cloud.place("invent", {"id": sha256(b"nothing")})
    known = cloud.place("invent", {"id": cloud.upload(PHOTO)})
    cloud.drain()

    assert cloud.get(invented["id"])["error"]["code"] == "task_error"
    assert cloud.get(known["id"])["result"]["file"] == sha256(PHOTO)


@pytest.mark.usefixtures("size")
def test_bytes_that_are_not_the_file_s_are_not_given_to_the_task(cloud: Cloud) -> None:
    file_id = cloud.upload(PHOTO)
    order = cloud.place("size", {"image": {"file": file_id}})
    cloud.s3.put_object(
        Bucket=config.settings().files_bucket, Key=f"kit/{file_id}", Body=PHOTO[:-1]
    )
    for _ in range(5):
        cloud.drain()
        cloud.clock.advance(60)

    error = cloud.get(order["id"])["error"]
    assert (error["code"], error["attempt"]) == ("file_unavailable", 5)
    assert "not be read completely" in error["message"]


@pytest.mark.usefixtures("reverse")
def test_no_request_moves_bytes_and_each_file_costs_one_call(cloud: Cloud, wire: Wire) -> None:
    """Read and write files in the worker alone; see test_calls.py for orders without any."""
    file_id = cloud.upload(PHOTO)
    again = {"sha256": file_id, "size": len(PHOTO)}
    wire.calls.clear()

    cloud.http("POST", "/files", again)
    cloud.http("GET", f"/files/{file_id}")
    assert wire.calls == ["HeadObject", "HeadObject"]

    wire.calls.clear()
    cloud.place("reverse", {"image": {"file": file_id}})
    assert wire.calls == ["HeadObject", "PutItem", "SendMessage"]

    wire.calls.clear()
    cloud.drain()
    assert wire.calls == ["UpdateItem", "GetObject", "PutObject", "UpdateItem"]


def test_a_file_that_is_named_twice_is_looked_up_once(cloud: Cloud, wire: Wire) -> None:
    @task
    def many(images: list[File]) -> int:
        return len(images)

    first, second = cloud.upload(b"first"), cloud.upload(b"second")
    wire.calls.clear()

    cloud.place("many", {"images": [{"file": file_id} for file_id in (first, second, first)]})

    assert wire.calls == ["HeadObject", "HeadObject", "PutItem", "SendMessage"]


@pytest.mark.usefixtures("reverse")
def test_a_follow_up_gets_an_old_file_of_its_parent(cloud: Cloud) -> None:
    @task
    def hand_on(image: File, order: Context) -> str:
        return order.place("reverse", {"image": image}, "mirror")

    value = {"image": {"file": cloud.upload(PHOTO)}}
    cloud.clock.advance(0.9 * DAY)
    parent = cloud.place("hand_on", value)
    cloud.clock.advance(0.5 * DAY)
    cloud.drain()
    cloud.drain()

    child = cloud.get(cloud.get(parent["id"])["result"])
    assert cloud.download(child["result"]["file"]) == PHOTO[::-1]


def refused(cloud: Cloud, task_name: str, value: Any, **more: Any) -> Any:
    reply = cloud.http("POST", "/orders", {"task": task_name, "input": value, **more})
    assert reply.status == 422, reply.body
    assert not cloud.rows()
    return reply.json


@pytest.mark.usefixtures("size")
def test_a_file_that_is_not_stored_is_named_by_its_pointer(cloud: Cloud) -> None:
    problem = refused(cloud, "size", {"image": {"file": sha256(b"never uploaded")}})

    assert problem["type"] == "/problems/file-missing"
    assert problem["pointer"] == "/input/image"
    assert "POST /files" in problem["detail"]


@pytest.mark.usefixtures("size")
def test_the_file_of_another_owner_is_missing(cloud: Cloud) -> None:
    file_id = cloud.upload(PHOTO)
    other = {"Authorization": f"Bearer {cloud.new_token('other')}"}

    placed = cloud.http(
        "POST", "/orders", {"task": "size", "input": {"image": {"file": file_id}}}, other
    )
    shown = cloud.http("GET", f"/files/{file_id}", headers=other)

    assert placed.json["type"] == "/problems/file-missing"
    assert (shown.status, shown.json["type"]) == (404, "/problems/not-found")


@pytest.mark.usefixtures("size")
@pytest.mark.parametrize(
    ("value", "pointer", "part"),
    [
        ({}, "/input/image", "either"),
        ({"file": ""}, "/input/image", "either"),
        ({"file": sha256(b""), "base64": "YQ=="}, "/input/image", "either"),
        ({"file": "abc"}, "/input/image/file", "regex"),
        ({"base64": "a"}, "/input/image", "base64"),
        ({"base64": "YQ==", "nope": 1}, "/input/image/nope", "nope"),
        ({"base64": "YQ==", "type": "png"}, "/input/image", "media type"),
        (7, "/input/image", "object"),
    ],
)
def test_a_malformed_file_is_refused(cloud: Cloud, value: Any, pointer: str, part: str) -> None:
    problem = refused(cloud, "size", {"image": value})

    assert problem["type"] == "/problems/invalid-input"
    assert problem["pointer"] == pointer
    assert part in problem["detail"]


def test_limits_are_checked_before_the_order_is_accepted(cloud: Cloud) -> None:
    @task
    def bounded(images: list[Picture]) -> int:
        return len(images)

    small = cloud.upload(b"small", "image/png")
    large = cloud.upload(b"x" * 11, "image/png")
    page = cloud.upload(b"<p>", "text/html")

    too_large = refused(cloud, "bounded", {"images": [{"file": small}, {"file": large}]})
    wrong_type = refused(cloud, "bounded", {"images": [{"file": page}]})

    assert (too_large["pointer"], wrong_type["pointer"]) == ("/input/images/1", "/input/images/0")
    assert "11 bytes; the maximum is 10" in too_large["detail"]
    assert "text/html; accepted: image/*" in wrong_type["detail"]
    assert cloud.place("bounded", {"images": [{"file": small}] * 2})["status"] == "PENDING"


@pytest.mark.usefixtures("size")
def test_a_file_is_renewed_if_it_would_not_outlive_its_order(cloud: Cloud) -> None:
    file_id = cloud.upload(PHOTO, "image/jpeg")
    value = {"image": {"file": file_id}}
    uploaded_at = stored(cloud, file_id)["LastModified"]
    cloud.clock.advance(1.1 * DAY)

    assert cloud.place("size", value)["status"] == "PENDING"

    renewed = stored(cloud, file_id)
    assert (renewed["LastModified"] - uploaded_at).days == 1
    assert (renewed["ContentType"], renewed["ContentLength"]) == ("image/jpeg", len(PHOTO))
    cloud.drain()
    assert cloud.rows()[0].status is Status.SUCCESS


@pytest.mark.usefixtures("size")
def test_an_order_that_runs_after_the_end_of_any_file_is_refused(cloud: Cloud) -> None:
    value = {"image": {"file": cloud.upload(PHOTO)}}

    problem = refused(cloud, "size", value, delay_s=2 * DAY)

    assert problem["type"] == "/problems/file-missing"
    assert "FILE_DAYS" in problem["detail"]


@pytest.mark.usefixtures("size")
def test_a_replay_is_answered_though_the_file_has_gone(cloud: Cloud) -> None:
    file_id = cloud.upload(PHOTO)
    headers = {"Idempotency-Key": "once"}
    order = cloud.place("size", {"image": {"file": file_id}}, headers)
    cloud.drain()
    cloud.s3.delete_object(Bucket=config.settings().files_bucket, Key=f"kit/{file_id}")

    replay = cloud.place("size", {"image": {"file": file_id}}, headers)
    body = {"task": "size", "input": {"image": {"file": file_id, "name": "other"}}}
    other = cloud.http("POST", "/orders", body, headers)

    assert (replay["id"], replay["status"]) == (order["id"], "SUCCESS")
    assert other.json["type"] == "/problems/file-missing"


def test_a_retry_renews_the_files(cloud: Cloud) -> None:
    @task(max_attempts=1)
    def broken(image: File) -> None:
        raise ValueError

    file_id = cloud.upload(PHOTO)
    order = cloud.place("broken", {"image": {"file": file_id}})
    uploaded_at = stored(cloud, file_id)["LastModified"]
    cloud.drain()
    cloud.clock.advance(3 * DAY)

    retried = cloud.http("POST", f"/orders/{order['id']}/retry")

    assert retried.status == 202, retried.body
    assert (stored(cloud, file_id)["LastModified"] - uploaded_at).days == 3


def test_a_retry_without_its_file_is_refused(cloud: Cloud) -> None:
    @task(max_attempts=1)
    def broken(image: File) -> None:
        raise ValueError

    file_id = cloud.upload(PHOTO)
    order = cloud.place("broken", {"image": {"file": file_id}})
    cloud.drain()
    cloud.s3.delete_object(Bucket=config.settings().files_bucket, Key=f"kit/{file_id}")

    refusal = cloud.http("POST", f"/orders/{order['id']}/retry")

    assert (refusal.status, refusal.json["type"]) == (422, "/problems/file-missing")


@pytest.mark.usefixtures("size")
def test_an_upload_twice_is_answered_without_a_url(cloud: Cloud) -> None:
    file_id = cloud.upload(PHOTO, "image/jpeg")

    reply = cloud.http(
        "POST", "/files", {"sha256": file_id, "size": len(PHOTO), "type": "image/jpeg"}
    )

    assert reply.json == {"file": file_id, "upload": None}


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({}, "sha256"),
        ({"sha256": "A" * 64, "size": 1}, "sha256"),
        ({"sha256": "0" * 64, "size": -1}, "size"),
        ({"sha256": "0" * 64, "size": 5 * 10**9}, "the maximum is 100000000"),
        ({"sha256": "0" * 64, "size": 1, "type": "image/png; charset=x"}, "media type"),
        ({"sha256": "0" * 64, "size": 1, "type": "x/y\r\nhost: evil"}, "media type"),
        ({"sha256": "0" * 64, "size": 1, "name": "x"}, "name"),
    ],
)
def test_a_malformed_upload_is_refused(cloud: Cloud, body: Any, part: str) -> None:
    reply = cloud.http("POST", "/files", body)

    assert (reply.status, reply.json["type"]) == (422, "/problems/invalid-file")
    assert part in reply.json["detail"]


@pytest.mark.parametrize("file_id", ["abc", "0" * 64, "..%2Fother%2F" + "0" * 64])
def test_an_unknown_file_is_404(cloud: Cloud, file_id: str) -> None:
    assert cloud.http("GET", f"/files/{file_id}").status == 404


@pytest.mark.parametrize(
    ("type", "query", "disposition"),
    [
        ("image/png", "", "inline"),
        ("text/html", "", "attachment"),
        ("image/svg+xml", "", "attachment"),
        ("image/png", "?name=cat.png", "attachment%3B%20filename%2A%3DUTF-8%27%27cat.png"),
        (
            "text/html",
            "?name=a%22;%20b.html",
            "attachment%3B%20filename%2A%3DUTF-8%27%27a%2522%253B%2520b.html",
        ),
    ],
)
def test_a_browser_shows_only_pictures_and_saves_a_file_that_has_a_name(
    cloud: Cloud, type: str, query: str, disposition: str
) -> None:
    file_id = cloud.upload(b"<script>", type)

    location = cloud.http("GET", f"/files/{file_id}{query}").headers["Location"]

    assert f"response-content-disposition={disposition}&" in location


@pytest.mark.parametrize("accept", ["application/json", "text/plain, Application/JSON;q=0.5"])
def test_a_script_that_accepts_json_gets_it_without_a_redirect(cloud: Cloud, accept: str) -> None:
    file_id = cloud.upload(PHOTO, "image/jpeg")

    reply = cloud.http("GET", f"/files/{file_id}", headers={"Accept": accept})

    redirect = cloud.http("GET", f"/files/{file_id}", headers={"Accept": "*/*"})
    assert (reply.status, redirect.status) == (200, 303)
    assert "Location" not in reply.headers
    assert set(reply.json) == set(redirect.json)
    assert (reply.json["file"], reply.json["type"]) == (file_id, "image/jpeg")
    assert redirect.headers["Location"] == redirect.json["url"]


def test_a_plain_function_takes_a_file_without_a_cloud() -> None:
    def reverse(image: File) -> File:
        return File.of(image.read()[::-1])

    assert reverse(File.of(b"abc")).read() == b"cba"
    with pytest.raises(TaskMistake, match="no running order"):
        File(file="0" * 64).read()


LARGE = "ü" * 100_000  # 200,000 bytes


@pytest.fixture
def echo() -> None:
    @task(max_attempts=1)
    def echo(text: str, fail: bool = False) -> str:
        if fail:
            raise ValueError
        return text


@pytest.mark.usefixtures("echo")
def test_large_json_is_stored_beside_the_row(cloud: Cloud) -> None:
    order = cloud.place("echo", {"text": LARGE})
    cloud.drain()

    row = cloud.order(order["id"])
    reply = cloud.http("GET", f"/orders/{order['id']}?include=input")
    tags = {"If-None-Match": reply.headers["ETag"]}
    known = cloud.http("GET", f"/orders/{order['id']}?include=input", headers=tags)

    assert (row.input, row.result) == ("", None)
    assert row.input_file
    assert row.result_file
    assert (reply.json["input"], reply.json["result"]) == ({"text": LARGE}, LARGE)
    assert known.status == 304
    assert cloud.http("GET", "/orders").json["items"][0]["id"] == order["id"]


@pytest.mark.usefixtures("echo")
def test_small_json_stays_in_the_row(cloud: Cloud) -> None:
    order = cloud.place("echo", {"text": "x" * 16_000})
    cloud.drain()

    row = cloud.order(order["id"])

    assert (row.input_file, row.result_file) == (None, None)
    assert "Contents" not in cloud.s3.list_objects_v2(Bucket="orderline-dev-files")


@pytest.mark.usefixtures("echo")
def test_a_large_order_that_runs_late_stays_in_the_row(cloud: Cloud) -> None:
    value = {"text": "x" * 60_000}
    order = cloud.place("echo", value)
    reply = cloud.http("POST", "/orders", {"task": "echo", "input": value, "delay_s": 30 * DAY})
    too_large = {"task": "echo", "input": {"text": LARGE}, "delay_s": 30 * DAY}
    refusal = cloud.http("POST", "/orders", too_large)

    assert cloud.order(order["id"]).input_file
    assert cloud.order(reply.json["id"]).input_file is None
    assert (refusal.status, refusal.json["type"]) == (413, "/problems/too-large")
    assert "FILE_DAYS" in refusal.json["detail"]


@pytest.mark.usefixtures("echo")
def test_a_retry_keeps_a_large_input_alive(cloud: Cloud) -> None:
    order = cloud.place("echo", {"text": LARGE, "fail": True})
    cloud.drain()
    file_id = cloud.order(order["id"]).input_file
    assert file_id
    before = cloud.s3.head_object(Bucket="orderline-dev-files", Key=f"kit/{file_id}")
    cloud.clock.advance(3 * DAY)

    assert cloud.http("POST", f"/orders/{order['id']}/retry").status == 202

    after = cloud.s3.head_object(Bucket="orderline-dev-files", Key=f"kit/{file_id}")
    assert (after["LastModified"] - before["LastModified"]).days == 3
    cloud.drain()
    assert cloud.get(order["id"])["status"] == "FAILED"
    assert cloud.order(order["id"]).result_file is None


class Album(Struct, rename="camel"):
    cover_page: Picture
    more_pages: dict[str, Picture] = {}


class Row(Struct, array_like=True):
    number: int
    scan: Picture


class Scan(Struct, tag="scan"):
    page: Picture


class Fax(Struct, tag="fax"):
    page: File


class Page(TypedDict):
    scan: Picture


class Pair(NamedTuple):
    number: int
    scan: Picture


@dataclass
class Book:
    pages: list[Picture] = field(default_factory=list)


@pytest.mark.parametrize(
    ("hint", "pack", "pointer"),
    [
        (Picture | None, lambda file: file, ""),
        (Picture | str, lambda file: file, ""),
        (Annotated[File | str, limits(max_bytes=10)], lambda file: file, ""),
        (Annotated[File, limits(max_bytes=10), limits(types=("image/*",))], lambda file: file, ""),
        (Annotated[list[File], limits(max_bytes=10)], lambda file: [file], "/0"),
        (list[Picture | None], lambda file: [None, file], "/1"),
        (tuple[File, Picture], lambda file: [file, file], "/1"),
        (set[Picture], lambda file: [file], "/0"),
        (dict[str, Picture], lambda file: {"a/b~": file}, "/a~1b~0"),
        (Album, lambda file: {"coverPage": file}, "/coverPage"),
        (Row, lambda file: [1, file], "/1"),
        (Scan | Fax, lambda file: {"type": "scan", "page": file}, "/page"),
        (Page, lambda file: {"scan": file}, "/scan"),
        (Pair, lambda file: [1, file], "/1"),
        (Book, lambda file: {"pages": [file]}, "/pages/0"),
    ],
)
def test_limits_and_pointers_reach_a_file_however_deep_it_is(
    cloud: Cloud, hint: Any, pack: Callable[[Any], Any], pointer: str
) -> None:
    def look(value: Any) -> int:
        return len(str(value))

    look.__annotations__["value"] = hint
    task(look)
    large = pack({"file": cloud.upload(b"x" * 11, "image/png")})
    small = pack({"file": cloud.upload(b"small", "image/png")})

    problem = refused(cloud, "look", {"value": large})
    order = cloud.place("look", {"value": small})
    cloud.drain()

    assert (problem["pointer"], problem["type"]) == (f"/input/value{pointer}", INVALID)
    assert "the maximum is 10" in problem["detail"]
    assert cloud.get(order["id"])["status"] == "SUCCESS"


INVALID = "/problems/invalid-input"


def test_the_limits_of_a_unions_other_type_do_not_apply(cloud: Cloud) -> None:
    @task
    def either(value: Scan | Fax) -> str:
        return type(value).__name__

    page = {"file": cloud.upload(b"x" * 11)}
    order = cloud.place("either", {"value": {"type": "fax", "page": page}})
    cloud.drain()

    assert cloud.get(order["id"])["result"] == "Fax"


def test_a_file_is_described_by_the_schema_with_its_limits(cloud: Cloud) -> None:
    @task
    def shrink(image: Picture, more: set[File], album: Album) -> File:
        return image

    listed = cloud.http("GET", "/tasks").json["items"]
    schema = next(entry["input_schema"] for entry in listed if entry["name"] == "shrink")

    assert schema["properties"]["image"] == {
        "$ref": "#/$defs/File",
        "x-max-bytes": 10,
        "x-media-types": ["image/*"],
    }
    assert schema["$defs"]["File"]["properties"]["base64"] == {"type": "string"}
    assert cloud.http("GET", "/openapi.json").status == 200


def ended(cloud: Cloud, name: str, value: Any = None) -> Any:
    order = cloud.place(name, value or {})
    cloud.drain()
    return cloud.get(order["id"])


@pytest.mark.parametrize("inline", [True, False])
def test_a_path_has_the_bytes_until_the_attempt_ends(cloud: Cloud, inline: bool) -> None:
    paths: list[Path] = []

    @task
    def look(image: File) -> str:
        paths.extend((image.path(), image.path()))
        return image.path().read_text()

    text = base64.b64encode(b"tiny").decode()
    order = ended(
        cloud, "look", {"image": {"base64": text} if inline else {"file": cloud.upload(b"tiny")}}
    )

    assert order["result"] == "tiny"
    assert paths[0] == paths[1]
    assert not paths[0].exists()


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("cat.PNG", ".PNG"), ("a.tar.gz", ".gz"), ("cat", ""), ("a./../b", ""), ("x.\0", "")],
)
def test_a_path_ends_as_the_name_does(cloud: Cloud, name: str, suffix: str) -> None:
    @task
    def suffixes(images: list[File]) -> list[str]:
        return [image.path().suffix for image in images]

    images = [{"file": cloud.upload(b"x"), "name": name}, {"base64": "eA==", "name": name}]

    assert ended(cloud, "suffixes", {"images": images})["result"] == [suffix] * 2


def test_a_file_can_not_be_read_after_its_attempt(cloud: Cloud) -> None:
    files: list[File] = []

    @task
    def keep(image: File) -> None:
        image.path()
        files.append(image)

    ended(cloud, "keep", {"image": {"file": cloud.upload(PHOTO)}})

    for read in (files[0].read, files[0].path):
        with pytest.raises(TaskMistake, match="after its attempt has ended"):
            read()


def test_threads_of_a_task_read_its_files(cloud: Cloud) -> None:
    @task
    def total(images: list[File]) -> int:
        with ThreadPoolExecutor(8) as pool:
            paths = pool.map(File.path, images * 8)
            return sum(path.stat().st_size for path in paths)

    files = [{"file": cloud.upload(PHOTO)}, {"file": cloud.upload(b"small")}]

    assert ended(cloud, "total", {"images": files})["result"] == 8 * (len(PHOTO) + 5)


def test_a_file_that_is_returned_twice_is_stored_once(cloud: Cloud) -> None:
    @task
    def twice() -> list[File]:
        return [File.of(b"same"), File.of(b"same", name="copy")]

    bucket = "orderline-dev-files"
    cloud.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})

    assert ended(cloud, "twice")["status"] == "SUCCESS"
    assert len(cloud.s3.list_object_versions(Bucket=bucket)["Versions"]) == 1


@pytest.mark.parametrize("content", [b"", b"small"])
def test_a_file_of_any_size_goes_in_and_out(cloud: Cloud, content: bytes) -> None:
    @task
    def same(image: File) -> list[File]:
        return [image, image, File.of(image.read(), type="image/png")]

    text = base64.b64encode(content).decode()
    by_id = ended(cloud, "same", {"image": {"file": cloud.upload(content)}})
    inline = ended(cloud, "same", {"image": {"base64": text}})

    for first, again, new in (by_id["result"], inline["result"]):
        assert first == again == {**new, "type": "application/octet-stream"}
        assert (new["size"], cloud.download(new["file"])) == (len(content), content)


def test_files_of_a_result_are_found_in_any_type(cloud: Cloud) -> None:
    @task
    def nested() -> dict[str, Any]:
        return {
            "struct": Album(File.of(b"1"), {"a": File.of(b"2")}),
            "dataclass": Book([File.of(b"3")]),
            "tuple": Pair(1, File.of(b"4")),
            "set": {File.of(b"5")},
        }

    result = ended(cloud, "nested")["result"]

    assert cloud.download(result["struct"]["coverPage"]["file"]) == b"1"
    assert cloud.download(result["struct"]["morePages"]["a"]["file"]) == b"2"
    assert cloud.download(result["dataclass"]["pages"][0]["file"]) == b"3"
    assert cloud.download(result["tuple"][1]["file"]) == b"4"
    assert cloud.download(result["set"][0]["file"]) == b"5"


def replaced(image: File) -> File:
    return replace(File.of(b"new"), name="b.txt")


def removed(image: File) -> File:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.pdf"
        path.write_bytes(b"%PDF")
        return File.of(path)


def too_large(image: File) -> File:
    return File.of(b"x" * 2000)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (replaced, "which is not stored"),
        (removed, "leave it until the task has returned"),
        (too_large, "the file has 2000 bytes; the maximum is 1000 (MAX_FILE_BYTES)"),
    ],
)
def test_a_result_that_could_name_a_missing_file_fails_at_once(
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    mistake: Callable[[File], File],
    message: str,
) -> None:
    monkeypatch.setenv("MAX_FILE_BYTES", "1000")
    task(mistake)

    order = ended(cloud, mistake.__name__, {"image": {"file": cloud.upload(b"small")}})

    assert (order["status"], order["attempts"]) == ("FAILED", 1)
    assert order["error"]["message"].startswith("TaskMistake: ")
    assert message in order["error"]["message"]


def test_a_download_that_breaks_off_is_attempted_again(cloud: Cloud) -> None:
    @task
    def look(image: File) -> int:
        return len(image.read())

    order = cloud.place("look", {"image": {"file": cloud.upload(PHOTO)}})
    [stored] = cloud.s3.list_objects_v2(Bucket="orderline-dev-files")["Contents"]
    cloud.s3.put_object(Bucket="orderline-dev-files", Key=stored["Key"], Body=PHOTO[:-1])
    cloud.drain()

    assert cloud.order(order["id"]).error.code == "file_unavailable"  # type: ignore[union-attr]


def test_a_periodic_task_makes_a_file(cloud: Cloud) -> None:
    @task(every_s=60)
    def report(old: File | None = None) -> File:
        return File.of(b"empty", name="report.pdf") if old is None else old

    for _ in range(2):  # the first sweep only notes the time
        cloud.clock.advance(60)
        cloud.sweep()
    cloud.drain()

    [order] = [row for row in cloud.rows() if row.task == "report"]
    assert '"name": "report.pdf"' in str(order.result)


def test_a_plain_function_gets_a_path() -> None:
    file = File.of(b"abc", name="a.txt")
    path = file.path()
    assert (path, path.read_bytes()) == (file.path(), b"abc")
    del file
    assert not path.exists()


@pytest.mark.usefixtures("echo")
def test_a_retry_without_its_large_input_is_refused(cloud: Cloud) -> None:
    order = cloud.place("echo", {"text": LARGE, "fail": True})
    cloud.drain()
    key = f"kit/{cloud.order(order['id']).input_file}"
    cloud.s3.delete_object(Bucket=config.settings().files_bucket, Key=key)

    refusal = cloud.http("POST", f"/orders/{order['id']}/retry")

    assert (refusal.status, refusal.json["type"]) == (422, "/problems/file-missing")


def test_a_file_named_twice_is_looked_up_and_renewed_once(cloud: Cloud, wire: Wire) -> None:
    @task
    def pair(images: list[File]) -> int:
        return len(images)

    file = {"file": cloud.upload(PHOTO)}
    cloud.clock.advance(1.1 * DAY)
    before = len(wire.calls)

    cloud.place("pair", {"images": [file, file]})

    calls = wire.calls[before:]
    assert calls.count("HeadObject") == 1
    assert calls.count("PutObject") == 1


def test_a_body_over_the_limit_is_refused_even_below_the_spill(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, echo: None
) -> None:
    monkeypatch.setenv("MAX_INPUT_BYTES", "1000")

    reply = cloud.http("POST", "/orders", {"task": "echo", "input": {"text": "x" * 2000}})

    assert (reply.status, reply.json["type"]) == (413, "/problems/too-large")


def test_the_limit_of_files_does_not_bound_large_json(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, echo: None
) -> None:
    monkeypatch.setenv("MAX_FILE_BYTES", "20000")
    order = cloud.place("echo", {"text": LARGE})
    cloud.drain()

    assert cloud.get(order["id"])["result"] == LARGE


@pytest.mark.parametrize("name", ["data:text/html\r\nX: y,z", "data:a b/c,d.png"])
def test_a_hostile_name_gives_no_type(name: str) -> None:
    assert File.of(b"x", name=name).type == "application/octet-stream"


def test_an_id_with_a_newline_is_refused(cloud: Cloud) -> None:
    reply = cloud.http("POST", "/files", {"sha256": "0" * 64 + "\n", "size": 1})

    assert reply.json["type"] == "/problems/invalid-file"


def test_a_text_is_not_a_file() -> None:
    with pytest.raises(TypeError, match="encode a text"):
        File.of("hello")  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"max_bytes": 0}, {"types": ("text",)}, {"types": "text/*"}])
def test_limits_that_can_not_be_met_are_refused_at_import(options: Any) -> None:
    with pytest.raises(TaskMistake):
        limits(**options)
