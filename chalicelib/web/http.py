"""Request and Response as the views see them, independent of the web framework."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from chalicelib import config

TIMEOUT_S = 29  # of a request: API Gateway waits no longer
_HOST = re.compile(r"[A-Za-z0-9.:_\[\]-]{1,255}")


class Request(Struct, frozen=True):
    """An HTTP request.

    route    the pattern that the path matches, such as /orders/{order_id}
    path     the path as sent, including the stage's prefix
    headers  by their names in lower case
    query    each query parameter's values
    params   the path's parameters
    id       the request id, for logs and the X-Request-Id header
    time_left_s  the seconds until the function is ended
    """

    method: str
    route: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, list[str]] = {}
    params: Mapping[str, str] = {}
    body: bytes = b""
    id: str = ""
    time_left_s: Callable[[], float] = lambda: math.inf

    def url(self, path: str) -> str:
        """Return an absolute URL of the API, with the stage's prefix if the request had one."""
        if config.settings().public_url:
            return config.settings().public_url.rstrip("/") + path
        scheme = "https" if self.headers.get("x-forwarded-proto") == "https" else "http"
        host = self.headers.get("host", "")
        prefix = "/".join(self.path.rstrip("/").split("/")[: -self.route.count("/")])
        return f"{scheme}://{host if _HOST.fullmatch(host) else 'localhost'}{prefix}{path}"


class Response(Struct, frozen=True):
    """An HTTP response."""

    status: int
    body: str
    headers: dict[str, str]


def json_response(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response whose body is a Struct, or another value, as JSON.

    `headers` take precedence over the defaults.
    """
    defaults = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    body = msgspec.json.format(msgspec.json.encode(value), indent=0).decode()  # on one line
    return Response(status, body, {**defaults, **(headers or {})})
