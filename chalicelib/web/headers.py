"""The headers of every response: request id, security headers, and CORS if a setting allows it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec.structs import replace

from chalicelib import config
from chalicelib.web.http import Request, Response

SECURITY = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
ALLOWED_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-None-Match, Prefer, X-Request-Id"
)
EXPOSED_HEADERS = (
    "ETag, Idempotency-Replayed, Link, Location, Preference-Applied, Retry-After,"
    " WWW-Authenticate, X-Request-Id"
)
_ID = re.compile(r"[!-~]{1,128}")


def request_id(headers: Mapping[str, str], own: str) -> str:
    """Return the client's X-Request-Id if it is 1 to 128 visible ASCII characters, else `own`."""
    sent = headers.get("x-request-id", "")
    return sent if _ID.fullmatch(sent) else own


def with_default_headers(response: Response, request: Request) -> Response:
    """Add the headers of every response; those that the view has set take precedence."""
    defaults = {
        **SECURITY,
        **_allowed_origin(request),
        "Vary": "Authorization, Origin",
        "X-Request-Id": request.id,
    }
    return replace(response, headers={**defaults, **response.headers})


def preflight(request: Request, methods: str) -> Response:
    """Answer OPTIONS, a browser's CORS preflight. Without CORS_ORIGINS it allows nothing."""
    own = {"Allow": methods}
    if _allowed_origin(request):
        own["Access-Control-Allow-Methods"] = methods
        own["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
        own["Access-Control-Max-Age"] = "600"
    return with_default_headers(Response(204, "", own), request)


def _allowed_origin(request: Request) -> dict[str, str]:
    origin = request.headers.get("origin")
    if origin is None or origin not in config.settings().cors_origins.split():
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": EXPOSED_HEADERS,
    }
