"""/openapi.json as other people's tools read it: clients made from it work, and a linter has nothing to say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.stack import ROOT, Stack, environment

pytestmark = pytest.mark.local
FOLDER = ROOT / "tests" / "acceptance" / "openapi"
NODE, NPM, GENERATOR = (
    str(Path(sys.executable).with_name(name)) for name in ("node", "npm", "openapi-python-client")
)
QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}
Tool = Callable[..., str]


@pytest.fixture(scope="module")
def folder(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the folder `openapi`, with the running stack's description in it."""
    folder = tmp_path_factory.mktemp("generated") / "openapi"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "openapi.json").write_text(stack.http("GET", "/openapi.json").body)
    return folder


@pytest.fixture(scope="module")
def node(folder: Path) -> Tool:
    """Runs a script of an npm package and returns what it printed. Without the packages: skipped, but failed in CI."""
    installed = subprocess.run(
        [NPM, "ci", "--prefer-offline"],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            f"npm can't install: {installed.stderr}"
        )
    return lambda script, *words: _run(folder, NODE, f"node_modules/{script}", *words)


def test_a_generated_python_client_places_an_order_and_gets_a_typed_problem(
    stack: Stack, folder: Path
) -> None:
    _run(
        folder,
        GENERATOR,
        "generate",
        "--path",
        "openapi.json",
        "--meta",
        "none",
        "--output-path",
        "orderline_client",
        "--fail-on-warning",
    )

    _run(folder, sys.executable, "order.py", stack.url, stack.token)


def test_generated_typescript_types_know_orders_and_problems(folder: Path, node: Tool) -> None:
    node(
        "openapi-typescript/bin/cli.js",
        "openapi.json",
        "--output",
        "api.d.ts",
        "--default-non-nullable",
        "false",
    )

    node(
        "typescript/bin/tsc",
        "--noEmit",
        "--strict",
        "--lib",
        "es2022",
        "--module",
        "nodenext",
        "order.ts",
    )


def test_a_linter_warns_of_nothing(node: Tool) -> None:
    printed = node(
        "@redocly/cli/bin/cli.js", "lint", "--extends", "recommended-strict", "openapi.json"
    )

    assert "warning" not in printed


def _run(folder: Path, *command: str) -> str:
    """Run a command there; fails with what it printed. Returns that."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def _environment() -> dict[str, str]:
    """With the environment's own programs first: ruff for the generator, node for npm."""
    return environment(
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **QUIET
    )
