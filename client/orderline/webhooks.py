"""Verify webhooks: that Orderline sent them, and not long ago.

The signatures are those of Standard Webhooks, so each of its libraries can verify them too:
https://www.standardwebhooks.com
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

TOLERANCE_S = 300
_PREFIX = "whsec_"
_ID = "webhook-id"
_TIMESTAMP = "webhook-timestamp"
_SIGNATURE = "webhook-signature"


class InvalidSignature(Exception):
    """The request is not a webhook of Orderline, or it is too old; the message gives the reason."""


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secret: str | Sequence[str],
    tolerance_s: float = TOLERANCE_S,
) -> dict[str, Any]:
    """Return the event of a webhook, once its signature is verified.

    Raises InvalidSignature; answer such a request with an error. Raises ValueError if a secret is
    malformed. To know a repetition of the same event, remember the header webhook-id.

    Args:
        body: the request's body, exactly as it arrived
        headers: the request's headers; upper and lower case make no difference
        secret: the endpoint's signing secret, or several of them, of which one must fit
        tolerance_s: how old the request may be, and how far ahead its clock
    """
    if not isinstance(body, bytes):
        raise TypeError(f"body: must be the bytes of the request, not {type(body).__name__}")
    keys = [key_of(each) for each in ([secret] if isinstance(secret, str) else secret)]
    if not keys:
        raise ValueError("secret: there must be at least one")
    fields = {name.lower(): value for name, value in headers.items()}
    missing = [name for name in (_ID, _TIMESTAMP, _SIGNATURE) if not fields.get(name)]
    if missing:
        raise InvalidSignature(f"the request has no header {missing[0]}")
    if not _is_signed(body, fields, keys):
        raise InvalidSignature(
            "no signature of the request fits: another secret signed it, or its body was changed"
        )
    _require_recent(fields[_TIMESTAMP], tolerance_s)
    return _decode(body)


def key_of(secret: str) -> bytes:
    """Return the key in a signing secret. Raises ValueError if it is malformed."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or not key:
        raise ValueError(f"secret: must be {_PREFIX} and base64, as `webhook add` printed it")
    return key


def _is_signed(body: bytes, fields: Mapping[str, str], keys: list[bytes]) -> bool:
    """Return True if one of the signatures is by one of the keys; takes the same time for all."""
    signatures = [_encode(text) for text in fields[_SIGNATURE].split(" ")]
    message = _encode(f"{fields[_ID]}.{fields[_TIMESTAMP]}.") + body
    fits = False
    for key in keys:
        expected = b"v1," + base64.b64encode(hmac.digest(key, message, "sha256"))
        for signature in signatures:
            fits |= hmac.compare_digest(expected, signature)
    return fits


def _require_recent(timestamp: str, tolerance_s: float) -> None:
    """Raise InvalidSignature unless the time is close to now."""
    if not re.fullmatch("[0-9]{1,12}", timestamp):
        raise InvalidSignature(f"{_TIMESTAMP}: must be seconds since 1970")
    age_s = time.time() - int(timestamp)
    if abs(age_s) > tolerance_s:
        when = f"{age_s:.0f} s old" if age_s > 0 else f"{-age_s:.0f} s in the future"
        raise InvalidSignature(
            f"the request is {when}, and {tolerance_s:g} s are allowed: it is a replay, or a clock"
            " is wrong"
        )


def _decode(body: bytes) -> dict[str, Any]:
    try:
        event = json.loads(body)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise InvalidSignature("the body is signed, but is not a JSON object")
    return event


def _encode(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
