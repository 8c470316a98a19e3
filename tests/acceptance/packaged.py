"""The package's functions under AWS's runtime client, on tables and queues of the local cloud."""

from __future__ import annotations

import copy
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3

from chalicelib import auth
from dev.packaging import package
from testkit import template
from tests.kit import runtime

STACK = "packaged"
EVENTS = Path(__file__).parent / "events"


def sample(name: str) -> Any:
    """Return an event with the members that AWS sends, null ones too, and some unknown ones."""
    return json.loads((EVENTS / f"{name}.json").read_text())


class Packaged:
    """The functions of a package, started at their first use, on their own tables and queues."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.package = package.package("dev", this_machine=True)
        self.root = runtime.unzipped(self.package, folder / "zip")
        self.dynamodb = boto3.client("dynamodb")
        self.sqs = boto3.client("sqs")
        template.create(STACK, self.dynamodb, self.sqs)
        self.queue = self.sqs.get_queue_url(QueueName=f"{STACK}-orders")["QueueUrl"]
        self.token, record = auth.issue("kit")
        self.dynamodb.put_item(TableName=f"{STACK}-tokens", Item=auth.encode(record))
        self._running: dict[str, runtime.Function] = {}
        self._stack = ExitStack()

    def function(self, name: str) -> runtime.Function:
        """Return a function by its name in the template."""
        if name not in self._running:
            handler = self.package.template["Resources"][name]["Properties"]["Handler"]
            environment = runtime.variables(
                self.package.template,
                name,
                {
                    "AWS::StackName": STACK,
                    "AWS::StackId": STACK,
                    "OrdersQueue": self.queue,
                    "FilesBucket": f"{STACK}-files",
                },
            )
            self._running[name] = self._stack.enter_context(
                runtime.running(
                    self.root,
                    handler,
                    {**self.environment, **environment},
                    self.folder / f"{name}.log",
                )
            )
        return self._running[name]

    def event(
        self,
        method: str,
        path: str,
        body: str | None = None,
        headers: dict[str, str] | None = None,
        resource: str = "",
        params: dict[str, str] | None = None,
    ) -> Any:
        """Return the event of a request, as API Gateway sends it."""
        event = sample("api")
        event.update(
            httpMethod=method,
            path=path,
            resource=resource or path,
            body=body,
            pathParameters=params,
        )
        event["requestContext"].update(
            httpMethod=method, path=f"/api{path}", resourcePath=resource or path
        )
        event["headers"].update(headers or {})
        event["multiValueHeaders"] = {name: [value] for name, value in event["headers"].items()}
        return event

    def order_event(self, task: str, input: Any) -> Any:
        return self.event(
            "POST",
            "/orders",
            json.dumps({"task": task, "input": input}),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )

    def http(self, *request: Any) -> Any:
        return self.answered(self.event(*request))

    def answered(self, event: Any) -> Any:
        answer = self.function("APIHandler").invoke(event)
        assert answer.error is None, answer.error
        return answer.value

    def place(self, task: str = "cook_nuggets", input: Any = None) -> str:
        reply = self.answered(self.order_event(task, input or {"pieces": 1}))
        assert reply["statusCode"] == 202, reply
        return str(json.loads(reply["body"])["id"])

    def show(self, order_id: str) -> Any:
        reply = self.http(
            "GET",
            f"/orders/{order_id}",
            None,
            {"Authorization": f"Bearer {self.token}"},
            "/orders/{order_id}",
            {"order_id": order_id},
        )
        return json.loads(reply["body"])

    def stop(self, name: str) -> None:
        """Stop a function, so that its next use is a cold start."""
        self._running.pop(name).stop()

    def close(self) -> None:
        self._stack.close()


def records(*bodies: str) -> Any:
    """Return an SQS event with a message for each body."""
    event = sample("sqs")
    (record,) = event["Records"]
    event["Records"] = [
        {**copy.deepcopy(record), "messageId": f"message-{n}", "body": body}
        for n, body in enumerate(bodies)
    ]
    return event


def message(order_id: str, task: str = "cook_nuggets") -> str:
    """Return the body of an order's message."""
    return json.dumps({"v": 1, "pk": f"kit#{order_id}", "task": task})
