"""Webhooks of `make run`, with `orderline webhook listen` as the receiver."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.stack import PATIENCE_S, Stack, environment, free_port, until
from tests.kit.receiver import receiving, status
from tests.soak.webhooks import tell_on, webhook_stack

pytestmark = pytest.mark.local

LISTEN = (sys.executable, "-m", "orderline", "webhook", "listen")
OWNER = ("--owner", "local")


@dataclass
class Listener:
    """A running `orderline webhook listen` and the file to which it prints."""

    printed: Path

    def events(self) -> list[tuple[str, Any]]:
        """Return the webhook-id and the event of each delivery; fails if one is not verified."""
        text = self.printed.read_text()
        assert "NOT VERIFIED" not in text
        printed = text[: text.rfind("\n") + 1].splitlines()
        lines = [line for line in printed if "  verified  " in line]
        return [(line.split('"')[1], json.loads(line[line.index("{") :])) for line in lines]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run a stack with the lane of webhooks."""
    running = webhook_stack(tmp_path_factory.mktemp("project")).start()
    yield running
    running.stop()


def webhook(stack: Stack, *words: str) -> str:
    """Run `python -m dev webhook` in the stack's clone; return what it prints."""
    return stack.dev("webhook", *words)


@contextmanager
def listening(stack: Stack, folder: Path, *options: str) -> Iterator[Listener]:
    """Register an endpoint of `orderline webhook listen`, and remove it at the end."""
    port = str(free_port())
    secret = webhook(stack, "add", *OWNER, "--url", f"http://127.0.0.1:{port}/hooks", *options)
    printed = folder / "printed"
    with printed.open("w") as output:
        process = subprocess.Popen(
            [*LISTEN, "--port", port, "--secret", secret],
            env=environment(PYTHONPATH=str(stack.project / "client"), PYTHONUNBUFFERED="1"),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: "Listening on" in printed.read_text())
        yield Listener(printed)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        webhook(stack, "remove", *OWNER)


def place(stack: Stack, *notify: str, pieces: int = 1) -> str:
    body = {"task": "cook_nuggets", "input": {"pieces": pieces}, "notify": notify}
    reply = stack.http("POST", "/orders", body)
    assert reply.status == 202, reply.body
    return str(reply.json["id"])


def test_a_test_is_verified_before_and_after_a_rotation(stack: Stack, tmp_path: Path) -> None:
    with listening(stack, tmp_path) as listener:
        assert webhook(stack, "test", *OWNER) == "The receiver answered 204."
        webhook(stack, "rotate", *OWNER)
        assert "two secrets" in webhook(stack, "list")
        assert webhook(stack, "test", *OWNER) == "The receiver answered 204."
        until(lambda: len(listener.events()) == 2)
    assert webhook(stack, "list") == ""


def test_the_end_of_an_order_is_told_once_to_the_endpoint_that_it_names(
    stack: Stack, tmp_path: Path
) -> None:
    with listening(stack, tmp_path, "--name", "main") as listener:
        silent = place(stack)
        order_id = place(stack, "main")
        until(listener.events)
        stack.ended_order(silent)

        ((delivery_id, event),) = listener.events()
        assert event["type"] == "order.succeeded"
        assert event["data"]["id"] == order_id
        delivery = stack.ended_order(delivery_id)
        assert (delivery["status"], delivery["attempts"]) == ("SUCCESS", 1)


def test_a_delivery_is_attempted_again_until_its_receiver_accepts_it(stack: Stack) -> None:
    with receiving() as receiver:
        receiver.answers = [status(500), status(302, "Location: /other"), status(204)]
        webhook(stack, "add", *OWNER, "--url", receiver.url, "--name", "moody")
        place(stack, "moody")
        until(lambda: len(receiver.requests) == 3)

        (delivery_id,) = {request.headers["webhook-id"] for request in receiver.requests}
        delivery = stack.ended_order(delivery_id)
        assert (delivery["status"], delivery["attempts"]) == ("SUCCESS", 3)
        webhook(stack, "remove", *OWNER, "--name", "moody")


def test_410_disables_the_endpoint_and_ends_the_delivery(stack: Stack) -> None:
    with receiving() as receiver:
        receiver.answers = [status(410)]
        webhook(stack, "add", *OWNER, "--url", receiver.url, "--name", "gone")
        place(stack, "gone")
        until(lambda: receiver.requests)

        delivery = stack.ended_order(receiver.requests[0].headers["webhook-id"])
        assert (delivery["status"], delivery["error"]["code"]) == ("FAILED", "endpoint_gone")
        assert len(receiver.requests) == 1
        assert "disabled: answered 410" in webhook(stack, "list")
        webhook(stack, "remove", *OWNER, "--name", "gone")


def test_each_end_is_told_as_it_was_while_workers_are_killed(stack: Stack) -> None:
    seed = int.from_bytes(os.urandom(3), "big")
    outcome = tell_on(stack, 40, seed, disturb_deliveries=False)

    assert outcome.violations == [], str(outcome)
    assert outcome.ends >= 40
    assert outcome.kills, str(outcome)
