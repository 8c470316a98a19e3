"""Cursors: opaque texts that say where the next page of a list starts.

A cursor holds an order's sort key and a MAC over the sort key, the owner and the filters. The owner
of a list comes from the access token alone, so a forged cursor could only show its author more or
less of his own orders. The MAC makes sure that a changed or foreign cursor is rejected with a clear
error instead of returning the wrong page. Its key needs no call and no secret store: it is the
stack's id, which every function knows and no client sees. Without a stack (on a laptop, in tests)
the key is empty, and the MAC still detects mistakes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Collection

from chalicelib import config
from chalicelib.web.problems import Problem

_MAC_BYTES = 16
# Of an owner's list, or of the list of failures of all owners
_SORT_KEY = re.compile(r"\d{16}#([a-z0-9-]{1,40}#)?[0-9A-Z]{26}", re.ASCII)


def encode(sort_key: str, owner: str, filters: Collection[str]) -> str:
    """Return the cursor that starts after a sort key, as text for a URL."""
    content = _mac(sort_key, owner, filters) + sort_key.encode()
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def decode(cursor: str, owner: str, filters: Collection[str]) -> str:
    """Return the sort key in a cursor.

    Raises Problem `invalid-cursor` unless it was made for this owner and these filters.
    """
    try:
        content = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        sort_key = content[_MAC_BYTES:].decode("ascii")
    except ValueError:
        raise _invalid() from None
    genuine = hmac.compare_digest(content[:_MAC_BYTES], _mac(sort_key, owner, filters))
    if not genuine or not _SORT_KEY.fullmatch(sort_key):
        raise _invalid()
    if encode(sort_key, owner, filters) != cursor:  # another base64 text of the same bytes
        raise _invalid()
    return sort_key


def _mac(sort_key: str, owner: str, filters: Collection[str]) -> bytes:
    message = "\0".join([owner, sort_key, *sorted(filters)]).encode()
    return hmac.digest(config.settings().cursor_key.encode(), message, hashlib.sha256)[:_MAC_BYTES]


def _invalid() -> Problem:
    return Problem(
        "invalid-cursor",
        "This cursor is invalid, or belongs to other filters or another owner;"
        " use a response's `next` unchanged, or start without a cursor.",
    )
