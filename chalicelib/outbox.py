"""Send the messages of many orders in batches."""

from __future__ import annotations

from chalicelib import logs, queue
from chalicelib.errors import Unavailable
from chalicelib.orders import Order
from chalicelib.tasks import lane_of


class Outbox:
    """Messages to be sent, each ten of a lane in one call.

    Write an order's row before `add`: if a message is not sent, for whatever reason, the order
    stays accepted, and the sweeper sends another. As a context manager it sends the rest at the
    end.
    """

    def __init__(self) -> None:
        self._lanes: dict[str, list[tuple[Order, int]]] = {}
        self.failed = 0
        """Number of messages that were not sent."""

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def add(self, order: Order, delay_s: int) -> None:
        """Add the message of an order, to be received after `delay_s` seconds."""
        lane = lane_of(order.task)
        messages = self._lanes.setdefault(lane, [])
        messages.append((order, delay_s))
        if len(messages) == queue.MAX_BATCH:
            self._send(lane)

    def flush(self) -> None:
        """Send what has not been sent."""
        for lane in list(self._lanes):
            self._send(lane)

    def _send(self, lane: str) -> None:
        messages = self._lanes.pop(lane)
        try:
            failed = queue.send_many(messages, lane)
        except Unavailable as error:
            failed = [(order, str(error)) for order, _ in messages]
        self.failed += len(failed)
        for order, reason in failed:
            logs.event("send_failed", order=order.id, reason=reason)
