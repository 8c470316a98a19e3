"""What every answer carries: the request's id, what browsers are to be strict about, CORS where a setting allows it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from chalicelib import config
from chalicelib.web.http import Request, Response

SECURITY = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
ASKED = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Prefer, X-Request-Id"
SHOWN = "ETag, Idempotency-Replayed, Link, Location, Preference-Applied, Retry-After, WWW-Authenticate, X-Request-Id"
_ID = re.compile(r"[!-~]{1,128}")


def request_id(headers: Mapping[str, str], own: str) -> str:
    """The client's X-Request-Id, if it is 1 to 128 visible ASCII characters; else the platform's own."""
    given = headers.get("x-request-id", "")
    return given if _ID.fullmatch(given) else own


def dressed(response: Response, request: Request) -> Response:
    """The response with its standing headers. What the view itself says goes before them."""
    standing = {
        **SECURITY,
        **_allowed_origin(request),
        "Vary": "Authorization, Origin",
        "X-Request-Id": request.id,
    }
    return replace(response, headers={**standing, **response.headers})


def preflight(request: Request, methods: str) -> Response:
    """OPTIONS: what a browser asks before a request to another origin. Without CORS_ORIGINS it allows nothing."""
    allowed = _allowed_origin(request)
    cors = (
        {
            "Access-Control-Allow-Methods": methods,
            "Access-Control-Allow-Headers": ASKED,
            "Access-Control-Max-Age": "600",
        }
        if allowed
        else {}
    )
    return dressed(Response(204, "", {"Allow": methods, **cors}), request)


def _allowed_origin(request: Request) -> dict[str, str]:
    origin, listed = request.headers.get("origin"), config.settings().cors_origins.split()
    if origin is None or origin not in listed:
        return {}
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": SHOWN}
