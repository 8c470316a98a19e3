"""ministack with what it lacks on a developer's machine: `python -m cli.emulator PARENT`, started by cli/cloud.py."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ministack import app as ministack
from ministack.services import lambda_svc

from cli import guard
from cli.cloud import follow

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def guarded(app: App) -> App:
    """Return the ASGI app that refuses what a web page of another origin sends. Bodies are neither read nor kept."""
    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope.get("headers", ())}
        reason = None if scope["type"] == "lifespan" else guard.foreign_request(headers)
        if reason is None:
            await app(scope, receive, send)
        else:
            await _refuse(scope, send, reason)

    return handle


async def _refuse(scope: Scope, send: Send, reason: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close"})  # before it was accepted: the server answers 403
        return
    body = f"{reason}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode()),
               (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main(parent: int) -> None:
    """Serve until SIGTERM, or until the parent is gone."""
    # After an order its mapping looks once more, finds nothing, and would then be deaf for 50 ms: half of the next
    # order's way, if that is placed at once
    lambda_svc._ESM_IDLE_WAKE_GAP_SECONDS = 0.005
    ministack.app = guarded(ministack.app)
    follow(parent)
    ministack.main()


if __name__ == "__main__":
    main(int(sys.argv.pop()))  # ministack reads what is left
