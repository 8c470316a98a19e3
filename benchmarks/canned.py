"""Minimal AWS stub on loopback: it responds to the calls of an order's flow and checks nothing.

It replaces DynamoDB and SQS where only the CPU time of our own processes is measured, so the
results contain no latency of AWS.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar


class Canned(ThreadingHTTPServer):
    """Stub server. `rows`: the table's rows by pk; `sent`: the bodies of the messages."""

    daemon_threads = True

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}
        self.sent: list[str] = []
        super().__init__(("127.0.0.1", 0), _Endpoint)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_call(self, operation: str, parameters: Any) -> Any:
        if operation == "GetItem":
            return {"Item": self.rows[parameters["Key"]["pk"]["S"]]}
        if operation == "PutItem":
            self.rows[parameters["Item"]["pk"]["S"]] = parameters["Item"]
            return {}
        if operation == "UpdateItem":
            return {"Attributes": self._update(parameters)}
        if operation == "SendMessage":
            body = parameters["MessageBody"]
            self.sent.append(body)
            return {
                "MessageId": "m",
                "MD5OfMessageBody": hashlib.md5(body.encode()).hexdigest(),
            }
        if operation == "SendMessageBatch":
            self.sent += [entry["MessageBody"] for entry in parameters["Entries"]]
            return {"Successful": [], "Failed": []}
        return {
            "Query": {"Items": [], "Count": 0},
            "GetQueueAttributes": {
                "Attributes": dict.fromkeys(parameters.get("AttributeNames", ()), "0")
            },
        }[operation]

    def _update(self, parameters: Any) -> Any:
        """Apply the update expressions of our transitions, without their conditions."""
        row = self.rows[parameters["Key"]["pk"]["S"]]
        values = parameters["ExpressionAttributeValues"]
        row.update({name[5:]: value for name, value in values.items() if name.startswith(":new_")})
        if ":attempt" in values:
            row["attempts"] = {"N": str(int(row["attempts"]["N"]) + 1)}
            row["history"] = {"L": row["history"]["L"] + values[":attempt"]["L"]}
        for name in parameters["UpdateExpression"].partition(" REMOVE ")[2].split(", "):
            row.pop(name[1:], None)
        return row


class _Endpoint(BaseHTTPRequestHandler):
    server: Canned
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        parameters = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        body = json.dumps(self.server.handle_call(operation, parameters)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


Served = TypeVar("Served", bound=Canned)


@contextmanager
def answering() -> Iterator[Canned]:
    with serving(Canned()) as server:
        yield server


@contextmanager
def serving(server: Served) -> Iterator[Served]:
    """Let a stub serve in a thread."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
