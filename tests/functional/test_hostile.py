"""A corpus of hostile requests: bodies, headers, ids, cursors, framing.

They go over real sockets to `make run`'s own HTTP server. Each is answered with a documented
status and a valid problem; there is no 5xx and no traceback.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from chalicelib.web import problems
from dev.local import gateway
from testkit import Cloud
from tests.kit.local import LocalFront, serving

ORDER = b'{"task": "cook_nuggets", "input": {"pieces": 1}}'
BODIES = {
    "nothing": b"",
    "blank": b" \n\t",
    "null": b"null",
    "a number": b"1",
    "a text": b'"x"',
    "a list": b"[]",
    "no members": b"{}",
    "not closed": b"{",
    "trailing": ORDER + b"x",
    "two": ORDER + ORDER,
    "a comment": b"{} // x",
    "a byte order mark": b"\xef\xbb\xbf" + ORDER,
    "utf-16": ORDER.decode().encode("utf-16"),
    "latin-1": b'{"\xe9": 1}',
    "overlong utf-8": b'{"\xc0\xaf": 1}',
    "cut utf-8": b'{"\xe2\x82',
    "a NUL": b'{"task": "\\u0000"}',
    "raw NUL": b"\0",
    "lone surrogate": b'{"task": "\\ud800"}',
    "surrogates in a name": b'{"\\udfff": 1}',
    "NaN": b'{"task": NaN}',
    "Infinity": b'{"task": -Infinity}',
    "too large a number": b'{"task": 1e400}',
    "digits": b"1" * 50000,
    "digits in a member": b'{"delay_s": ' + b"9" * 5000 + b"}",
    "twice": b'{"task": "a", "task": "b"}',
    "deep lists": b"[" * 40000,
    "deep objects": b'{"a":' * 9000,
    "just too deep": b"[" * 65 + b"]" * 65,
    "quotes": b'"' * 60000,
    "backslashes": b'{"' + b"\\" * 60001,
    "control": b'{"a": "\x01"}',
    "tags": b"<order/>",
    "a form": b"task=cook_nuggets",
    "prototype": b'{"__proto__": {}, "task": "cook_nuggets"}',
    "unknown member": b'{"task": "cook_nuggets", "x": 1}',
    "a task that is none": b'{"task": []}',
    "dunder": b'{"task": "__class__"}',
    "a path": b'{"task": "../../etc/passwd"}',
    "right to left": '{"task": "\u202e"}'.encode(),
    "both times": b'{"task": "cook_nuggets", "delay_s": 1, "run_at": "2030-01-01T00:00:00Z"}',
    "delay true": b'{"task": "cook_nuggets", "delay_s": true}',
    "delay minus": b'{"task": "cook_nuggets", "delay_s": -1}',
    "year 0": b'{"task": "cook_nuggets", "run_at": "0000-01-01T00:00:00Z"}',
    "after the end of time": b'{"task": "cook_nuggets", "run_at": "9999-12-31T23:59:59-23:59"}',
    "the 30th of February": b'{"task": "cook_nuggets", "run_at": "2030-02-30T00:00:00Z"}',
    "digits of another script": (
        '{"task": "cook_nuggets", "run_at": "\u0662\u0660\u0663\u0660-01-01T00:00:00Z"}'.encode()
    ),
    "input a list": b'{"task": "cook_nuggets", "input": []}',
    "pieces true": b'{"task": "cook_nuggets", "input": {"pieces": true}}',
    "pieces half": b'{"task": "cook_nuggets", "input": {"pieces": 1.5}}',
    "too large": b'{"task": "' + b"a" * 1_100_000 + b'"}',
    "a large input": b'{"task": "process_email", "input": {"message": "'
    + b"\xc3\xa4" * 524_289
    + b'"}}',
}
IDS = [
    "0",
    "%00",
    "%2e%2e%2f",
    "%FF",
    "%ZZ",
    "..",
    "%E2%80%AE",
    "0" * 25,
    "0" * 27,
    "I" * 26,
    "%C4%B1" * 26,
    "{order_id}",
    "0" * 5000,
    "kit%23" + "0" * 26,
    "';--",
    "%0d%0aX-Evil:1",
    "*",
    "~",
    "%30" * 25,
]
QUERIES = [
    "limit=%00",
    "cursor=%FF",
    "cursor=" + "A" * 3000,
    "cursor=AAAA",
    "status=%0a",
    "status[]=SUCCESS",
    "a",
    "=",
    "&&",
    "limit=1;limit=2",
    "task=%ED%A0%80",
    "include=%2C",
    "?",
    "limit=1e9",
    "limit=٣",
]
HEADERS = [
    ("Idempotency-Key", ""),
    ("Idempotency-Key", " "),
    ("Idempotency-Key", "a b"),
    ("Idempotency-Key", '""'),
    ("Idempotency-Key", "é"),
    ("Idempotency-Key", "x" * 256),
    ("Content-Type", "text/plain"),
    ("Content-Type", "application/xml; charset=utf-8"),
    ("Content-Type", ";"),
    ("Content-Type", "application/jsonx"),
    ("Authorization", "Bearer"),
    ("Authorization", "é"),
    ("Authorization", "Bearer " + "x" * 8000),
    ("Authorization", "\x7f"),
]
HARMLESS = [
    ("Prefer", "\xff"),
    ("Prefer", "wait=" + "9" * 400),
    ("If-None-Match", '"' * 5000),
    ("If-None-Match", "é"),
    ("X-Request-Id", "é\x80"),
    ("X-Forwarded-Proto", "javascript"),
    ("Host", "[::1]:80"),
    ("Host", "LOCALHOST:8000"),
    ("Origin", "null"),
    ("Accept", "image/png"),
    ("Accept-Encoding", "\x01"),
    ("Range", "bytes=0-1"),
]


@pytest.fixture
def front(cloud: Cloud) -> Iterator[LocalFront]:
    with serving(cloud) as front:
        yield front


def _send(
    front: LocalFront, line: str, body: bytes = b"", *headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Send a request as written, with default headers unless `headers` has them."""
    own_names = {header.partition(":")[0].lower() for header in headers}
    defaults = {
        "Host": "localhost",
        "Authorization": f"Bearer {front.cloud.token}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    }
    lines = [
        f"{line} HTTP/1.1",
        *(f"{name}: {value}" for name, value in defaults.items() if name.lower() not in own_names),
        *headers,
        "Connection: close",
    ]
    response = front.raw("\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body)
    head, _, content = response.partition(b"\r\n\r\n")
    status_line, *fields = head.decode("latin-1").split("\r\n")
    return int(status_line.split()[1]), dict(field.split(": ", 1) for field in fields), content


def _problem_name(answer: tuple[int, dict[str, str], bytes]) -> str:
    """Check that the answer is a valid problem, and return its type's name."""
    status, headers, content = answer
    assert headers["Content-Type"] == "application/problem+json", content[:200]
    problem = json.loads(content)
    name = str(problem["type"]).removeprefix("/problems/")
    assert problems.TYPES[name].status == status == problem["status"] < 500, problem
    assert problem["request_id"] == headers["X-Request-Id"]
    return name


def test_hostile_bodies_are_refused(front: LocalFront, capfd: pytest.CaptureFixture[str]) -> None:
    for name, body in BODIES.items():
        assert _problem_name(_send(front, "POST /orders", body)), name
    assert front.cloud.rows() == []
    assert "Traceback" not in "".join(capfd.readouterr())


def test_hostile_ids_and_queries_are_refused(
    front: LocalFront, capfd: pytest.CaptureFixture[str]
) -> None:
    for order_id in IDS:
        for line in (
            f"GET /orders/{order_id}",
            f"POST /orders/{order_id}/cancel",
            f"POST /orders/{order_id}/retry",
        ):
            assert _problem_name(_send(front, line)) in ("not-found", "method-not-allowed"), line
    for query in QUERIES:
        answer = _send(front, f"GET /orders?{query}")
        status, _, content = answer
        assert status == 200 or _problem_name(answer) in ("invalid-parameter", "invalid-cursor"), (
            query,
            content,
        )
    assert "Traceback" not in "".join(capfd.readouterr())


def test_hostile_headers_are_refused(front: LocalFront, capfd: pytest.CaptureFixture[str]) -> None:
    for name, value in HEADERS:
        assert _problem_name(_send(front, "POST /orders", ORDER, f"{name}: {value}")), (name, value)
    assert front.cloud.rows() == []
    for name, value in HARMLESS:
        status, headers, content = _send(front, "POST /orders", ORDER, f"{name}: {value}")
        assert status in (200, 202), (name, value, content)
        assert headers["Location"].startswith("http://")
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("line", "body", "headers", "problem"),
    [
        ("POST /orders", ORDER, ["Content-Length: -5"], "invalid-parameter"),
        ("POST /orders", ORDER, ["Content-Length: ten"], "invalid-parameter"),
        ("POST /orders", ORDER, ["Content-Length: 99999999999999999999999"], "too-large"),
        ("POST /orders", ORDER, ["Content-Length: 500"], "invalid-parameter"),
        ("POST /orders", b"zz\r\n", ["Transfer-Encoding: chunked"], "invalid-parameter"),
        ("POST /orders", b"ffffffffff\r\n", ["Transfer-Encoding: chunked"], "too-large"),
        ("BREW /orders", b"", [], "method-not-allowed"),
        ("DELETE /orders", b"", [], "method-not-allowed"),
        ("TRACE /health", b"", [], "method-not-allowed"),
        ("GET /nowhere", b"", [], "not-found"),
        ("GET /orders//", b"", [], "not-found"),
        ("OPTIONS *", b"", [], "not-found"),
        ("GET /" + "x" * 70000, b"", [], "too-large"),
        ("GET /health", b"", ["X: " + "x" * 70000], "too-large"),
        ("GET /a b c", b"", [], "invalid-parameter"),
        ("GET http://[/orders", b"", [], "invalid-parameter"),
        ("POST http://[::1/orders", ORDER, [], "invalid-parameter"),
        ("GET //[", b"", [], "not-found"),
        ("GET [", b"", [], "not-found"),
        ("POST /orders", b"0\r\n" + b"A: b\r\n" * 200, ["Transfer-Encoding: chunked"], "too-large"),
    ],
)
def test_hostile_framing_is_refused(
    front: LocalFront,
    capfd: pytest.CaptureFixture[str],
    line: str,
    body: bytes,
    headers: list[str],
    problem: str,
) -> None:
    assert _problem_name(_send(front, line, body, *headers)) == problem
    assert "Traceback" not in "".join(capfd.readouterr())


def test_requests_that_chalices_server_mishandles_are_answered(front: LocalFront) -> None:
    chunks = (
        b"".join(b"%x;x=y\r\n%s\r\n" % (len(part), part) for part in (ORDER[:9], ORDER[9:]))
        + b"0\r\nA: b\r\n\r\n"
    )

    chunked = _send(
        front, "POST /orders", chunks, "Transfer-Encoding: chunked", "Content-Length: 3"
    )
    absolute = _send(front, "POST http://localhost/orders", ORDER)
    head = _send(front, "HEAD /health")

    assert (chunked[0], absolute[0]) == (202, 202)
    assert absolute[1]["Location"].startswith("http://localhost/orders/")
    assert (head[0], head[1]["Allow"], head[2]) == (405, "GET, OPTIONS", b"")


@pytest.mark.parametrize(
    "host", ["rebound.example", "localhost.rebound.example:8000", "", "é", "127.0.0.1/x?y"]
)
@pytest.mark.parametrize(
    ("line", "body"), [("GET /health", b""), ("POST /orders", ORDER), ("GET /nowhere", b"")]
)
def test_a_foreign_host_is_refused(front: LocalFront, line: str, body: bytes, host: str) -> None:
    status, _, content = _send(front, line, body, f"Host: {host}")

    problem = json.loads(content)
    assert (status, problem["status"], problem["title"]) == (403, 403, "Forbidden")
    assert f"The Host {host!r} is not one of" in problem["detail"]
    assert front.cloud.rows() == []


def test_the_host_of_public_url_is_accepted(
    front: LocalFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _, content = _send(front, "GET /health", b"", "Host: orders.example:8443")
    assert (status, b"set PUBLIC_URL" in content) == (403, True)

    monkeypatch.setenv("PUBLIC_URL", "https://Orders.example:8443/api")
    assert _send(front, "GET /health", b"", "Host: orders.example:8443")[0] == 200
    assert _send(front, "GET /health", b"", "Host: 127.0.0.1")[0] == 200


def test_the_number_of_chunks_is_bounded(front: LocalFront) -> None:
    chunks = b"1\r\n \r\n" * gateway.MAX_CHUNKS
    end = b"0\r\n\r\n"
    chunked = "Transfer-Encoding: chunked"

    allowed = _send(front, "POST /orders", chunks + end, chunked)
    too_many = _send(front, "POST /orders", chunks + chunks[:6] + end, chunked)

    assert _problem_name(allowed) == "invalid-json"
    assert _problem_name(too_many) == "too-large"
