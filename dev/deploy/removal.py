"""Tell what to do about the messages in a queue that a deploy would delete. Pure."""

from __future__ import annotations

from collections.abc import Collection

from chalicelib.config import WEBHOOKS_LANE

_DROP = "; or set DROP_MESSAGES=1"


def fix(queue: str, lanes: Collection[str], can_drop: bool) -> str:
    """Return how to remove a queue, given its logical name and the lanes of the stack.

    `can_drop`: the user may also let the deploy delete the messages.
    """
    lane = queue.removesuffix("OrdersQueue").lower()
    if lane not in lanes:
        way, dropped = "Empty it first", ""
    elif lane == WEBHOOKS_LANE:
        way = (
            "They are of webhooks that are not delivered yet. Keep `webhooks:` in orderline.yaml,"
            " remove the owners' endpoints (python -m dev webhook remove) and deploy again when"
            " the queue is empty"
        )
        dropped = ": these webhooks are then not delivered"
    else:
        way = (
            f"Keep the lane {lane} in orderline.yaml, let its tasks name another lane and"
            " deploy: its worker forwards the messages. Remove the lane when its queue is"
            " empty"
        )
        dropped = ": the sweeper then sends their orders to the lanes of their tasks"
    return f"{way}{_DROP}{dropped}" if can_drop else way
