"""A small world in which anything may fail: a client, the functions, the queue, time; and what must hold in it.

Every effect on the table is looked at as it happens (`Bystander`), every run of a task too. After the trouble the world
is led to its end: messages are delivered, time passes, the sweeper sweeps, until every order is final.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from moto.core.model_instances import reset_model_data
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.sqs.models import sqs_backends

from chalicelib import config, orders, queue, service
from chalicelib.errors import Refusal, Unavailable
from chalicelib.execution.context import Context
from chalicelib.orders import Order, Status
from chalicelib.table import transitions
from chalicelib.table.items import decode_order
from chalicelib.tasks import task
from tests.faults.bystander import Bystander, Run
from tests.kit.cloud import REGION, Cloud, running
from tests.kit.registry import restored
from tests.kit.wire import Call, Killed, Wire, tapped

CLIENT = "kit"
WHOLE = bool(os.environ.get("PROOF"))  # every scenario; else a sample, by a seed that is printed
SEED = int(os.environ.get("SEED", random.randrange(10**6)))
MOST_STEPS = 80
STEP_S = 61


class World:
    """One scenario after another on the same mocked cloud: `fresh` begins the next, `check` ends it."""

    def __init__(self, cloud: Cloud, wire: Wire) -> None:
        self.cloud, self.wire = cloud, wire
        self.bystander = Bystander(cloud.clock)
        self.accepted: dict[str, str] = {}
        self.scenarios = 0
        self._keys = itertools.count()
        wire.seen = self._seen

    # What a client does. It repeats what was not answered, as ours does.

    def place(self, kind: str, **when: Any) -> str:
        """An order of the task `proof`, accepted. Returns its id."""
        order_id = orders.id_of(CLIENT, f"key-{next(self._keys)}")
        wanted = service.NewOrder("proof", {"kind": kind}, id=order_id, **when)
        self.accepted[order_id] = kind
        self._insist(lambda: service.place(CLIENT, wanted))
        return order_id

    def cancel(self, order_id: str) -> None:
        """Withdraw it; if that is acknowledged, it must never succeed in this round."""
        with suppress(Refusal):
            self.bystander.cancelled(self._insist(lambda: service.cancel(CLIENT, order_id)))

    def retry(self, order_id: str) -> None:
        with suppress(Refusal):
            self._insist(lambda: service.retry(CLIENT, order_id))

    def run(self, context: Context) -> tuple[int, Run]:
        """A task starts: its round, and the bystander's note of it."""
        key = orders.key_of(CLIENT, context.id)
        return int(context.key.rpartition(".")[2]), self.bystander.started(key, context.attempt)

    # What AWS does.

    def deliver(self, batch: int = 1, dead: bool = False) -> bool:
        """One batch; a function that died leaves its messages hidden. Returns whether there was one."""
        try:
            return self.cloud.deliver(batch, dead=dead) is not None
        except Killed:
            self.wire.reborn()
            return True

    def drain(self, batch: int = 1) -> None:
        for dead in (False, True):
            while self.deliver(batch, dead):
                pass

    def sweep(self) -> None:
        try:
            self.cloud.sweep()
        except Killed:
            self.wire.reborn()

    def lose_messages(self) -> None:
        """All of them, hidden ones too; AWS's own purge may be called once a minute only."""
        for messages in self._messages():
            messages.clear()

    def double(self, order_id: str) -> None:
        """The queue delivers its message once more."""
        with self.wire.unseen():
            self.cloud.sqs.send_message(QueueUrl=queue.url(), MessageBody=self.body(order_id))

    def bury(self, order_id: str) -> None:
        """A message of it becomes a dead letter."""
        with self.wire.unseen():
            self.cloud.bury(order_id)

    def fail(self, order_id: str) -> None:
        """It ends FAILED, its attempts used up."""
        for _ in range(3):
            self.cloud.claim(order_id, lease_s=10)
            self.advance(11)
        row = self._row(orders.key_of(CLIENT, order_id))
        assert row is not None
        transitions.give_up(row, orders.failure(row, "attempts_exhausted", ""))

    def body(self, order_id: str) -> str:
        """What its message holds."""
        return json.dumps(
            {"v": queue.VERSION, "pk": orders.key_of(CLIENT, order_id), "task": "proof"}
        )

    def advance(self, seconds: float) -> None:
        self.cloud.clock.advance(seconds)

    # The end.

    def settle(self) -> None:
        """No more trouble: lead every order to its end."""
        self.wire.faults.clear()
        for step in range(MOST_STEPS):
            self.drain()
            if not self.unfinished() and not self.waiting():
                return
            self.advance(STEP_S * (1 + step // 10))
            self.sweep()
        raise AssertionError(
            f"not at its end after {MOST_STEPS} steps: {self.unfinished()}, {self.waiting()} messages"
        )

    def check(self, attempts_to_spare: bool = False) -> None:
        """What must hold at the end, besides what held at every step. With attempts to spare, what can succeed does."""
        found = {order.id: order for order in self.rows()}
        for order_id, kind in self.accepted.items():
            assert order_id in found, f"accepted and gone: {order_id}"
            if attempts_to_spare and kind != "failing":
                assert found[order_id].status in (Status.SUCCESS, Status.CANCELLED), found[order_id]
        parents = [order.parent for order in found.values() if order.parent]
        assert len(parents) == len(set(parents)), (
            "a parent's follow-up is placed once, however often it runs"
        )
        for order in found.values():
            self.bystander.ended(order)

    def fresh(self) -> None:
        """Forget everything, for the next scenario."""
        self.scenarios += 1
        self.bystander.forget()
        self.accepted.clear()
        self.wire.faults.clear()
        self.wire.calls.clear()
        self.wire.requests.clear()
        self.wire.reborn()
        self._table().items.clear()
        self.lose_messages()
        reset_model_data()  # moto's lists of all that it ever made: gigabytes, in a whole proof

    def rows(self) -> list[Order]:
        return [
            decoded
            for decoded in map(self._row, [f"{CLIENT}#{id}" for id in self.ids()])
            if decoded
        ]

    def ids(self) -> list[str]:
        return [item["pk"]["S"].partition("#")[2] for item in self._items()]

    def unfinished(self) -> list[str]:
        return [
            f"{order.id} {order.status.value}" for order in self.rows() if not order.status.final
        ]

    def waiting(self) -> int:
        """How many messages both queues hold, hidden ones too."""
        return sum(map(len, self._messages()))

    def _insist(self, deed: Callable[[], Any]) -> Any:
        """Until it is answered: 5xx or no answer means unknown, so the client repeats."""
        for _ in range(6):
            try:
                return deed()
            except Killed:
                self.wire.reborn()
            except Unavailable:
                pass
            self.advance(1)
        raise AssertionError("never answered")

    def _seen(self, call: Call) -> None:
        """A write took effect: the bystander compares the row with what it was."""
        if call.operation in ("PutItem", "UpdateItem"):
            key = (call.request.get("Key") or call.request["Item"])["pk"]["S"]
            row = self._row(key)
            assert row is not None
            self.bystander.written(row)

    def _row(self, key: str) -> Order | None:
        item = self._table().get_item(DynamoType({"S": key}))
        return decode_order(item.to_json()["Attributes"]) if item else None

    def _items(self) -> list[Any]:
        return [item.to_json()["Attributes"] for item in self._table().items.values()]

    def _messages(self) -> list[Any]:
        """Moto's own lists: asking over the wire would cost as much as the scenario."""
        queues = sqs_backends["123456789012"][REGION].queues
        return [
            queues[name]._messages
            for name in (config.settings().orders_queue, config.settings().dead_queue)
        ]

    def _table(self) -> Any:
        return dynamodb_backends["123456789012"][REGION].tables[config.settings().orders_table]


@contextmanager
def proven() -> Iterator[World]:
    """A world with the task `proof`: ok, flaky (fails once), failing (always), or a parent that places one more."""
    with running() as cloud, restored(), tapped() as wire:
        with wire.unseen():
            queue.url()
        world = World(cloud, wire)

        @task(max_attempts=3, backoff_s=1)
        def proof(context: Context, kind: str) -> str:
            order_round, run = world.run(context)
            try:
                return _behave(context, kind, f"{order_round}.{context.attempt}")
            finally:
                run.over = True

        yield world


def _behave(context: Context, kind: str, result: str) -> str:
    if kind == "parent":
        context.place("proof", {"kind": "ok"}, "child")
    if kind == "reporting":
        context.progress(50, "half")
    if kind == "failing" or (kind == "flaky" and context.attempt == 1):
        raise RuntimeError(kind)
    return result
