"""A request and a response, as the views see them; free of any web framework."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chalicelib import config

_HOST = re.compile(r"[A-Za-z0-9.:_\[\]-]{1,255}")


@dataclass(frozen=True)
class Request:
    """Header names are in lower case. `route` is the path's pattern, `path` what was asked, stage prefix included."""

    method: str
    route: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, list[str]] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    id: str = ""

    def url(self, path: str) -> str:
        """An absolute URL. What stands before the route in the path is the stage's prefix, and is kept."""
        if config.settings().public_url:
            return config.settings().public_url.rstrip("/") + path
        scheme = "https" if self.headers.get("x-forwarded-proto") == "https" else "http"
        host = self.headers.get("host", "")
        above = self.path.rstrip("/").split("/")[: -self.route.count("/")]
        return f"{scheme}://{host if _HOST.fullmatch(host) else 'localhost'}{'/'.join(above)}{path}"


@dataclass(frozen=True)
class Response:
    status: int
    body: str
    headers: dict[str, str]


def json_response(status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
    fixed = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Response(
        status, json.dumps(value, ensure_ascii=False, allow_nan=False), {**fixed, **(headers or {})}
    )
