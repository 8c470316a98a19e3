"""Cursors: where a list goes on, opaque and bound to one client and one set of filters.

A cursor is a place in its own client's list, an order's sort key, and a MAC over the place, the client and the filters.
The client of a list comes from its token alone, so even a forged cursor would only show its forger more or less of what
is his. The MAC is there so that a changed or foreign one is refused with a sentence, rather than answered with a list
that nobody asked for. Its key needs no call and no secret store: the template gives the stack's id, which every
function has and no client sees; where there is none (a laptop, a test) it is empty, and the MAC still tells a mistake.
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
_PLACE = re.compile(r"\d{16}#[0-9A-Z]{26}", re.ASCII)


def made(place: str, owner: str, filters: Collection[str]) -> str:
    """An opaque text for a URL."""
    return (
        base64.urlsafe_b64encode(_mac(place, owner, filters) + place.encode()).decode().rstrip("=")
    )


def place_of(cursor: str, owner: str, filters: Collection[str]) -> str:
    """The sort key in a cursor. Raises Problem `invalid-cursor` unless it was made for this client and filters."""
    try:
        held = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        place = held[_MAC_BYTES:].decode("ascii")
    except ValueError:
        raise _invalid() from None
    genuine = hmac.compare_digest(held[:_MAC_BYTES], _mac(place, owner, filters))
    if not genuine or not _PLACE.fullmatch(place) or made(place, owner, filters) != cursor:
        raise _invalid()
    return place


def _mac(place: str, owner: str, filters: Collection[str]) -> bytes:
    said = "\0".join([owner, place, *sorted(filters)]).encode()
    return hmac.digest(config.settings().cursor_key.encode(), said, hashlib.sha256)[:_MAC_BYTES]


def _invalid() -> Problem:
    return Problem(
        "invalid-cursor",
        "This cursor is none of ours, or was made for other filters or another client;"
        " take `next` from an answer as it is, or begin without a cursor.",
    )
