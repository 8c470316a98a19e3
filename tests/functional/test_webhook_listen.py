"""`orderline webhook listen`, and what we send verified by a library that is not ours."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest
from click.testing import CliRunner
from orderline import verify
from orderline.commands import main
from orderline.listen import Listener

from chalicelib.clock import now
from chalicelib.webhooks import delivery, sender, signing
from chalicelib.webhooks.endpoints import Endpoint, SigningSecret
from tests.kit import raw

ROOT = Path(__file__).parents[2]
SECRET = signing.new_secret()
EVENT = {"type": "order.failed", "data": {"id": "0" * 26, "task": "größer"}}


@contextmanager
def listening(lines: list[str], secret: str = SECRET) -> Iterator[Listener]:
    with Listener(0, [secret], lines.append) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def an_endpoint(url: str, *secrets: str) -> Endpoint:
    return Endpoint("kit", "main", url, tuple(map(SigningSecret, secrets or [SECRET])))


def send(url: str, *secrets: str) -> int:
    """Send the event as a delivery does; return the status of the answer."""
    headers, body = delivery.message(an_endpoint(url, *secrets), "1" * 26, EVENT, now())
    return sender.send(url, headers, body, allow_local=True).status


def test_a_delivery_is_shown_as_verified_and_answered_with_204() -> None:
    lines: list[str] = []
    with listening(lines) as server:
        assert server.server_address[0] == "127.0.0.1", "it must not listen on other addresses"
        assert send(server.url) == 204

    (line,) = lines
    assert f'verified  webhook-id "{"1" * 26}"' in line
    assert json.loads(line[line.index("{") :]) == EVENT


def test_a_delivery_that_is_not_verified_is_shown_with_the_reason() -> None:
    lines: list[str] = []
    with listening(lines) as server:
        assert send(server.url, signing.new_secret()) == 204
        raw.exchange(server.server_port, "POST /", "webhook-id: \x1b[2J")

    other_secret, without_signature = lines
    assert "NOT VERIFIED: no signature of the request fits" in other_secret
    assert "order.failed" in other_secret
    assert "no header webhook-timestamp" in without_signature
    assert "\x1b" not in without_signature, "it could control the terminal"


@pytest.mark.parametrize(
    ("request_bytes", "answer"),
    [
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", b" 411 "),
        (b"POST / HTTP/1.1\r\nContent-Length: 1000001\r\n\r\n", b" 413 "),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b" 411 "),
        (b"GET / HTTP/1.1\r\n\r\n", b" 501 "),
    ],
)
def test_what_is_not_a_delivery_is_refused(request_bytes: bytes, answer: bytes) -> None:
    lines: list[str] = []
    with listening(lines) as server:
        assert answer in raw.send(server.server_port, request_bytes).partition(b"\r\n")[0]

    assert lines == []


def test_the_command_listens_on_this_machine_only_until_ctrl_c() -> None:
    pytest.importorskip("rich")  # requirements.txt alone lacks it, and the command requires it
    command = [sys.executable, "-m", "orderline", "webhook", "listen", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--secret", SECRET],
        env={"PYTHONPATH": str(ROOT / "client"), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        url = process.stderr.readline().split()[2]
        assert url.startswith("http://127.0.0.1:")
        assert send(url) == 204
        assert "verified" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--secret", "nonsense"], "must be whsec_ and base64"),
        ([], "Missing option '--secret'"),
        (["--secret", SECRET, "--port", "70000"], "not in the range"),
    ],
)
def test_wrong_usage_is_explained(words: list[str], message: str) -> None:
    result = CliRunner().invoke(main, ["webhook", "listen", *words])

    assert result.exit_code == 2
    assert message in result.output


def test_a_port_in_use_is_explained() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = ["webhook", "listen", "--secret", SECRET, "--port", port]
        result = CliRunner().invoke(main, words)

    assert result.exit_code == 1
    assert "choose another one with --port" in result.output


@pytest.mark.local
def test_the_library_of_standard_webhooks_verifies_what_we_send() -> None:
    from standardwebhooks import Webhook, WebhookVerificationError  # noqa: PLC0415

    old, new = signing.new_secret(), SECRET
    headers, body = delivery.message(an_endpoint("", new, old), "1" * 26, EVENT, now())

    for secret in (old, new):
        assert Webhook(secret).verify(body, headers) == EVENT
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.new_secret()).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new).verify(body + b" ", headers)


@pytest.mark.local
def test_we_verify_what_the_library_of_standard_webhooks_signs() -> None:
    from standardwebhooks import Webhook  # noqa: PLC0415

    body = json.dumps(EVENT)
    moment = datetime.now(timezone.utc)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_1", moment, body),
    }

    assert verify(body.encode(), headers, SECRET) == EVENT
