"""docs/webhooks.md is true: its example is signed correctly, and its receivers know what is."""

from __future__ import annotations

import json
import re
import time
from typing import Any
from unittest.mock import patch

import pytest
from orderline import verify

from chalicelib.webhooks import signing
from tests.kit import pages

SECRET = signing.new_secret()
BODY = b'{"type": "order.succeeded", "data": {}}'


def signed(body: bytes = BODY, age_s: int = 0, secret: str = SECRET) -> dict[str, str]:
    timestamp = int(time.time()) - age_s
    return {
        "webhook-id": "1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signing.sign([signing.new_secret(), secret], "1", timestamp, body),
    }


def names_of(file: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(pages.file("webhooks.md", file), names)
    return names


def test_the_example_is_signed_with_the_secret_beside_it() -> None:
    (example,) = [block.text for block in pages.blocks("webhooks.md") if block.language == "http"]
    (secret,) = re.findall(r"`(whsec_\S{20,})`", (pages.DOCS / "webhooks.md").read_text())
    head, _, text = example.partition("\n\n")
    headers = dict(line.split(": ") for line in head.splitlines()[1:])
    body = text.rstrip("\n").encode()
    with patch("time.time", return_value=float(headers["webhook-timestamp"])):
        event = verify(body, headers, secret)

    assert body == json.dumps(event, separators=(",", ":")).encode()


def test_the_check_by_hand_knows_a_genuine_delivery() -> None:
    is_genuine = names_of("receiver/by_hand.py")["is_genuine"]

    assert is_genuine(SECRET, signed(), BODY)
    assert not is_genuine(SECRET, signed(), BODY + b" ")
    assert not is_genuine(SECRET, signed(age_s=301), BODY)
    assert not is_genuine(SECRET, signed(secret=signing.new_secret()), BODY)


def test_the_receiver_with_flask_knows_a_genuine_delivery(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("flask")
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    client = names_of("receiver/app.py")["app"].test_client()

    assert client.post("/hooks", data=BODY, headers=signed()).status_code == 204
    assert capsys.readouterr().out == "order.succeeded {}\n"
    refused = client.post("/hooks", data=BODY, headers=signed(age_s=301))
    assert (refused.status_code, "s old" in refused.text) == (401, True)
    assert client.post("/hooks", data=BODY).status_code == 401
