"""Deliveries: orders that tell an endpoint of the end of one retry round of another order.

A delivery is written before the order knows it. The order's row names its deliveries in
`dependents`, and only a delivery that is named there is ever sent: so an order that was never
accepted, or a request that was repeated, tells nobody.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import msgspec
from msgspec import Struct

from chalicelib import config
from chalicelib.clock import SECOND
from chalicelib.orders import End, Order, Status

DELIVER = "orderline.deliver_webhook"
_TYPES = {
    Status.SUCCESS.value: "order.succeeded",
    Status.FAILED.value: "order.failed",
    Status.CANCELLED.value: "order.cancelled",
}


class Notice(Struct, frozen=True):
    """The input of a delivery: what it tells to whom."""

    owner: str
    """Owner of the order and of the endpoint."""
    order: str
    """Id of the order."""
    retry_round: int
    """The round whose end it tells of."""
    endpoint: str
    """Name of the endpoint."""


def notice(delivery: Order) -> Notice:
    """Return what a delivery tells to whom."""
    return msgspec.json.decode(delivery.input, type=Notice)


def is_named(delivery: Order, order: Order | None) -> bool:
    """Return True if the order was accepted, or retried, with this delivery."""
    return order is not None and delivery.id in order.dependents


def has_ended(delivery: Order, order: Order) -> bool:
    """Return True if the round that the delivery tells of has ended."""
    retry_round = notice(delivery).retry_round
    is_its_round = order.retry_round == retry_round
    return order.retry_round > retry_round or (is_its_round and order.status.final)


def end_of(order: Order, retry_round: int) -> End | None:
    """Return the end of a round; None if it has not ended, or so many followed that it is gone."""
    if order.retry_round == retry_round and order.status.final:
        return End(retry_round, order.status.value, order.updated_at)
    return next((end for end in order.past_ends or () if end.round == retry_round), None)


def event(order: Order, end: End) -> dict[str, Any]:
    """Return the body of a delivery: thin, so that what an order holds is read with a token only.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    moment = datetime.fromtimestamp(end.at / SECOND, timezone.utc)
    return {
        "type": _TYPES[end.status],
        "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "data": {
            "id": order.id,
            "task": order.task,
            "status": end.status,
            "retry_round": end.round,
            "links": {"self": f"{config.settings().public_url}/orders/{order.id}"},
        },
    }
