"""Entity tags (RFC 9110, 8.8.3): strong, and made of what is known without looking at the answer's bytes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable

from chalicelib.orders import Order

_TAG = re.compile(r'(?:W/)?("[^"]*")')


def of_order(order: Order, include: Collection[str] = ()) -> str:
    """From the row's birth and version and the members that are shown: every write makes another one.

    The birth tells two orders of one id apart: an Idempotency-Key may be used again once its order has expired.
    """
    return f'"{".".join([f"{order.created_at:x}", str(order.version), *sorted(include)])}"'


def of_list(orders: Iterable[Order], next_url: str | None) -> str:
    shown = ",".join(
        [*(f"{order.id}.{order.created_at}.{order.version}" for order in orders), next_url or ""]
    )
    return f'"{hashlib.sha256(shown.encode()).hexdigest()[:32]}"'


def matches(header: str | None, tag: str) -> bool:
    """Whether an If-None-Match names this tag: a list of tags, compared weakly, or `*` (RFC 9110, 13.1.2)."""
    return header is not None and (header.strip() == "*" or tag in _TAG.findall(header))
