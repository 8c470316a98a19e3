"""Query parameters, strictly: a misspelt filter that is ignored would show orders that nobody asked for."""

from __future__ import annotations

from chalicelib.orders import Status
from chalicelib.web.http import Request
from chalicelib.web.problems import Problem

INCLUDABLE = ("input", "history")
MOST, USUAL = 100, 50


def check(request: Request, *known: str) -> None:
    """Raises Problem `invalid-parameter` for one that the route doesn't have."""
    for name in request.query:
        if name not in known:
            raise _wrong(f"{name[:40]!r} is no parameter here; there are: {', '.join(known)}")


def include(request: Request) -> frozenset[str]:
    """`?include=input,history`: members that an answer has only when they are asked for."""
    asked = frozenset(name for text in request.query.get("include", []) for name in text.split(","))
    for name in asked.difference(INCLUDABLE):
        raise _wrong(
            f"include={name[:40]!r}: it is {' or '.join(INCLUDABLE)}, or both with a comma between"
        )
    return asked


def limit(request: Request) -> int:
    text = single(request, "limit")
    if text is None:
        return USUAL
    digits = text.lstrip("0")[:9]
    if not (text.isascii() and text.isdigit() and digits):
        raise _wrong(f"limit={text[:40]!r}: it is a whole number from 1 to {MOST}")
    return min(int(digits), MOST)


def statuses(request: Request) -> frozenset[Status]:
    """`?status=PENDING&status=RUNNING`; none: all of them."""
    known = {status.value: status for status in Status}
    for text in request.query.get("status", []):
        if text not in known:
            raise _wrong(f"status={text[:40]!r}: it is one of {', '.join(known)}")
    return frozenset(known[text] for text in request.query.get("status", []))


def single(request: Request, name: str) -> str | None:
    """A parameter that may be given once."""
    given = request.query.get(name, [])
    if len(given) > 1:
        raise _wrong(f"{name} is given {len(given)} times; give it once")
    return given[0] if given else None


def _wrong(detail: str) -> Problem:
    return Problem("invalid-parameter", f"{detail}.")
