"""Upgrade and rollback while orders wait: none is lost, whichever version handles it.

Version 2 has another task, another version of messages and another attribute in each row.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chalicelib import auth
from dev.deploy import stack
from dev.packaging.package import Package, package
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
        '        "pk": order.key,\n',
        '        "pk": order.key,\n        "colour": "new",\n',
    ),
)


def next_version(old: Package, target: Path) -> Package:
    """Write the package of version 2 to `target`."""
    with zipfile.ZipFile(old.zip) as source, zipfile.ZipFile(target, "w") as copy:
        for name in source.namelist():
            if "__pycache__" in name:
                continue  # bytecode of version 1, which Python would not check against the source
            text = source.read(name)
            for path, before_change, after_change in CHANGES:
                if name == path:
                    assert before_change.encode() in text, f"{path} has changed: adapt this test"
                    text = text.replace(before_change.encode(), after_change.encode())
            copy.writestr(name, text)
        copy.writestr("chalicelib/tasks/of_version_two.py", NEW_TASK)
    return replace(old, zip=target)


class Shop:
    """A stack whose worker can be stopped, so that orders wait."""

    def __init__(self, cloud: LocalCloud, first: Package) -> None:
        self.cloud = cloud
        self.install(first)
        self.token, record = auth.issue("shop")
        cloud.client("dynamodb").put_item(TableName=f"{NAME}-tokens", Item=auth.encode(record))

    def install(self, version: Package) -> None:
        self.api = stack.deploy(NAME, version, {"WorkerTimeout": "10", "Visibility": "60"})["API"]

    def worker(self, on: bool) -> None:
        client = self.cloud.client("lambda")
        name = stack.resources(NAME)["OrderWorker"][1]
        (mapping,) = client.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
        client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=on)

    def place(self, task: str, **input: Any) -> str:
        return str(call(f"{self.api}/orders", self.token, {"task": task, "input": input})["id"])

    def show(self, order_id: str) -> Any:
        return call(f"{self.api}/orders/{order_id}", self.token)

    def row(self, order_id: str) -> Any:
        key = {"pk": {"S": f"shop#{order_id}"}}
        return self.cloud.client("dynamodb").get_item(TableName=f"{NAME}-orders", Key=key)["Item"]

    def count_kept(self) -> int:
        """Count the messages that the worker kept because it did not know their version or task."""
        group = f"/aws/lambda/{NAME}-worker"
        events = self.cloud.client("logs").filter_log_events(logGroupName=group)["events"]
        return sum("unknown_task_or_version" in event["message"] for event in events)

    def all_succeed(self, *order_ids: str) -> None:
        until(lambda: all(self.show(order_id)["status"] == "SUCCESS" for order_id in order_ids))


@pytest.fixture
def shop(local_cloud: LocalCloud) -> Iterator[Shop]:
    yield Shop(local_cloud, package("dev", this_machine=True))
    stack.destroy(NAME)


def test_orders_survive_an_upgrade_and_a_rollback(shop: Shop, tmp_path: Path) -> None:
    one = package("dev", this_machine=True)
    two = next_version(one, tmp_path / "two.zip")

    # Queued by version 1, finished by version 2
    shop.worker(on=False)
    old = [shop.place("cook_nuggets", pieces=1) for _ in range(3)]
    shop.install(two)
    shop.worker(on=True)
    shop.all_succeed(*old)

    # Queued by version 2, received by version 1 after a rollback: messages are kept, no attempt is
    # lost, every row is readable
    shop.worker(on=False)
    new = [shop.place("of_version_two"), shop.place("cook_nuggets", pieces=1)]
    shop.install(one)
    shop.worker(on=True)
    until(lambda: shop.count_kept() >= len(new))
    waiting = [shop.show(order_id) for order_id in new]
    assert [(order["status"], order["attempts"]) for order in waiting] == [("PENDING", 0)] * 2
    late = shop.place("cook_nuggets", pieces=1)
    shop.all_succeed(late)

    # Version 2 again: the waiting orders finish, and version 1 has kept the attributes that it did
    # not know
    shop.install(two)
    shop.all_succeed(*new)
    assert [shop.row(order_id)["colour"] for order_id in new] == [{"S": "new"}] * 2
