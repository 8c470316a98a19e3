"""Run the commands of a page in one shell; each must print the comment below it."""

from __future__ import annotations

import subprocess

from tests.acceptance.stack import Stack
from tests.kit import pages

BASE = "http://127.0.0.1:8000"  # on the pages
LIMIT_S = 120


def check(stack: Stack, page: str) -> int:
    """Run a page's commands against a stack. Return how many outputs were compared.

    Raises AssertionError if a command does not print the comment below it.
    """
    script = []
    expected = []
    for line in _lines(page, stack.url):
        if line.startswith("# "):
            expected.append(line[2:])
        else:
            script.append(line + ("; echo" if "curl" in line else ""))
    done = subprocess.run(
        ["sh", "-c", "\n".join(script)],
        cwd=stack.project,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    printed = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    assert printed == expected, done.stderr
    return len(expected)


def _lines(page: str, url: str) -> list[str]:
    texts = [block.text for block in pages.blocks(page) if block.language == "sh"]
    return [line for text in texts for line in text.replace(BASE, url).splitlines()]
