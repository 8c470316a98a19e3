"""Place one order, and the groups of orders that it waits for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orderline import prerequisites, transfer
from orderline.calls import Calls, RequestRejected
from orderline.files import Source
from orderline.transfer import Progress


def place(
    calls: Calls, body: Any, key: str, uploads: dict[str, Source], progress: Progress | None
) -> dict[str, Any]:
    """Place an order. Upload each of its files again if it was deleted meanwhile, once."""
    while True:
        try:
            order: dict[str, Any] = calls.call(
                "POST", "/orders", body, {"Idempotency-Key": key}
            ).value
            return order
        except RequestRejected as error:
            pointer = transfer.missing_file(error)
            if pointer not in uploads:
                raise
        transfer.store(calls, uploads.pop(pointer), progress, pointer)


def grouped(calls: Calls, order_ids: Sequence[str], when: str, key: str) -> Sequence[str]:
    """Place orders that wait for groups, if there are too many ids; return the ids to send."""

    def place_group(group: Sequence[str], group_key: str) -> str:
        body = {"task": prerequisites.TOGETHER, "after": group, "when": when}
        return str(place(calls, body, group_key, {}, None)["id"])

    return prerequisites.grouped(order_ids, key, place_group)
