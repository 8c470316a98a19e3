"""Verifying webhooks with the client library."""

from __future__ import annotations

import base64
import hmac
import time
from typing import Any
from unittest.mock import patch

import pytest
from orderline import CallError, InvalidSignature, verify

from chalicelib.webhooks import signing

SECRET = signing.new_secret()
ID = "0" * 26
BODY = b'{"type": "order.succeeded"}'
EVENT = {"type": "order.succeeded"}


def signed(*secrets: str, body: bytes = BODY, age_s: int = 0) -> dict[str, str]:
    """Return the headers of a delivery."""
    timestamp = int(time.time()) - age_s
    return {
        "webhook-id": ID,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signing.sign(secrets or [SECRET], ID, timestamp, body),
    }


def reason(body: bytes, headers: dict[str, str], secret: Any = SECRET, **more: Any) -> str:
    with pytest.raises(InvalidSignature) as error:
        verify(body, headers, secret, **more)
    return str(error.value)


def test_a_signed_delivery_is_verified() -> None:
    assert verify(BODY, signed(), SECRET) == EVENT


def test_the_case_of_headers_makes_no_difference() -> None:
    headers = {name.title(): value for name, value in signed().items()}

    assert verify(BODY, {**headers, "Host": "shop.example"}, SECRET) == EVENT


def test_one_of_several_signatures_and_one_of_several_secrets_must_fit() -> None:
    new = signing.new_secret()
    both = signed(new, SECRET)

    assert verify(BODY, both, SECRET) == EVENT
    assert verify(BODY, both, new) == EVENT
    assert verify(BODY, signed(new), [SECRET, new]) == EVENT
    assert verify(BODY, signed(), (SECRET, new)) == EVENT
    assert "another secret" in reason(BODY, both, signing.new_secret())


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "1" * 26},
        {"webhook-timestamp": str(int(time.time()) - 60)},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1"},
        {"webhook-signature": "nonsense and more"},
        {"webhook-signature": "v1,größe \ud800"},
        {"webhook-id": "\ud800"},
    ],
)
def test_a_changed_header_is_not_verified(change: dict[str, str]) -> None:
    assert "no signature" in reason(BODY, {**signed(), **change})


def test_a_changed_body_is_not_verified() -> None:
    assert "body was changed" in reason(BODY + b" ", signed())


def test_a_signature_of_another_version_does_not_count() -> None:
    headers = signed()
    headers["webhook-signature"] = headers["webhook-signature"].replace("v1,", "v2,")

    assert "no signature" in reason(BODY, headers)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_or_empty_header_is_named(name: str) -> None:
    headers = signed()
    assert name in reason(BODY, {**headers, name: ""})
    del headers[name]
    assert name in reason(BODY, headers)


def test_a_delivery_may_be_five_minutes_old_or_ahead() -> None:
    for age_s in (290, -290):
        assert verify(BODY, signed(age_s=age_s), SECRET) == EVENT
    assert "s old" in reason(BODY, signed(age_s=310))
    assert "s in the future" in reason(BODY, signed(age_s=-310))


def test_the_tolerance_can_be_set() -> None:
    assert verify(BODY, signed(age_s=900), SECRET, tolerance_s=1000) == EVENT
    assert "10 s are allowed" in reason(BODY, signed(age_s=30), tolerance_s=10)


@pytest.mark.parametrize("timestamp", ["soon", "-5", "1e9", "1.5", "9" * 13, "٣"])
def test_a_timestamp_that_is_not_a_number_is_refused_though_it_is_signed(timestamp: str) -> None:
    message = f"{ID}.{timestamp}.".encode() + BODY
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.digest(key, message, "sha256")).decode()
    headers = {
        "webhook-id": ID,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature}",
    }

    assert "seconds since 1970" in reason(BODY, headers)


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"{", b"null"])
def test_a_body_that_is_not_a_json_object_is_refused_though_it_is_signed(body: bytes) -> None:
    assert "not a JSON object" in reason(body, signed(body=body))


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_?", SECRET + "?", "secret", SECRET[6:], "whsec_größe"],
    ids=["empty", "prefix", "no base64", "more", "word", "no prefix", "no ascii"],
)
def test_a_malformed_secret_is_a_mistake_of_the_caller(secret: str) -> None:
    with pytest.raises(ValueError, match="must be whsec_ and base64"):
        verify(BODY, signed(), [SECRET, secret])


def test_no_error_shows_a_secret() -> None:
    with pytest.raises(ValueError, match="base64") as error:
        verify(BODY, signed(), SECRET + "?")

    assert SECRET[6:] not in str(error.value)


def test_no_secret_at_all_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="at least one"):
        verify(BODY, signed(), [])


def test_a_body_that_is_not_bytes_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="bytes of the request, not str"):
        verify(BODY.decode(), signed(), SECRET)  # type: ignore[arg-type]


def test_signatures_are_compared_in_constant_time() -> None:
    other = signing.new_secret()
    with patch("hmac.compare_digest", wraps=hmac.compare_digest) as compared:
        verify(BODY, signed(SECRET, other), [SECRET, other])

    assert compared.call_count == 4, "a signature that fits must not be found sooner"


def test_an_invalid_signature_is_not_an_error_of_a_call() -> None:
    assert not issubclass(InvalidSignature, CallError)
