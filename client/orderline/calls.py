"""Call the API over HTTP: retry where that is safe, and use ETags to transfer only what changed."""

from __future__ import annotations

import http.client
import json
import math
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import Any

PAUSES_S = (0.2, 0.4, 0.8, 1.6)  # between tries; the last one repeats
RESPONSE_TIMEOUT_S = 30  # API Gateway itself times out after 29
MAX_CACHED = 64
RETRYABLE = {429, 500, 502, 503, 504}


class CallError(Exception):
    """Base class of all errors; the message gives the reason."""


class NotReachable(CallError):
    """No response, or the service is unavailable; the call may have taken effect."""


class RequestRejected(CallError):
    """Error response of the API.

    `status` is the HTTP status, `problem` the body (RFC 9457), empty if it was not a JSON object.
    A body of AWS's own is not a problem, and has only a message.
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        texts = (problem.get(name) for name in ("detail", "title", "message", "Message"))
        super().__init__(next(filter(None, texts), f"HTTP status {status}"))
        self.status = status
        self.problem = problem


class NotDone(CallError):
    """An order did not end in time; it keeps running. `order` is its last known state.

    `others`: how many more of the orders to wait for did not end either.
    """

    def __init__(self, order: dict[str, Any], timeout_s: float, others: int = 0) -> None:
        name = f"order {order['id']}"
        if others:
            subject, verb = f"{name} and {others} more", "they are"
        else:
            subject, verb = name, "it is"
        super().__init__(f"{subject} did not end within {timeout_s} s; {verb} still running")
        self.order = order
        self.others = others


@dataclass(frozen=True)
class HttpReply:
    """Response of the API; `value` is its body, decoded from JSON."""

    status: int
    headers: Message[str, str]
    value: Any

    @property
    def retry_after_s(self) -> float:
        text = self.headers.get("Retry-After", "")
        return float(text) if text.isdigit() else 0


class Calls:
    """HTTP client with the API's URL and an access token.

    `patience_s`: for how many seconds to retry a call that gets no response.
    """

    def __init__(self, url: str, token: str, patience_s: float) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"url {url!r}: must begin with http:// or https://")
        self.url = url.rstrip("/")
        self._token = token
        self.patience_s = patience_s
        self._open = urllib.request.build_opener(NoRedirect).open
        self._cache: dict[str, tuple[str, Any]] = {}  # path -> (ETag, value), the latest last

    def get(self, path: str, wait_s: float = 0) -> tuple[Any, float]:
        """Return the resource at `path` and the seconds to pause before the next read.

        An unchanged resource is returned as the same object as before. `wait_s`: how long the
        server may wait for a change (`Prefer: wait`, RFC 7240).
        """
        etag, cached = self._cache.pop(path, (None, None))
        headers = {"If-None-Match": etag} if etag else {}
        if wait_s >= 1:
            headers["Prefer"] = f"wait={int(wait_s)}"
        reply = self.call("GET", path, None, headers, wait_s=wait_s)
        value = cached if reply.status == 304 else reply.value
        if "ETag" in reply.headers:
            self._cache[path] = (reply.headers["ETag"], value)
        if len(self._cache) > MAX_CACHED:
            del self._cache[next(iter(self._cache))]
        server_waited = "wait" in reply.headers.get("Preference-Applied", "")
        return value, 0.2 if server_waited else max(reply.retry_after_s, 1)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        wait_s: float = 0,
        retry: bool = True,
    ) -> HttpReply:
        """Send a request and return the successful reply.

        Raises RequestRejected for an error response, and NotReachable without any response or with
        only 429 and 5xx ones.

        Args:
            method: HTTP method.
            path: path and query, appended to the URL.
            body: value to send as JSON; None sends no body.
            headers: headers in addition to the client's own.
            wait_s: seconds that the server may wait before it responds, added to the timeout.
            retry: repeat the call after no response, 429 or 5xx, for up to `patience_s` seconds
                from the first failure.
        """
        request = self._request(method, path, body, headers or {})
        deadline = math.inf if retry else 0.0
        pauses = iter(PAUSES_S)
        while True:
            reply, reason = self._try(request, RESPONSE_TIMEOUT_S + wait_s)
            if reply and reply.status not in RETRYABLE:
                break
            # Of a long request that is cut off, the patience must not be over by then
            deadline = min(deadline, time.monotonic() + self.patience_s)
            pause_s = max(next(pauses, PAUSES_S[-1]), reply.retry_after_s if reply else 0)
            if time.monotonic() + pause_s > deadline:
                raise NotReachable(f"{self.url} does not answer: {reason}")
            time.sleep(pause_s)
        if _is_error(reply.status, path):
            raise RequestRejected(reply.status, reply.value)
        return reply

    def _request(
        self, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> urllib.request.Request:
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            **headers,
        }
        return urllib.request.Request(
            self.url + path, _encode(method, body), headers, method=method
        )

    def _try(
        self, request: urllib.request.Request, timeout_s: float
    ) -> tuple[HttpReply | None, str]:
        """Return the reply, None without a response, and the reason of a failure, else empty."""
        try:
            reply = self._send(request, timeout_s)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return None, str(getattr(error, "reason", "")) or str(error) or type(error).__name__
        return reply, f"HTTP status {reply.status}" if reply.status >= 300 else ""

    def _send(self, request: urllib.request.Request, timeout_s: float) -> HttpReply:
        try:
            with self._open(request, timeout=timeout_s) as response:
                return HttpReply(response.status, response.headers, json.loads(response.read()))
        except urllib.error.HTTPError as error:
            return HttpReply(error.code, error.headers, _decode_problem(error.read()))


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Handler that follows no redirect, which would send the token to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _is_error(status: int, path: str) -> bool:
    """Return False for a success, an unchanged resource, and the redirect to a file.

    The body of that redirect has the URL too.
    """
    if status == 303:
        return not path.startswith("/files/")
    return status >= 300 and status != 304


def _encode(method: str, body: Any) -> bytes | None:
    if body is not None:
        return json.dumps(body).encode()
    return b"" if method == "POST" else None  # a POST without a body still has a Content-Length


def _decode_problem(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
