"""Control of a running stack behind its API: functions, queues, table and processes."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from chalicelib.auth import LOCAL_OWNER
from chalicelib.config import DEFAULT_LANE
from chalicelib.ids import key_of
from chalicelib.orders import Order
from chalicelib.queue import VERSION
from chalicelib.table.items import decode_order
from dev.local import cloud
from dev.local.local_stack import NAME
from dev.packaging.lanes import logical
from tests.acceptance.stack import ROOT, Stack, copy_of_the_project

TIMINGS = {"WORKER_TIMEOUT_S": "3", "VISIBILITY_S": "18", "RESEND_AFTER_S": "5"}
SCHEDULE = (ROOT / "tests" / "acceptance" / "events" / "schedule.json").read_bytes()
KINDS = {
    "worker": "lambda.*OrderWorker",
    "sweeper": "lambda.*OrderSweeper",
    "http": "dev.local.serve",
}
MESSAGES = [f"ApproximateNumberOfMessages{which}" for which in ("", "NotVisible", "Delayed")]


def soak_stack(folder: Path, **options: str) -> Stack:
    """Return a stack, not yet started, of a copy of the project with the soak's tasks and lane."""
    project = copy_of_the_project(folder / "project")
    shutil.copyfile(
        Path(__file__).with_name("tasks.py"), project / "chalicelib" / "tasks" / "soak.py"
    )
    (project / "orderline.yaml").write_text("lanes: {heavy: {timeout_s: 3, concurrency: 2}}\n")
    return Stack(project, **{**TIMINGS, **options})


@dataclass(frozen=True)
class Run:
    """A line of the file `runs`; `key` names the order and the retry round, `at` is in seconds."""

    key: str
    attempt: int
    event: str
    at: float
    pid: int

    @property
    def order_id(self) -> str:
        return self.key.split(".")[0]


class StackControl:
    """AWS clients and the processes of a started stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.runs_file = stack.project / "runs"
        environment = cloud.client_environment(int(stack.options["CLOUD_PORT"]))
        session = boto3.Session(
            environment["AWS_ACCESS_KEY_ID"],
            environment["AWS_SECRET_ACCESS_KEY"],
            region_name=environment["AWS_REGION"],
        )
        self.functions, self.sqs, self.dynamodb, self.s3 = (
            session.client(name, endpoint_url=environment["AWS_ENDPOINT_URL"])
            for name in ("lambda", "sqs", "dynamodb", "s3")
        )
        self._names = [
            function["FunctionName"] for function in self.functions.list_functions()["Functions"]
        ]
        self.sweeper = next(name for name in self._names if "OrderSweeper" in name)

    def sweep(self) -> None:
        """Invoke the sweeper now, as its schedule does every minute."""
        self.functions.invoke(FunctionName=self.sweeper, Payload=SCHEDULE)

    def worker(self, lane: str = DEFAULT_LANE) -> str:
        """Return the name of a lane's worker function."""
        part = f"-{logical(lane, 'OrderWorker')}"
        return str(next(name for name in self._names if part in name))

    def mapping(self, lane: str = DEFAULT_LANE) -> Any:
        """Return the event source mapping of a lane's worker."""
        found = self.functions.list_event_source_mappings(FunctionName=self.worker(lane))
        return found["EventSourceMappings"][0]

    def change_mapping(self, lane: str = DEFAULT_LANE, **changes: Any) -> None:
        """Change the event source mapping of a lane's worker: Enabled, FunctionResponseTypes."""
        uuid = self.mapping(lane)["UUID"]
        self.functions.update_event_source_mapping(UUID=uuid, **changes)

    @contextmanager
    def stopped(self, lane: str = DEFAULT_LANE) -> Iterator[None]:
        """Let a lane's orders wait until the block ends."""
        self.change_mapping(lane, Enabled=False)
        try:
            yield
        finally:
            self.change_mapping(lane, Enabled=True)

    def duplicate(self, order_id: str, task: str) -> None:
        """Send a second message of an order, as SQS may deliver one twice.

        It goes to the default lane: the task may be in another one, as after a move.
        """
        body = {"v": VERSION, "pk": key_of(LOCAL_OWNER, order_id), "task": task}
        self.sqs.send_message(QueueUrl=self._url("orders"), MessageBody=json.dumps(body))

    def messages(self, queue: str = "orders") -> int:
        """Count the messages of all lanes, or of another queue, hidden ones included."""
        names = ("orders", "orders-heavy") if queue == "orders" else (queue,)
        return sum(
            int(count)
            for name in names
            for count in self.sqs.get_queue_attributes(
                QueueUrl=self._url(name), AttributeNames=MESSAGES
            )["Attributes"].values()
        )

    def orders(self) -> list[Order]:
        """Return every order in the table."""
        return [decode_order(item) for page in self._pages() for item in page["Items"]]

    def count(self) -> int:
        """Return the number of orders in the table, without reading them."""
        return sum(page["Count"] for page in self._pages(Select="COUNT"))

    def _pages(self, **options: str) -> Iterable[Any]:
        scan = self.dynamodb.get_paginator("scan")
        return scan.paginate(TableName=f"{NAME}-orders", ConsistentRead=True, **options)  # type: ignore[no-any-return]

    def order(self, order_id: str) -> Order:
        key = {"pk": {"S": key_of(LOCAL_OWNER, order_id)}}
        return decode_order(
            self.dynamodb.get_item(TableName=f"{NAME}-orders", Key=key, ConsistentRead=True)["Item"]
        )

    def files(self) -> dict[str, bytes]:
        """Return the stored files by id, after a check that each has the bytes of its id."""
        (bucket,) = (
            found["Name"] for found in self.s3.list_buckets()["Buckets"] if "files" in found["Name"]
        )
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=f"{LOCAL_OWNER}/"
        )
        stored = {}
        for key in (entry["Key"] for page in pages for entry in page.get("Contents", [])):
            content = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            file_id = hashlib.sha256(content).hexdigest()
            assert key == f"{LOCAL_OWNER}/{file_id}"
            stored[file_id] = content
        return stored

    def _url(self, queue: str) -> str:
        return str(self.sqs.get_queue_url(QueueName=f"{NAME}-{queue}")["QueueUrl"])

    def runs(self) -> list[Run]:
        """Return the runs that the tasks have recorded so far."""
        lines = self.runs_file.read_text().splitlines() if self.runs_file.exists() else []
        return [
            Run(key, int(attempt), event, float(at), int(pid))
            for key, attempt, event, at, pid in map(str.split, lines)
        ]

    def kill(
        self, kind: str, dice: random.Random, wait_for_moment: Callable[[], object] = lambda: None
    ) -> bool:
        """Kill one process of a kind, of this stack only, with SIGKILL; return True if one died."""
        pids = self.stack.processes(KINDS[kind])
        wait_for_moment()
        with suppress(ProcessLookupError, IndexError):
            os.kill(dice.choice(pids), signal.SIGKILL)
            return True
        return False


class Repeater(threading.Thread):
    """A thread that calls an action periodically until it is stopped, even if some calls fail."""

    def __init__(self, period_s: float, action: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.period_s = period_s
        self.action = action
        self.stopped = threading.Event()
        self.failures = 0
        self.times: list[float] = []

    def run(self) -> None:
        while not self.stopped.wait(self.period_s):
            try:
                self.action()
                self.times.append(time.time())
            except Exception:
                self.failures += 1

    def stop(self) -> None:
        self.stopped.set()
        self.join()
