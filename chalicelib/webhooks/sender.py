"""Send one HTTP request to an address that an owner chose, without trusting it in anything.

The name is resolved once, every address must be public, and we connect to an address that was
checked, so that a name which resolves to something else a moment later gains nothing. There are no
redirects and no proxies. Of the answer, its status and Retry-After are kept and nothing else.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from queue import Empty, SimpleQueue
from time import monotonic  # bound here: a task may leave time.monotonic patched
from typing import Any

from chalicelib import clock
from chalicelib.aws.connection import ssl_context
from chalicelib.clock import SECOND
from chalicelib.errors import DeliveryFailed
from chalicelib.webhooks import targets
from chalicelib.webhooks.targets import Target

CONNECT_TIMEOUT_S = 3
TIMEOUT_S = 10  # for everything, from the DNS to the last byte
MAX_RETRY_AFTER_S = 3600
_MAX_ANSWER = 4096  # bytes
_LINGER_S = 0.5
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([2-5][0-9][0-9])( .*)?")
_INTERIM = re.compile(rb"HTTP/1\.[01] 1[0-9][0-9]")


@dataclass(frozen=True)
class Answer:
    """What the receiver answered."""

    status: int
    """Status code of HTTP."""
    retry_after_s: int | None
    """Seconds that the receiver asks us to wait, at most MAX_RETRY_AFTER_S; None: it does not."""


class _Deadline:
    """The time at which a request is given up, however the receiver drips."""

    def __init__(self) -> None:
        self._end = monotonic() + TIMEOUT_S

    def left_s(self, at_most: float = TIMEOUT_S) -> float:
        """Return the seconds that are left, or `at_most`. Raises TimeoutError if none is left."""
        left_s = self._end - monotonic()
        if left_s <= 0:
            raise TimeoutError
        return min(left_s, at_most)


def send(url: str, headers: Mapping[str, str], body: bytes, allow_local: bool = False) -> Answer:
    """Send a POST request and return the answer. Raises DeliveryFailed.

    Args:
        url: see targets.parse
        headers: beside Host, Content-Length and Connection; neither names nor values are checked
        body: the body
        allow_local: also allow a receiver on this machine, without TLS
    """
    try:
        target = targets.parse(url, allow_local)
    except ValueError as error:
        raise DeliveryFailed("not_allowed", f"the endpoint is not allowed: {error}") from error
    deadline = _Deadline()
    with _translated(), _connected(target, deadline) as connection:
        connection.settimeout(deadline.left_s())
        connection.sendall(_encode_request(target, headers, body))
        return _read_answer(connection, deadline)


@contextmanager
def _translated() -> Iterator[None]:
    """Raise DeliveryFailed for the errors of sockets, which may name addresses."""
    try:
        yield
    except TimeoutError as error:
        raise DeliveryFailed("timeout", "the receiver did not answer in time") from error
    except ssl.SSLError as error:
        message = "TLS failed; is the receiver's certificate valid for the URL's host?"
        raise DeliveryFailed("tls", message) from error
    except OSError as error:
        raise DeliveryFailed("unreachable", "the receiver can't be reached") from error


@contextmanager
def _connected(target: Target, deadline: _Deadline) -> Iterator[socket.socket]:
    """Connect to an address that was checked, and with TLS to the host whose name it was."""
    with _connect(_addresses(target, deadline), target.port, deadline) as plain:
        if target.local:
            yield plain
            return
        plain.settimeout(deadline.left_s())
        with ssl_context().wrap_socket(plain, server_hostname=target.host) as encrypted:
            yield encrypted


def _addresses(target: Target, deadline: _Deadline) -> list[str]:
    """Return the addresses of a host. Raises DeliveryFailed if any of them is not public."""
    if target.local:
        return [targets.LOCAL_HOST]
    addresses = _resolve(target, deadline)
    if not all(map(targets.is_public, addresses)):
        raise DeliveryFailed(
            "not_allowed", "the endpoint's host has an address that is not of the public internet"
        )
    return addresses


def _resolve(target: Target, deadline: _Deadline) -> list[str]:
    """Look the host up, once. Raises OSError if it has no address.

    In a thread, because the system's resolver has no timeout.
    """
    answers: SimpleQueue[Any] = SimpleQueue()

    def look_up() -> None:
        try:
            answers.put(socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    threading.Thread(target=look_up, daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.left_s())
    except Empty:
        raise TimeoutError from None
    if isinstance(answer, Exception):
        raise OSError("the name has no address") from answer
    return [str(address[0]) for *_, address in answer]


def _connect(addresses: list[str], port: int, deadline: _Deadline) -> socket.socket:
    """Connect to the first address that answers; none may take longer than CONNECT_TIMEOUT_S."""
    error: OSError = OSError("no address")
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(deadline.left_s(CONNECT_TIMEOUT_S))
            connection.connect((address, port))
        except OSError as failure:
            connection.close()
            error = failure
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise error


def _encode_request(target: Target, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [
        f"POST {target.path} HTTP/1.1",
        f"host: {target.netloc}",
        *(f"{name}: {value}" for name, value in headers.items()),
        f"content-length: {len(body)}",
        "connection: close",
    ]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("ascii") + body


def _read_answer(connection: socket.socket, deadline: _Deadline) -> Answer:
    """Read the head of the answer, but at most _MAX_ANSWER bytes. Raises OSError.

    Of a longer head only the beginning counts.
    """
    text = b""
    head, is_complete = _final_head(text)
    while not is_complete and len(text) < _MAX_ANSWER:
        connection.settimeout(deadline.left_s())
        piece = connection.recv(_MAX_ANSWER - len(text))
        if not piece:
            raise OSError("the answer breaks off")
        text += piece
        head, is_complete = _final_head(text)
    answer = _decode_head(head)
    _linger(connection, _MAX_ANSWER - len(text))
    return answer


def _final_head(text: bytes) -> tuple[bytes, bool]:
    """Return the head after interim ones, such as 103 Early Hints, and whether it is complete."""
    while True:
        head, end, rest = text.partition(b"\r\n\r\n")
        if not end or not _INTERIM.match(head):
            return head, bool(end)
        text = rest


def _linger(connection: socket.socket, size: int) -> None:
    """Let the receiver send a short body: if we closed now, it might see an error."""
    end = monotonic() + _LINGER_S
    try:
        while size > 0 and (left_s := end - monotonic()) > 0:
            connection.settimeout(left_s)
            piece = connection.recv(size)
            if not piece:
                return
            size -= len(piece)
    except OSError:
        return  # we have what we need


def _decode_head(head: bytes) -> Answer:
    """Return the status and Retry-After of a head. Raises OSError if it is not one of HTTP/1."""
    status_line, *lines = head.split(b"\r\n")
    status = _STATUS_LINE.fullmatch(status_line)
    if status is None:
        raise OSError("this is not an answer of HTTP/1")
    fields = (line.partition(b":") for line in lines)
    values = [value for name, _, value in fields if name.lower() == b"retry-after"]
    text = values[0].strip().decode("latin-1") if values else ""
    return Answer(int(status[1]), _seconds(text))


def _seconds(retry_after: str) -> int | None:
    """Return the seconds of a Retry-After, which is a number or a date; None if it is neither."""
    if re.fullmatch("[0-9]{1,9}", retry_after):
        return min(int(retry_after), MAX_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(retry_after)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        left_s = (
            moment - datetime.fromtimestamp(clock.now() / SECOND, timezone.utc)
        ).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(int(left_s), 0), MAX_RETRY_AFTER_S)
