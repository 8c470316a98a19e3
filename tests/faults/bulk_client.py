"""A client that places and cancels many orders at once, and an operator who retries them.

Both send their requests over HTTP, and repeat each until nothing of its outcome is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chalicelib.auth import ADMIN
from chalicelib.errors import Unavailable
from chalicelib.orders import Status
from chalicelib.table import failures
from chalicelib.web.times import time_of, time_text
from testkit.cloud import Cloud
from testkit.wire import Wire
from tests.faults.bulk_invariants import BROKEN, Press
from tests.faults.client import OWNER, RepeatingClient
from tests.faults.invariants import InvariantChecker

LONG_AGO = "2000-01-01T00:00:00Z"
PAGE = 2  # orders that one request of a retry looks at
Check = Callable[[Any], None]


class BulkClient(RepeatingClient):
    """A client that can send one request about many orders, as its owner or as an operator."""

    def __init__(self, cloud: Cloud, wire: Wire, checker: InvariantChecker) -> None:
        super().__init__(cloud, wire, checker)
        with wire.unseen():
            self._operator = {"Authorization": f"Bearer {cloud.new_token('ops', scopes=(ADMIN,))}"}
        self._bulks: dict[str, dict[int, str]] = {}
        """Ids of the orders that were accepted with each key, by their number."""

    def place_many(
        self, kinds: Sequence[str], task: str = "proof", key: str | None = None
    ) -> list[str]:
        """Place orders by one bulk; return their ids. With a key that was used it places none."""
        key = key or f"bulk-{next(self._keys)}"
        accepted = self._bulks.setdefault(key, {})

        def check(body: Any) -> None:
            for n, item in enumerate(body["items"]):
                if "id" in item:
                    # An earlier answer that was lost may have accepted it too
                    assert item["replayed"] or n not in accepted, f"placed again: {item}"
                    assert accepted.setdefault(n, item["id"]) == item["id"]
                    self.accepted[item["id"]] = kinds[n]
            assert (body["placed"], body["refused"]) == (_count(body, "id"), 0), body

        orders = [{"task": task, "input": {"kind": kind}} for kind in kinds]
        self._until_known("/orders/bulk", {"orders": orders}, {"Idempotency-Key": key}, check)
        assert len(set(accepted.values())) == len(kinds), f"not each order has an id: {accepted}"
        return [accepted[n] for n in range(len(kinds))]

    def cancel_many(self, order_ids: Sequence[str], by_operator: bool = False) -> None:
        """Cancel or stop orders; of those that are cancelled, this round must never succeed."""

        def check(body: Any) -> None:
            assert [item["id"] for item in body["items"]] == list(order_ids)
            for item in body["items"]:
                if item.get("status") == Status.CANCELLED.value:
                    self.checker.record_cancel(self.checker.rows[f"{OWNER}#{item['id']}"])

        if by_operator:
            self._until_known(
                "/operator/cancel", {"orders": _owned(order_ids)}, self._operator, check
            )
        else:
            self._until_known("/orders/cancel", {"ids": order_ids}, {}, check)

    def retry_failed(self, before: str | None = None, over_s: int = 0) -> str:
        """Retry all failed orders of the task `broken`, page by page.

        Return the time before which they failed; a repetition with it retries none again.
        """
        if before:
            over_s = next(each.over_s for each in self._presses if each.before == time_of(before))
        body: dict[str, Any] = {"task": BROKEN, "failed_since": LONG_AGO, "over_s": over_s}
        if before is None:
            found = self._until_known("/operator/retry", {**body, "dry_run": True}, self._operator)
            before = str(found["failed_before"])
            assert found["matching"] == len(self._failed(BROKEN)), found
            self._presses.append(Press(time_of(before), over_s))
        body |= {"failed_before": before, "limit": PAGE}
        while True:
            answer = self._until_known("/operator/retry", body, self._operator)
            if "next" not in answer:
                return before
            body["after"] = answer["next"]

    def retry_chosen(self, order_ids: Sequence[str], before: str | None = None) -> str:
        """Retry these failed orders; otherwise as `retry_failed`."""
        if before is None:
            before = time_text(self.cloud.clock())
            self._presses.append(Press(time_of(before)))
        body = {"orders": _owned(order_ids), "failed_before": before}
        self._until_known("/operator/retry", body, self._operator)
        return before

    def check_lists(self) -> None:
        """Check which orders there are and which are listed as failed, if bulks were used."""
        if not self._bulks:
            return
        rows = self.checker.rows.values()
        placed = [row.id for row in rows if not row.parent]
        assert sorted(placed) == sorted(self.accepted), "the orders are those that were accepted"
        self.cloud.clock.advance(1)
        now = self.cloud.clock()
        with self.wire.unseen():
            for task in {row.task for row in rows}:
                listed = {entry.key for entry in failures.listed(task, 0, now)}
                assert listed == self._failed(task), f"listed failures of {task}: {listed}"
            swept = self.cloud.sweep()
        assert swept["largest_overdue_s"] == 0, "the sweeper has nothing to do with final orders"

    def forget(self) -> None:
        """Forget all requests, for the next scenario."""
        self.accepted.clear()
        self._requests.clear()
        self._bulks.clear()

    @property
    def _presses(self) -> list[Press]:
        return self.checker.bulk.presses

    def _failed(self, task: str) -> set[str]:
        rows = self.checker.rows.items()
        return {key for key, row in rows if row.task == task and row.status is Status.FAILED}

    def _until_known(
        self, path: str, body: Any, headers: dict[str, str], check: Check = lambda _: None
    ) -> Any:
        """Repeat a request until no outcome is unknown; check each answer, and return the last."""

        def send() -> Any:
            reply = self.cloud.http("POST", path, body, headers)
            if reply.status >= 500:
                raise Unavailable(reply.body)
            assert reply.status == 200, reply.body
            check(reply.json)
            if reply.json["unknown"]:
                raise Unavailable("the outcome of some orders is unknown")
            return reply.json

        return self._repeat(send)


def _owned(order_ids: Sequence[str]) -> list[dict[str, str]]:
    return [{"owner": OWNER, "id": order_id} for order_id in order_ids]


def _count(body: Any, member: str) -> int:
    return sum(member in item for item in body["items"])
