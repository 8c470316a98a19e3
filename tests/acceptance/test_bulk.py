"""A bulk on the local stack whose HTTP server is killed again and again: each order runs once."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from orderline import Orderline, RequestRejected
from orderline.bulk import NewOrder, Outcomes

from chalicelib.orders import Order
from tests.acceptance import transcript
from tests.acceptance.stack import ROOT, Stack, copy_of_the_project, until
from tests.kit import pages
from tests.soak.stack_control import KINDS, TIMINGS, StackControl

pytestmark = pytest.mark.local

ORDERS = 2000
KILL_AT = (150, 700, 1200)  # rows in the table
NOTE = """from chalicelib.tasks import task


@task
def note(n: int) -> int:
    return n
"""


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackControl]:
    project = copy_of_the_project(tmp_path_factory.mktemp("bulk") / "project")
    (project / "chalicelib" / "tasks" / "note.py").write_text(NOTE)
    # The page's command, which runs the client of this checkout
    (project / ".venv").symlink_to(Path(sys.executable).parents[1])
    stack = Stack(project, **{**TIMINGS, "RESEND_AFTER_S": "15", "BATCH": "10"}).start()
    yield StackControl(stack)
    stack.stop()


def notes() -> list[NewOrder]:
    return [("note", {"n": n}) for n in range(ORDERS)]


def place_while_the_server_is_killed(control: StackControl) -> Outcomes:
    """Place the orders in another thread, and kill the HTTP server when there are enough rows."""
    client = Orderline(control.stack.url, control.stack.token, patience_s=30)
    outcomes: Outcomes = []
    thread = threading.Thread(target=lambda: outcomes.extend(client.place_many(notes(), "k")))
    thread.start()
    for rows in KILL_AT:
        until(lambda rows=rows: control.count() >= rows)  # type: ignore[misc]
        (server,) = control.stack.processes(KINDS["http"])
        os.kill(server, signal.SIGKILL)
        assert thread.is_alive()
    thread.join(180)
    return outcomes


def ended_orders(control: StackControl) -> list[Order]:
    """Let the sweeper send what the server could not, until every order has ended."""
    end = time.monotonic() + 240
    while True:
        rows = control.orders()
        if all(row.status.final for row in rows):
            return rows
        assert time.monotonic() < end, Counter(row.status for row in rows)
        control.sweep()
        time.sleep(1)


def test_a_bulk_whose_server_is_killed_places_and_runs_each_order_once(
    control: StackControl,
) -> None:
    outcomes = place_while_the_server_is_killed(control)

    replayed = [isinstance(each, dict) and each["replayed"] for each in outcomes]
    assert len(replayed) == ORDERS
    assert any(replayed), "no request was repeated"
    again = Orderline(control.stack.url, control.stack.token).place_many(notes(), "k")
    assert all(isinstance(each, dict) and each["replayed"] for each in again)
    rows = ended_orders(control)
    assert len(rows) == ORDERS
    assert {row.status.value for row in rows} == {"SUCCESS"}
    assert sorted(int(row.result or "-1") for row in rows) == list(range(ORDERS))


def test_the_page_s_commands_print_what_it_shows(
    control: StackControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "client"))

    assert transcript.check(control.stack, "bulk.md") == 6


def test_the_page_s_code_places_a_hundred_orders(
    control: StackControl, capsys: pytest.CaptureFixture[str]
) -> None:
    (snippet,) = [block.text for block in pages.blocks("bulk.md") if block.language == "python"]
    client = Orderline(control.stack.url, control.stack.token)

    exec(snippet, {"orderline": client, "RequestRejected": RequestRejected})

    assert capsys.readouterr().out == "100 placed, 0 refused\n"
