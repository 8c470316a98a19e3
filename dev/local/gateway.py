"""Local API Gateway: Chalice's local server, with the gateway's own errors as problem+json.

Chalice answers an unknown route with 403 and a text about credentials, sends a body to HEAD, does
not read chunked bodies, and drops the connection at a malformed Content-Length. This module
responds as the stack on AWS does, with one exception: for a wrong method API Gateway responds with
404, this module with 405 and the allowed methods.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import urlsplit

from chalice.app import Chalice
from chalice.config import Config
from chalice.local import (
    ChaliceRequestHandler,
    LocalChalice,
    LocalDevServer,
    LocalGateway,
    ThreadedHTTPServer,
)

from chalicelib import config
from chalicelib.web import headers, payload, problems
from chalicelib.web.http import Request
from chalicelib.web.problems import Problem
from dev.local import guard

# https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
MOST_BYTES = 10 * 1024 * 1024
MAX_CHUNKS = 50_000
MAX_TRAILERS = 100
MAX_CONNECTIONS = 1000  # at once, each with a thread
MAX_WAITS = 500  # of them with a `Prefer`
_PROBLEMS = {414: "too-large", 431: "too-large"}  # of Python's server; others: invalid-parameter


class Gateway(LocalGateway):
    """Gateway that passes requests to the app, and responds itself where the app has no route."""

    def handle_request(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None
    ) -> Any:
        """Return the response, in the form of Lambda's proxy integration."""
        methods = self._methods(path)
        if method in methods:
            return super().handle_request(method, path, headers, body)
        return payload.reply(payload.no_route(_request(headers), methods))

    def refusal(self, problem: Problem, request_headers: Any) -> Any:
        """Return the response for a problem of the request. `request_headers` is None if unread."""
        request = _request(request_headers or {})
        response = problems.response(problem, request)
        return payload.reply(headers.with_default_headers(response, request))

    def _methods(self, path: str) -> set[str]:
        try:
            route = self.event_converter._route_matcher.match_route(path).route
        except ValueError:
            return set()
        return set(self._app_object.routes[route])


def _request(fields: Mapping[str, str]) -> Request:
    """Return what is known of a request that does not reach the app."""
    lower_case = {name.lower(): value for name, value in fields.items()}
    request_id = headers.request_id(lower_case, str(uuid.uuid4()))
    return Request("", "", "", lower_case, id=request_id)


class Handler(ChaliceRequestHandler):
    """HTTP handler: reads requests from the socket and writes the gateway's responses."""

    disable_nagle_algorithm = True  # otherwise each response on a kept-alive connection takes 44 ms
    wbufsize = -1  # buffered: head and body of a response are one packet
    timeout = 60

    def __init__(
        self, request: Any, client_address: Any, server: Any, app_object: Any, config: Config
    ) -> None:
        self.headers: Any = None
        self.local_gateway: Gateway = Gateway(app_object, config)
        BaseHTTPRequestHandler.__init__(self, request, client_address, server)

    def _generic_handle(self) -> None:
        try:
            path = self._path()
            body = self._body()
        except Problem as problem:
            self.close_connection = True  # the rest of the request would be read as the next one
            self._send(self.local_gateway.refusal(problem, self.headers))
            return
        own_hosts = (*guard.OWN_HOSTS, *guard.host_of(config.settings().public_url))
        if reason := guard.foreign_host(self.headers.get("host", ""), own_hosts):
            hint = "If it is yours, set PUBLIC_URL to the address that clients use."
            self._send(forbidden(f"{reason} {hint}"))
            return
        with self._limited_waits():
            response = self.local_gateway.handle_request(
                self.command, path, dict(self.headers), body
            )
        self._send(response)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = do_OPTIONS = (
        _generic_handle  # as the parent has them
    )

    def __getattr__(self, name: str) -> Any:
        """Handle every method, so that the gateway responds to the unknown ones too."""
        if name.startswith("do_"):
            return self._generic_handle
        raise AttributeError(name)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send a problem for a request that Python's server can't read."""
        self.close_connection = True
        problem = Problem(
            _PROBLEMS.get(code, "invalid-parameter"),
            f"The request can't be read: {message or code}.",
        )
        self._send(self.local_gateway.refusal(problem, self.headers))

    @contextmanager
    def _limited_waits(self) -> Iterator[None]:
        """Ignore `Prefer` beyond MAX_WAITS waiting requests, to leave threads for the others.

        RFC 7240 allows to respond without waiting.
        """
        waits = "prefer" in self.headers
        allowed = waits and self.server.waits.acquire(blocking=False)
        if waits and not allowed:
            del self.headers["prefer"]
        try:
            yield
        finally:
            if allowed:
                self.server.waits.release()

    def _path(self) -> str:
        """Return the path and the query, without the host of the absolute form that proxies use."""
        target: str = self.path
        if target.startswith("/"):
            return target
        try:
            url = urlsplit(target)
        except ValueError as error:
            raise Problem("invalid-parameter", f"The URI can't be read: {error}.") from None
        return f"{url.path}?{url.query}"

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            return b"".join(self._chunks())
        return self._exactly(self._length(self.headers.get("content-length", "0"), 10))

    def _chunks(self) -> Iterator[bytes]:
        """Yield the chunks of the body (RFC 9112, 7.1), without extensions and trailers."""
        received = 0
        for _ in range(MAX_CHUNKS + 1):
            line = self.rfile.readline(100)
            size = self._length(line.partition(b";")[0].decode("latin-1"), 16, received)
            if size == 0:
                return self._skip_trailers()
            yield self._exactly(size)
            received += size
            self.rfile.readline(3)
        raise Problem("too-large", f"A request has at most {MAX_CHUNKS} chunks.")

    def _skip_trailers(self) -> None:
        for _ in range(MAX_TRAILERS + 1):
            if not self.rfile.readline(65537).strip():
                return
        raise Problem("too-large", f"A request has at most {MAX_TRAILERS} trailers.")

    def _length(self, text: str, base: int, already: int = 0) -> int:
        digits = text.strip()
        if not digits.isascii() or not digits.isalnum() or (base == 10 and not digits.isdigit()):
            raise Problem("invalid-parameter", "The length of the body is not a number.")
        try:
            length = int(digits[:20], base)
        except ValueError:
            raise Problem("invalid-parameter", "The length of a chunk is not a number.") from None
        if length + already > MOST_BYTES:
            raise Problem("too-large", f"A request has at most {MOST_BYTES} bytes.")
        return length

    def _exactly(self, length: int) -> bytes:
        body: bytes = self.rfile.read(length)
        if len(body) < length:
            raise Problem("invalid-parameter", "The body is shorter than its declared length.")
        return body

    def _send(self, response: Any) -> None:
        body = (response["body"] or "").encode()
        self.send_response(response["statusCode"])
        for name, value in {**response["headers"], **response["multiValueHeaders"]}.items():
            self.send_header(name, value)
        if response["statusCode"] not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD" and response["statusCode"] not in (204, 304):
            self.wfile.write(body)


def forbidden(detail: str) -> dict[str, Any]:
    """Return the response to a foreign Host, a problem that only this local server has."""
    problem = {"type": "about:blank", "title": "Forbidden", "status": 403, "detail": detail}
    return {
        "statusCode": 403,
        "headers": {**headers.SECURITY, "Content-Type": "application/problem+json"},
        "multiValueHeaders": {},
        "body": json.dumps(problem),
    }


class Server(ThreadedHTTPServer):
    """Server with a thread per connection, up to MAX_CONNECTIONS; more wait in the backlog."""

    daemon_threads = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.connections = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self.waits = threading.BoundedSemaphore(MAX_WAITS)
        super().__init__(*arguments, **options)

    def get_request(self) -> Any:
        if not self.connections.acquire(timeout=0.1):
            raise OSError("all threads are taken")  # the server's loop tries again, or shuts down
        try:
            return super().get_request()
        except OSError:
            self.connections.release()
            raise

    def shutdown_request(self, request: Any) -> None:  # once for each that get_request returned
        super().shutdown_request(request)
        self.connections.release()


def server(app: Chalice, config: Config, host: str, port: int) -> HTTPServer:
    """Return Chalice's local server, listening, with this gateway in front of the app."""
    if not isinstance(app, LocalChalice):  # LocalChalice has a current request per thread
        app.__class__ = type("Local", (LocalChalice, type(app)), {})
    local = LocalDevServer(app, config, host, port, handler_cls=Handler, server_cls=Server)
    http_server: HTTPServer = local.server
    http_server.socket.listen(128)
    return http_server
