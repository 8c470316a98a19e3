"""Calls of the API over HTTP: tried again where that is safe, and what is unchanged is not sent again (ETags)."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import Any

PAUSES_S = (0.2, 0.4, 0.8, 1.6)  # between tries, and then the last for ever
ANSWER_WITHIN_S = 30  # API Gateway itself gives up after 29
REMEMBERED = 64
BUSY = {429, 500, 502, 503, 504}


class CallError(Exception):
    """A call without success. The message says why."""


class NotReachable(CallError):
    """No answer, or only that it is unavailable: whether the call had an effect is unknown."""


class Refused(CallError):
    """The API said no. `status` is HTTP's, `problem` what it answered (RFC 9457), as far as it was JSON."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail") or problem.get("title") or f"HTTP status {status}")
        self.status, self.problem = status, problem


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message[str, str]
    value: Any

    @property
    def retry_after_s(self) -> float:
        text = self.headers.get("Retry-After", "")
        return float(text) if text.isdigit() else 0


class Calls:
    """A hub's address and an access token. `patience_s`: how long a call that gets no answer is tried again."""

    def __init__(self, url: str, token: str, patience_s: float) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"url {url!r}: it begins with http:// or https://")
        self.url, self._token, self._patience_s = url.rstrip("/"), token, patience_s
        self._open = urllib.request.build_opener(_NoRedirect).open
        self._seen: dict[str, tuple[str, Any]] = {}

    def get(self, path: str, wait_s: float = 0) -> tuple[Any, float]:
        """The value there, the very same object while it is unchanged, and how many seconds to leave it alone."""
        etag, known = self._seen.pop(path, (None, None))
        headers = {"If-None-Match": etag} if etag else {}
        if wait_s >= 1:
            headers["Prefer"] = f"wait={int(wait_s)}"
        answer = self.call("GET", path, None, headers, wait_s=wait_s)
        value = known if answer.status == 304 else answer.value
        if "ETag" in answer.headers:
            self._seen[path] = (answer.headers["ETag"], value)
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        waited = "wait" in answer.headers.get("Preference-Applied", "")
        return value, 0.2 if waited else max(answer.retry_after_s, 1)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        wait_s: float = 0,
        again: bool = True,
    ) -> Answer:
        """An answer that is no error. What gets none, or a 5xx or 429, is tried `again` as long as patience lasts."""
        raw = (
            b""
            if method == "POST" and body is None
            else None
            if body is None
            else json.dumps(body).encode()
        )
        given = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            **(headers or {}),
        }
        request = urllib.request.Request(self.url + path, raw, given, method=method)
        ends = time.monotonic() + (self._patience_s if again else 0)
        pauses = iter(PAUSES_S)
        while True:
            answer, fault = self._once(request, ANSWER_WITHIN_S + wait_s)
            if answer and answer.status not in BUSY:
                break
            pause_s = max(next(pauses, PAUSES_S[-1]), answer.retry_after_s if answer else 0)
            if time.monotonic() + pause_s > ends:
                raise NotReachable(f"{self.url} does not answer: {fault}")
            time.sleep(pause_s)
        if answer.status >= 300 and answer.status != 304:
            raise Refused(answer.status, answer.value)
        return answer

    def _once(self, request: urllib.request.Request, timeout_s: float) -> tuple[Answer | None, str]:
        """The answer if there is one, and what is wrong if something is."""
        try:
            with self._open(request, timeout=timeout_s) as reply:
                return Answer(reply.status, reply.headers, json.loads(reply.read())), ""
        except urllib.error.HTTPError as refusal:
            return Answer(
                refusal.code, refusal.headers, _problem(refusal.read())
            ), f"HTTP status {refusal.code}"
        except (OSError, http.client.HTTPException, ValueError) as fault:
            return None, str(getattr(fault, "reason", "")) or str(fault) or type(fault).__name__


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the token to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _problem(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
