"""A canned AWS on loopback: it answers the calls of one order's way, fast and in order, and checks nothing.

It stands for DynamoDB and SQS where only our own processes' CPU is measured; no latency of AWS is in those numbers.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Canned(ThreadingHTTPServer):
    """`rows` by their pk; `sent` is the bodies of the messages."""

    daemon_threads = True

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}
        self.sent: list[str] = []
        super().__init__(("127.0.0.1", 0), _Endpoint)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, operation: str, asked: Any) -> Any:
        if operation == "GetItem":
            return {"Item": self.rows[asked["Key"]["pk"]["S"]]}
        if operation == "PutItem":
            self.rows[asked["Item"]["pk"]["S"]] = asked["Item"]
            return {}
        if operation == "UpdateItem":
            return {"Attributes": self._updated(asked)}
        if operation == "SendMessage":
            self.sent.append(asked["MessageBody"])
            return {
                "MessageId": "m",
                "MD5OfMessageBody": hashlib.md5(asked["MessageBody"].encode()).hexdigest(),
            }
        return {
            "Query": {"Items": [], "Count": 0},
            "GetQueueAttributes": {"Attributes": {"ApproximateNumberOfMessages": "0"}},
        }[operation]

    def _updated(self, asked: Any) -> Any:
        """What our transitions write, without their conditions."""
        row, values = self.rows[asked["Key"]["pk"]["S"]], asked["ExpressionAttributeValues"]
        row.update({name[5:]: value for name, value in values.items() if name.startswith(":new_")})
        if ":attempt" in values:
            row["attempts"] = {"N": str(int(row["attempts"]["N"]) + 1)}
            row["history"] = {"L": row["history"]["L"] + values[":attempt"]["L"]}
        for name in asked["UpdateExpression"].partition(" REMOVE ")[2].split(", "):
            row.pop(name[1:], None)
        return row


class _Endpoint(BaseHTTPRequestHandler):
    server: Canned
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(
            self.server.answer(self.headers["X-Amz-Target"].rpartition(".")[2], asked)
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Silence."""


@contextmanager
def answering() -> Iterator[Canned]:
    server = Canned()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
