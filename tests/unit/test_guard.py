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


FILE = f"/orderline-dev-files-000000000000-us-east-1/local/{'0' * 64}"
DOWNLOAD = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=local%2F20260102&X-Amz-Date=20260102T030405Z"
    "&X-Amz-Expires=900&X-Amz-SignedHeaders=host"
    "&response-content-disposition=attachment%3B%20filename%2A%3DUTF-8%27%27cat.png"
    "&response-content-type=image%2Fpng&X-Amz-Signature=0123"
)
FROM_A_PAGE = {"host": "127.0.0.1:4566", "sec-fetch-site": "same-site"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("site", ["same-site", "cross-site"])
def test_any_page_may_show_and_save_a_file_by_its_presigned_url(method: str, site: str) -> None:
    headers = {**FROM_A_PAGE, "sec-fetch-site": site}
    assert guard.foreign_request(headers, method, FILE, DOWNLOAD) is None


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("PUT", FILE, DOWNLOAD),
        ("POST", FILE, DOWNLOAD),
        ("DELETE", FILE, DOWNLOAD),
        ("", FILE, DOWNLOAD),
        ("GET", "/", DOWNLOAD),
        ("GET", FILE.rpartition("/")[0], DOWNLOAD),
        ("GET", FILE[:-1], DOWNLOAD),
        ("GET", f"{FILE}/tags", DOWNLOAD),
        ("GET", FILE.replace("/local/", "/local/../"), DOWNLOAD),
        ("GET", FILE.replace("-files-", "-packages-"), DOWNLOAD),
        ("GET", f"/2015-03-31/functions/{'0' * 64}", DOWNLOAD),
        ("GET", FILE, ""),
        ("GET", FILE, "X-Amz-Signature=0123"),
        ("GET", FILE, DOWNLOAD.partition("&X-Amz-Signature")[0]),
        ("GET", FILE, DOWNLOAD.replace("=0123", "=")),
        ("GET", FILE, f"{DOWNLOAD}&Action=CreateQueue&QueueName=forged"),
        ("GET", FILE, f"{DOWNLOAD}&X-Amz-Signature=4567"),
        ("GET", FILE, f"{DOWNLOAD}&acl"),
        ("GET", FILE, DOWNLOAD.replace("AWS4-HMAC-SHA256", "NONE")),
        ("GET", FILE, DOWNLOAD.replace("X-Amz-Algorithm", "x-amz-algorithm")),
        ("GET", FILE, DOWNLOAD.replace("attachment", "inline")),
    ],
)
def test_nothing_else_of_a_page_passes_with_a_signature(method: str, path: str, query: str) -> None:
    assert guard.foreign_request(FROM_A_PAGE, method, path, query)


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "rebound.example:4566"},
        {"host": "127.0.0.1:4566", "origin": "https://evil.example"},
        {"host": "127.0.0.1:4566", "origin": "null"},
    ],
)
def test_a_script_reads_no_file_by_a_presigned_url(headers: dict[str, str]) -> None:
    """Refuse CORS: the local cloud would allow any origin to read the response."""
    assert guard.foreign_request(headers, "GET", FILE, DOWNLOAD)


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
