"""Reference numbers of orders, the keys of their rows, and fencing tokens."""

from __future__ import annotations

import hashlib
import os

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # https://www.crockford.com/base32.html


def new_id() -> str:
    """Return a random reference number."""
    return _base32(os.urandom(16))


def id_of(*parts: str) -> str:
    """Derive a reference number from parts, such as the owner and the idempotency key."""
    return _base32(hashlib.sha256("\0".join(parts).encode()).digest()[:16])


def is_id(text: str) -> bool:
    """Return True if the text has the form of a reference number."""
    return len(text) == 26 and all(letter in _CROCKFORD for letter in text)


def canonical(text: str) -> str:
    """Return a reference number as it is stored, in upper case; `is_id` tells whether it is one.

    Other letters stay: in upper case some of them would become letters of another order's id.
    """
    return text.upper() if text.isascii() else text


def key_of(owner: str, order_id: str) -> str:
    """Return the key of an order's row."""
    return f"{owner}#{order_id}"


def new_fence() -> str:
    """Return a random fencing token for one write; see table/conditional_write.py."""
    return os.urandom(8).hex()


def _base32(digest: bytes) -> str:
    """Encode 128 bits as 26 characters that are easy to read aloud."""
    number = int.from_bytes(digest, "big")
    return "".join([_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5)])


def owner_of(key: str) -> str:
    """Return the owner of the order with this row key."""
    return key.partition("#")[0]
