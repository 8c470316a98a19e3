"""Access tokens: issue and check them. The app does this itself, on AWS as on a laptop.

A token is `ol_<id>_<secret>`. The tokens table stores only the SHA-256 of the secret. Each process
caches a record for a minute, so a revoked token may work for that long.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Any

from msgspec import Struct

from chalicelib import clock, config, endpoints
from chalicelib.aws.client import client, translated
from chalicelib.clock import SECOND, Micros
from chalicelib.errors import InsufficientScope, InvalidToken, Unauthorized

WRITE = "orders:write"
READ = "orders:read"
ADMIN = "orders:admin"  # orders of all owners; no other scope implies it
SCOPES = (READ, WRITE, ADMIN)
LOCAL_OWNER = "local"
OWNER_NAME = re.compile(r"[a-z0-9-]{1,40}")
_TOKEN = re.compile(r"ol_([0-9a-f]{8})_([0-9a-f]{64})")
_CACHE_TTL: Micros = 60 * SECOND
_MAX_CACHED = 1000


class Token(Struct, frozen=True):
    """A record of the tokens table."""

    id: str
    """The token's public part, 8 hexadecimal digits."""
    sha256: str
    """Hash of the token's secret part, in hexadecimal."""
    owner: str
    """The owner of every order placed with the token."""
    scopes: tuple[str, ...]
    """What the token allows, of SCOPES."""
    not_after: int | None = None
    """When the token expires, in seconds since 1970; None: never."""
    disabled: bool = False
    """True once the token is revoked."""

    def expired(self) -> bool:
        """Return True if the token has expired."""
        return self.not_after is not None and clock.now() >= self.not_after * SECOND


_LOCAL = Token(LOCAL_OWNER, "", LOCAL_OWNER, SCOPES)  # of requests without one, if they are allowed
# (where the record is, token id) -> (time to read it again, record or None)
_cache: dict[tuple[endpoints.Aws, str, str], tuple[Micros, Token | None]] = {}


def authenticate(header: str | None, scope: str) -> Token:
    """Return the token of a request, from its Authorization header.

    Raises Unauthorized if there is no token, InvalidToken if it is not valid, InsufficientScope if
    it lacks the scope.
    """
    if header is None and config.settings().access == "open":
        return _LOCAL
    scheme, _, text = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise Unauthorized(Unauthorized.__doc__)
    token = _valid_token(text.strip())
    if scope not in token.scopes:
        raise InsufficientScope(scope)
    return token


def issue(
    owner: str, scopes: tuple[str, ...] = (READ, WRITE), not_after: int | None = None
) -> tuple[str, Token]:
    """Create a token; return its text, which is not stored anywhere, and the record to store.

    Raises ValueError if the owner's name is not valid.
    """
    if not OWNER_NAME.fullmatch(owner):
        raise ValueError(f"owner {owner!r}: a name has 1 to 40 of a-z, 0-9 and -")
    id = secrets.token_hex(4)
    secret = secrets.token_hex(32)
    token = Token(id, hashlib.sha256(secret.encode()).hexdigest(), owner, scopes, not_after)
    return f"ol_{id}_{secret}", token


def encode(token: Token) -> dict[str, Any]:
    """Return the record as a DynamoDB item."""
    item: dict[str, Any] = {
        "pk": {"S": token.id},
        "sha256": {"S": token.sha256},
        "owner": {"S": token.owner},
        "scopes": {"SS": list(token.scopes)},
        "disabled": {"BOOL": token.disabled},
    }
    if token.not_after:
        item["not_after"] = {"N": str(token.not_after)}
    return item


def decode(item: dict[str, Any]) -> Token:
    """Return the record of a DynamoDB item."""
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
    """Empty the cache, as in a new process."""
    _cache.clear()


def _valid_token(text: str) -> Token:
    """Return the token's record.

    Raises InvalidToken, with the same message for every reason, so that ids can't be guessed.
    """
    parts = _TOKEN.fullmatch(text)
    if parts is None:
        raise InvalidToken(InvalidToken.__doc__)
    token = _cached_token(parts[1])
    digest = hashlib.sha256(parts[2].encode()).hexdigest()
    genuine = hmac.compare_digest(digest, token.sha256 if token else "")
    if token is None or not genuine or token.disabled or token.expired():
        raise InvalidToken(InvalidToken.__doc__)
    return token


def _cached_token(token_id: str) -> Token | None:
    now = clock.now()
    key = (config.aws(), config.settings().tokens_table, token_id)
    entry = _cache.get(key)
    if entry is None or entry[0] <= now:
        if len(_cache) >= _MAX_CACHED:  # guessed ids must not fill the memory
            _cache.clear()
        entry = (now + _CACHE_TTL, _read_token(token_id))
        _cache[key] = entry
    return entry[1]


def _read_token(token_id: str) -> Token | None:
    with translated():
        response = client("dynamodb").get_item(
            TableName=config.settings().tokens_table, Key={"pk": {"S": token_id}}
        )
    return decode(response["Item"]) if "Item" in response else None
