"""docs/libraries.md, followed from top to bottom in a clone with a .venv of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.acceptance.stack import (
    ROOT,
    Stack,
    copy_of_the_project,
    environment,
    with_environment,
)

pytestmark = pytest.mark.local

PAGE = (ROOT / "docs" / "libraries.md").read_text()
LOCK = "requirements/own.txt"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def run(
    project: Path, command: str, succeeds: bool = True, shell: dict[str, str] | None = None
) -> str:
    """Run commands in a shell and return what they print."""
    done = subprocess.run(
        ["sh", "-e", "-c", command],
        cwd=project,
        env=environment(PYTHON=sys.executable, **(shell or {})),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) is succeeds, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_environment(copy_of_the_project(tmp_path_factory.mktemp("clone")))


def test_the_page_can_be_followed(clone: Path) -> None:
    lock, place, test, package = blocks("sh")
    run(clone, lock)
    assert "pillow==" in (clone / LOCK).read_text()
    for block in blocks("python"):
        path, _, code = block.removeprefix("# ").partition("\n")
        (clone / path).write_text(code)

    stack = Stack(clone, PYTHON=sys.executable).start(("make", "run"), within_s=240)
    try:
        assert (clone / ".venv" / "installed-requirements-own.txt").exists()
        shell = {"ORDERLINE_URL": stack.url, "ORDERLINE_TOKEN": stack.token}
        assert "thumbnail.jpg" in run(clone, place, shell=shell)
    finally:
        stack.stop()

    assert "1 passed" in run(clone, test)
    assert "PIL/" in run(clone, package)
    with zipfile.ZipFile(clone / "build" / "dev" / "out" / "deployment.zip") as opened:
        assert [name for name in opened.namelist() if re.match(r"PIL/_imaging.*aarch64", name)]


def test_what_does_not_fit_is_refused_and_changes_nothing(clone: Path) -> None:
    own = clone / "requirements" / "own.in"
    before = (clone / LOCK).read_text()

    for library, words in {
        "docopt": "docopt have no usable wheels",
        "msgspec<0.19": "msgspec",
    }.items():
        own.write_text(f"pillow\n{library}\n")
        assert words in run(clone, "make lock-own", succeeds=False)
        assert (clone / LOCK).read_text() == before

    assert "run `make lock-own`" in run(clone, "make run", succeeds=False)
    assert "run `make lock-own`" in run(clone, "make package", succeeds=False)


def test_without_a_library_there_is_no_lock(clone: Path) -> None:
    (clone / "requirements" / "own.in").write_text("# none\n")

    run(clone, "make lock-own")

    assert not (clone / LOCK).exists()
