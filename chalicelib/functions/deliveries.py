"""The task that delivers a webhook, in a lane of its own whose function has few rights."""

from __future__ import annotations

from chalicelib import clock, config
from chalicelib.errors import DeliveryFailed, EndpointGone
from chalicelib.execution.context import Context
from chalicelib.execution.registry import built_in
from chalicelib.table import batch_get
from chalicelib.webhooks import endpoints, rounds


class NothingToDeliver(DeliveryFailed):
    """The order or the endpoint is gone; another attempt can't help."""


@built_in(
    "deliver_webhook",
    lane=config.WEBHOOKS_LANE,
    max_attempts=12,
    timeout_s=14,
    backoff_s=10,
    max_backoff_s=3600,
    no_retry_on=(EndpointGone, NothingToDeliver),
)
def deliver_webhook(
    context: Context, owner: str, order: str, retry_round: int, endpoint: str
) -> None:
    """Tell an endpoint of the end of an order's round."""
    if not config.webhooks_on():  # this is a worker of another lane, which has more rights
        raise DeliveryFailed("webhooks_off", "webhooks are off, or are being switched on")
    row = batch_get.orders(owner, [order]).get(order)
    end = rounds.end_of(row, retry_round) if row else None
    if row is None or end is None:
        raise NothingToDeliver("order_gone", f"the order {order} has expired, or its end is gone")
    receiver = endpoints.find_enabled(owner, endpoint)
    if receiver is None:
        raise NothingToDeliver("endpoint_removed", f"the endpoint {endpoint} was removed")
    from chalicelib.webhooks import delivery  # no other function pays for it

    delivery.deliver(receiver, context.id, rounds.event(row, end), clock.now())
