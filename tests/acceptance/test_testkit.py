"""The test kit works in a clone without our tests, with the user's own in its place."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.stack import environment

pytestmark = pytest.mark.local

TASK = """
from chalicelib.tasks import task


@task
def triple(number: int) -> int:
    return 3 * number
"""
TEST = """
from chalicelib.tasks import task
from testkit import Cloud, Wire


def test_mine(cloud: Cloud, wire: Wire) -> None:
    order = cloud.place("triple", {"number": 14})
    cloud.drain()
    assert cloud.get(order["id"])["result"] == 42
    assert wire.calls


def test_a_task_of_the_test(cloud: Cloud) -> None:
    @task
    def passing() -> None:
        pass

    order = cloud.place("passing")
    cloud.drain()
    assert cloud.get(order["id"])["status"] == "SUCCESS"


def test_which_is_gone(cloud: Cloud) -> None:
    assert cloud.http("POST", "/orders", {"task": "passing", "input": {}}).status == 422
"""


def test_a_clone_without_our_tests_runs_its_own(project: Path) -> None:
    shutil.rmtree(project / "tests")
    (project / "tests" / "tasks").mkdir(parents=True)
    (project / "tests" / "tasks" / "test_mine.py").write_text(TEST)
    (project / "chalicelib" / "tasks" / "triple.py").write_text(TASK)
    shell = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "MAX_INPUT_BYTES": "1"}

    done = subprocess.run(
        [str(Path(sys.executable).with_name("pytest")), "-p", "no:cacheprovider"],
        cwd=project,
        env=environment(**shell),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
