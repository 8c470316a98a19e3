"""A receiver of webhooks for development: it prints what arrives, verified or why not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from orderline.webhooks import InvalidSignature, verify

HOST = "127.0.0.1"
MAX_BYTES = 1_000_000
SHOWN = 200  # characters of a body that is not verified


class Listener(ThreadingHTTPServer):
    """A server on 127.0.0.1 that answers each delivery with 204 and passes a line to `show`."""

    daemon_threads = True

    def __init__(self, port: int, secrets: Sequence[str], show: Callable[[str], None]) -> None:
        super().__init__((HOST, port), _Handler)
        self.secrets = secrets
        self.show = show

    @property
    def url(self) -> str:
        """URL to register as an endpoint."""
        return f"http://{HOST}:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: Listener
    timeout = 10  # seconds; a connection without a request must not stay open

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BYTES:
            self.send_error(413 if length.isdecimal() else 411)
            return
        body = self.rfile.read(int(length))
        self.server.show(f"{time.strftime('%H:%M:%S')}  {self._describe(body)}")
        self.send_response(204)
        self.end_headers()

    def _describe(self, body: bytes) -> str:
        """Return a line about a delivery; what the sender chose is in it as ASCII JSON only."""
        delivery_id = json.dumps(self.headers.get("webhook-id"))
        try:
            event = verify(body, dict(self.headers), self.server.secrets)
        except InvalidSignature as error:
            text = json.dumps(body[:SHOWN].decode(errors="replace"))
            return f"NOT VERIFIED: {json.dumps(str(error))[1:-1]}; webhook-id {delivery_id}; {text}"
        return f"verified  webhook-id {delivery_id}  {json.dumps(event)}"

    def log_message(self, *_: Any) -> None:
        return
