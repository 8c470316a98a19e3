"""Another version is deployed while orders wait, and taken back: none is lost, whichever meets which.

Version 2 is version 1 with a task more, another shape of message and an attribute more in each row.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chalicelib import auth
from cli import stack
from cli.package import Package, package
from tests.acceptance.conftest import LocalCloud
from tests.acceptance.stack import until
from tests.acceptance.test_deploy import call

pytestmark = pytest.mark.local
NAME = "orderline-versions"
NEW_TASK = (
    "from chalicelib.tasks import task\n\n\n@task\ndef of_version_two() -> int:\n    return 2\n"
)
CHANGES = (
    ("chalicelib/queue.py", "VERSION = 1", "VERSION = 2"),
    (
        "chalicelib/functions/worker.py",
        "message.version != queue.VERSION",
        "message.version not in (1, 2)",
    ),
    (
        "chalicelib/table/items.py",
        "    return {name: encode(value) for name, value in row.items()",
        '    return {"colour": {"S": "new"}} | {name: encode(value) for name, value in row.items()',
    ),
)


def next_version(old: Package, target: Path) -> Package:
    with zipfile.ZipFile(old.zip) as before, zipfile.ZipFile(target, "w") as after:
        for name in before.namelist():
            if "__pycache__" in name:
                continue  # version 1's bytecode, which trusts its sources unlooked at
            text = before.read(name)
            for path, was, becomes in CHANGES:
                if name == path:
                    assert was.encode() in text, f"{path} has changed: mend this test"
                    text = text.replace(was.encode(), becomes.encode())
            after.writestr(name, text)
        after.writestr("chalicelib/tasks/of_version_two.py", NEW_TASK)
    return replace(old, zip=target)


class Shop:
    """A stack whose worker can be held back, so that orders wait."""

    def __init__(self, cloud: LocalCloud, first: Package) -> None:
        self.cloud = cloud
        self.install(first)
        self.token, record = auth.issue("shop")
        cloud.client("dynamodb").put_item(TableName=f"{NAME}-tokens", Item=auth.encode(record))

    def install(self, version: Package) -> None:
        self.api = stack.deploy(NAME, version, {"WorkerTimeout": "10", "Visibility": "60"})["API"]

    def worker(self, on: bool) -> None:
        client, name = self.cloud.client("lambda"), stack.resources(NAME)["OrderWorker"][1]
        (mapping,) = client.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
        client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=on)

    def place(self, task: str, **input: Any) -> str:
        return str(call(f"{self.api}/orders", self.token, {"task": task, "input": input})["id"])

    def show(self, order_id: str) -> Any:
        return call(f"{self.api}/orders/{order_id}", self.token)

    def row(self, order_id: str) -> Any:
        key = {"pk": {"S": f"shop#{order_id}"}}
        return self.cloud.client("dynamodb").get_item(TableName=f"{NAME}-orders", Key=key)["Item"]

    def kept(self) -> int:
        """How often the worker handed a message back because it doesn't know it."""
        group = f"/aws/lambda/{NAME}-worker"
        events = self.cloud.client("logs").filter_log_events(logGroupName=group)["events"]
        return sum("unknown_task_or_version" in event["message"] for event in events)

    def all_succeed(self, *order_ids: str) -> None:
        until(
            lambda: all(self.show(order_id)["status"] == "SUCCESS" for order_id in order_ids),
            within_s=90,
        )


@pytest.fixture
def shop(local_cloud: LocalCloud) -> Iterator[Shop]:
    yield Shop(local_cloud, package("dev", this_machine=True))
    stack.destroy(NAME)


def test_orders_outlive_an_upgrade_and_a_rollback(shop: Shop, tmp_path: Path) -> None:
    one = package("dev", this_machine=True)
    two = next_version(one, tmp_path / "two.zip")

    # Queued by version 1, finished by version 2
    shop.worker(on=False)
    old = [shop.place("cook_nuggets", pieces=1) for _ in range(3)]
    shop.install(two)
    shop.worker(on=True)
    shop.all_succeed(*old)

    # Queued by version 2, met by version 1 after a rollback: handed back, no attempt burned, every row readable
    shop.worker(on=False)
    new = [shop.place("of_version_two"), shop.place("cook_nuggets", pieces=1)]
    shop.install(one)
    shop.worker(on=True)
    until(lambda: shop.kept() >= len(new), within_s=60)
    seen = [shop.show(order_id) for order_id in new]
    assert [(order["status"], order["attempts"]) for order in seen] == [("PENDING", 0)] * 2
    late = shop.place("cook_nuggets", pieces=1)
    shop.all_succeed(late)

    # Version 2 again: what waited is finished, and what version 1 didn't know of a row it has left in it
    shop.install(two)
    shop.all_succeed(*new)
    assert [shop.row(order_id)["colour"] for order_id in new] == [{"S": "new"}] * 2
