"""The zip itself: what is in it, and that it runs with nothing beside it but what Lambda has."""

from __future__ import annotations

import copy
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from chalicelib import auth
from cli import package
from tests.acceptance.conftest import LocalCloud
from tests.kit import runtime, template

pytestmark = pytest.mark.local
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="AWS's runtime client is built for Linux alone")
STACK = "packaged"
EVENTS = Path(__file__).parent / "events"


def sample(name: str) -> Any:
    """An event with the members that AWS sends, null ones too, and some that it doesn't send yet."""
    return json.loads((EVENTS / f"{name}.json").read_text())


class Packaged:
    """The functions of one package, each started when it is first needed, against tables and queues of their own."""

    def __init__(self, folder: Path, cloud: LocalCloud) -> None:
        self.folder, self.cloud = folder, cloud
        self.made = package.package("dev", this_machine=True)
        self.root = runtime.unzipped(self.made, folder / "zip")
        self.dynamodb, self.sqs = cloud.client("dynamodb"), cloud.client("sqs")
        template.create(STACK, self.dynamodb, self.sqs)
        self.queue = self.sqs.get_queue_url(QueueName=f"{STACK}-orders")["QueueUrl"]
        text, token = auth.issue("kit")
        self.dynamodb.put_item(TableName=f"{STACK}-tokens", Item=auth.encode(token))
        self.token = text
        self._running: dict[str, runtime.Function] = {}
        self._stack = ExitStack()

    def function(self, name: str) -> runtime.Function:
        """By its name in the template."""
        if name not in self._running:
            handler = self.made.template["Resources"][name]["Properties"]["Handler"]
            environment = runtime.variables(self.made.template, name,
                                            {"AWS::StackName": STACK, "AWS::StackId": STACK,
                                             "OrdersQueue": self.queue})
            self._running[name] = self._stack.enter_context(runtime.running(
                self.root, handler, {**self.cloud.environment, **environment}, self.folder / f"{name}.log"))
        return self._running[name]

    def http(self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None,
             resource: str = "", params: dict[str, str] | None = None) -> Any:
        event = sample("api")
        event.update(httpMethod=method, path=path, resource=resource or path, body=body, pathParameters=params)
        event["requestContext"].update(httpMethod=method, path=f"/api{path}", resourcePath=resource or path)
        event["headers"].update(headers or {})
        event["multiValueHeaders"] = {name: [value] for name, value in event["headers"].items()}
        answer = self.function("APIHandler").invoke(event)
        assert answer.error is None, answer.error
        return answer.value

    def place(self, pieces: int) -> str:
        reply = self.http("POST", "/orders", json.dumps({"task": "cook_nuggets", "input": {"pieces": pieces}}),
                          {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"})
        assert reply["statusCode"] == 202, reply
        return str(json.loads(reply["body"])["id"])

    def show(self, order_id: str) -> Any:
        reply = self.http("GET", f"/orders/{order_id}", None, {"Authorization": f"Bearer {self.token}"},
                          "/orders/{order_id}", {"order_id": order_id})
        return json.loads(reply["body"])

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory, local_cloud: LocalCloud) -> Iterator[Packaged]:
    made = Packaged(tmp_path_factory.mktemp("packaged"), local_cloud)
    yield made
    made.close()


def records(*bodies: str) -> Any:
    event = sample("sqs")
    (record,) = event["Records"]
    event["Records"] = [{**copy.deepcopy(record), "messageId": f"message-{n}", "body": body}
                        for n, body in enumerate(bodies)]
    return event


def message(order_id: str, task: str = "cook_nuggets") -> str:
    return json.dumps({"v": 1, "pk": f"kit#{order_id}", "task": task})


@on_linux
def test_http_without_a_token_is_401_as_problem_json(packaged: Packaged) -> None:
    reply = packaged.http("GET", "/orders")
    assert reply["statusCode"] == 401
    assert json.loads(reply["body"])["request_id"] == "0f3a2f5e-3f5b-4c9e-9d57-1f2b7f6f8a11"


@on_linux
def test_an_order_goes_its_way_through_the_packaged_functions(packaged: Packaged) -> None:
    order_id = packaged.place(6)
    assert packaged.show(order_id)["status"] == "PENDING"

    answer = packaged.function("OrderWorker").invoke(records(message(order_id)))

    assert answer.value == {"batchItemFailures": []}
    assert packaged.show(order_id)["status"] == "SUCCESS"


@on_linux
def test_one_bad_record_keeps_no_other_from_its_end(packaged: Packaged) -> None:
    first, last = packaged.place(1), packaged.place(1)

    answer = packaged.function("OrderWorker").invoke(records(message(first), "no JSON", message(last)), time_left_s=60)

    assert answer.value == {"batchItemFailures": [{"itemIdentifier": "message-1"}]}
    assert {packaged.show(order_id)["status"] for order_id in (first, last)} == {"SUCCESS"}


@on_linux
def test_a_dead_letter_of_an_unknown_task_ends_its_order(packaged: Packaged) -> None:
    order_id = packaged.place(1)
    packaged.dynamodb.update_item(TableName=f"{STACK}-orders", Key={"pk": {"S": f"kit#{order_id}"}},
                                  UpdateExpression="SET #task = :gone", ExpressionAttributeNames={"#task": "task"},
                                  ExpressionAttributeValues={":gone": {"S": "renamed"}})

    answer = packaged.function("DeadLetters").invoke(records(message(order_id, "renamed"), "no JSON"))

    assert answer.value == {"batchItemFailures": []}
    assert packaged.show(order_id)["error"]["code"] == "unknown_task"


@on_linux
def test_the_schedule_sends_again_what_is_overdue(packaged: Packaged) -> None:
    order_id = packaged.place(1)
    packaged.dynamodb.update_item(TableName=f"{STACK}-orders", Key={"pk": {"S": f"kit#{order_id}"}},
                                  UpdateExpression="SET due_at = :past",
                                  ExpressionAttributeValues={":past": {"N": "1"}})

    answer = packaged.function("OrderSweeper").invoke(sample("schedule"))

    assert answer.error is None
    assert answer.value["resent"] == 1


@on_linux
def test_no_dev_dependency_can_be_imported(packaged: Packaged) -> None:
    """What the tests of this file prove hangs on it: a forgotten dependency must fail here, not on AWS."""
    spy = packaged.folder / "spy"
    spy.mkdir()
    (spy / "spy.py").write_text(
        "import importlib.util, sys\n"
        "def handler(event, context):\n"
        "    return {name: importlib.util.find_spec(name) is not None for name in event}\n")
    names = ["moto", "pytest", "cli", "tests", "yaml", "click", "boto3"]
    with runtime.running(spy, "spy.handler", packaged.cloud.environment, packaged.folder / "spy.log") as function:
        found = function.invoke(names).value
    assert found == {**dict.fromkeys(names, False), "boto3": True}


def test_the_zip_is_small_and_holds_the_app_alone() -> None:
    made = package.package("dev")
    with zipfile.ZipFile(made.zip) as opened:
        names = opened.namelist()
    print(package.contents(made.zip))  # noqa: T201  the list is what one wants to see: pytest -s
    assert made.zip.stat().st_size <= 3_000_000
    tops = {name.split("/")[0] for name in names}
    assert {"app.py", "chalicelib", "chalice"} <= tops
    assert not tops & {"tests", "cli", "benchmarks", "docs", "requirements.txt", ".local", ".chalice", "vendor"}
    assert not [name for name in names if name.endswith((".pyc", ".md", ".sh")) or "/test" in name]


def test_the_local_zip_differs_in_native_wheels_alone() -> None:
    def files(made: package.Package) -> set[str]:
        with zipfile.ZipFile(made.zip) as opened:
            # A native module's name ends in its platform; RECORD and WHEEL list the same
            return {name.split(".cpython-")[0] for name in opened.namelist()}

    assert files(package.package("dev")) == files(package.package("dev", this_machine=True))


@pytest.mark.parametrize("spoil", [
    lambda text: re.sub("sha256:(.)", lambda found: f"sha256:{'1' if found[1] == '0' else '0'}", text),
    lambda text: re.sub(r" \\\n *--hash=\S+", "", text),
], ids=["another hash", "no hash"])
def test_a_wheel_that_is_not_the_listed_one_fails_the_build(tmp_path: Path, spoil: Any) -> None:
    lock = tmp_path / "requirements-lambda.txt"
    lock.write_text(spoil(package.LOCK.read_text()))
    with pytest.raises(package.PackageError, match="hash"):
        package.package("dev", lock=lock)
