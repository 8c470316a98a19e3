"""Run the package as Lambda does: unzipped, with AWS's runtime client and a local Runtime API.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
Only the standard library, the zip and the packages of Lambda's image (requirements/runtime.txt)
can be imported.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dev.packaging import package, wheels

LOCK = package.ROOT / "requirements" / "runtime.txt"
REQUEST_ID = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
_PATIENCE_S = 60


@dataclass(frozen=True)
class Answer:
    """The handler's result or its error, and the time that it took."""

    value: Any
    error: Any
    ms: float


class Function:
    """A running function. `init_ms` is its cold start, until it first polls for work."""

    def __init__(
        self, server: _RuntimeAPI, process: subprocess.Popen[bytes], log: Path, began: float
    ) -> None:
        self._server = server
        self._process = process
        self._log = log
        self._began = began
        self.pid = process.pid
        self.init_ms = self._initialised()

    def invoke(self, event: Any, time_left_s: float = 30) -> Answer:
        began = time.monotonic()
        self._server.work.put((event, time.time() + time_left_s))
        value, error = self._server.answers.get(timeout=_PATIENCE_S)
        return Answer(value, error, (time.monotonic() - began) * 1000)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def lines(self) -> list[str]:
        """The lines of its standard output and standard error."""
        return self._log.read_text().splitlines()

    def _initialised(self) -> float:
        while not self._server.polled.wait(0.01):
            if self._process.poll() is not None or time.monotonic() - self._began > _PATIENCE_S:
                raise AssertionError(f"the function did not start:\n{self._log.read_text()}")
        return (time.monotonic() - self._began) * 1000


class _RuntimeAPI(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        self.work: queue.Queue[tuple[Any, float]] = queue.Queue()
        self.answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        self.polled = threading.Event()
        super().__init__(("127.0.0.1", 0), _Endpoint)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore the open poll of a function that was stopped."""


class _Endpoint(BaseHTTPRequestHandler):
    server: _RuntimeAPI
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for the client's acknowledgement
    wbufsize = -1  # head and body leave together, as from AWS's own server

    def do_GET(self) -> None:
        self.server.polled.set()
        event, deadline = self.server.work.get()
        headers = {
            "Lambda-Runtime-Aws-Request-Id": REQUEST_ID,
            "Content-Type": "application/json",
            "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
            "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=1",
            "Lambda-Runtime-Invoked-Function-Arn": (
                "arn:aws:lambda:us-east-1:123456789012:function:orderline"
            ),
        }
        self._answer(200, json.dumps(event).encode(), headers)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"null")
        self.server.answers.put((body, None) if self.path.endswith("/response") else (None, body))
        self._answer(202, b"{}", {})

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing: tests read the function's own lines."""


def unzipped(built: package.Package, folder: Path) -> Path:
    with zipfile.ZipFile(built.zip) as archive:
        archive.extractall(folder)
    return folder


def variables(
    template: Mapping[str, Any], function: str, refs: Mapping[str, str]
) -> dict[str, str]:
    """Return a function's environment variables as CloudFormation would set them."""
    defaults = {
        name: str(parameter["Default"]) for name, parameter in template["Parameters"].items()
    }
    values = {**defaults, "AWS::URLSuffix": "amazonaws.com", **refs}
    declared = template["Resources"][function]["Properties"]["Environment"]["Variables"]
    return {
        name: values[value["Ref"]] if isinstance(value, dict) else str(value)
        for name, value in declared.items()
    }


@contextmanager
def running(
    root: Path, handler: str, environment: Mapping[str, str], log: Path
) -> Iterator[Function]:
    """Start the function of this handler in a new process."""
    server = _RuntimeAPI()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    image = wheels.wheels_here(LOCK)
    process_environment = {
        **environment,
        "_HANDLER": handler,
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}",
        "LAMBDA_TASK_ROOT": str(root),
        "AWS_LAMBDA_FUNCTION_NAME": f"orderline-{handler}",
        "PYTHONPATH": f"{root}:{image}",
        "PYTHONDONTWRITEBYTECODE": "1",  # the package's folder is read-only on Lambda
    }
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-S", "-m", "awslambdaric", handler],
            cwd=root,
            env=process_environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Function(server, process, log, began)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        server.shutdown()
        server.server_close()
