"""The local cloud's guard: it accepts this machine's clients and refuses pages of other origins."""

from __future__ import annotations

import pytest

from dev.local import guard


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "127.0.0.1:4566"},
        {"host": "localhost"},
        {"host": "[::1]:1"},
        {"host": "Localhost:4566"},
        {
            "host": "localhost:4566",
            "origin": "http://localhost:4566",
            "sec-fetch-site": "same-origin",
        },
        {"host": "localhost:4566", "sec-fetch-site": "none"},
    ],
)
def test_own_requests_pass(headers: dict[str, str]) -> None:
    assert guard.foreign_request(headers) is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": ""},
        {"host": "localhost.evil.example"},
        {"host": "evil.example:4566"},
        {"host": "localhost:80:80"},
        {"host": "::1"},
        {"host": "127.0.0.1/x"},
        {"host": "user@localhost"},
        {"host": "127.0.0.2"},
        {"host": "localhost:1", "origin": "null"},
        {"host": "localhost:1", "origin": ""},
        {"host": "localhost:1", "origin": "http://localhost:2"},
        {"host": "localhost:1", "origin": "https://localhost:1"},
        {"host": "localhost:1", "sec-fetch-site": "cross-site"},
        {"host": "localhost:1", "sec-fetch-site": "same-site"},
    ],
)
def test_foreign_requests_are_refused(headers: dict[str, str]) -> None:
    assert guard.foreign_request(headers)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("", ()),
        ("https://Orders.example:8443/api", ("orders.example",)),
        ("http://[2001:db8::1]:80", ("[2001:db8::1]",)),
        ("https://user@orders.example", ("orders.example",)),
    ],
)
def test_the_hosts_of_a_public_url(url: str, host: tuple[str, ...]) -> None:
    assert guard.host_of(url) == host
