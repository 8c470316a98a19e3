"""Parse query parameters strictly: ignoring a misspelt filter would return the wrong orders."""

from __future__ import annotations

from chalicelib.orders import Status
from chalicelib.web.http import Request
from chalicelib.web.problems import Problem

INCLUDABLE = ("input", "history")
MAX_LIMIT = 100
DEFAULT_LIMIT = 50


def check(request: Request, *known: str) -> None:
    """Reject unknown parameters. Raises Problem `invalid-parameter`."""
    for name in request.query:
        if name not in known:
            raise _invalid(f"unknown parameter {name[:40]!r}; known: {', '.join(known) or 'none'}")


def include(request: Request) -> frozenset[str]:
    """Return the members named by `?include=input,history`, which are left out by default."""
    texts = request.query.get("include", [])
    names = frozenset(name for text in texts for name in text.split(","))
    for name in names.difference(INCLUDABLE):
        raise _invalid(
            f"include={name[:40]!r}: must be {' or '.join(INCLUDABLE)}, or both with a comma"
        )
    return names


def limit(request: Request) -> int:
    """Return the page size: `?limit=` up to MAX_LIMIT, or DEFAULT_LIMIT."""
    text = single(request, "limit")
    if text is None:
        return DEFAULT_LIMIT
    digits = text.lstrip("0")[:9]
    if not (text.isascii() and text.isdigit() and digits):
        raise _invalid(f"limit={text[:40]!r}: must be a whole number from 1 to {MAX_LIMIT}")
    return min(int(digits), MAX_LIMIT)


def statuses(request: Request) -> frozenset[Status]:
    """Return the statuses of `?status=PENDING&status=RUNNING`; empty means all."""
    known = {status.value: status for status in Status}
    for text in request.query.get("status", []):
        if text not in known:
            raise _invalid(f"status={text[:40]!r}: must be one of {', '.join(known)}")
    return frozenset(known[text] for text in request.query.get("status", []))


def single(request: Request, name: str) -> str | None:
    """Return the value of a parameter that may not be repeated, or None."""
    values = request.query.get(name, [])
    if len(values) > 1:
        raise _invalid(f"{name} was sent {len(values)} times; send it once")
    return values[0] if values else None


def _invalid(detail: str) -> Problem:
    return Problem("invalid-parameter", f"{detail}.")
