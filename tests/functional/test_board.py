"""The board's page and files as they are served. tests/acceptance tests them in a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chalicelib import files
from chalicelib.web import board
from testkit import Cloud

FOLDER = Path(board.__file__).parent / "static"
FILES = sorted(path.name for path in FOLDER.iterdir())


def test_the_page_needs_no_token_and_all_its_files_are_served(cloud: Cloud) -> None:
    page = cloud.http("GET", "/board", headers={"Authorization": ""})
    names = set(re.findall(r'(?:href|src)="board/([^"]+)"', page.body))
    for path in FOLDER.glob("*.js"):
        names |= set(re.findall(r'from "\./([^"]+)"', path.read_text()))

    assert page.status == 200
    assert names | {"board.html"} == set(FILES)
    for name in FILES:
        reply = cloud.http("GET", f"/board/{name}", headers={"Authorization": ""})
        assert (reply.status, reply.body != "") == (200, True)
        assert reply.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "folder"), [("/board", FOLDER), ("/operator", FOLDER.parent / "operator_static")]
)
def test_the_content_security_policy_is_strict_and_the_page_needs_no_more(
    cloud: Cloud, path: str, folder: Path
) -> None:
    policy = cloud.http("GET", path).headers["Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    sources = "\n".join(file.read_text() for file in folder.iterdir())

    assert (
        rules["default-src"]
        == rules["frame-ancestors"]
        == rules["base-uri"]
        == rules["form-action"]
        == "'none'"
    )
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["img-src"].split() == ["'self'", "data:", files.url_prefix()]
    assert "unsafe" not in policy
    for forbidden in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "localStorage",
        "sessionStorage",
        "document.cookie",
        "style=",
        "onclick",
        "http://",
        "https://",
    ):
        assert forbidden not in sources.replace("http://www.w3.org/2000/svg", ""), forbidden


def test_pictures_may_come_from_the_bucket_alone(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def picture_sources() -> str:
        policy = cloud.http("GET", "/board").headers["Content-Security-Policy"]
        return policy.split("img-src 'self' data: ")[1].split(";")[0]

    monkeypatch.setenv("BUCKET", "own-bucket")
    assert picture_sources() == "https://own-bucket.s3.us-east-1.amazonaws.com/"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:4566")
    assert picture_sources() == "http://127.0.0.1:4566/own-bucket/"


def test_page_and_files_are_under_35_kb() -> None:
    """A phone loads them in a second. Without files and orders that wait the limit was 30 kB."""
    assert sum((FOLDER / name).stat().st_size for name in FILES) < 35_000


def test_an_unchanged_file_is_304(cloud: Cloud) -> None:
    first = cloud.http("GET", "/board/board.css")
    again = cloud.http("GET", "/board/board.css", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.body) == (304, "")


@pytest.mark.parametrize(
    "name", ["..", "board.py", "%2e%2e%2fboard.py", "..%2fviews.py", "board.HTML", "nothing.js"]
)
def test_other_files_are_404(cloud: Cloud, name: str) -> None:
    assert cloud.http("GET", f"/board/{name}").status == 404


def test_a_setting_decides_how_long_finished_orders_stay_on_the_board(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 'data-keep-s="300"' in cloud.http("GET", "/board").body
    monkeypatch.setenv("BOARD_KEEP_S", "20")
    board._files.cache_clear()
    assert 'data-keep-s="20"' in cloud.http("GET", "/board").body
    board._files.cache_clear()
