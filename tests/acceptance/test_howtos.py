"""The how-to pages, followed in a fresh clone under one `make run`."""

from __future__ import annotations

import itertools
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from orderline import Orderline

from chalicelib.web.times import time_of
from dev.local import cloud
from dev.local.local_stack import NAME as NAME_OF_STACK
from dev.packaging.own import NAME
from tests.acceptance import transcript
from tests.acceptance.stack import (
    Stack,
    copy_of_the_project,
    environment,
    until,
    with_environment,
)
from tests.kit import pages
from tests.soak.lanes import TASKS, max_at_once, with_history
from tests.soak.stack_control import StackControl

pytestmark = pytest.mark.local

SECRET = "sk_test_4711"  # the answer to a command that asks for one


class Reader:
    """A reader who does what a page says, in a clone where `make run` runs."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def follow(self, page: str) -> list[str]:
        """Do all that a page says, in its order; return what its commands print."""
        groups = itertools.groupby(pages.blocks(page), lambda block: block.file)
        return [output for name, group in groups for output in self._do(name, list(group))]

    def write(self, name: str, text: str) -> None:
        """Write a file of the clone and, if it is deployed, wait until it is live."""
        self._change(self.stack.project / name, lambda path: path.write_text(text))

    def test(self, name: str) -> None:
        """Run a test of a page, in the clone with its settings."""
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", name],
            cwd=self.stack.project,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    def _do(self, name: str, blocks: list[pages.Block]) -> Iterator[str]:
        """Do what adjacent blocks of a file say, or run commands; yield what commands print."""
        path = self.stack.project / name
        if name == NAME:
            self._change(path, lambda path: pages.add_to_own(path, *(each.text for each in blocks)))
        elif name.startswith("tests/"):
            path.write_text(blocks[0].text)
            self.test(name)
        elif name:
            self.write(name, blocks[0].text)
        for command in self._commands(blocks):
            yield self._run(command)

    def _commands(self, blocks: list[pages.Block]) -> list[str]:
        commands = [
            command
            for block in blocks
            if block.language == "sh"
            for command in block.text.splitlines()
        ]
        exists = (self.stack.project / NAME).exists()
        return [command for command in commands if not (command == "make config" and exists)]

    def _change(self, path: Path, change: Any) -> None:
        """Change a file, and wait until the stack has said that the change is live."""
        count = self.stack.output.count("your change is ")
        change(path)
        until(lambda: self.stack.output.count("your change is ") > count)
        last = self.stack.output.rpartition("your change is ")[2]
        assert last.startswith("live"), last

    def _run(self, command: str) -> str:
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.stack.project,
            env=environment(COLUMNS="200"),
            input=SECRET,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Run `make run` in a fresh clone, on top of the packages that are installed here."""
    stack = Stack(with_environment(copy_of_the_project(tmp_path_factory.mktemp("clone"))))
    yield Reader(stack.start(("make", "run", f"PYTHON={sys.executable}"), within_s=240))
    stack.stop()


@pytest.fixture(scope="module")
def outputs(reader: Reader) -> list[str]:
    """Follow docs/lanes.md; return what its commands print."""
    return reader.follow("lanes.md")


@pytest.fixture(scope="module")
def control(reader: Reader, outputs: list[str]) -> StackControl:
    """Return a control of the stack with the lanes of docs/lanes.md and two tasks of our own."""
    reader.write("chalicelib/tasks/long_and_short.py", TASKS)
    return StackControl(reader.stack)


def test_a_ten_minute_task_and_an_urgent_one_run_in_their_lanes(
    outputs: list[str], control: StackControl
) -> None:
    config, film, invoice = outputs

    assert "orderline.yaml" in config
    assert "2 scenes; 9 minutes were left at the start" in film
    assert "Invoice for Ada" in invoice
    heavy = control.functions.get_function_configuration(FunctionName=control.worker("heavy"))
    assert (heavy["MemorySize"], heavy["Timeout"]) == (3008, 600)
    concurrency = [control.mapping(lane)["ScalingConfig"] for lane in ("heavy", "express")]
    assert [each["MaximumConcurrency"] for each in concurrency] == [2, 20]


def test_an_urgent_order_ends_while_the_default_lane_stands_still(
    reader: Reader, control: StackControl
) -> None:
    with control.stopped():
        waiting = reader.stack.place("invoice", {"customer": "Bob"})
        urgent = reader.stack.place("urgent_invoice", {"customer": "Ada"})

        assert reader.stack.ended_order(urgent["id"])["result"] == "Invoice for Ada"
        assert reader.stack.get(waiting["id"])["status"] == "PENDING"

    assert reader.stack.ended_order(waiting["id"])["result"] == "Invoice for Bob"


def test_a_busy_lane_runs_two_at_once_and_holds_up_no_other(
    reader: Reader, control: StackControl
) -> None:
    stack = reader.stack
    long = [stack.place("long", {"seconds": 0.5})["id"] for _ in range(12)]
    short = [stack.place("short", {})["id"] for _ in range(8)]

    assert {stack.ended_order(order_id)["result"] for order_id in short} == {"default"}
    assert "PENDING" in {stack.get(order_id)["status"] for order_id in long}

    for order_id in long:
        stack.ended_order(order_id)
    orders = [with_history(stack, order_id) for order_id in long]
    assert {(order["status"], order["result"]) for order in orders} == {("SUCCESS", "heavy")}
    assert max_at_once(orders) == 2


def test_webhooks_have_a_lane_whose_worker_gets_its_messages(
    reader: Reader, control: StackControl
) -> None:
    lane = control.worker("webhooks")
    function = control.functions.get_function_configuration(FunctionName=lane)
    assert (function["MemorySize"], function["Timeout"]) == (256, 20)
    assert control.mapping("webhooks")["ScalingConfig"] == {"MaximumConcurrency": 20}
    assert '"webhooks": 20' in (reader.stack.project / ".local" / "env").read_text()

    queue = control.sqs.get_queue_url(QueueName=f"{NAME_OF_STACK}-orders-webhooks")["QueueUrl"]
    sent = control.sqs.send_message(QueueUrl=queue, MessageBody="of a newer version")
    log = reader.stack.project / ".local" / "cloud.log"
    words = ('"event":"message_kept"', "unknown_task_or_version", sent["MessageId"])
    until(lambda: any(all(word in line for word in words) for line in log.open()))
    control.sqs.purge_queue(QueueUrl=queue)


def test_orders_follow_a_task_that_moves_and_run_once(
    reader: Reader, control: StackControl
) -> None:
    stack = reader.stack
    running = stack.place("long", {"seconds": 2})["id"]
    until(lambda: stack.get(running)["status"] == "RUNNING")
    with control.stopped("heavy"):
        waiting = [stack.place("long", {"seconds": 0})["id"] for _ in range(6)]
        reader.write("chalicelib/tasks/long_and_short.py", TASKS.replace('(lane="heavy")', ""))
        assert {stack.get(order_id)["status"] for order_id in waiting} == {"PENDING"}

    ended = {order_id: stack.ended_order(order_id) for order_id in (running, *waiting)}
    assert ended[running]["result"] == "heavy"
    assert {ended[order_id]["result"] for order_id in waiting} == {"default"}
    assert {order["attempts"] for order in ended.values()} == {1}

    def logged(event: str) -> list[str]:
        log = (stack.project / ".local" / "cloud.log").read_text().splitlines()
        return [line for line in log if f'"event":"{event}"' in line]

    # The local cloud writes a function's lines after its end
    until(lambda: all(any(id in line for line in logged("order_ended")) for id in ended))
    ends = logged("order_ended")
    assert all(sum(order_id in line for line in ends) == 1 for order_id in ended)
    forwarded = logged("message_forwarded")
    assert {order_id for order_id in ended if any(order_id in line for line in forwarded)} == set(
        waiting
    )


def test_a_task_writes_to_a_bucket_of_its_own(reader: Reader) -> None:
    (output,) = [text for text in reader.follow("own.md") if "keep_photo" in text]
    environment = cloud.client_environment(int(reader.stack.options["CLOUD_PORT"]))
    session = boto3.Session(
        environment["AWS_ACCESS_KEY_ID"],
        environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
    )
    s3 = session.client("s3", endpoint_url=environment["AWS_ENDPOINT_URL"])

    (bucket,) = [each["Name"] for each in s3.list_buckets()["Buckets"] if "photos" in each["Name"]]
    (photo,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert f"s3://{bucket}/{photo['Key']}" in output
    content = s3.get_object(Bucket=bucket, Key=photo["Key"])["Body"].read()
    assert content == (reader.stack.project / "docs" / "order.png").read_bytes()


def test_orders_of_a_task_with_a_limit_start_in_their_slots(reader: Reader) -> None:
    stack = reader.stack
    (output,) = reader.follow("rate.md")
    assert "1.08" in output

    placed = [stack.place("look_up_rate", {"currency": "EUR"})["id"] for _ in range(8)]
    orders = [with_history(stack, stack.ended_order(order_id)["id"]) for order_id in placed]

    assert {(order["status"], order["attempts"]) for order in orders} == {("SUCCESS", 1)}
    slots = sorted(time_of(order["run_at"]) for order in orders)
    assert all(after - slot >= 1_083_333 for slot, after in itertools.pairwise(slots))
    starts = [time_of(order["history"][0]["started_at"]) for order in orders]
    waits = [start - time_of(order["run_at"]) for start, order in zip(starts, orders, strict=True)]
    assert all(0 <= wait < 3_000_000 for wait in waits)


def test_orders_wait_for_others_and_stop_as_the_page_shows(reader: Reader) -> None:
    for name in dict.fromkeys(block.file for block in pages.blocks("workflows.md")):
        if name.startswith("chalicelib/"):
            reader.write(name, pages.file("workflows.md", name))

    (snippet,) = [
        block.text
        for block in pages.blocks("workflows.md")
        if block.language == "python" and not block.file
    ]
    exec(snippet, {"orderline": Orderline(reader.stack.url, reader.stack.token)})
    assert transcript.check(reader.stack, "workflows.md") == 10


def test_a_task_reads_a_secret_which_is_nowhere_else(reader: Reader) -> None:
    output = "".join(reader.follow("secrets.md"))

    assert "charged 500 with a key that ends in 4711" in output
    folder = reader.stack.project / ".local"
    logs = [folder / name for name in ("cloud.log", "http.log", "env")]
    assert not any(SECRET in file.read_text() for file in logs)
    assert SECRET not in reader.stack.output + output
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700  # what is saved there has it in clear text
