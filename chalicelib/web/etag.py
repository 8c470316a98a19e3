"""Strong entity tags (RFC 9110, 8.8.3), computed without rendering the response."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable

from chalicelib.orders import Order

_TAG = re.compile(r'(?:W/)?("[^"]*")')


def of_order(order: Order, include: Collection[str] = ()) -> str:
    """Return an order's tag, made of its time of creation, its version and the included members.

    Every write changes the version. The time of creation distinguishes two orders of one id, since
    an Idempotency-Key may be used again after its order has expired.
    """
    return f'"{".".join([f"{order.created_at:x}", str(order.version), *sorted(include)])}"'


def of_list(orders: Iterable[Order], next_url: str | None) -> str:
    """Return the tag of a page of orders."""
    versions = ",".join(
        [*(f"{order.id}.{order.created_at}.{order.version}" for order in orders), next_url or ""]
    )
    return f'"{hashlib.sha256(versions.encode()).hexdigest()[:32]}"'


def matches(header: str | None, tag: str) -> bool:
    """Return whether an If-None-Match header names this tag: tags compared weakly, or `*`.

    RFC 9110, 13.1.2
    """
    return header is not None and (header.strip() == "*" or tag in _TAG.findall(header))
