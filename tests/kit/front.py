"""The mocked cloud's app behind real HTTP, in this process, on a free port; it can lose answers."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from chalice.test import BaseClient

from chalicelib import logs
from testkit.cloud import Cloud
from testkit.wire import one_call_at_a_time

HOST = "127.0.0.1"


class Front(ThreadingHTTPServer):
    """An HTTP server like `chalice local`, which can lose answers.

    It delivers the next `deliver` answers, and loses the `lose` answers after them.
    `requests` has (method, path, status of the answer) of each request.
    `instead` has the statuses and bodies of the next answers, which are then not the app's.
    """

    daemon_threads = False  # closing waits for open requests, which must not reach the next test

    def __init__(self, cloud: Cloud) -> None:
        super().__init__((HOST, 0), _Handler)
        self.cloud = cloud
        self.deliver = 0
        self.lose = 0
        self.instead: list[tuple[int, bytes]] = []
        self.requests: list[tuple[str, str, int]] = []
        self.one_at_a_time = threading.Lock()  # Chalice's test client has the request in the app
        self.url = f"http://{HOST}:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Front

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.instead:
            self._answer_instead(*self.server.instead.pop(0))
            return
        with self.server.one_at_a_time:
            answer = self.server.cloud.client.http.request(
                self.command, self.path, dict(self.headers), body
            )
        self.server.requests.append((self.command, self.path, answer.status_code))
        if self.server.deliver:
            self.server.deliver -= 1
        elif self.server.lose:
            self.server.lose -= 1
            return
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    do_POST = do_GET

    def _answer_instead(self, status: int, body: bytes) -> None:
        self.server.requests.append((self.command, self.path, status))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


@contextmanager
def serving(cloud: Cloud) -> Iterator[Front]:
    server = Front(cloud)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    # As in another process: a command that a test runs prints to its own output, and a request
    # does not replace os.environ, as Chalice's test client does, while a worker's thread reads it
    own_output = SimpleNamespace(stdout=sys.stdout)
    same_environment = patch.object(BaseClient, "_patched_env_vars", lambda *_: nullcontext())
    try:
        with one_call_at_a_time(), patch.object(logs, "sys", own_output), same_environment:
            yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
