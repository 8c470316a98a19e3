"""Schemathesis, with all its checks, against `make run`'s stack.

`make test` runs 2,000 cases; `make fuzz CASES=50000` runs more. There is one worker: with two,
CPython's parser, which hypothesis uses to read the source of lambdas, sometimes fails
(https://github.com/python/cpython/issues/106905).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chalicelib.web.operations import api
from tests.acceptance.conftest import stack
from tests.acceptance.stack import ROOT, Stack

__all__ = ["stack"]
pytestmark = pytest.mark.local
SHORT = 2000
CASES = int(os.environ.get("CASES", SHORT))
# Some operations have few different cases; a third of a short run comes from the other phases
PER_OPERATION = CASES // len(api) * (2 if CASES > SHORT else 1)


def test_no_generated_request_breaks_the_api(stack: Stack, tmp_path: Path) -> None:
    log = stack.project / ".local" / "http.log"
    phases = ["examples", "coverage", "fuzzing", *(["stateful"] if CASES > SHORT else [])]
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
        str(PER_OPERATION),
    ]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    generated = re.search(r"(\d+) generated", process.stdout)

    assert process.returncode == 0, process.stdout[-6000:] + process.stderr[-2000:]
    assert generated
    assert int(generated[1]) >= CASES, process.stdout[-2000:]
    assert "Traceback" not in log.read_text()
    sys.stdout.write(process.stdout[-600:])
