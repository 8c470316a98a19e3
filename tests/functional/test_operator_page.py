"""The operator's page and its files as they are served. tests/acceptance tests it in a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chalicelib.web import operator_page
from testkit import Cloud

FOLDER = Path(operator_page.__file__).parent / "operator_static"
FILES = sorted(path.name for path in FOLDER.iterdir())
PUBLIC = {"Authorization": ""}


def test_the_page_and_all_its_files_are_served_without_a_token(cloud: Cloud) -> None:
    page = cloud.http("GET", "/operator", headers=PUBLIC)
    loaded = set(re.findall(r'(?:href|src)="((?:operator|board)/[^"]+)"', page.body))
    for path in FOLDER.glob("*.js"):
        for name in re.findall(r'from "(\./|\.\./board/)([^"]+)"', path.read_text()):
            loaded.add(f"{'operator' if name[0] == './' else 'board'}/{name[1]}")

    assert page.status == 200
    own = {name.removeprefix("operator/") for name in loaded if name.startswith("operator/")}
    assert own | {"operator.html"} == set(FILES)
    for name in loaded:
        reply = cloud.http("GET", f"/{name}", headers=PUBLIC)
        assert (reply.status, reply.body != "") == (200, True), name
        assert reply.headers["X-Content-Type-Options"] == "nosniff"


def test_its_own_files_are_under_45_kb() -> None:
    """A phone loads them in a second, beside the 19 kB that it shares with the board."""
    assert sum((FOLDER / name).stat().st_size for name in FILES) < 45_000


def test_an_unchanged_file_is_304(cloud: Cloud) -> None:
    first = cloud.http("GET", "/operator/operator.js")
    tag = {"If-None-Match": first.headers["ETag"]}
    again = cloud.http("GET", "/operator/operator.js", headers=tag)
    page = cloud.http("GET", "/operator", headers=tag)

    assert (again.status, again.body) == (304, "")
    assert page.status == 200


@pytest.mark.parametrize("name", ["..", "board.js", "%2e%2e%2fboard.py", "..%2fviews.py", "x.js"])
def test_other_files_are_404(cloud: Cloud, name: str) -> None:
    assert cloud.http("GET", f"/operator/{name}", headers=PUBLIC).status == 404
