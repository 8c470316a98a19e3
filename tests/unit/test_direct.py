"""AWS calls that the app signs itself: botocore's exact signature, lost connections reopened."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BufferedReader, BytesIO
from ipaddress import IPv4Address
from pathlib import Path
from threading import Event, Thread
from typing import Any
from unittest.mock import patch

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from chalicelib.aws import connection, sigv4
from chalicelib.config import Settings
from chalicelib.endpoints import Aws, read_aws
from chalicelib.errors import CallFailed, CallRefused
from chalicelib.execution.time_limit import TimeLimit, deadline

ENVIRON = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
}
NOW = 1_800_000_000


def reached(**environ: str) -> Aws:
    """Return the AWS settings of the example's keys and these variables."""
    return read_aws({**ENVIRON, **environ}, Settings())


@pytest.mark.parametrize("token", [None, "a/session+token=="])
@pytest.mark.parametrize("body", [b"{}", '{"TableName": "é"}'.encode()])
@pytest.mark.parametrize(
    ("service", "region"), [("dynamodb", "us-east-1"), ("sqs", "eu-central-1")]
)
def test_the_signature_equals_botocores(
    service: str, region: str, body: bytes, token: str | None
) -> None:
    aws = reached(AWS_REGION=region, AWS_SESSION_TOKEN=token or "")
    host = f"{service}.{region}.amazonaws.com"

    ours = sigv4.signed(aws, service, host, "T.Operation", body, time.gmtime(NOW))

    unsigned = {"content-type": "application/x-amz-json-1.0", "x-amz-target": "T.Operation"}
    request = AWSRequest("POST", f"https://{host}/", data=body, headers=unsigned)
    with patch(
        "botocore.auth.get_current_datetime", lambda *_: datetime.fromtimestamp(NOW, timezone.utc)
    ):
        SigV4Auth(Credentials(aws.key_id, aws.secret, token), service, region).add_auth(request)
    assert ours["authorization"] == request.headers["Authorization"]


class Server(HTTPServer):
    """A server that sends the `answers` in turn; `None` closes the connection without an answer.

    It keeps a connection open unless `hang_up` is set. `connections` counts them. It answers no
    request while `may_answer` is cleared.
    """

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any] | None] = []
        self.connections = 0
        self.hang_up = False
        self.may_answer = Event()
        self.may_answer.set()
        self.requests: list[Any] = []
        self.traces: list[str | None] = []
        super().__init__(("127.0.0.1", 0), Endpoint)


class Endpoint(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        self.server.requests.append(
            (self.headers["X-Amz-Target"], self.rfile.read(int(self.headers["Content-Length"])))
        )
        self.server.traces.append(self.headers["X-Amzn-Trace-Id"])
        assert self.server.may_answer.wait(30)
        answer = self.server.answers.pop(0)
        self.close_connection = answer is None or self.server.hang_up
        if answer is None:
            return
        body = answer[1] if isinstance(answer[1], bytes) else json.dumps(answer[1]).encode()
        self.send_response(answer[0])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def aws() -> Iterator[Server]:
    server = Server()
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    with patch("chalicelib.aws.sigv4.time.sleep"):
        yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(aws: Server) -> Iterator[sigv4.Client]:
    endpoint = f"http://127.0.0.1:{aws.server_port}"
    signing = sigv4.Client("dynamodb", reached(AWS_ENDPOINT_URL=endpoint))
    yield signing
    signing._connection().close()  # the server handles one connection at a time


def test_a_call_posts_json_to_its_target_and_keeps_the_connection(
    aws: Server, client: sigv4.Client
) -> None:
    aws.answers = [(200, {"Count": 1}), (200, b"")]

    assert client.query(TableName="t") == {"Count": 1}
    assert client.put_item(TableName="t") == {}

    assert aws.requests == [
        ("DynamoDB_20120810.Query", b'{"TableName":"t"}'),
        ("DynamoDB_20120810.PutItem", b'{"TableName":"t"}'),
    ]
    assert aws.connections == 1


def test_certificates_are_checked_and_a_tls_connection_is_kept(
    aws: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Do not take the tickets that TLS 1.3 sends after the handshake for a closed connection."""
    certificate = _certificate(tmp_path / "tls.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    aws.socket = context.wrap_socket(aws.socket, server_side=True)
    aws.answers = [(200, {"n": n}) for n in range(3)]
    tls = reached(AWS_ENDPOINT_URL=f"https://127.0.0.1:{aws.server_port}")

    connection.ssl_context.cache_clear()
    with pytest.raises(CallFailed, match="SSLCertVerificationError"):
        sigv4.Client("dynamodb", tls).query()

    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    connection.ssl_context.cache_clear()
    client = sigv4.Client("dynamodb", tls)
    before = aws.connections
    assert [client.query() for _ in range(3)] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert aws.connections == before + 1
    client._connection().close()
    connection.ssl_context.cache_clear()


def _certificate(path: Path) -> Path:
    """Write a key and a self-signed certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(timezone.utc)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + cert.public_bytes(pem))
    return path


@pytest.mark.parametrize(
    "fault",
    [
        None,
        (500, b"no JSON"),
        (503, {}),
        (200, b"no JSON"),
        (200, b"\xff"),
        (200, b"[" * 100_000),
        (500, b"[" * 100_000),
        (400, {"__type": "com.amazonaws.dynamodb#ThrottlingException"}),
    ],
)
def test_a_transient_error_is_tried_three_times(
    aws: Server, client: sigv4.Client, fault: Any
) -> None:
    aws.answers = [fault, fault, (200, {})]
    assert client.get_item(TableName="t") == {}

    aws.answers = [fault] * 3
    with pytest.raises((CallRefused, CallFailed)):
        client.get_item(TableName="t")
    assert aws.answers == []


def test_a_refusal_is_raised_at_once_with_its_row(aws: Server, client: sigv4.Client) -> None:
    row = {"pk": {"S": "a"}}
    aws.answers = [
        (
            400,
            {
                "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
                "Item": row,
            },
        )
    ]

    with pytest.raises(CallRefused) as caught:
        client.put_item(TableName="t")

    assert (caught.value.code, caught.value.item) == ("ConditionalCheckFailedException", row)


def test_a_connection_that_aws_closed_between_calls_costs_no_attempt(
    aws: Server, client: sigv4.Client
) -> None:
    aws.hang_up = True
    aws.answers = [(200, {})] * 3
    with patch("chalicelib.aws.sigv4.time.sleep") as slept:
        for _ in range(3):
            client.get_item(TableName="t")
            wait_until_closed(client)

    assert aws.connections == 3
    slept.assert_not_called()


def test_an_idle_connection_that_died_is_reopened_without_a_pause(
    aws: Server, client: sigv4.Client
) -> None:
    """Notice only by the missing answer that AWS closed the connection under the request."""
    aws.answers = [(200, {}), None, (200, {"Count": 2})]
    client.get_item(TableName="t")
    with patch("chalicelib.aws.sigv4.time.sleep") as slept:
        assert client.query(TableName="t") == {"Count": 2}

    slept.assert_not_called()


def test_a_new_connection_that_fails_is_tried_again_after_a_pause(
    aws: Server, client: sigv4.Client
) -> None:
    aws.answers = [None, (200, {})]
    with patch("chalicelib.aws.sigv4.time.sleep") as slept:
        client.get_item(TableName="t")

    slept.assert_called_once()


@pytest.mark.parametrize(
    ("environ", "trace"),
    [
        (
            {"AWS_LAMBDA_FUNCTION_NAME": "f", "_X_AMZN_TRACE_ID": "Root=1-5;Sampled=1"},
            "Root=1-5;Sampled=1",
        ),
        (
            {"AWS_LAMBDA_FUNCTION_NAME": "f", "_X_AMZN_TRACE_ID": "Root=1\r\nX: y"},
            "Root=1%0D%0AX:%20y",
        ),
        ({"AWS_LAMBDA_FUNCTION_NAME": "f"}, None),
        ({"_X_AMZN_TRACE_ID": "Root=1"}, None),
    ],
)
def test_calls_carry_the_trace_of_their_invocation(
    aws: Server, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], trace: str | None
) -> None:
    monkeypatch.delenv("_X_AMZN_TRACE_ID", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    endpoint = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{aws.server_port}"}
    client = sigv4.Client("sqs", read_aws({**ENVIRON, **endpoint, **environ}, Settings()))
    aws.answers = [(200, {})]

    client.send_message(QueueUrl="q")

    client._connection().close()
    assert aws.traces == [trace]


def wait_until_closed(client: sigv4.Client) -> None:
    """Wait until the server's end of the connection is closed."""
    sock = client._of_thread.connection.sock
    sock.settimeout(5)
    assert sock is None or sock.recv(1) == b""


def test_the_answer_of_a_call_that_a_time_limit_ended_is_not_read_by_the_next(
    aws: Server, client: sigv4.Client
) -> None:
    aws.answers = [(200, {"Count": n}) for n in (1, 2, 3)]
    assert client.query(TableName="t") == {"Count": 1}
    aws.may_answer.clear()
    with pytest.raises(TimeLimit), deadline(0.1):
        client.query(TableName="t")
    aws.may_answer.set()

    assert client.query(TableName="t") == {"Count": 3}


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("raw", "keep_alive"),
    [
        (OK + b"Content-Length: 2\r\n\r\n{}", True),
        (OK + b"CONTENT-LENGTH:2\r\nconnection: Close\r\n\r\n{}", False),
        (b"HTTP/1.1 200\r\ncontent-length: 2\r\n\r\n{}", True),
        (b"HTTP/1.1 200\nContent-Length: 2\nConnection:close\n\n{}", False),
        (OK + b"x: y\r\n" * 150 + b"x: " + b"y" * 9000 + b"\r\nContent-Length: 2\r\n\r\n{}", True),
        (
            OK
            + b"Transfer-Encoding: chunked\r\n\r\n"
            + b"1;name=value\r\n{\r\n1\r\n}\r\n0\r\nTrailer: t\r\n\r\n",
            True,
        ),
    ],
)
def test_an_answer_is_read_to_its_end_and_no_further(raw: bytes, keep_alive: bool) -> None:
    stream: Any = BufferedReader(BytesIO(raw + b"HTTP/1.1 the next"))
    assert connection.read_response(stream) == (200, b"{}", keep_alive)
    assert stream.read() == b"HTTP/1.1 the next"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/1.1 200",
        b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 fine\r\n\r\n",
        b"H" * 70_000 + b"\r\n",
        OK,
        OK + b"\r\n",
        OK + b"Content-Length: 2",
        OK + b"Content-Length: 99999999999999999999\r\n\r\n{}",
        OK + b"Content-Length: 9999999999999\r\n\r\n{}",
        OK + b"Content-Length: -1\r\n\r\n{}",
        OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffff\r\n{}\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n",
        OK + b"a: b\r\n" * 3000 + b"Content-Length: 2\r\n\r\n{}",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 1000 + b"\r\n",
        OK + b"Content-Length: two\r\n\r\n{}",
        OK + b"Content-Length: 2\r\n\r\n{",
        OK + b"Transfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\ntwo\r\n{}\r\n",
    ],
)
def test_a_broken_answer_is_an_error(raw: bytes) -> None:
    with pytest.raises(connection.InvalidResponse):
        connection.read_response(BufferedReader(BytesIO(raw)))


def test_a_refused_connection_is_a_failed_call() -> None:
    nowhere = sigv4.Client("sqs", reached(AWS_ENDPOINT_URL="http://127.0.0.1:1"))
    with (
        patch("chalicelib.aws.sigv4.time.sleep"),
        pytest.raises(CallFailed, match="ConnectionRefusedError"),
    ):
        nowhere.send_message(QueueUrl="q")


@pytest.mark.parametrize(
    ("environ", "urls"),
    [
        (
            {"AWS_REGION": "eu-west-1"},
            ("https://dynamodb.eu-west-1.amazonaws.com", "https://sqs.eu-west-1.amazonaws.com"),
        ),
        (
            {"AWS_REGION": "cn-north-1"},
            (
                "https://dynamodb.cn-north-1.amazonaws.com.cn",
                "https://sqs.cn-north-1.amazonaws.com.cn",
            ),
        ),
        ({"AWS_ENDPOINT_URL": "http://a"}, ("http://a", "http://a")),
        (
            {"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_SQS": "http://b"},
            ("http://a", "http://b"),
        ),
        (
            {"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_DYNAMODB": "http://b"},
            ("http://b", "http://a"),
        ),
    ],
)
def test_the_endpoint_is_the_configured_one_or_the_regions(
    environ: dict[str, str], urls: tuple[str, str]
) -> None:
    aws = reached(**environ)
    assert (sigv4.Client("dynamodb", aws).url, sigv4.Client("sqs", aws).url) == urls


def test_other_partitions_use_the_dns_suffix_of_the_template() -> None:
    aws = read_aws({**ENVIRON, "AWS_REGION": "eusc-de-east-1"}, Settings(dns_suffix="amazonaws.eu"))
    assert sigv4.Client("sqs", aws).url == "https://sqs.eusc-de-east-1.amazonaws.eu"
