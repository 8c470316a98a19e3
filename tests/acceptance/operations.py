"""Many tasks and failed orders for tests of the operator's page, and how to open it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import boto3
from msgspec import structs

from chalicelib import clock, dispatch, ids
from chalicelib.clock import SECOND, Micros
from chalicelib.orders import Attempt, Failure, Order, Status
from chalicelib.table.items import encode_order
from dev.local import cloud
from dev.local.local_stack import NAME
from tests.acceptance.board import expect
from tests.acceptance.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Page

FAILURES = 5000
OWNERS = ("bakery", "cinema", "local")
BUSY = ("send_email", "render_invoice", "resize_photo", "sync_customer", "charge_card")
QUIET = tuple(f"report_{n:02d}" for n in range(42))  # with three of the examples: 50 tasks
MINUTE: Micros = 60 * SECOND
LONG_TASKS = """window.longTasks = [];
new PerformanceObserver(list => {
  for (const task of list.getEntries()) window.longTasks.push(Math.round(task.duration));
}).observe({type: 'longtask', buffered: true});"""
_ERRORS = (
    ("task_error", "ConnectionError: smtp.example.com refused the connection"),
    ("time_limit", "the attempt took longer than 20 s"),
    ("task_error", "ValueError: amount must be positive, got -12"),
    ("gave_up", "the order did not finish within 86400 s (the setting MAX_AGE_S)"),
)


_TASKS = "\n\n".join(
    [
        "from chalicelib.tasks import task\n",
        *(f"@task\ndef {name}(n: int = 0) -> None:\n    pass\n" for name in BUSY),
        *(f'@task(lane="reports")\ndef {name}(n: int = 0) -> None:\n    pass\n' for name in QUIET),
    ]
)


def prepare(project: Path) -> None:
    """Add the tasks and a second lane to a copy of the project."""
    (project / "chalicelib" / "tasks" / "operations.py").write_text(_TASKS)
    (project / "orderline.yaml").write_text("lanes:\n  reports: {timeout_s: 300}\n")


def with_orders(stack: Stack) -> str:
    """Store failed and succeeded orders in a stack, and return a token of its operator."""
    store(stack, failed_orders())
    store(stack, succeeded_orders(150, "local"))
    return admin_token(stack)


def failed_orders(
    count: int = FAILURES, first: int = 0, tasks: tuple[str, ...] = BUSY, code: str = ""
) -> list[Order]:
    """Return orders that failed in the last 20 hours, the newest first.

    Args:
        count: how many
        first: the number of the first, from which its id follows
        tasks: the names of their tasks, those with most failures first
        code: the code of each error; by default several
    """
    now = clock.now()
    orders = []
    for n in range(count):
        rank = (0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 0, 1, 4)[n * 5 % 13]
        task = tasks[min(rank, len(tasks) - 1)]
        usual_code, message = _ERRORS[n * 13 % len(_ERRORS)]
        failed_at = now - n * 14 * SECOND - SECOND
        order = _order(first + n, OWNERS[n * 17 % len(OWNERS)], task, Status.FAILED, failed_at)
        changes = {
            "error": Failure(code or usual_code, message, 2),
            "check_at": failed_at,
            "check_shard": dispatch.failure_shard(task, order.id),
        }
        orders.append(structs.replace(order, **changes))
    return orders


def succeeded_orders(count: int, owner: str) -> list[Order]:
    """Return orders that ended with success in the last minutes."""
    now = clock.now()
    return [
        _order(
            FAILURES + n,
            owner,
            (*BUSY, *QUIET[:3])[n * 7 % 8],
            Status.SUCCESS,
            now - n * n * 37 // 200 * SECOND - SECOND,
        )
        for n in range(count)
    ]


def store(stack: Stack, orders: Iterable[Order]) -> None:
    """Write the rows of orders to a stack's table."""
    rows = [{"PutRequest": {"Item": encode_order(order)}} for order in orders]
    variables = cloud.client_environment(int(stack.options["CLOUD_PORT"]))
    with patch.dict(os.environ, variables):
        dynamodb = boto3.client("dynamodb")
        for start in range(0, len(rows), 25):
            dynamodb.batch_write_item(RequestItems={f"{NAME}-orders": rows[start : start + 25]})


def admin_token(stack: Stack) -> str:
    """Create a token with the scope orders:admin, of the owner `local`."""
    return stack.dev("token", "create", "local", "--admin").split()[0]


def show(page: Page, stack: Stack, token: str, filters: str = "") -> None:
    """Open the page and wait until it has read everything."""
    with reading(page):
        page.goto(f"{stack.url}/operator#token={token}{filters}")
    expect(page.locator("#state")).to_have_text("Live")


@contextmanager
def reading(page: Page) -> Iterator[None]:
    """Wait at the end until the failures that the block makes the page read are shown."""
    with page.expect_response(lambda response: "/operator/failures?" in response.url):
        yield
    expect(page.locator("#shown")).to_contain_text("read at")


def _order(n: int, owner: str, task: str, status: Status, ended: Micros) -> Order:
    weight = sum(map(ord, task)) % 7 + 1  # some tasks are slower than others
    waited = (n * n * 7 % (900 * weight) + 40) * 1000
    ran = (n * 131 % (120 * weight**2) + 15 * weight**2) * 1000
    return Order(
        owner=owner,
        id=ids.id_of("operations", str(n)),
        task=task,
        input=json.dumps({"n": n}),
        status=status,
        created_at=ended - ran - waited,
        updated_at=ended,
        max_attempts=5,
        fingerprint="",
        fence="",
        attempts=2 if status is Status.FAILED else 1,
        result=None if status is Status.FAILED else "null",
        history=(Attempt(ended - ran, ended, "task_error" if status is Status.FAILED else None),),
        expires_at=ended // SECOND + 30 * 86400,
    )
