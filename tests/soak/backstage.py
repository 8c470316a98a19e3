"""What a client doesn't see of a running stack: its functions, its queues, its table, its processes."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from chalicelib.auth import LOCAL_OWNER
from chalicelib.orders import Order, key_of
from chalicelib.queue import VERSION
from chalicelib.table.items import decode_order
from cli import cloud
from cli.local import NAME
from tests.acceptance.stack import ROOT, Stack, copy_of_the_project

TIMINGS = {"WORKER_TIMEOUT_S": "3", "VISIBILITY_S": "18", "RESEND_AFTER_S": "5"}
SCHEDULE = (ROOT / "tests" / "acceptance" / "events" / "schedule.json").read_bytes()
KINDS = {"worker": "lambda.*OrderWorker", "sweeper": "lambda.*OrderSweeper", "http": "cli.serve"}
MESSAGES = [f"ApproximateNumberOfMessages{which}" for which in ("", "NotVisible", "Delayed")]


def soaked(folder: Path, **options: str) -> Stack:
    """A stack of a copy of the project with the soak's tasks, not yet started."""
    project = copy_of_the_project(folder / "project")
    shutil.copyfile(
        Path(__file__).with_name("tasks.py"), project / "chalicelib" / "tasks" / "soak.py"
    )
    return Stack(project, **{**TIMINGS, **options})


@dataclass(frozen=True)
class Run:
    """A line of the file `runs`. `key` names the order and the round."""

    key: str
    attempt: int
    word: str
    at: float
    pid: int

    @property
    def order_id(self) -> str:
        return self.key.split(".")[0]


class Backstage:
    """Of a started stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.runs_file = stack.project / "runs"
        given = cloud.client_environment(int(stack.options["CLOUD_PORT"]))
        session = boto3.Session(
            given["AWS_ACCESS_KEY_ID"],
            given["AWS_SECRET_ACCESS_KEY"],
            region_name=given["AWS_REGION"],
        )
        self.functions, self.sqs, self.dynamodb = (
            session.client(name, endpoint_url=given["AWS_ENDPOINT_URL"])
            for name in ("lambda", "sqs", "dynamodb")
        )
        names = [made["FunctionName"] for made in self.functions.list_functions()["Functions"]]
        self.sweeper = next(name for name in names if "OrderSweeper" in name)
        self.worker = next(name for name in names if "OrderWorker" in name)

    def sweep(self) -> None:
        """The schedule, without its minute."""
        self.functions.invoke(FunctionName=self.sweeper, Payload=SCHEDULE)

    def change_mapping(self, **changes: Any) -> None:
        """Of the worker's event source mapping: Enabled, FunctionResponseTypes."""
        mapping = self.functions.list_event_source_mappings(FunctionName=self.worker)[
            "EventSourceMappings"
        ][0]
        self.functions.update_event_source_mapping(UUID=mapping["UUID"], **changes)

    def double(self, order_id: str, task: str) -> None:
        """Another message of an order, as SQS may deliver one twice."""
        body = {"v": VERSION, "pk": key_of(LOCAL_OWNER, order_id), "task": task}
        self.sqs.send_message(QueueUrl=self._url("orders"), MessageBody=json.dumps(body))

    def messages(self, queue: str = "orders") -> int:
        """How many the queue holds, hidden ones included."""
        counts = self.sqs.get_queue_attributes(QueueUrl=self._url(queue), AttributeNames=MESSAGES)[
            "Attributes"
        ]
        return sum(int(count) for count in counts.values())

    def orders(self) -> list[Order]:
        """Every row."""
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName=f"{NAME}-orders", ConsistentRead=True
        )
        return [decode_order(item) for page in pages for item in page["Items"]]

    def order(self, order_id: str) -> Order:
        key = {"pk": {"S": key_of(LOCAL_OWNER, order_id)}}
        return decode_order(
            self.dynamodb.get_item(TableName=f"{NAME}-orders", Key=key, ConsistentRead=True)["Item"]
        )

    def _url(self, queue: str) -> str:
        return str(self.sqs.get_queue_url(QueueName=f"{NAME}-{queue}")["QueueUrl"])

    def runs(self) -> list[Run]:
        """What the tasks noted so far."""
        lines = self.runs_file.read_text().splitlines() if self.runs_file.exists() else []
        words = [line.split() for line in lines]
        return [
            Run(key, int(attempt), word, float(at), int(pid))
            for key, attempt, word, at, pid in words
        ]

    def kill(
        self, kind: str, chance: random.Random, moment: Callable[[], object] = lambda: None
    ) -> bool:
        """kill -9 of one process of that kind, of this stack alone; `moment` waits for a good one. Whether one died."""
        pids = self.stack.processes(KINDS[kind])
        moment()
        with suppress(ProcessLookupError, IndexError):
            os.kill(chance.choice(pids), signal.SIGKILL)
            return True
        return False


class Every(threading.Thread):
    """Does something every so many seconds until it is stopped. What fails is tried again the next time."""

    def __init__(self, seconds: float, deed: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.seconds, self.deed, self.done, self.failed = seconds, deed, threading.Event(), 0
        self.times: list[float] = []

    def run(self) -> None:
        while not self.done.wait(self.seconds):
            try:
                self.deed()
                self.times.append(time.time())
            except Exception:
                self.failed += 1

    def stop(self) -> None:
        self.done.set()
        self.join()
