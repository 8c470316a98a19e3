"""/openapi.json works with other tools: generated clients, TypeScript types and a linter."""

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
    """Copy the folder `openapi` and add the running stack's openapi.json."""
    folder = tmp_path_factory.mktemp("generated") / "openapi"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "openapi.json").write_text(stack.http("GET", "/openapi.json").body)
    return folder


@pytest.fixture(scope="module")
def node(folder: Path) -> Tool:
    """Return a function that runs a script of an npm package and returns its output.

    Without the packages the test is skipped; in CI it fails.
    """
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
            f"npm could not install the packages: {installed.stderr}"
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


def test_generated_typescript_types_have_orders_and_problems(folder: Path, node: Tool) -> None:
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


def test_a_linter_has_no_warnings(node: Tool) -> None:
    output = node(
        "@redocly/cli/bin/cli.js", "lint", "--extends", "recommended-strict", "openapi.json"
    )

    assert "warning" not in output


def _run(folder: Path, *command: str) -> str:
    """Run a command in a folder and return its output; raises AssertionError if it fails."""
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
    """Put the programs of this Python environment first: ruff for the generator, node for npm."""
    return environment(
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **QUIET
    )
