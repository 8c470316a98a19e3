"""Speak HTTP with a stack that is being verified, as its clients do."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

PATIENCE_S = 120
_TIMEOUT_S = 40
_TRIES = 10


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Return redirects as they are."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_Redirects)


@dataclass(frozen=True)
class Reply:
    """An HTTP response. `status` is 0 if there was none; then `body` is the error."""

    status: int
    headers: Mapping[str, str]
    body: Any
    ms: float

    @property
    def type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0]

    def is_problem(self, status: int) -> bool:
        return (self.status, self.type) == (status, "application/problem+json")

    def __str__(self) -> str:
        return f"{self.status} {self.type} {str(self.body)[:300]}"


class Visitor:
    """An HTTP client with an access token.

    ready_at  seconds since 1970 at which the stack was found ready
    last      the latest reply, which explains a check that failed
    """

    def __init__(self, api: str, token: str) -> None:
        self.api = api
        self.token = token
        self.ready_at = time.time()
        self.last: Reply | None = None

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Send a request; again if the stage's throttle refuses it, which is low on purpose.

        An empty header is left out: `Authorization=""` is a request without a token.
        """
        sent = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        data = json.dumps(body).encode() if body is not None else None
        sent = {name: value for name, value in sent.items() if value}
        for _ in range(_TRIES):
            reply = send(urllib.request.Request(self.api + path, data, sent, method=method))
            if reply.status != 429:
                break
            time.sleep(0.5)
        self.last = reply
        return reply

    def place(
        self, task: str = "cook_nuggets", input: Any = None, delay_s: int = 0, **headers: str
    ) -> Reply:
        body = {"task": task, "input": {"pieces": 1} if input is None else input}
        return self(
            "POST", "/orders", {**body, **({"delay_s": delay_s} if delay_s else {})}, **headers
        )

    def upload(self, content: bytes) -> str:
        """Upload a file and return its id. Raises AssertionError if it is refused."""
        file_id = hashlib.sha256(content).hexdigest()
        self.put(file_id, content)
        assert self.last is not None
        assert self.last.status == 200, self.last
        return file_id

    def put(self, file_id: str, content: bytes) -> None:
        """Send bytes to the URL at which a file of this id and size is uploaded."""
        file = {"sha256": file_id, "size": len(content), "type": "text/plain"}
        upload = self("POST", "/files", file).body["upload"]
        if upload:
            self.last = send(
                urllib.request.Request(upload["url"], content, upload["headers"], method="PUT")
            )

    def download(self, file_id: str) -> bytes:
        """Return a file's bytes. The API's token must not follow to S3, so neither does urllib."""
        url = self("GET", f"/files/{file_id}").body["url"]
        self.last = send(urllib.request.Request(url))
        return str(self.last.body).encode()

    def wait(self, order_id: str, patience_s: float = PATIENCE_S) -> Any:
        """Return the order once it is done, or the last response's body after `patience_s`."""
        end = time.monotonic() + patience_s
        while True:
            reply = self("GET", f"/orders/{order_id}", Prefer="wait=2")
            if (reply.status == 200 and reply.body["done"]) or time.monotonic() > end:
                return reply.body
            time.sleep(0.2)

    def succeeds(self, placed: Reply, patience_s: float = PATIENCE_S) -> bool:
        """Whether the response accepts an order, which then ends in SUCCESS."""
        return placed.status == 202 and is_success(self.wait(placed.body["id"], patience_s))


def send(request: urllib.request.Request) -> Reply:
    """Return the response, whatever its status; a new API whose name does not resolve gives one."""
    began = time.monotonic()
    try:
        response = _OPENER.open(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        response = error
    except (OSError, http.client.HTTPException) as error:
        return Reply(0, {}, str(error), 0)
    with response:
        text = response.read().decode()
    ms = (time.monotonic() - began) * 1000
    is_json = text and response.headers.get_content_type().endswith("json")
    return Reply(response.status, response.headers, json.loads(text) if is_json else text, ms)


def is_success(body: Any) -> bool:
    return isinstance(body, dict) and body.get("status") == "SUCCESS"


def eventually(holds: Callable[[], bool], within_s: float, pause_s: float = 0.5) -> bool:
    """Whether it holds at some moment of the next `within_s` seconds."""
    end = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(pause_s)
    return True


def seconds(moment: str) -> float:
    """Return the seconds since 1970 of a time in an order."""
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()
