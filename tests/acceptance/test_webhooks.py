"""Webhook endpoints of `make run`, with `orderline webhook listen` as the receiver."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.stack import Stack, environment, free_port, until

pytestmark = pytest.mark.local

LISTEN = (sys.executable, "-m", "orderline", "webhook", "listen")


def command(stack: Stack, *words: str) -> str:
    """Run `python -m dev webhook` in the stack's clone; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "dev", "webhook", *words],
        cwd=stack.project,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_an_endpoint_on_this_machine_gets_signed_deliveries_before_and_after_a_rotation(
    stack: Stack, tmp_path: Path
) -> None:
    port = str(free_port())
    owner = ("--owner", "local")
    secret = command(stack, "add", *owner, "--url", f"http://127.0.0.1:{port}/hooks")
    printed = tmp_path / "printed"
    with printed.open("w") as output:
        listener = subprocess.Popen(
            [*LISTEN, "--port", port, "--secret", secret],
            env=environment(PYTHONPATH=str(stack.project / "client"), PYTHONUNBUFFERED="1"),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: "Listening on" in printed.read_text(), 20)
        assert command(stack, "test", *owner) == "The receiver answered 204."
        command(stack, "rotate", *owner)
        assert "two secrets" in command(stack, "list")
        assert command(stack, "test", *owner) == "The receiver answered 204."
        until(lambda: printed.read_text().count("verified  webhook-id") == 2, 20)
        assert "NOT VERIFIED" not in printed.read_text()
    finally:
        listener.terminate()
        listener.wait(20)
        command(stack, "remove", *owner)
    assert command(stack, "list") == ""
