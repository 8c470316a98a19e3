"""A world in which anything may fail: a client, the functions, the queue and time.

A client places orders with files too, which S3 deletes when they are old. An `InvariantChecker`
looks at every write to the table and at every run of a task. After the faults `settle` delivers
messages, advances the clock and sweeps until every order is final.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Any
from unittest.mock import patch

from botocore.exceptions import BotoCoreError, ClientError
from moto.core.model_instances import reset_model_data
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends
from msgspec import structs

from chalicelib import auth, config, ids, orders, queue, tasks
from chalicelib.clock import SECOND
from chalicelib.errors import ConditionFailed, Unavailable
from chalicelib.execution import registry
from chalicelib.execution.context import Context
from chalicelib.functions import actions
from chalicelib.orders import Order, Status
from chalicelib.table import slots, transitions
from chalicelib.table.items import decode_order
from chalicelib.tasks import TOGETHER
from testkit.cloud import REGION, Cloud, running
from testkit.registry import restored
from testkit.wire import Call, Killed, Wire, tapped
from tests.faults import world_tasks
from tests.faults.bulk_client import BulkClient
from tests.faults.client import OWNER
from tests.faults.invariants import InvariantChecker, lifetime
from tests.faults.world_tasks import FOLLOW_UPS, PER_MINUTE, retry_round

LANES = (config.DEFAULT_LANE, "heavy")
MAX_AFTER = 2  # orders that a row of a follow-up names; more are a tree
SPILL_BYTES = 1000  # more than the JSON of an order without a large text
WHOLE = bool(os.environ.get("PROOF"))  # run every scenario, not a sample
SEED = int(os.environ.get("SEED", random.randrange(10**6)))
MAX_STEPS = 80
STEP_S = 61


class World(BulkClient):
    """Scenarios, one after another, on one mocked cloud: `fresh` begins one, `check` ends it."""

    def __init__(self, cloud: Cloud, wire: Wire) -> None:
        checker = InvariantChecker(cloud.clock, self.files, self.read_text, PER_MINUTE)
        super().__init__(cloud, wire, checker)
        self.gathered: dict[str, list[str]] = {}
        """Ids of the orders that each order of the task `gathering` found before it, by its id."""
        self.scenarios = 0
        wire.seen = self._check_effect

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
        if not self._messages(config.settings().dead_queue if dead else queue_of(lane)):
            return False
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
            registry._registry[name] = structs.replace(each, lane=lane)

    def sweep(self) -> None:
        try:
            self.cloud.sweep()
        except Killed:
            self.wire.reborn()

    def lose_messages(self) -> None:
        """Drop all messages, hidden ones too; SQS allows its own purge only once a minute."""
        for name in self.queues():
            self._messages(name).clear()

    def duplicate(self, order_id: str) -> None:
        """Add a second message of an order to the queue."""
        with self.wire.unseen():
            self.cloud.sqs.send_message(QueueUrl=queue.url(), MessageBody=self.body(order_id))

    def bury(self, order_id: str) -> None:
        """Add a message of an order to the dead-letter queue."""
        with self.wire.unseen():
            self.cloud.bury(order_id)

    def delete(self, order_id: str) -> None:
        """Delete an order, as no function does."""
        key = ids.key_of(OWNER, order_id)
        self._table().items.pop(key, None)
        self.checker.rows.pop(key, None)
        self.accepted.pop(order_id, None)

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
        self.run_to_end()

    def run_to_end(self) -> None:
        """Run until every order is final and no message is left, whatever fails meanwhile."""
        for step in range(MAX_STEPS):
            self.drain()
            if not self.unfinished() and not self.waiting():
                return
            self.advance(STEP_S * (1 + step // 10))
            self.sweep()
        raise AssertionError(
            f"not settled after {MAX_STEPS} steps: {self.unfinished()}, {self.waiting()} messages"
        )

    def check(self, attempts_to_spare: bool = False, undisturbed: bool = False) -> None:
        """Check the final state of every order.

        Args:
            attempts_to_spare: every order whose task can succeed must have succeeded
            undisturbed: no order may have needed the sweeper
        """
        stored = {order.id: order for order in self.rows()}
        for order_id, kind in self.accepted.items():
            assert order_id in stored, f"accepted and lost: {order_id}"
            if attempts_to_spare and kind != "failing":
                _check_success(stored[order_id])
        self._check_follow_ups(stored, attempts_to_spare)
        self.check_lists()
        for order in stored.values():
            self.checker.check_end(order)
            self.checker.fan_in.check_end(order, attempts_to_spare, undisturbed)
        assert not self.checker.broken, "\n".join(self.checker.broken)

    def _check_follow_ups(self, stored: Mapping[str, Order], attempts_to_spare: bool) -> None:
        placed = Counter(order.parent for order in stored.values() if order.parent)
        for order_id, count in placed.items():
            parent = stored.get(order_id)
            expected = FOLLOW_UPS.get(parent.task, 1) if parent else count
            assert count <= expected, (
                f"{order_id} placed {count} follow-ups, not {expected}, however often it ran"
            )
        for order in stored.values():
            if order.parent and attempts_to_spare:
                _check_success(order)
            if order.id in self.gathered and order.status is Status.SUCCESS:
                assert self.gathered[order.id] == self._leaves(stored, order), order

    def _leaves(self, stored: Mapping[str, Order], order: Order) -> list[str]:
        """Return the ids of the orders before one, in the order of its tree."""
        ids = []
        for before in order.after or ():
            is_branch = before in stored and stored[before].task == TOGETHER
            ids += self._leaves(stored, stored[before]) if is_branch else [before]
        return ids

    def fresh(self) -> None:
        """Reset everything for the next scenario."""
        self.scenarios += 1
        self.move_tasks(config.DEFAULT_LANE)
        slots.forget()
        auth.forget()
        self.checker.forget()
        self.forget()
        self.gathered.clear()
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
        return sum(len(self._messages(name)) for name in self.queues())

    def _check_effect(self, call: Call) -> None:
        """Pass the row of a write that took effect to the checker."""
        if call.operation == "BatchGetItem":
            self.checker.fan_in.record_read()
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

    def queues(self) -> list[str]:
        """Return the names of all queues."""
        return [*map(queue_of, LANES), config.settings().dead_queue]

    def _messages(self, queue_name: str) -> list[Any]:
        """Return moto's own list: requests for it would take as long as the scenario."""
        messages: list[Any] = sqs_backends["123456789012"][REGION].queues[queue_name]._messages
        return messages

    def _table(self) -> Any:
        return dynamodb_backends["123456789012"][REGION].tables[config.settings().orders_table]

    def _objects(self) -> Any:
        return s3_backends["123456789012"]["aws"].buckets[config.settings().files_bucket].keys


def queue_of(lane: str) -> str:
    """Return the name of a lane's queue."""
    return config.lane_queue(config.settings().orders_queue, lane)


def _check_success(order: Order) -> None:
    """Check that an order whose task can succeed did, or was kept from it by its owner.

    Its owner may have cancelled it, or one that it waited for has failed or is gone.
    """
    kept = order.error.code.startswith("prerequisite_") if order.error else False
    assert order.status in (Status.SUCCESS, Status.CANCELLED) or kept, order


def _micros(time: datetime) -> int:
    """Return microseconds since 1970 of a time in UTC that doesn't name it, as moto's."""
    return int(time.replace(tzinfo=timezone.utc).timestamp() * SECOND)


@contextmanager
def proof_world() -> Iterator[World]:
    """Make a world with the tasks of `world_tasks`, in which a row names at most two others.

    Its functions call AWS over the transport that they have in Lambda.
    """
    environment = patch.dict(
        "os.environ",
        SPILL_BYTES=str(SPILL_BYTES),
        DUE_SHARDS="2",
        LANES='{"heavy": 60}',
        AWS_TRANSPORT="sigv4",
    )
    small_rows = patch.object(actions, "MAX_AFTER", MAX_AFTER)
    with environment, small_rows, running() as cloud, restored(), tapped() as wire:
        with wire.unseen():
            for lane in LANES:
                queue.url(lane)
        world = World(cloud, wire)
        world_tasks.register(world)
        yield world
