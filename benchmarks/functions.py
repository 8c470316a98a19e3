"""Run the functions of Orderline and the naive app as Lambda does, under AWS's runtime client."""

from __future__ import annotations

import compileall
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.canned import Canned
from benchmarks.processes import cpu_ms
from chalicelib import auth
from dev.packaging import package, wheels
from dev.packaging.package import ROOT
from tests.kit import runtime
from tests.kit.runtime import Function

EVENTS = ROOT / "tests" / "acceptance" / "events"
NOTHING = "from chalicelib.tasks import task\n\n\n@task\ndef nothing() -> None:\n    pass\n"
KEYS = {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclass(frozen=True)
class Cold:
    """Duration of a cold start up to the first response: CPU time and wall time, in ms."""

    cpu_ms: float
    ms: float


class App:
    """Unzipped app: starts its functions and builds events for them."""

    def __init__(self, root: Path, environment: dict[str, str], aws: Canned, token: str) -> None:
        self.root = root
        self.aws = aws
        self._environment = environment
        self._token = token

    @contextmanager
    def start(self, handler: str) -> Iterator[Function]:
        log = self.root.parent / f"{self.root.name}-{handler}.log"
        with runtime.running(self.root, handler, self._environment, log) as function:
            yield function

    def cold(self, handler: str, event: Any) -> Cold:
        with self.start(handler) as function:
            response = function.invoke(event)
            assert response.error is None, response.error
            return Cold(cpu_ms([function.pid]), function.init_ms + response.ms)

    def post(self) -> Any:
        return self._http(
            "POST", "/orders", "/orders", None, json.dumps({"task": "nothing", "input": {}})
        )

    def bulk(self, number: int, key: str) -> Any:
        """Return the request that places this many orders."""
        body = json.dumps({"orders": [{"task": "nothing", "input": {}}] * number})
        return self._http("POST", "/orders/bulk", "/orders/bulk", None, body, key)

    def poll(self, order_id: str) -> Any:
        resource = next(iter(self._poll_routes))
        return self._http(
            "GET", resource, f"/orders/{order_id}", {self._poll_routes[resource]: order_id}, None
        )

    def work(self, *bodies: str) -> Any:
        """Return the event of a batch of messages."""
        event = _sample("sqs")
        (record,) = event["Records"]
        event["Records"] = [
            {**record, "messageId": f"message-{n}", "body": body} for n, body in enumerate(bodies)
        ]
        return event

    @property
    def _poll_routes(self) -> dict[str, str]:
        name = "order_id" if self._token else "order"
        return {f"/orders/{{{name}}}": name}

    def _http(
        self,
        method: str,
        resource: str,
        path: str,
        params: Any,
        body: str | None,
        key: str | None = None,
    ) -> Any:
        event = _sample("api")
        event.update(
            httpMethod=method, path=path, resource=resource, body=body, pathParameters=params
        )
        event["requestContext"].update(httpMethod=method, path=f"/api{path}", resourcePath=resource)
        event["headers"].update(
            {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}
        )
        if key:
            event["headers"]["Idempotency-Key"] = key
        event["multiValueHeaders"] = {name: [value] for name, value in event["headers"].items()}
        return event


def schedule() -> Any:
    return _sample("schedule")


def apps(folder: Path, aws: Canned) -> dict[str, App]:
    """Return the apps to compare: Orderline, with botocore, without bytecode, and the naive app.

    All use the same stub of AWS and the same libraries, which are compiled as in Lambda's image.
    """
    compileall.compile_dir(wheels.wheels_here(runtime.LOCK), quiet=1)
    built = package.package("dev", this_machine=True)
    root = runtime.unzipped(built, folder / "orderline")
    (root / "chalicelib" / "tasks" / "nothing.py").write_text(NOTHING)
    text, token = auth.issue("kit")
    aws.rows[text[3:11]] = auth.encode(token)
    queue = f"{aws.url}/123456789012/orderline-dev-orders"
    settings = runtime.variables(
        built.template,
        "APIHandler",
        {
            "AWS::StackName": "orderline-dev",
            "AWS::StackId": "bench",
            "OrdersQueue": queue,
            "FilesBucket": "orderline-dev-files",
        },
    )
    environment = {**KEYS, "AWS_ENDPOINT_URL": aws.url, **settings}
    naive = folder / "naive"
    shutil.copytree(root / "chalice", naive / "chalice")
    shutil.copyfile(ROOT / "benchmarks" / "naive" / "app.py", naive / "app.py")
    sources = folder / "sources"
    shutil.copytree(root, sources, ignore=shutil.ignore_patterns("__pycache__"))
    return {
        "orderline": App(root, environment, aws, text),
        "sdk": App(root, {**environment, "AWS_TRANSPORT": "botocore"}, aws, text),
        "sources": App(sources, environment, aws, text),
        "naive": App(naive, environment, aws, ""),
    }


def _sample(name: str) -> Any:
    return json.loads((EVENTS / f"{name}.json").read_text())
