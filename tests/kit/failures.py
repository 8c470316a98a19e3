"""Failed orders of two tasks and three owners."""

from __future__ import annotations

from typing import Any

from chalicelib.orders import Order, Status
from chalicelib.tasks import task
from testkit import Cloud

OWNERS = ("anna", "ben", "cleo")
TASKS = ("boil", "fry")


class Kitchen:
    """Two tasks that fail while `broken`. `orders` has a task's orders, as (owner, id)."""

    def __init__(self, cloud: Cloud, each: int) -> None:
        self.cloud = cloud
        self.broken = True
        self.tokens = {owner: cloud.new_token(owner) for owner in OWNERS}
        self._register()
        self.orders = {
            name: {(owner, self.place(owner, name)["id"]) for owner in OWNERS for _ in range(each)}
            for name in TASKS
        }
        cloud.drain(batch=10)
        assert {row.status for row in cloud.rows()} <= {Status.FAILED}

    def _register(self) -> None:
        @task(max_attempts=1)
        def boil() -> str:
            return self._cook()

        @task(max_attempts=1)
        def fry() -> str:
            return self._cook()

    def _cook(self) -> str:
        if self.broken:
            raise ValueError("the stove is cold")
        return "done"

    def place(self, owner: str, name: str) -> Any:
        """Place an order of an owner."""
        headers = {"Authorization": f"Bearer {self.tokens[owner]}"}
        return self.cloud.place(name, headers=headers)

    def rounds(self) -> dict[str, set[int]]:
        """Return the retry rounds of each task's orders."""
        return {
            name: {self.row(owner, id).retry_round for owner, id in self.orders[name]}
            for name in TASKS
        }

    def row(self, owner: str, order_id: str) -> Order:
        """Return an order's row."""
        return self.cloud.order(order_id, owner)

    def failed_at(self, name: str) -> list[int]:
        """Return when each of a task's orders failed."""
        return [self.row(owner, id).updated_at for owner, id in self.orders[name]]
