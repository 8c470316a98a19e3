"""A world in which orders have webhooks: endpoints of the owner, and a receiver with answers.

The receiver is reached by HTTPS over a real socket; the name of its host and its public address are
those of a made-up internet.
"""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

from botocore.exceptions import BotoCoreError, ClientError
from moto.dynamodb.models import dynamodb_backends

from chalicelib import config, queue, service
from chalicelib.building import NewOrder
from chalicelib.errors import KeyReused, Unavailable
from chalicelib.orders import Order
from chalicelib.tasks import Context, task
from chalicelib.webhooks import endpoints, signing
from chalicelib.webhooks.endpoints import Endpoint, Registry, SigningSecret
from chalicelib.webhooks.rounds import DELIVER, notice
from testkit.cloud import REGION, Cloud, running
from testkit.registry import restored
from testkit.wire import Call, Killed, Wire, tapped
from tests.faults.client import OWNER
from tests.faults.webhook_invariants import WebhookChecker
from tests.faults.world import LANES, World, queue_of
from tests.faults.world_tasks import PER_MINUTE
from tests.kit.receiver import NO_CONTENT, PUBLIC, Authority, Receiver, internet, receiving

TIMEOUTS = {"heavy": 60, config.WEBHOOKS_LANE: 20}
GONE = 410


class WebhookWorld(World):
    """A world with the endpoints of its owner and their receiver.

    `answers` are those of the receiver in turn, as bytes; after them it answers 204.
    """

    def __init__(self, cloud: Cloud, wire: Wire, receiver: Receiver) -> None:
        super().__init__(cloud, wire)
        self.webhooks = WebhookChecker(cloud.clock, self.files, self.read_text, PER_MINUTE)
        self.checker = self.webhooks
        self.answers: list[bytes] = []
        self._receiver = receiver
        receiver.answers = [self._answer]

    # Actions of the operator and the client.

    def register(self, name: str = "main", all: bool = False) -> None:
        """Register an endpoint."""
        secret = SigningSecret(signing.new_secret())
        endpoint = Endpoint(OWNER, name, f"https://shop.example/{name}", (secret,), all)
        with self.wire.unseen():
            Registry(self.cloud.dynamodb, config.settings().tokens_table).store(endpoint)
        endpoints.forget()
        self.webhooks.endpoints[name] = endpoint

    def new_id(self) -> str:
        """Return the id of an order whose request has a key of its own."""
        return self._new_id()

    def send(self, order_id: str, kind: str) -> None:
        """Place an order under an id; if another request has placed it, that is the answer."""
        request = NewOrder("proof", {"kind": kind}, id=order_id, notify=("main",))
        with suppress(KeyReused):
            self._repeat(lambda: service.place(OWNER, request))
            self.accepted[order_id] = kind

    def place_once(self, kind: str) -> None:
        """Place an order as a client that never repeats; it may be accepted or not."""
        request = NewOrder("proof", {"kind": kind}, id=self._new_id(), notify=("main",))
        with suppress(Unavailable, Killed, BotoCoreError, ClientError):
            service.place(OWNER, request)
        self.wire.reborn()

    def before_the_row(self, action: Callable[[], object]) -> None:
        """Let the next request pause before it writes its order, and act meanwhile."""

        def pause(call: Call) -> None:
            if call.operation == "PutItem" and call.request["Item"]["task"]["S"] != DELIVER:
                self.wire.gate = None
                action()

        self.wire.gate = pause

    def deliveries(self, order_id: str = "") -> list[Order]:
        """Return the deliveries, or those of one order."""
        found = [row for row in self.rows() if row.task == DELIVER]
        return [row for row in found if not order_id or notice(row).order == order_id]

    # Actions of AWS.

    def drain(self, batch: int = 1) -> None:
        super().drain(batch)
        while self.deliver(batch, lane=config.WEBHOOKS_LANE):
            pass

    def fresh(self) -> None:
        super().fresh()
        self.answers.clear()
        self._receiver.requests.clear()
        self.wire.gate = None
        rows = dynamodb_backends["123456789012"][REGION].tables[config.settings().tokens_table]
        for key in [key for key in rows.items if key.value.startswith("hook")]:
            rows.items.pop(key)
        self.register()

    def check_strays(self) -> None:
        """Check that each stray is cancelled by now; raises AssertionError if not."""
        self.webhooks.check_strays()

    def check_webhooks(self) -> None:
        """Check that all was told; raises AssertionError if not."""
        self.webhooks.check_webhooks()

    def _answer(self, connection: socket.socket) -> None:
        """Check a request when it arrives, and answer it."""
        request = self._receiver.requests[-1]
        endpoint = request.line.split(" ")[1].removeprefix("/")
        delivery_id = self.webhooks.check_request(endpoint, request)
        answer = self.answers.pop(0) if self.answers else NO_CONTENT
        code = int(answer.split(b" ")[1])
        if code == GONE:
            self.webhooks.gone.add(endpoint)
        if 200 <= code < 300:
            self.webhooks.acknowledged.add(delivery_id)
        connection.sendall(answer)

    def _check_effect(self, call: Call) -> None:
        if call.request.get("TableName") != config.settings().tokens_table:
            super()._check_effect(call)

    def queues(self) -> list[str]:
        return [*super().queues(), queue_of(config.WEBHOOKS_LANE)]


@contextmanager
def webhook_world() -> Iterator[WebhookWorld]:
    """Make a world with webhooks, and with the tasks of `_declare_tasks`."""
    environment = patch.dict("os.environ", LANES=json.dumps(TIMEOUTS), AWS_TRANSPORT="sigv4")
    with environment, running() as cloud, restored(), tapped() as wire, _receiver() as receiver:
        with wire.unseen():
            for lane in (*LANES, config.WEBHOOKS_LANE):
                queue.url(lane)
        world = WebhookWorld(cloud, wire, receiver)
        _declare_tasks(world)
        yield world


def _declare_tasks(world: WebhookWorld) -> None:
    """Declare the tasks `proof`, `paced`, `calling` and `stopped`.

    `paced` is `proof` with a limit of starts a minute. `calling` places an order in each attempt,
    and its first attempt fails then. The owner stops `stopped` while it runs.
    """

    @task(max_attempts=3, backoff_s=1)
    def proof(context: Context, kind: str) -> str:
        with world.run(context) as result:
            return _behave(kind, result)

    @task(max_attempts=3, backoff_s=1, per_minute=PER_MINUTE)
    def paced(context: Context, kind: str) -> str:
        with world.run(context) as result:
            return _behave(kind, result)

    @task(max_attempts=3, backoff_s=1)
    def calling(context: Context, kind: str) -> str:
        with world.run(context) as result:
            context.place("proof", {"kind": "ok"}, "child")
            return _behave("failing" if context.attempt == 1 else kind, result)

    @task(max_attempts=3, backoff_s=1)
    def stopped(context: Context, kind: str) -> str:
        with world.run(context) as result:
            world.cancel(context.id)
            return _behave(kind, result)


def _behave(kind: str, result: str) -> str:
    if kind == "failing":
        raise RuntimeError(kind)
    return result


@contextmanager
def _receiver() -> Iterator[Receiver]:
    """Run the receiver of https://shop.example."""
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        with (
            authority.trusted(),
            receiving(authority.server("shop.example")) as receiver,
            internet(receiver.port, shop_example=[[PUBLIC]]),
        ):
            yield receiver
