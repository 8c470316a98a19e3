"""Sending to receivers on real sockets: answers of every kind, and guards against forgery."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from chalicelib import clock
from chalicelib.errors import DeliveryFailed
from chalicelib.webhooks import sender
from chalicelib.webhooks.sender import Answer
from tests.kit.receiver import (
    PUBLIC,
    Authority,
    Receiver,
    internet,
    receiving,
    status,
)

URL = "https://shop.example/hooks?a=b"
NOW = 1_800_000_000_000_000  # 2027-01-15T08:00:00Z


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    made = Authority(tmp_path)
    with made.trusted():
        yield made


@pytest.fixture
def secure(authority: Authority) -> Iterator[Receiver]:
    """Run a receiver with TLS and a valid certificate for shop.example."""
    with receiving(authority.server("shop.example")) as running:
        yield running


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the time limit be half a second, and require that the test kept it."""
    monkeypatch.setattr(sender, "TIMEOUT_S", 0.5)
    start = time.monotonic()
    yield
    assert time.monotonic() - start < 3


def post(receiver: Receiver, **headers: str) -> Answer:
    return sender.send(receiver.url, headers, b"{}", allow_local=True)


def failure(url: str, allow_local: bool = False) -> DeliveryFailed:
    with pytest.raises(DeliveryFailed) as caught:
        sender.send(url, {}, b"{}", **({"allow_local": True} if allow_local else {}))
    return caught.value


def test_a_request_is_a_post_with_the_headers_and_the_body(receiver: Receiver) -> None:
    sender.send(f"{receiver.url}?a=b", {"webhook-id": "1"}, b'{"a": 1}', allow_local=True)

    (request,) = receiver.requests
    assert request.line == "POST /hooks?a=b HTTP/1.1"
    assert request.body == b'{"a": 1}'
    assert request.headers == {
        "host": f"127.0.0.1:{receiver.port}",
        "webhook-id": "1",
        "content-length": "8",
        "connection": "close",
    }


@pytest.mark.parametrize("code", [200, 204, 301, 307, 400, 410, 500, 503])
def test_the_answer_has_the_status(receiver: Receiver, code: int) -> None:
    receiver.answers = [status(code, "Location: https://shop.example/", body=b"gone")]

    assert post(receiver) == Answer(code, None)
    assert len(receiver.requests) == 1, "no redirect is followed"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("3600", 3600),
        ("999999999", 3600),
        ("9" * 1000, None),
        ("-1", None),
        ("1.5", None),
        ("²", None),
        ("soon", None),
        ("", None),
        ("Fri, 15 Jan 2027 08:02:00 GMT", 120),
        ("Fri, 15 Jan 2027 08:02:00", 120),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
        ("Sat, 16 Jan 2027 08:00:00 GMT", 3600),
        ("Fri, 99 Jan 2027 08:02:00 GMT", None),
        ("Fri, 15 Jan 99999 08:02:00 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(
    receiver: Receiver, text: str, seconds: int | None
) -> None:
    receiver.answers = [status(503, "X-A: b", f"RETRY-AFTER:  {text} ")]
    with patch.object(clock, "now", return_value=NOW):
        assert post(receiver) == Answer(503, seconds)


def test_interim_answers_are_skipped(receiver: Receiver) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nRetry-After: 7\r\n\r\n"
    receiver.answers = [early + b"HTTP/1.1 100 Continue\r\n\r\n" + status(410)]

    assert post(receiver) == Answer(410, None)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 \r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2_000_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
    ],
    ids=["HTTP/1.0", "no reason", "no space", "huge head", "huge body", "short body"],
)
def test_an_unusual_success_is_a_success(receiver: Receiver, answer: bytes) -> None:
    receiver.answers = [answer]

    assert post(receiver) == Answer(200, None)


def test_at_most_4_kb_of_an_answer_are_read(receiver: Receiver) -> None:
    receiver.answers = [b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2_000_000]
    sizes = []
    receive = socket.socket.recv

    def recv(connection: socket.socket, size: int, *more: Any) -> bytes:
        piece = receive(connection, size, *more)
        sizes.append(len(piece))
        return piece

    with patch.object(socket.socket, "recv", recv):
        post(receiver)

    assert 0 < sum(sizes) <= 4096


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 999 OK\r\n\r\n",
        b"HTTP/1.1 -20 OK\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Cut: of",
        b"x" * 10_000,
    ],
)
def test_what_is_not_an_answer_of_http_is_an_unreachable_receiver(
    receiver: Receiver, answer: bytes
) -> None:
    receiver.answers = [answer]

    assert failure(receiver.url, allow_local=True).code == "unreachable"


@pytest.mark.usefixtures("soon")
def test_a_receiver_that_says_nothing_times_out(receiver: Receiver) -> None:
    receiver.answers = [receiver.say_nothing]

    assert failure(receiver.url, allow_local=True).code == "timeout"


@pytest.mark.usefixtures("soon")
def test_a_receiver_that_drips_times_out_after_the_whole_limit(receiver: Receiver) -> None:
    receiver.answers = [receiver.drip]

    assert failure(receiver.url, allow_local=True).code == "timeout"


@pytest.mark.usefixtures("soon", "authority")
def test_a_receiver_that_never_ends_the_handshake_times_out() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        internet(silent.getsockname()[1], shop_example=[[PUBLIC]]),
    ):
        assert failure(URL).code == "timeout"


@pytest.mark.usefixtures("soon")
def test_a_name_that_is_not_resolved_in_time_times_out(receiver: Receiver) -> None:
    release = threading.Event()
    with patch("socket.getaddrinfo", lambda *_, **__: release.wait(20)):
        assert failure(URL).code == "timeout"
        release.set()


def test_a_port_where_nobody_listens_is_unreachable() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]

    assert failure(f"http://127.0.0.1:{port}/", allow_local=True).code == "unreachable"


def test_a_local_receiver_is_allowed_only_where_that_is_asked_for(receiver: Receiver) -> None:
    assert failure(receiver.url).code == "not_allowed"
    assert failure("http://10.0.0.1/", allow_local=True).code == "not_allowed"
    assert receiver.requests == []


def test_a_public_receiver_is_reached_by_tls_under_its_name(secure: Receiver) -> None:
    with internet(secure.port, shop_example=[[PUBLIC]]) as world:
        answer = sender.send(URL, {}, b"{}")

    assert answer == Answer(204, None)
    assert world.dialled == [(PUBLIC, 443)]
    (request,) = secure.requests
    assert request.line == "POST /hooks?a=b HTTP/1.1"
    assert request.headers["host"] == "shop.example"


def test_the_name_goes_into_the_tls_handshake(authority: Authority) -> None:
    context = authority.server("shop.example")
    names = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    with receiving(context) as receiver, internet(receiver.port, shop_example=[[PUBLIC]]):
        sender.send(URL, {}, b"{}")

    assert names == ["shop.example"]


def test_the_certificate_of_another_name_is_refused(authority: Authority) -> None:
    with (
        receiving(authority.server("other.example")) as receiver,
        internet(receiver.port, shop_example=[[PUBLIC]]),
    ):
        assert failure(URL).code == "tls"
        assert receiver.requests == []


def test_a_certificate_of_an_unknown_authority_is_refused(secure: Receiver, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with Authority(tmp_path / "other").trusted(), internet(secure.port, shop_example=[[PUBLIC]]):
        assert failure(URL).code == "tls"
        assert secure.requests == []


def test_a_name_that_resolves_to_another_address_later_is_pinned(secure: Receiver) -> None:
    with internet(secure.port, shop_example=[[PUBLIC], ["127.0.0.1"]]) as world:
        sender.send(URL, {}, b"{}")

    assert world.lookups == ["shop.example"], "a second lookup could be answered differently"
    assert world.dialled == [(PUBLIC, 443)]


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["169.254.169.254"],
        [PUBLIC, "127.0.0.1"],
        ["10.0.0.1", PUBLIC],
        [PUBLIC, "::1"],
        [PUBLIC, "::ffff:10.0.0.1"],
        ["fd00:ec2::254"],
        ["64:ff9b::7f00:1"],
    ],
)
def test_a_host_with_an_address_that_is_not_public_is_never_connected_to(
    secure: Receiver, addresses: list[str]
) -> None:
    with internet(secure.port, shop_example=[addresses]) as world:
        assert failure(URL).code == "not_allowed"

    assert world.dialled == []


def test_the_next_address_is_tried_if_one_does_not_answer(secure: Receiver) -> None:
    with internet(secure.port, shop_example=[["2606:4700::1111", PUBLIC]]) as world:
        dial = socket.socket.connect

        def connect(plain: socket.socket, address: Any) -> None:
            if ":" in address[0]:
                world.dialled.append((address[0], address[1]))
                raise OSError(101, "Network is unreachable")
            dial(plain, address)

        with patch.object(socket.socket, "connect", connect):
            assert sender.send(URL, {}, b"{}").status == 204

    assert world.dialled == [("2606:4700::1111", 443), (PUBLIC, 443)]


def test_a_name_without_an_address_is_unreachable(receiver: Receiver) -> None:
    with internet(receiver.port) as world:
        assert failure(URL).code == "unreachable"

    assert world.lookups == ["shop.example"]


def test_a_redirect_to_this_machine_is_not_followed(secure: Receiver) -> None:
    secure.answers = [status(307, "Location: https://127.0.0.1/latest/meta-data/")]
    with internet(secure.port, shop_example=[[PUBLIC]]) as world:
        assert sender.send(URL, {}, b"{}") == Answer(307, None)

    assert world.dialled == [(PUBLIC, 443)]


def test_no_proxy_of_the_environment_is_used(
    secure: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with internet(secure.port, shop_example=[[PUBLIC]]) as world:
        assert sender.send(URL, {}, b"{}").status == 204

    assert world.dialled == [(PUBLIC, 443)]


def test_no_failure_names_an_address(secure: Receiver) -> None:
    errors = []
    for addresses in (["10.1.2.3"], [PUBLIC, "10.1.2.3"]):
        with internet(secure.port, shop_example=[addresses]):
            errors.append(failure(URL))
    with internet(secure.port, other_example=[[PUBLIC]]):
        errors.append(failure("https://other.example/"))
        errors.append(failure(URL))
    secure.answers = [b"10.1.2.3"]
    with internet(secure.port, shop_example=[[PUBLIC]]):
        errors.append(failure(URL))

    assert [error.code for error in errors] == [
        "not_allowed",
        "not_allowed",
        "tls",
        "unreachable",
        "unreachable",
    ]
    assert not [error for error in errors if "10.1.2.3" in str(error) or PUBLIC in str(error)]
