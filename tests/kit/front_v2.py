"""Requests in payload format 2.0, as an HTTP API or a function URL sends them.

With FRONT=v2 in the environment, the functional tests send all their requests so.
"""

from __future__ import annotations

import base64
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from chalice.test import HTTPResponse, TestHTTPClient

import app as orderline
from testkit.events import LambdaContext

TIMEOUT_S = 29


def event(
    method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> dict[str, Any]:
    """Return the event of a request, whose path has its query.

    As AWS sends it: names of headers in lower case, no member that would be empty, a body that is
    not text as base64.
    """
    raw_path, _, query = path.partition("?")
    sent: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": raw_path,
        "rawQueryString": query,
        "headers": {name.lower(): value for name, value in (headers or {}).items()},
        "requestContext": {
            "http": {"method": method, "path": raw_path, "protocol": "HTTP/1.1"},
            "requestId": str(uuid.uuid4()),
            "routeKey": "$default",
            "stage": "$default",
        },
        "isBase64Encoded": False,
    }
    if body:
        try:
            sent["body"] = body.decode()
        except UnicodeDecodeError:
            sent |= {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
    return sent


def answered(sent: dict[str, Any]) -> HTTPResponse:
    """Return the app's answer to an event."""
    answer = orderline.app(sent, LambdaContext(TIMEOUT_S))
    answer["multiValueHeaders"] = {}  # format 2.0 has none: AWS ignores them
    return HTTPResponse.create_from_dict(answer)


@contextmanager
def chosen() -> Iterator[None]:
    """Let Chalice's test client send format 2.0 if FRONT=v2 is in the environment."""
    if os.environ.get("FRONT") != "v2":
        yield
        return

    def request(
        client: TestHTTPClient,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> HTTPResponse:
        return answered(event(method, path, headers, body))

    with patch.object(TestHTTPClient, "request", request):
        yield
