"""A world in which anything may fail: a client, the functions, the queue and time.

A client places orders with files too, which S3 deletes when they are old. An `InvariantChecker`
looks at every write to the table and at every run of a task. After the faults `settle` delivers
messages, advances the clock and sweeps until every order is final.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import itertools
import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any
from unittest.mock import patch

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from moto.core.model_instances import reset_model_data
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends

from chalicelib import building, config, files, ids, orders, queue, service, tasks
from chalicelib.clock import SECOND
from chalicelib.errors import ConditionFailed, FileMissing, Refusal, Unavailable
from chalicelib.execution import registry
from chalicelib.execution.context import Context
from chalicelib.orders import Order, Status
from chalicelib.table import slots, transitions
from chalicelib.table.items import decode_order
from chalicelib.tasks import File, task
from testkit.cloud import REGION, Cloud, location, running
from testkit.registry import restored
from testkit.wire import Call, Killed, Wire, tapped
from tests.faults.invariants import InvariantChecker, lifetime

OWNER = "kit"
PHOTO = b"the input file of every order with one"
COPY = b"the file that a task makes for its follow-up"
LANES = (config.DEFAULT_LANE, "heavy")
PER_MINUTE = 2  # starts of the task `paced`: a slot each 32.5 s
SPILL_BYTES = 1000  # more than the JSON of an order without a large text
LARGE = "large " * 200
WHOLE = bool(os.environ.get("PROOF"))  # run every scenario, not a sample
SEED = int(os.environ.get("SEED", random.randrange(10**6)))
MAX_STEPS = 80
STEP_S = 61


class World:
    """Scenarios, one after another, on one mocked cloud: `fresh` begins one, `check` ends it."""

    def __init__(self, cloud: Cloud, wire: Wire) -> None:
        self.cloud = cloud
        self.wire = wire
        self.checker = InvariantChecker(cloud.clock, self.files, self.read_text, PER_MINUTE)
        self.accepted: dict[str, str] = {}
        self._requests: dict[str, Callable[[], service.Placed]] = {}
        self.scenarios = 0
        self._keys = itertools.count()
        wire.seen = self._check_effect

    # Requests of a client, which repeats what was not answered, as our own client does.

    def place(self, kind: str, task: str = "proof", **when: Any) -> str:
        """Place an order of a task without a file; return its id."""
        order_id = ids.id_of(OWNER, f"key-{next(self._keys)}")
        new_order = building.NewOrder(task, {"kind": kind}, id=order_id, **when)
        self.accepted[order_id] = kind
        self._repeat(lambda: service.place(OWNER, new_order))
        return order_id

    def upload(self, content: bytes = PHOTO) -> str:
        """Upload a file, unless it is stored; return its id."""
        digest = hashlib.sha256(content)

        def send() -> None:
            request = files.upload(OWNER, digest.hexdigest(), len(content), "image/jpeg")
            if request:
                bucket, key = location(request.url)
                self.cloud.s3.put_object(
                    Bucket=bucket,
                    Key=key,
                    Body=content,
                    ContentType="image/jpeg",
                    ChecksumSHA256=base64.b64encode(digest.digest()).decode(),
                )

        self._repeat(send)
        return digest.hexdigest()

    def place_with_file(self, kind: str, **when: Any) -> str:
        """Place an order of the task `filing`; if its file is missing, upload it and repeat."""
        return self._place_with_file("filing", {"kind": kind}, **when)

    def place_large(self, kind: str, **when: Any) -> str:
        """Place an order of the task `large`, with a file; its input is too large for the row."""
        return self._place_with_file("large", {"kind": kind, "text": self._large_text()}, **when)

    def place_large_text(self, kind: str, **when: Any) -> str:
        """Place an order of the task `large` without a file."""
        order_id = ids.id_of(OWNER, f"key-{next(self._keys)}")
        value = {"kind": kind, "text": self._large_text()}
        new_order = building.NewOrder("large", value, id=order_id, **when)
        self.accepted[order_id] = kind
        self._repeat(lambda: service.place(OWNER, new_order))
        return order_id

    def _large_text(self) -> str:
        """Return a text that no other order has, so that its file is the order's own."""
        return f"{LARGE}{next(self._keys)}"

    def _place_with_file(self, task: str, value: dict[str, Any], **when: Any) -> str:
        order_id = ids.id_of(OWNER, f"key-{next(self._keys)}")
        value["image"] = {"file": hashlib.sha256(PHOTO).hexdigest()}

        def send() -> service.Placed:
            # The input is completed in place, and is part of the request's fingerprint
            new_order = building.NewOrder(task, copy.deepcopy(value), id=order_id, **when)
            return service.place(OWNER, new_order)

        for _ in range(6):
            with suppress(FileMissing):
                self._repeat(send)
                self.accepted[order_id] = value["kind"]
                self._requests[order_id] = send
                return order_id
            self.upload()
        raise AssertionError("the file is missing after each of six uploads")

    def replay(self, order_id: str) -> None:
        """Repeat the request of an order with a file; the file need not be fresh any more."""
        try:
            placed = self._repeat(self._requests[order_id])
        except FileMissing as error:
            raise AssertionError(f"the replay of {order_id} is refused: {error}") from error
        assert placed.replayed
        assert placed.order.id == order_id

    def cancel(self, order_id: str) -> None:
        """Cancel or stop an order; once it is cancelled, this round must never succeed."""
        with suppress(Refusal):
            row = self._repeat(lambda: service.cancel(OWNER, order_id))
            if row.status is Status.CANCELLED:
                self.checker.record_cancel(row)

    def retry(self, order_id: str) -> None:
        with suppress(Refusal):
            self._repeat(lambda: service.retry(OWNER, order_id))

    @contextmanager
    def run(self, context: Context) -> Iterator[str]:
        """Record the run of a task; yield a result that tells its round and attempt."""
        run = self.checker.start_run(ids.key_of(OWNER, context.id), context.attempt)
        try:
            yield f"{retry_round(context)}.{context.attempt}"
        finally:
            run.ended = True

    def take_slots(self, count: int) -> None:
        """Reserve slots of the task `paced` as other functions would."""
        slots.forget()
        with self.wire.unseen():
            for _ in range(count):
                slots.reserve("paced", PER_MINUTE)
        slots.forget()

    # Actions of AWS.

    def deliver(self, batch: int = 1, dead: bool = False, lane: str = config.DEFAULT_LANE) -> bool:
        """Deliver one batch; return False if the queue is empty.

        A function that dies leaves its messages hidden.
        """
        try:
            return self.cloud.deliver(batch, dead=dead, lane=lane) is not None
        except Killed:
            self.wire.reborn()
            return True

    def drain(self, batch: int = 1) -> None:
        for lane in LANES:
            while self.deliver(batch, lane=lane):
                pass
        while self.deliver(batch, dead=True):
            pass

    def move_tasks(self, lane: str) -> None:
        """Deploy a version in which every task is in another lane."""
        for name, each in tasks.known().items():
            registry._registry[name] = replace(each, lane=lane)

    def sweep(self) -> None:
        try:
            self.cloud.sweep()
        except Killed:
            self.wire.reborn()

    def lose_messages(self) -> None:
        """Drop all messages, hidden ones too; SQS allows its own purge only once a minute."""
        for messages in self._messages():
            messages.clear()

    def duplicate(self, order_id: str) -> None:
        """Add a second message of an order to the queue."""
        with self.wire.unseen():
            self.cloud.sqs.send_message(QueueUrl=queue.url(), MessageBody=self.body(order_id))

    def bury(self, order_id: str) -> None:
        """Add a message of an order to the dead-letter queue."""
        with self.wire.unseen():
            self.cloud.bury(order_id)

    def claim(self, order_id: str, lease_s: float) -> None:
        """Claim an order as a worker that then dies; a fault may have ended the order before."""
        with suppress(ConditionFailed, Unavailable, Killed, BotoCoreError, ClientError):
            self.cloud.claim(order_id, lease_s)
        self.wire.reborn()

    def fail(self, order_id: str) -> None:
        """Make an order FAILED by using up its attempts."""
        for _ in range(3):
            self.cloud.claim(order_id, lease_s=10)
            self.advance(11)
        row = self._row(ids.key_of(OWNER, order_id))
        assert row is not None
        transitions.give_up(row, orders.failure(row, "attempts_exhausted", ""))

    def body(self, order_id: str) -> str:
        """Return the body of an order's message."""
        key = ids.key_of(OWNER, order_id)
        row = self._row(key)
        assert row is not None
        return json.dumps({"v": queue.VERSION, "pk": key, "task": row.task})

    def advance(self, seconds: float) -> None:
        """Let time pass; S3 deletes the files that are too old then."""
        self.cloud.clock.advance(seconds)
        now = self.cloud.clock()
        for file, modified_at in self.files().items():
            if modified_at + lifetime() < now:
                self._objects().pop(f"{OWNER}/{file}")

    def files(self) -> dict[str, int]:
        """Return the ids of the stored files, and the times of their last uploads."""
        return {
            key.partition("/")[2]: _micros(stored.last_modified)
            for key, stored in self._objects().items()
        }

    def read_text(self, file: str) -> str:
        """Return the text of a stored file; empty if the file is not stored."""
        stored = self._objects().get(f"{OWNER}/{file}")
        return stored.value.decode() if stored else ""

    # The end of a scenario.

    def settle(self) -> None:
        """Stop all faults, and run until every order is final and no message is left."""
        self.wire.faults.clear()
        for step in range(MAX_STEPS):
            self.drain()
            if not self.unfinished() and not self.waiting():
                return
            self.advance(STEP_S * (1 + step // 10))
            self.sweep()
        raise AssertionError(
            f"not settled after {MAX_STEPS} steps: {self.unfinished()}, {self.waiting()} messages"
        )

    def check(self, attempts_to_spare: bool = False) -> None:
        """Check the final state of every order.

        With attempts to spare, every order whose task can succeed must have succeeded.
        """
        stored = {order.id: order for order in self.rows()}
        for order_id, kind in self.accepted.items():
            assert order_id in stored, f"accepted and lost: {order_id}"
            if attempts_to_spare and kind != "failing":
                order = stored[order_id]
                assert order.status in (Status.SUCCESS, Status.CANCELLED), order
        parents = [order.parent for order in stored.values() if order.parent]
        assert len(parents) == len(set(parents)), (
            "a parent's follow-up is placed once, however often the parent runs"
        )
        for order in stored.values():
            self.checker.check_end(order)

    def fresh(self) -> None:
        """Reset everything for the next scenario."""
        self.scenarios += 1
        self.move_tasks(config.DEFAULT_LANE)
        slots.forget()
        self.checker.forget()
        self.accepted.clear()
        self._requests.clear()
        self.wire.faults.clear()
        self.wire.calls.clear()
        self.wire.requests.clear()
        self.wire.reborn()
        self._table().items.clear()
        self._objects().clear()
        self.lose_messages()
        reset_model_data()  # moto lists everything it ever made: gigabytes in a full proof

    def rows(self) -> list[Order]:
        rows = map(self._row, [f"{OWNER}#{id}" for id in self.ids()])
        return [row for row in rows if row]

    def ids(self) -> list[str]:
        return [item["pk"]["S"].partition("#")[2] for item in self._items()]

    def unfinished(self) -> list[str]:
        return [
            f"{order.id} {order.status.value}" for order in self.rows() if not order.status.final
        ]

    def waiting(self) -> int:
        """Count the messages of all queues, hidden ones too."""
        return sum(map(len, self._messages()))

    def _repeat(self, action: Callable[[], Any]) -> Any:
        """Repeat a request until it is answered: after a 5xx or no answer its effect is unknown."""
        for _ in range(6):
            try:
                return action()
            except Killed:
                self.wire.reborn()
            except (Unavailable, BotoCoreError, ClientError, HTTPClientError):
                pass
            self.advance(1)
        raise AssertionError("no answer after six requests")

    def _check_effect(self, call: Call) -> None:
        """Pass the row of a write that took effect to the checker."""
        if call.operation in ("PutItem", "UpdateItem"):
            key = (call.request.get("Key") or call.request["Item"])["pk"]["S"]
            if key.startswith("#"):  # the slots of a task
                return
            row = self._row(key)
            assert row is not None
            self.checker.check_write(row)

    def _row(self, key: str) -> Order | None:
        item = self._table().get_item(DynamoType({"S": key}))
        return decode_order(item.to_json()["Attributes"]) if item else None

    def _items(self) -> list[Any]:
        return [item.to_json()["Attributes"] for item in self._table().items.values()]

    def _messages(self) -> list[Any]:
        """Return moto's own lists: requests for them would take as long as the scenario."""
        queues = sqs_backends["123456789012"][REGION].queues
        names = [config.lane_queue(config.settings().orders_queue, lane) for lane in LANES]
        return [queues[name]._messages for name in (*names, config.settings().dead_queue)]

    def _table(self) -> Any:
        return dynamodb_backends["123456789012"][REGION].tables[config.settings().orders_table]

    def _objects(self) -> Any:
        return s3_backends["123456789012"]["aws"].buckets[config.settings().files_bucket].keys


def _micros(time: datetime) -> int:
    """Return microseconds since 1970 of a time in UTC that doesn't name it, as moto's."""
    return int(time.replace(tzinfo=timezone.utc).timestamp() * SECOND)


@contextmanager
def proof_world() -> Iterator[World]:
    """Make a world with the tasks `proof`, `paced`, `stopped`, `filing` and `large`.

    `paced` is `proof` with a limit of starts a minute. The owner stops `stopped` while it runs: of
    its kinds flaky hears of it, ok returns and failing fails. `filing` reads a file and returns
    one. `large` has an input and a result that are too large for the row. Their kinds are ok, flaky
    (fails once), failing (always), parent (places an order) and reporting (reports progress).
    """
    environment = patch.dict("os.environ", SPILL_BYTES=str(SPILL_BYTES), LANES='{"heavy": 60}')
    with environment, running() as cloud, restored(), tapped() as wire:
        with wire.unseen():
            for lane in LANES:
                queue.url(lane)
        world = World(cloud, wire)

        @task(max_attempts=3, backoff_s=1)
        def proof(context: Context, kind: str) -> str:
            with world.run(context) as result:
                return _behave(context, kind, result, "proof", {"kind": "ok"})

        @task(max_attempts=3, backoff_s=1, per_minute=PER_MINUTE)
        def paced(context: Context, kind: str) -> str:
            with world.run(context) as result:
                return _behave(context, kind, result, "paced", {"kind": "ok"})

        @task(max_attempts=3, backoff_s=1)
        def stopped(context: Context, kind: str) -> str:
            with world.run(context) as result:
                if retry_round(context) == 0:
                    world.cancel(context.id)  # while it runs
                if kind == "flaky":
                    context.progress(10)
                return _behave(context, kind, result, "", {})

        @task(max_attempts=3, backoff_s=1)
        def filing(context: Context, kind: str, image: File) -> File:
            with world.run(context) as result:
                assert image.read() in (PHOTO, COPY)
                child = {"kind": "ok", "image": File.of(COPY)}
                return File.of(_behave(context, kind, result, "filing", child).encode())

        @task(max_attempts=3, backoff_s=1)
        def large(
            context: Context, kind: str, text: str, image: File | None = None
        ) -> tuple[File, str]:
            with world.run(context) as result:
                assert text.startswith(LARGE)
                assert image is None or image.read() in (PHOTO, COPY)
                child = {"kind": "ok", "text": f"{text} child", "image": File.of(COPY)}
                behaved = _behave(context, kind, result, "large", child)
                return File.of(behaved.encode()), f"{text} {behaved}"

        yield world


def retry_round(context: Context) -> int:
    """Return the retry round of a running task's order."""
    return int(context.key.rpartition(".")[2])


def _behave(context: Context, kind: str, result: str, task: str, child: Any) -> str:
    if kind == "parent":
        context.place(task, child, "child")
    if kind == "reporting":
        context.progress(50, "half")
    if kind == "failing" or (kind == "flaky" and context.attempt == 1):
        raise RuntimeError(kind)
    return result
