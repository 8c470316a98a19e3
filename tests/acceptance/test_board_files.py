"""Files on the page of an order: lines, pictures and downloads, from the local cloud's bucket."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from tests.acceptance.board import expect, show
from tests.acceptance.browser import PHONE, WALL, opened
from tests.acceptance.stack import Stack, copy_of_the_project
from tests.acceptance.test_board import PICTURE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.local

PNG = base64.b64decode(PICTURE)
MARKUP = "<img src=x onerror=window.pwned=1>.png"
TASKS = """
from chalicelib.tasks import File, task


@task
def stamp(image: File, name: str = "report.html") -> dict[str, list[File]]:
    return {"files": [image, File.of(image.read(), name=name), File.of(b"<script>", name="a.html")]}
"""


@pytest.fixture(scope="module")
def files_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    project = copy_of_the_project(tmp_path_factory.mktemp("files"))
    (project / "chalicelib" / "tasks" / "stamp.py").write_text(TASKS)
    running = Stack(project).start()
    yield running
    running.stop()


def ended(stack: Stack, content: bytes, type: str = "image/png", **input: Any) -> Any:
    """Place an order with an uploaded file, and return it once it has ended."""
    image = {"file": stack.upload(content, type), "name": "cat.png"}
    order = stack.ended_order(stack.place("stamp", {"image": image, **input})["id"])
    assert order["status"] == "SUCCESS", order
    return order


def lines(page: Page) -> Locator:
    return page.locator("#files li")


def test_files_have_lines_and_pictures_are_shown(page: Page, files_stack: Stack) -> None:
    requests: list[Any] = []

    def record(request: Any) -> None:
        requests.append(request)

    page.on("request", record)
    order = ended(files_stack, PNG, name="copy.png")
    show(page, files_stack, order["id"])

    texts = [f"cat.png Input, {len(PNG)} B", "cat.png Result,", "copy.png Result,", "a.html Result"]
    expect(lines(page)).to_contain_text([re.compile(text.replace(" ", r"\s*")) for text in texts])
    for n in range(3):
        image = lines(page).nth(n).locator("img")
        expect(image).to_be_visible()
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1
    expect(lines(page).nth(3).locator("img")).to_have_count(0)
    expect(page.locator("#files .error:visible")).to_have_count(0)
    to_the_bucket = [request for request in requests if not request.url.startswith(files_stack.url)]
    assert len(to_the_bucket) >= 2  # two files have the same URL if it is signed in the same second
    for request in to_the_bucket:
        assert files_stack.token not in f"{request.url} {request.all_headers()}"


@pytest.mark.parametrize(("line", "name"), [(0, "cat.png"), (2, MARKUP), (3, "a.html")])
def test_a_file_is_downloaded_by_keyboard_and_the_page_stays(
    page: Page, files_stack: Stack, line: int, name: str
) -> None:
    content = PNG + b"\0" * 3_000_000
    order = ended(files_stack, content, name=MARKUP)
    show(page, files_stack, order["id"])
    expect(lines(page).nth(0)).to_contain_text("Input, 3.0 MB")
    expect(page.locator("#files b").nth(line)).to_have_text(name)
    button = lines(page).nth(line).get_by_role("button", name=f"Download {name}", exact=True)

    button.focus()
    with page.expect_download() as download:
        page.keyboard.press("Enter")

    expected = b"<script>" if name == "a.html" else content
    assert Path(download.value.path()).read_bytes() == expected
    assert download.value.suggested_filename == re.sub(r'[<>"]', "_", name)
    expect(page.locator("#order-status")).to_have_text("SUCCESS")
    expect(page.locator("#state")).to_have_text("Live")
    assert page.evaluate("window.pwned") is None


def test_a_broken_picture_is_a_sentence(page: Page, files_stack: Stack) -> None:
    order = ended(files_stack, b"not a picture", name="copy.txt")
    show(page, files_stack, order["id"])

    expect(lines(page).nth(0).get_by_role("alert")).to_have_text("This picture can't be shown.")
    expect(page.locator("#files img")).to_have_count(0)
    expect(lines(page).nth(0).get_by_role("button")).to_be_visible()


def test_an_expired_file_is_a_sentence(page: Page, files_stack: Stack) -> None:
    order = ended(files_stack, PNG + b"expires")
    expired = re.compile("it expired or was never uploaded")
    show(page, files_stack, order["id"])
    expect(lines(page).nth(0).locator("img")).to_be_visible()
    _expire(files_stack, order["result"]["files"][0]["file"])

    lines(page).nth(0).get_by_role("button").click()

    expect(lines(page).nth(0).get_by_role("alert")).to_have_text(expired)
    expect(page.locator("#order-status")).to_have_text("SUCCESS")
    page.reload()
    show(page, files_stack, order["id"])
    expect(lines(page).nth(0).get_by_role("alert")).to_have_text(expired)
    expect(lines(page).nth(0).locator("img")).to_have_count(0)


def _expire(stack: Stack, file_id: str) -> None:
    """Delete a file from the bucket, as its lifecycle does."""
    exports = (stack.project / ".local" / "env").read_text()
    variables = dict(re.findall(r"export (\w+)='(.*)'", exports))
    client = boto3.client(
        "s3",
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=variables["AWS_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )
    client.delete_object(Bucket=variables["BUCKET"], Key=f"local/{file_id}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WALL, PHONE])
def test_axe_finds_nothing_on_a_page_with_files(
    browser: Browser, files_stack: Stack, scheme: str, size: tuple[int, int]
) -> None:
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 an optional library

    order = ended(files_stack, PNG, name=f"{'a' * 200}.png")
    broken = ended(files_stack, b"not a picture")
    with opened(browser, size, color_scheme=scheme, reduced_motion="reduce") as page:
        for order_id, awaited in ((order["id"], "img"), (broken["id"], ".error:not(:empty)")):
            show(page, files_stack, order_id)
            expect(lines(page).nth(0).locator(awaited)).to_be_visible()
            report = Axe().run(page).generate_report()
            assert "Found 0 " in report, report
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
