"""A receiver of webhooks on 127.0.0.1, with TLS if wanted, and an internet in which it has a name.

Its answers are bytes, or functions that write what no HTTP library would write.
"""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from chalicelib.aws.connection import ssl_context

HOST = "127.0.0.1"
PUBLIC = "93.184.216.34"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
Answer = bytes | Callable[[socket.socket], None]


def status(code: int, *headers: str, body: bytes = b"") -> bytes:
    """Return an answer with this status."""
    lines = [f"HTTP/1.1 {code} Status", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass(frozen=True)
class Request:
    """A request as it arrived; the names of its headers are in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """A running receiver; it gives the answers in turn, and then the last one for ever."""

    port: int
    answers: list[Answer] = field(default_factory=lambda: [NO_CONTENT])
    requests: list[Request] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/hooks"

    def drip(self, connection: socket.socket) -> None:
        """Write a head that never ends, a byte at a time, until the other side goes away."""
        for octet in b"HTTP/1.1 200 OK\r\nX-Drip: " + 400 * b"x":
            connection.sendall(bytes([octet]))
            if self.ended.wait(0.02):
                return

    def say_nothing(self, connection: socket.socket) -> None:
        """Keep the connection open without an answer, until the other side goes away."""
        connection.recv(1)

    def _serve(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        while not self.ended.is_set():
            with suppress(OSError), listening.accept()[0] as plain:
                plain.settimeout(20)
                if tls is None:
                    self._handle(plain)
                else:
                    with tls.wrap_socket(plain, server_side=True) as encrypted:
                        self._handle(encrypted)

    def _handle(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            line = stream.readline().decode().rstrip()
            if not line:
                return
            headers = {}
            while header := stream.readline().decode().rstrip():
                name, _, value = header.partition(": ")
                headers[name.lower()] = value
            self.requests.append(
                Request(line, headers, stream.read(int(headers["content-length"])))
            )
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            answer(connection)
        else:
            connection.sendall(answer)


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Run a receiver on a free port until the block ends."""
    with socket.create_server((HOST, 0)) as listening:
        receiver = Receiver(listening.getsockname()[1])
        thread = threading.Thread(target=receiver._serve, args=(listening, tls))
        thread.start()
        try:
            yield receiver
        finally:
            receiver.ended.set()
            with suppress(OSError):
                socket.create_connection((HOST, receiver.port)).close()  # wake it up
            thread.join(20)


@dataclass
class Internet:
    """Names and addresses: what each lookup answers, and which addresses were connected to."""

    names: dict[str, list[Sequence[str]]]
    """For each name the addresses of the first lookup, the second and so on; the last one stays."""
    lookups: list[str] = field(default_factory=list)
    dialled: list[tuple[str, int]] = field(default_factory=list)

    def resolve(self, host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        self.lookups.append(host)
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answers = self.names[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        kind = socket.SOCK_STREAM
        return [
            (socket.AF_INET6, kind, 6, "", (each, port, 0, 0))
            if ":" in each
            else (socket.AF_INET, kind, 6, "", (each, port))
            for each in addresses
        ]


@contextmanager
def internet(port: int, **names: list[Sequence[str]]) -> Iterator[Internet]:
    """Let names resolve as given, and let a receiver on this port have the address PUBLIC.

    A name is written with _ instead of a dot. Other addresses are this machine's own.
    """
    world = Internet({name.replace("_", "."): answers for name, answers in names.items()})
    connect = socket.socket.connect

    def dial(plain: socket.socket, address: Any) -> None:
        world.dialled.append((address[0], address[1]))
        connect(plain, (HOST, port) if address[0] == PUBLIC else address)

    with (
        patch("socket.getaddrinfo", world.resolve),
        patch.object(socket.socket, "connect", dial),
    ):
        yield world


class Authority:
    """A certificate authority that this process trusts inside of `trusted`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        usage = x509.KeyUsage(  # Python 3.13 requires it
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = self._sign(self._key, self._name, [constraints, usage])
        self.path = folder / "authority.pem"
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, host: str) -> ssl.SSLContext:
        """Return the context of a server with a certificate for a host."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(host)]
        certificate = self._sign(
            key,
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]),
            [x509.SubjectAlternativeName(names)],
        )
        path = self._folder / f"{host}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(path)
        return context

    @contextmanager
    def trusted(self) -> Iterator[None]:
        """Let new contexts trust this authority and no other; OpenSSL reads the variable."""
        with patch.dict("os.environ", SSL_CERT_FILE=str(self.path)):
            ssl_context.cache_clear()
            try:
                yield
            finally:
                ssl_context.cache_clear()

    def _sign(
        self,
        key: ec.EllipticCurvePrivateKey,
        subject: x509.Name,
        extensions: Sequence[x509.ExtensionType],
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        for extension in (*extensions, own, issuer):
            critical = isinstance(extension, (x509.BasicConstraints, x509.KeyUsage))
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self._key, hashes.SHA256())


@contextmanager
def shop(folder: Path) -> Iterator[Receiver]:
    """Run the receiver of https://shop.example/hooks until the block ends.

    `folder` gets the authority of its certificate.
    """
    authority = Authority(folder)
    with (
        authority.trusted(),
        receiving(authority.server("shop.example")) as receiver,
        internet(receiver.port, shop_example=[[PUBLIC]]),
    ):
        yield receiver
