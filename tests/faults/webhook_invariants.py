"""The invariants of webhooks, checked when a request arrives at the receiver.

Each end of each round of an accepted order is told to each endpoint that it asks for, always with
the same webhook-id, and never before it has come.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from orderline import InvalidSignature, verify

from chalicelib.clock import SECOND
from chalicelib.ids import key_of
from chalicelib.orders import Order, Status
from chalicelib.web.times import time_text
from chalicelib.webhooks.endpoints import Endpoint
from chalicelib.webhooks.rounds import DELIVER, notice
from tests.faults.invariants import InvariantChecker
from tests.kit.receiver import Request

Round = tuple[str, int]
"""An order's key and a retry round."""
TYPES = {
    Status.SUCCESS: "order.succeeded",
    Status.FAILED: "order.failed",
    Status.CANCELLED: "order.cancelled",
}


@dataclass
class WebhookChecker(InvariantChecker):
    """All invariants, and those of webhooks."""

    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    """The registered endpoints by name."""
    gone: set[str] = field(default_factory=set)
    """Names of the endpoints that have answered 410."""
    ends: dict[Round, Order] = field(default_factory=dict)
    """The row as a round's end left it."""
    expected: dict[Round, set[str]] = field(default_factory=dict)
    """Names of the endpoints that must hear of a round's end."""
    ids: dict[tuple[Round, str], set[str]] = field(default_factory=dict)
    """The webhook-ids with which an endpoint heard of a round's end."""
    acknowledged: set[str] = field(default_factory=set)
    """The webhook-ids that a receiver has answered with 2xx."""

    def forget(self) -> None:
        super().forget()
        self.endpoints.clear()
        self.gone.clear()
        self.ends.clear()
        self.expected.clear()
        self.ids.clear()
        self.acknowledged.clear()

    def check_write(self, row: Order) -> None:
        old = self.rows.get(row.key)
        super().check_write(row)
        if row.task == DELIVER:
            return
        this = (row.key, row.retry_round)
        if old is None or row.retry_round > old.retry_round:
            for_all = {name for name, each in self.endpoints.items() if each.all}
            self.expected[this] = ({*(row.notify or ())} | for_all) - self.gone
        if row.status.final:
            self.ends[this] = row

    def check_request(self, endpoint: str, request: Request) -> str:
        """Check a request at the moment of its arrival; return its webhook-id."""
        try:
            secret = self.endpoints[endpoint].secrets[0].text
            event = verify(request.body, request.headers, secret, tolerance_s=float("inf"))
        except InvalidSignature as error:
            self._must(False, f"each request is signed ({error})")
            event = json.loads(request.body)
        delivery_id = request.headers["webhook-id"]
        sent_at = int(request.headers["webhook-timestamp"])
        self._must(abs(self.clock() // SECOND - sent_at) <= 1, "an attempt has its own time")
        this = (key_of("kit", event["data"]["id"]), event["data"]["retry_round"])
        self._check_delivery(delivery_id, this)
        self._check_event(event, self.ends.get(this))
        self.ids.setdefault((this, endpoint), set()).add(delivery_id)
        return delivery_id

    def _check_delivery(self, delivery_id: str, this: Round) -> None:
        delivery = self.rows.get(key_of("kit", delivery_id))
        order = self.rows.get(this[0])
        self._must(
            order is not None and delivery_id in order.dependents,
            "only an accepted order is told of, by a delivery that it names",
            order,
            delivery,
        )
        self._must(
            delivery is not None and notice(delivery).retry_round == this[1],
            "a delivery tells of its own round",
            delivery,
        )

    def _check_event(self, event: dict[str, Any], end: Order | None) -> None:
        self._must(end is not None, f"an end is told after it has come, unlike {event}")
        if end is not None:
            self._must(
                (event["type"], event["data"]["status"], event["timestamp"])
                == (TYPES[end.status], end.status.value, time_text(end.updated_at)),
                f"the end of a round is told as it was, unlike {event}",
                end,
            )

    def check_end(self, row: Order) -> None:
        """Check an order as every other; a delivery returns nothing."""
        if row.task == DELIVER and row.status is Status.SUCCESS:
            self._must(row.result == "null", "a delivery has no result", row)
            self._must(row.id in self.acknowledged, "a delivery succeeds by a 2xx", row)
        super().check_end(row)

    def check_webhooks(self) -> None:
        """Check at the end of a scenario that all was told; raises AssertionError if not."""
        for this, row in self.ends.items():
            for name in self.expected[this] - self.gone:
                heard = self.ids.get((this, name), set())
                self._must(bool(heard & self.acknowledged), f"{name} hears of each end", row)
        for (this, name), found in self.ids.items():
            self._must(
                len(found) == 1, f"{name} hears with one webhook-id: {found}", self.ends.get(this)
            )
        self.check_strays()

    def check_strays(self) -> None:
        """Check that each stray is cancelled by now; raises AssertionError if not."""
        for delivery in [row for row in self.rows.values() if row.task == DELIVER]:
            order = self.rows.get(key_of("kit", notice(delivery).order))
            if order is None or delivery.id not in order.dependents:
                self._must(
                    delivery.status is Status.CANCELLED and delivery.attempts == 0,
                    "a stray is cancelled",
                    delivery,
                )
        assert not self.broken, "\n".join(self.broken)
