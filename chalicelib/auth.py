"""Access tokens: who the client is. Checked in the app itself, so it is the same on AWS and on a laptop.

A token is `ol_<id>_<secret>`; the tokens table holds the secret's SHA-256 alone. A record is kept in memory for a
minute, so a revocation takes that long.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Any

from chalicelib import config, orders
from chalicelib.aws.client import client, translated
from chalicelib.errors import InsufficientScope, InvalidToken, Unauthorized

WRITE, READ = "orders:write", "orders:read"
LOCAL_OWNER = "local"
OWNER_NAME = re.compile(r"[a-z0-9-]{1,40}")
_TOKEN = re.compile(r"ol_([0-9a-f]{8})_([0-9a-f]{64})")
_REMEMBERED = 60 * orders.SECOND
_MOST_REMEMBERED = 1000


@dataclass(frozen=True)
class Token:
    """A record of the tokens table. `not_after` is in seconds since 1970, None for never."""

    id: str
    sha256: str
    owner: str
    scopes: tuple[str, ...]
    not_after: int | None = None
    disabled: bool = False

    def expired(self) -> bool:
        return self.not_after is not None and orders.now() >= self.not_after * orders.SECOND


_memory: dict[str, tuple[int, Token | None]] = {}


def authenticate(header: str | None, scope: str) -> str:
    """Return the client who sent the request. Raises Unauthorized, InvalidToken or InsufficientScope."""
    if header is None and config.settings().access == "open":
        return LOCAL_OWNER
    scheme, _, text = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise Unauthorized(Unauthorized.__doc__)
    token = _valid_token(text.strip())
    if scope not in token.scopes:
        raise InsufficientScope(scope)
    return token.owner


def issue(
    owner: str, scopes: tuple[str, ...] = (READ, WRITE), not_after: int | None = None
) -> tuple[str, Token]:
    """A new token's text, shown this once, and its record, still to be stored."""
    if not OWNER_NAME.fullmatch(owner):
        raise ValueError(f"client {owner!r}: a name has 1 to 40 of a-z, 0-9 and -")
    id, secret = secrets.token_hex(4), secrets.token_hex(32)
    token = Token(id, hashlib.sha256(secret.encode()).hexdigest(), owner, scopes, not_after)
    return f"ol_{id}_{secret}", token


def encode(token: Token) -> dict[str, Any]:
    """The record as DynamoDB's item."""
    item: dict[str, Any] = {
        "pk": {"S": token.id},
        "sha256": {"S": token.sha256},
        "owner": {"S": token.owner},
        "scopes": {"SS": list(token.scopes)},
        "disabled": {"BOOL": token.disabled},
    }
    return item | ({"not_after": {"N": str(token.not_after)}} if token.not_after else {})


def decode(item: dict[str, Any]) -> Token:
    not_after = int(item["not_after"]["N"]) if "not_after" in item else None
    return Token(
        item["pk"]["S"],
        item["sha256"]["S"],
        item["owner"]["S"],
        tuple(item["scopes"]["SS"]),
        not_after,
        item["disabled"]["BOOL"],
    )


def forget() -> None:
    """Drop what is remembered, as a new process would."""
    _memory.clear()


def _valid_token(text: str) -> Token:
    """Return the token's record. Raises the same InvalidToken whatever the fault, so that ids can't be guessed."""
    parts = _TOKEN.fullmatch(text)
    if parts is None:
        raise InvalidToken(InvalidToken.__doc__)
    token = _remembered(parts[1])
    digest = hashlib.sha256(parts[2].encode()).hexdigest()
    genuine = hmac.compare_digest(digest, token.sha256 if token else "")
    if token is None or not genuine or token.disabled or token.expired():
        raise InvalidToken(InvalidToken.__doc__)
    return token


def _remembered(token_id: str) -> Token | None:
    now = orders.now()
    kept = _memory.get(token_id)
    if kept is None or kept[0] <= now:
        if len(_memory) >= _MOST_REMEMBERED:  # guessed ids must not fill the memory
            _memory.clear()
        kept = _memory[token_id] = (now + _REMEMBERED, _read(token_id))
    return kept[1]


def _read(token_id: str) -> Token | None:
    with translated():
        answer = client("dynamodb").get_item(
            TableName=config.settings().tokens_table, Key={"pk": {"S": token_id}}
        )
    return decode(answer["Item"]) if "Item" in answer else None
