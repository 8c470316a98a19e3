"""Schemathesis, with all its checks, at `make run`'s stack: nothing that a client sends breaks it.

2,000 cases in `make test`; `make fuzz CASES=50000` for more. One worker: with two, CPython's parser, which hypothesis
asks for the source of lambdas, trips over its threads now and then (https://github.com/python/cpython/issues/106905).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chalicelib.web.operations import OPERATIONS
from tests.acceptance.conftest import stack
from tests.acceptance.stack import ROOT, Stack

__all__ = ["stack"]
pytestmark = pytest.mark.local
CASES = int(os.environ.get("CASES", "2000"))


def test_nothing_that_a_client_sends_breaks_it(stack: Stack, tmp_path: Path) -> None:
    log = stack.project / ".local" / "http.log"
    phases = ["examples", "coverage", "fuzzing", *(["stateful"] if CASES > 2000 else [])]
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "--config-file",
        "tests/fuzz/schemathesis.toml",
        "run",
        f"{stack.url}/openapi.json",
        "--header",
        f"Authorization: Bearer {stack.token}",
        "--no-color",
        "--phases",
        ",".join(phases),
        "--max-examples",
        str(CASES // len(OPERATIONS) * 2),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    generated = re.search(r"(\d+) generated", done.stdout)

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert generated
    assert int(generated[1]) >= CASES, done.stdout[-2000:]
    assert "Traceback" not in log.read_text()
    sys.stdout.write(done.stdout[-600:])
