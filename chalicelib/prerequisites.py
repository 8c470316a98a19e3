"""The orders that a new or retried order waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chalicelib import ids
from chalicelib.errors import InvalidPrerequisite
from chalicelib.orders import Order, Status
from chalicelib.table import batch_get
from chalicelib.webhooks.rounds import DELIVER

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
MAX_AFTER = batch_get.LIMIT
MAX_DEPENDENTS = 100  # their ids are in the prerequisite's row
WHEN = ("success", "end")


def check(owner: str, after: Sequence[str], when: str) -> dict[str, Order]:
    """Return the prerequisites of a new order by id.

    Raises InvalidPrerequisite, with a pointer to the id, if one can't be waited for.
    """
    if when not in WHEN:
        raise InvalidPrerequisite("when must be success or end", "/when")
    if len(after) > MAX_AFTER:
        raise InvalidPrerequisite(
            f"an order waits for at most {MAX_AFTER} others directly; the client library and"
            " Context.place wait for any number",
            "/after",
        )
    found = batch_get.orders(owner, filter(ids.is_id, after)) if after else {}
    for n, id in enumerate(after):
        if id not in found:
            raise InvalidPrerequisite(f"no order of yours has the id {id[:40]!r}", f"/after/{n}")
        if found[id].task == DELIVER:  # its function has no right to send messages
            raise InvalidPrerequisite(f"the order {id} delivers a webhook", f"/after/{n}")
        if not found[id].status.final and len(found[id].dependents) >= MAX_DEPENDENTS:
            raise InvalidPrerequisite(
                f"{MAX_DEPENDENTS} orders wait for {id} already; let one order wait for it, and"
                " place the others after that one",
                f"/after/{n}",
            )
    return found


def unmet(after: Sequence[str], when: str, rows: Mapping[str, Order]) -> frozenset[str]:
    """Return those of the ids whose orders have not ended as they must."""
    return frozenset(id for id in after if id not in rows or not _is_met(rows[id], when))


def of_retry(order: Order) -> frozenset[str]:
    """Return what an order must wait for again.

    A delivery waits in any case: `settle` knows which end it tells of. Raises Unavailable.
    """
    if order.after is None:
        return frozenset()
    if order.task == DELIVER:
        return frozenset(order.after)
    return unmet(order.after, order.when or "", batch_get.orders(order.owner, order.after))


def _is_met(row: Order, when: str) -> bool:
    return row.status is Status.SUCCESS or (when == "end" and row.status.final)
