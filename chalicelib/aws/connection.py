"""A persistent HTTP connection to an AWS endpoint, and a parser of what AWS answers.

http.client costs an order a third more CPU and parses heads as e-mail messages, whose module makes
a cold start longer: docs/adr/0021-a-parser-of-our-own.md
"""

from __future__ import annotations

import functools
import re
import select
import socket
import ssl
from collections.abc import Iterator
from io import BufferedReader
from urllib.parse import urlsplit

CONNECT_TIMEOUT_S = 2
READ_TIMEOUT_S = 5
_MAX_LINE = 65_536  # bytes
_MAX_LINES = 200
_MAX_BODY = 32 * 2**20  # bytes; our largest response is BatchGetItem's, of at most 16 MB
# The fields of a response that we need; names and values in lower case
_FIELDS = re.compile(
    rb"\n(content-length|transfer-encoding|connection):[ \t]*([^\r\n]*?)[ \t]*(?=\r?\n)"
)


class InvalidResponse(Exception):
    """What arrived is not a whole HTTP response, or its body is not JSON."""


class Connection:
    """A persistent connection to an endpoint. `sock` is None while it is not open."""

    def __init__(self, url: str) -> None:
        self.sock: socket.socket | None = None
        self._url = urlsplit(url)
        self._stream: BufferedReader
        self._readable: select.poll

    def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; return the status and body of the response.

        Any exception, such as a task's time limit, closes the connection, which may hold half a
        response.
        """
        try:
            self._open().sendall(request)
            status, body, persistent = read_response(self._stream)
        except BaseException:
            self.close()
            raise
        if not persistent:
            self.close()
        return status, body

    def close(self) -> None:
        if self.sock:
            self._stream.close()
            self.sock.close()
            self.sock = None

    def _open(self) -> socket.socket:
        """Connect unless it is open. AWS may have closed it while it was idle."""
        if self.sock and self._readable.poll(0):
            self.close()
        if not self.sock:
            self.sock = self._connect()
            self.sock.settimeout(READ_TIMEOUT_S)
            self._stream = self.sock.makefile("rb")
            self._readable = select.poll()
            self._readable.register(self.sock, select.POLLIN)
        return self.sock

    def _connect(self) -> socket.socket:
        host = self._url.hostname or ""
        tls = self._url.scheme == "https"
        port = self._url.port or (443 if tls else 80)
        sock = socket.create_connection((host, port), CONNECT_TIMEOUT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return ssl_context().wrap_socket(sock, server_hostname=host) if tls else sock


@functools.lru_cache(maxsize=1)
def ssl_context() -> ssl.SSLContext:
    """Return a context that trusts the system's authorities; cached, since loading is slow."""
    return ssl.create_default_context()


def read_response(stream: BufferedReader) -> tuple[int, bytes, bool]:
    """Return status, body, and True if the connection persists.

    Raises InvalidResponse if the response is malformed: https://www.rfc-editor.org/rfc/rfc9112
    """
    head = _read_head(stream).lower()
    fields = dict(_FIELDS.findall(head))
    try:
        status = int(head.split(None, 2)[1])
        if fields.get(b"transfer-encoding") == b"chunked":
            body = _read_chunks(stream)
        else:
            body = _read_exactly(stream, int(fields[b"content-length"]))
    except (ValueError, LookupError) as error:
        raise InvalidResponse("malformed head") from error
    return status, body, fields.get(b"connection") != b"close"


def _read_head(stream: BufferedReader) -> bytes:
    """Return the status line and the header fields, up to the empty line."""
    end = stream.peek().find(b"\r\n\r\n")
    if end >= 0:  # nearly always it arrives as a whole
        return stream.read(end + 4)
    return b"".join([line + b"\n" for line in _read_lines(stream)])


def _read_lines(stream: BufferedReader) -> Iterator[bytes]:
    """Yield lines up to the empty one."""
    for _ in range(_MAX_LINES):
        line = _read_line(stream)
        if not line:
            return
        yield line
    raise InvalidResponse("too many header lines")


def _read_chunks(stream: BufferedReader) -> bytes:
    body = bytearray()
    while size := int(_read_line(stream).partition(b";")[0], 16):
        body += _read_exactly(stream, size, _MAX_BODY - len(body))
        _read_line(stream)
    for _ in _read_lines(stream):  # trailers
        pass
    return bytes(body)


def _read_line(stream: BufferedReader) -> bytes:
    line = stream.readline(_MAX_LINE)
    if not line.endswith(b"\n"):
        raise InvalidResponse("an incomplete line")
    return line.rstrip(b"\r\n")


def _read_exactly(stream: BufferedReader, size: int, max_size: int = _MAX_BODY) -> bytes:
    if not 0 <= size <= max_size:
        raise InvalidResponse(f"a body of {size} bytes")
    body = stream.read(size)
    if len(body) < size:
        raise InvalidResponse("an incomplete body")
    return body
