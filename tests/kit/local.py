"""`make run`'s own HTTP server in this process with the mocked cloud: real sockets and threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

from chalice.cli.factory import CLIFactory

from dev.local import gateway
from testkit import template
from testkit.cloud import Cloud, Reply
from testkit.wire import one_call_at_a_time
from tests.kit.raw import HOST, send


class LocalFront:
    """A server and the requests to it."""

    def __init__(self, cloud: Cloud, port: int) -> None:
        self.cloud = cloud
        self.port = port

    def http(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        all_headers = {
            "Authorization": f"Bearer {self.cloud.token}",
            "Content-Type": "application/json",
            **(headers or {}),
        }
        connection = HTTPConnection(HOST, self.port, timeout=20)
        try:
            connection.request(method, path, body, all_headers)
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read().decode())
        finally:
            connection.close()

    def raw(self, request: bytes) -> bytes:
        """Return the answer to these bytes, until the server closes the connection."""
        return send(self.port, request)


@contextmanager
def serving(cloud: Cloud) -> Iterator[LocalFront]:
    """Serve on a free port until the block ends."""
    import app as orderline  # noqa: PLC0415 (the server changes the app's class)

    config = CLIFactory(str(template.RESOURCES.parents[1])).create_config_obj("dev")
    server: Any = gateway.server(orderline.app, config, HOST, 0)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        with one_call_at_a_time():
            yield LocalFront(cloud, server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
