"""Sign deliveries as Standard Webhooks describes: HMAC-SHA256 over id, timestamp and body."""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Iterable

PREFIX = "whsec_"
_SECRET_BYTES = 32


def new_secret() -> str:
    """Return a random signing secret."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def sign(signing_secrets: Iterable[str], delivery_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of the header webhook-signature: one signature for each secret.

    Args:
        signing_secrets: the secrets that are valid now
        delivery_id: value of the header webhook-id
        timestamp: value of the header webhook-timestamp, in seconds since 1970
        body: the request's body
    """
    message = f"{delivery_id}.{timestamp}.".encode() + body
    keys = [base64.b64decode(secret.removeprefix(PREFIX)) for secret in signing_secrets]
    digests = [hmac.digest(key, message, "sha256") for key in keys]
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
