"""A task that does nothing: its order waits for others, so that one can wait for many groups."""

from __future__ import annotations

from chalicelib.execution.registry import built_in

TOGETHER = "orderline.together"


@built_in("together")
def together() -> None:
    """Wait for other orders, on behalf of an order that waits for more than a row can hold."""
