"""README's commands, run in their order in a fresh copy of the project."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from orderline import Orderline

from tests.acceptance.stack import ROOT, Stack, copy_of_the_project, environment, until

pytestmark = pytest.mark.local

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run `make run` in a fresh clone, where it installs everything it needs."""
    stack = Stack(copy_of_the_project(tmp_path_factory.mktemp("clone")))
    yield stack.start(("make", "run", f"PYTHON={sys.executable}"), within_s=240)
    stack.stop()


def run_json(stack: Stack, command: str) -> Any:
    """Run a pasted command in a shell; return its output, parsed as JSON."""
    command = command.replace("http://127.0.0.1:8000", stack.url)
    done = subprocess.run(
        ["sh", "-c", command], cwd=stack.project, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_every_command_is_run_by_a_test() -> None:
    first_words = {" ".join(block.split()[:2]) for block in blocks("sh")}

    assert first_words == {
        "make run",
        "make test",
        "make check",
        "curl -s",
        "pip install",
        ".venv/bin/orderline place",
    }


def test_the_lines_work_as_pasted(fresh: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    order, newest, greet, wrong = (block for block in blocks("sh") if block.startswith("curl"))

    placed = run_json(fresh, order)
    assert placed["status"] == "PENDING"
    fresh.ended_order(placed["id"])
    items = run_json(fresh, newest)["items"]
    assert [(item["id"], item["status"]) for item in items] == [(placed["id"], "SUCCESS")]

    name = re.search(r"`(chalicelib/tasks/\w+\.py)`", README)
    assert name is not None
    (fresh.project / name[1]).write_text(blocks("python")[0])
    until(lambda: "change is live" in fresh.output)
    assert fresh.ended_order(run_json(fresh, greet)["id"])["result"] == "Hello Ada Hello Ada"
    assert run_json(fresh, wrong)["pointer"] == "/input/name"

    exec(blocks("python")[1], {"orderline": Orderline(fresh.url, fresh.token)})
    assert capsys.readouterr().out == "Hello Ada\n"


def test_the_printed_curl_line_works_as_pasted(fresh: Stack) -> None:
    printed = re.search(r"^  (curl -s .*?/orders)\n", fresh.output, re.DOTALL | re.MULTILINE)

    assert printed is not None
    assert run_json(fresh, printed[1])["status"] == "PENDING"


def test_the_client_s_line_works_as_pasted(fresh: Stack) -> None:
    (command,) = (block for block in blocks("sh") if block.startswith(".venv"))
    done = subprocess.run(
        ["sh", "-c", command], cwd=fresh.project, capture_output=True, text=True, check=True
    )

    assert "SUCCESS" in done.stdout
    assert '"sauce": "curry"' in done.stdout


def test_the_printed_link_leads_to_the_board(fresh: Stack) -> None:
    printed = re.search(r"^  (http://.*/board)#token=(ol_\S+)\n", fresh.output, re.MULTILINE)

    assert printed is not None
    assert (printed[1], printed[2]) == (f"{fresh.url}/board", fresh.token)
    assert "<title>Orderline</title>" in fresh.http("GET", "/board").body


def test_in_a_clean_environment_pip_and_pytest_are_enough(tmp_path: Path) -> None:
    """Run the tests in a clean environment, README's example among them."""
    project = copy_of_the_project(tmp_path / "clone")
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "clean")], check=True)
    (project / "tests" / "tasks" / "test_readme_example.py").write_text(blocks("python")[2])
    (command,) = (block for block in blocks("sh") if block.startswith("pip"))
    install, run = command.strip().split(" && ")
    clean = tmp_path / "clean" / "bin"

    subprocess.run(
        f"{clean}/{install}",
        shell=True,
        cwd=project,
        env=environment(),
        check=True,
        capture_output=True,
    )
    done = subprocess.run(
        f"{clean}/{run} tests/tasks tests/unit",
        shell=True,
        cwd=project,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
