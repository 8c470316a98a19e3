"""Five thousand failed orders on a running stack: the operator retries those of one task, once."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from chalicelib import clock, dispatch, ids
from chalicelib.clock import SECOND
from chalicelib.orders import Failure, Order, Status
from chalicelib.table.items import encode_order
from dev.local.local_stack import NAME
from tests.acceptance.stack import ROOT, Stack, environment
from tests.soak.stack_control import StackControl

pytestmark = pytest.mark.local

COUNT = 5_000
OWNERS = ("anna", "ben", "cleo")
INPUTS = {"cook_nuggets": '{"pieces": 1}', "process_email": '{"message": "no email"}'}


def _failed(n: int, now: int) -> Order:
    task = sorted(INPUTS)[n % 2]
    order_id = ids.id_of(str(n))
    failed_at = now - n * SECOND // 10
    return Order(
        owner=OWNERS[n % 3],
        id=order_id,
        task=task,
        input=INPUTS[task],
        status=Status.FAILED,
        created_at=failed_at - SECOND,
        updated_at=failed_at,
        max_attempts=5,
        attempts=5,
        fingerprint="",
        fence=str(n),
        error=Failure("task_error", "OSError: no route to host", 5),
        expires_at=now // SECOND + 86_400,
        check_at=failed_at,
        check_shard=dispatch.failure_shard(task, order_id),
    )


def _store(control: StackControl, orders: list[Order]) -> None:
    for start in range(0, len(orders), 25):
        puts = [
            {"PutRequest": {"Item": encode_order(order)}} for order in orders[start : start + 25]
        ]
        control.dynamodb.batch_write_item(RequestItems={f"{NAME}-orders": puts})


def _python(stack: Stack, token: str, *words: str) -> subprocess.CompletedProcess[str]:
    variables = {"ORDERLINE_URL": stack.url, "ORDERLINE_TOKEN": token}
    return subprocess.run(
        [sys.executable, *words],
        cwd=stack.project,
        env=environment(PYTHONPATH=str(ROOT / "client"), **variables),
        capture_output=True,
        text=True,
        check=False,
    )


def _orderline(stack: Stack, token: str, *words: str) -> subprocess.CompletedProcess[str]:
    return _python(stack, token, "-m", "orderline", *words, "--json")


def _result(stack: Stack, token: str, *words: str) -> Any:
    done = _orderline(stack, token, *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _admin(stack: Stack) -> str:
    return stack.dev("token", "create", "ops", "--admin").split()[0]


def test_the_operators_lines_of_the_clients_readme_run(own: Stack) -> None:
    readme = (ROOT / "client" / "README.md").read_text()
    python = re.findall(r"^```python operator\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)[0]
    commands = re.findall(r"^orderline ((?:failures|retry --task) .*)$", readme, re.MULTILINE)
    admin = _admin(own)
    orders = [_failed(n, clock.now()) for n in range(COUNT, COUNT + 40)]
    _store(StackControl(own), [order for order in orders if order.task == "process_email"])

    printed = _python(own, admin, "-c", python)
    typed = [_orderline(own, admin, *command.split()) for command in commands]

    assert printed.returncode == 0, printed.stderr
    *failures, dry, done = printed.stdout.splitlines()
    assert [line.split()[2:4] for line in failures] == [["OSError:", "no"]] * 5
    assert done == f"{dry} 0"
    assert len(commands) == 3
    assert [each.returncode for each in typed] == [0, 0, 0], typed


def test_of_five_thousand_failed_orders_those_of_one_task_are_retried_once(own: Stack) -> None:
    control = StackControl(own)
    orders = [_failed(n, clock.now()) for n in range(COUNT)]
    ids_of_all = {order.id for order in orders}
    _store(control, orders)
    admin = _admin(own)
    anna = own.dev("token", "create", "anna").split()[0]
    words = ("retry", "--task", "cook_nuggets", "--failed-since", "2h")

    refused = _orderline(own, anna, *words)
    dry = _result(own, admin, *words, "--dry-run")
    first = _result(own, admin, *words)
    second = _result(own, admin, *words)
    rows = [order for order in control.orders() if order.id in ids_of_all]
    rounds = Counter((order.task, order.owner, order.retry_round) for order in rows)
    failed = _orderline(own, admin, "failures", "--since", "2h", "--limit", str(2 * COUNT))
    still_failed = [json.loads(line) for line in failed.stdout.splitlines()]

    assert (refused.returncode, "orders:admin" in refused.stderr) == (3, True)
    assert _orderline(own, anna, "failures").stdout == ""
    assert (dry["matching"], dry["retried"]) == (COUNT // 2, 0)
    assert (first["retried"], first["refused"]) == (COUNT // 2, 0)
    assert second["retried"] == 0
    assert {(task, round) for task, _, round in rounds} == {
        ("cook_nuggets", 1),
        ("process_email", 0),
    }
    assert rounds.total() == COUNT
    assert {owner for _, owner, _ in rounds} == set(OWNERS)
    assert Counter(each["task"] for each in still_failed if each["id"] in ids_of_all) == {
        "process_email": COUNT // 2
    }
