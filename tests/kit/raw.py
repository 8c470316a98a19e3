"""Requests byte by byte, for those that no HTTP library would send."""

from __future__ import annotations

import socket

HOST = "127.0.0.1"


def send(port: int, request: bytes) -> bytes:
    """Return the answer to these bytes, until the server closes the connection."""
    with socket.create_connection((HOST, port), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def exchange(port: int, line: str, *headers: str) -> bytes:
    """Return the answer to a request of this line and these headers, without a body."""
    lines = [f"{line} HTTP/1.1", *headers, "Content-Length: 0", "Connection: close", "", ""]
    return send(port, "\r\n".join(lines).encode("latin-1"))
