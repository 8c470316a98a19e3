"""The commands of docs/http.md, run line by line; each prints the comment below it."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.acceptance.stack import ROOT, Stack

pytestmark = pytest.mark.local
LINES = [
    line
    for block in re.findall(
        r"^```sh\n(.*?)^```$", (ROOT / "docs" / "http.md").read_text(), re.S | re.M
    )
    for line in block.splitlines()
]


def test_each_command_prints_what_the_page_shows(stack: Stack) -> None:
    script = []
    expected = []
    for line in LINES:
        if line.startswith("# "):
            expected.append(line[2:].replace("http://127.0.0.1:8000", stack.url))
        else:
            script.append(
                line.replace("http://127.0.0.1:8000", stack.url)
                + ("; echo" if "curl" in line else "")
            )

    shell = ["sh", "-c", "\n".join(script)]
    done = subprocess.run(shell, cwd=stack.project, capture_output=True, text=True, check=False)
    printed = [line.strip() for line in done.stdout.splitlines() if line.strip()]

    assert printed == expected, done.stderr
    assert len(expected) >= 15
