"""API Gateway on the laptop: Chalice's own server, with the answers that are the gateway's as problem+json.

Chalice answers an unknown route with 403 and a sentence about credentials, sends a body to HEAD, reads no chunked one,
and drops the connection at a Content-Length that is no number. Here all are answered as the stack on AWS does, but for
one thing: API Gateway says 404 where the method is wrong, and here it is 405 with what is allowed.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
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
from chalicelib.web import headers, problems
from chalicelib.web.http import Request
from chalicelib.web.problems import Problem
from cli import guard

MOST_BYTES = (
    10 * 1024 * 1024
)  # https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
MAX_CHUNKS = 50_000
MAX_TRAILERS = 100
MAX_CONNECTIONS = 1000  # at once, each with a thread
MAX_WAITS = 500  # of them with a `Prefer`
_FAULTS = {414: "too-large", 431: "too-large"}  # of the server itself; else: the request's


class Gateway(LocalGateway):
    """From a request to the app's answer, or to a problem where the app has no such route."""

    def handle_request(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None
    ) -> Any:
        """The answer, in the form that Lambda gives it."""
        methods = self._methods(path)
        if method in methods:
            return super().handle_request(method, path, headers, body)
        if not methods:
            return self.refusal(
                Problem("not-found", "There is no such route; GET /docs lists them."), headers
            )
        allowed = ", ".join(sorted(methods))
        fault = Problem("method-not-allowed", f"This route knows {allowed}.")
        return self.refusal(fault, headers, {"Allow": allowed})

    def refusal(self, fault: Problem, sent: Any, said: dict[str, str] | None = None) -> Any:
        given = {name.lower(): value for name, value in (sent or {}).items()}
        request = Request("", "", "", given, id=headers.request_id(given, str(uuid.uuid4())))
        response = headers.with_default_headers(problems.response(fault, request), request)
        return {
            "statusCode": response.status,
            "headers": {**response.headers, **(said or {})},
            "multiValueHeaders": {},
            "body": response.body,
        }

    def _methods(self, path: str) -> set[str]:
        try:
            route = self.event_converter._route_matcher.match_route(path).route
        except ValueError:
            return set()
        return set(self._app_object.routes[route])


class Handler(ChaliceRequestHandler):
    """From the socket to the gateway and back."""

    disable_nagle_algorithm = True  # or each kept-alive answer takes 44 ms
    timeout = 60

    def __init__(
        self, request: Any, client_address: Any, server: Any, app_object: Any, config: Config
    ) -> None:
        self.headers: Any = None
        self.local_gateway: Gateway = Gateway(app_object, config)
        BaseHTTPRequestHandler.__init__(self, request, client_address, server)

    def _generic_handle(self) -> None:
        try:
            path, body = self._path(), self._body()
        except Problem as problem:
            self.close_connection = (
                True  # what is left of the request can't be told from the next one
            )
            self._send(self.local_gateway.refusal(problem, self.headers))
            return
        own_hosts = (*guard.OWN_HOSTS, *guard.host_of(config.settings().public_url))
        if reason := guard.foreign_host(self.headers.get("host", ""), own_hosts):
            self._send(
                forbidden(
                    f"{reason} If it is yours, set PUBLIC_URL to the address that clients use."
                )
            )
            return
        with self._wait_allowed():
            answer = self.local_gateway.handle_request(self.command, path, dict(self.headers), body)
        self._send(answer)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = do_OPTIONS = (
        _generic_handle  # as the parent has them
    )

    def __getattr__(self, name: str) -> Any:
        """Every method there may be, so that one that no route knows is answered as such."""
        if name.startswith("do_"):
            return self._generic_handle
        raise AttributeError(name)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the server can't read, or has no method for."""
        self.close_connection = True
        fault = Problem(
            _FAULTS.get(code, "invalid-parameter"), f"The request can't be read: {message or code}."
        )
        self._send(self.local_gateway.refusal(fault, self.headers))

    @contextmanager
    def _wait_allowed(self) -> Iterator[None]:
        """Answer at once, as RFC 7240 allows, where so many wait already that those who don't would find no thread."""
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
        """Return the path and the query. A proxy's form of the request has the host before them."""
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
            size = self._length(
                self.rfile.readline(100).partition(b";")[0].decode("latin-1"), 16, received
            )
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
            raise Problem("invalid-parameter", "The length of the body is no number.")
        try:
            length = int(digits[:20], base)
        except ValueError:
            raise Problem("invalid-parameter", "The length of a chunk is no number.") from None
        if length + already > MOST_BYTES:
            raise Problem("too-large", f"A request has at most {MOST_BYTES} bytes.")
        return length

    def _exactly(self, length: int) -> bytes:
        body: bytes = self.rfile.read(length)
        if len(body) < length:
            raise Problem("invalid-parameter", "The body is shorter than was said.")
        return body

    def _send(self, answer: Any) -> None:
        body = (answer["body"] or "").encode()
        self.send_response(answer["statusCode"])
        for name, value in {**answer["headers"], **answer["multiValueHeaders"]}.items():
            self.send_header(name, value)
        if answer["statusCode"] not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD" and answer["statusCode"] not in (204, 304):
            self.wfile.write(body)


def forbidden(detail: str) -> dict[str, Any]:
    """Return the answer to a name that was rebound to this address. The API itself has no such problem."""
    problem = {"type": "about:blank", "title": "Forbidden", "status": 403, "detail": detail}
    return {
        "statusCode": 403,
        "headers": {**headers.SECURITY, "Content-Type": "application/problem+json"},
        "multiValueHeaders": {},
        "body": json.dumps(problem),
    }


class Server(ThreadedHTTPServer):
    """A thread for each connection, up to MAX_CONNECTIONS; further ones wait in the socket's backlog."""

    daemon_threads = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.connections = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self.waits = threading.BoundedSemaphore(MAX_WAITS)
        super().__init__(*arguments, **options)

    def get_request(self) -> Any:
        if not self.connections.acquire(timeout=0.1):
            raise OSError(
                "all threads are taken"
            )  # the server's loop looks again, or ends if it was told to
        try:
            return super().get_request()
        except OSError:
            self.connections.release()
            raise

    def shutdown_request(self, request: Any) -> None:  # once for each that get_request returned
        super().shutdown_request(request)
        self.connections.release()


def server(app: Chalice, config: Config, host: str, port: int) -> HTTPServer:
    """Chalice's local server, listening, with this gateway before the app."""
    if not isinstance(app, LocalChalice):  # which keeps a request for each thread
        app.__class__ = type("Local", (LocalChalice, type(app)), {})
    made: HTTPServer = LocalDevServer(
        app, config, host, port, handler_cls=Handler, server_cls=Server
    ).server
    made.socket.listen(128)
    return made
