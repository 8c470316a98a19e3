"""Deliver an event to an endpoint: one attempt, with the headers of Standard Webhooks."""

from __future__ import annotations

from typing import Any

import msgspec

from chalicelib.clock import SECOND, Micros
from chalicelib.errors import DeliveryFailed, EndpointGone, TryLater
from chalicelib.webhooks import endpoints, sender, signing, targets
from chalicelib.webhooks.endpoints import Endpoint

_GONE = 410
_PAUSE = (429, 503)
"""Statuses whose Retry-After counts: Too Many Requests, Service Unavailable."""


def deliver(endpoint: Endpoint, delivery_id: str, event: dict[str, Any], now: Micros) -> None:
    """Send an event to an endpoint; return if its receiver answered 2xx.

    Raises EndpointGone if the endpoint is disabled or its receiver answered 410, which disables it;
    TryLater if the receiver asks for a pause; DeliveryFailed for every other failure.

    Args:
        endpoint: where to send
        delivery_id: the same for all attempts, so that the receiver knows a repetition
        event: type, timestamp and data
        now: time of this attempt
    """
    if endpoint.disabled:
        raise EndpointGone
    headers, body = message(endpoint, delivery_id, event, now)
    answer = sender.send(endpoint.url, headers, body, allow_local=targets.on_laptop())
    if answer.status == _GONE:
        endpoints.disable(endpoint)
        raise EndpointGone
    if answer.status in _PAUSE and answer.retry_after_s is not None:
        raise TryLater(answer.status, answer.retry_after_s)
    if not 200 <= answer.status < 300:
        raise DeliveryFailed("receiver_refused", f"the receiver answered {answer.status}")


def message(
    endpoint: Endpoint, delivery_id: str, event: dict[str, Any], now: Micros
) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of a delivery. Its arguments are those of `deliver`."""
    body = msgspec.json.encode(event)
    timestamp = now // SECOND
    signature = signing.sign(endpoint.valid_secrets(now), delivery_id, timestamp, body)
    headers = {
        "content-type": "application/json",
        "user-agent": "Orderline",
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature,
    }
    return headers, body
