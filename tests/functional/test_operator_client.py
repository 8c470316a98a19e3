"""The operator's client and its commands against the API over real HTTP, with lost answers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from orderline import NotReachable, Orderline, RequestRejected, operator
from orderline.operator import Operator

from chalicelib.clock import SECOND
from chalicelib.orders import Status
from testkit import Cloud, Wire
from testkit.wire import Call
from tests.acceptance.stack import PATIENCE_S, until
from tests.functional.test_commands import ROOT, Terminal, at_a_screen
from tests.kit.failures import OWNERS, Kitchen
from tests.kit.front import Front, serving

EACH = 3  # failed orders of each owner and task
ALL = EACH * len(OWNERS)  # failed orders of each task


@pytest.fixture
def kitchen(cloud: Cloud) -> Kitchen:
    return Kitchen(cloud, EACH)


@pytest.fixture
def admin(cloud: Cloud) -> str:
    return cloud.new_token("ops", scopes=("orders:admin",))


@pytest.fixture
def ops(kitchen: Kitchen, front: Front, admin: str) -> Operator:
    return Orderline(front.url, admin).operator


@pytest.fixture
def terminal(kitchen: Kitchen, admin: str) -> Iterator[Terminal]:
    with serving(kitchen.cloud) as front:
        terminal = Terminal(front)
        terminal.environment["ORDERLINE_TOKEN"] = admin
        yield terminal


def moment(cloud: Cloud, ago_s: float = 0) -> datetime:
    """Return a time by the test's clock."""
    return datetime.fromtimestamp(cloud.clock() / SECOND, timezone.utc) - timedelta(seconds=ago_s)


def hour_ago(cloud: Cloud) -> str:
    return moment(cloud, 3600).isoformat()


def test_failures_are_those_of_all_owners_the_latest_first(ops: Operator, kitchen: Kitchen) -> None:
    found = list(ops.failures(since=hour_ago(kitchen.cloud)))
    times = [order["failed_at"] for order in found]

    assert {(order["owner"], order["id"]) for order in found} == (
        kitchen.orders["boil"] | kitchen.orders["fry"]
    )
    assert len(found) == 2 * ALL
    assert times == sorted(times, reverse=True)
    assert {order["error"]["code"] for order in found} == {"task_error"}


def test_failures_are_filtered_limited_and_read_page_by_page(
    ops: Operator, kitchen: Kitchen, front: Front
) -> None:
    middle = sorted(kitchen.failed_at("fry"))[ALL // 2]
    split = datetime.fromtimestamp(middle / SECOND, timezone.utc)
    since = hour_ago(kitchen.cloud)

    assert {order["task"] for order in ops.failures(task="fry", since=since)} == {"fry"}
    assert len(list(ops.failures(owner="ben", since=since))) == 2 * EACH
    assert not list(ops.failures(code="time_limit", since=since))
    assert len(list(ops.failures(task="fry", since=split))) == ALL - ALL // 2
    assert len(list(ops.failures(task="fry", since=since, until=split))) == ALL // 2
    front.requests.clear()
    assert len(list(ops.failures(limit=4))) == 4
    assert len(front.requests) == 1


def test_all_pages_of_failures_are_read(
    ops: Operator, kitchen: Kitchen, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "PAGE", 4)

    found = [(order["owner"], order["id"]) for order in ops.failures()]

    assert sorted(found) == sorted(kitchen.orders["boil"] | kitchen.orders["fry"])
    assert len(front.requests) == 5


def test_a_retry_runs_exactly_the_failed_orders_of_its_task_again_and_twice_is_once(
    cloud: Cloud, front: Front, admin: str
) -> None:
    kitchen = Kitchen(cloud, 10)
    operator = Orderline(front.url, admin).operator
    since = hour_ago(cloud)

    first = operator.retry("boil", since)
    again = operator.retry("boil", since)
    kitchen.broken = False
    cloud.drain(batch=10)
    after_their_end = operator.retry("boil", since)

    assert (first["retried"], first["refused"]) == (30, 0)
    assert (again["retried"], after_their_end["retried"]) == (0, 0)
    assert kitchen.rounds() == {"boil": {1}, "fry": {0}}
    assert {kitchen.row(*order).status for order in kitchen.orders["boil"]} == {Status.SUCCESS}
    assert {kitchen.row(*order).status for order in kitchen.orders["fry"]} == {Status.FAILED}


def test_a_retry_takes_several_requests_and_reports_its_progress(
    ops: Operator, kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "MAX_ORDERS", 4)
    counts: list[int] = []

    result = ops.retry("fry", hour_ago(kitchen.cloud), progress=counts.append)

    assert result["retried"] == ALL
    assert kitchen.rounds() == {"boil": {0}, "fry": {1}}
    assert counts[-1] == ALL
    assert len(counts) > ALL // 4


def test_a_retry_leaves_orders_alone_that_fail_again_meanwhile(
    ops: Operator, kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator, "MAX_ORDERS", 4)

    def fail_again(count: int) -> None:
        assert count <= ALL
        kitchen.cloud.drain(batch=10)

    result = ops.retry("boil", hour_ago(kitchen.cloud), progress=fail_again)

    assert result["retried"] == ALL
    assert kitchen.rounds() == {"boil": {1}, "fry": {0}}


def test_a_repeated_retry_leaves_orders_alone_that_have_failed_again(
    ops: Operator, kitchen: Kitchen, front: Front, admin: str
) -> None:
    since = hour_ago(kitchen.cloud)
    before = ops.retry("boil", since, dry_run=True)["failed_before"]
    impatient = Orderline(front.url, admin, patience_s=0).operator
    front.lose = 1
    with pytest.raises(NotReachable):
        impatient.retry("boil", since, before)
    kitchen.cloud.drain(batch=10)

    repeated = impatient.retry("boil", since, before)
    later = impatient.retry("boil", since)

    assert repeated["retried"] == 0
    assert later["retried"] == ALL
    assert kitchen.rounds() == {"boil": {2}, "fry": {0}}


def test_a_retry_whose_answers_are_lost_is_repeated_and_retries_once(
    ops: Operator, kitchen: Kitchen, front: Front
) -> None:
    for lost in (1, 2):  # the dry run's answer; that of the retry too
        front.lose = lost
        ops.retry("boil", hour_ago(kitchen.cloud))

    assert kitchen.rounds() == {"boil": {1}, "fry": {0}}


def test_retries_go_on_where_aws_failed(ops: Operator, kitchen: Kitchen, wire: Wire) -> None:
    selected = list(ops.failures(task="fry"))
    fail_at_the_third(wire, "UpdateItem")
    of_task = ops.retry("boil", hour_ago(kitchen.cloud))
    fail_at_the_third(wire, "UpdateItem")
    chosen = ops.retry_orders(selected)

    results = (of_task, chosen)
    assert [(each["retried"], each["refused"], each["matching"]) for each in results] == [
        (ALL, 0, ALL),
        (ALL, 0, ALL),
    ]
    assert kitchen.rounds() == {"boil": {1}, "fry": {1}}


def fail_at_the_third(wire: Wire, operation: str) -> None:
    """Drop each request of the third call of an operation."""
    seen = 0

    def count(call: Call) -> None:
        nonlocal seen
        seen += call.operation == operation
        if seen == 3:
            wire.breaks(operation)
            wire.gate = None

    wire.gate = count


def test_a_dry_run_counts_and_changes_nothing(ops: Operator, kitchen: Kitchen) -> None:
    before = sorted(kitchen.cloud.rows(), key=lambda row: row.id)

    found = ops.retry("boil", hour_ago(kitchen.cloud), dry_run=True)

    assert (found["matching"], found["more"], found["retried"]) == (ALL, False, 0)
    assert sorted(kitchen.cloud.rows(), key=lambda row: row.id) == before


def test_a_retry_spreads_the_attempts_over_a_period(ops: Operator, kitchen: Kitchen) -> None:
    start = kitchen.cloud.clock()
    ops.retry("fry", hour_ago(kitchen.cloud), over_s=600)
    rows = [kitchen.row(*order) for order in kitchen.orders["fry"]]
    ahead_s = [((row.run_at or 0) - start) / SECOND for row in rows]

    assert min(ahead_s) >= 0
    assert max(ahead_s) <= 601
    assert max(ahead_s) - min(ahead_s) > 200


def test_selected_orders_are_retried_once(ops: Operator, kitchen: Kitchen) -> None:
    selected = list(ops.failures(task="boil", owner="anna"))[:2]

    first = ops.retry_orders(selected)
    kitchen.cloud.drain(batch=10)
    again = ops.retry_orders(selected)

    assert (first["retried"], first["refused"]) == (2, 0)
    assert (again["retried"], again["refused"], len(again["problems"])) == (0, 2, 2)
    assert sorted(
        row.id for row in kitchen.cloud.rows() if row.retry_round == 1 and row.owner == "anna"
    ) == sorted(order["id"] for order in selected)


def test_orders_without_the_time_of_their_failure_need_one(ops: Operator, kitchen: Kitchen) -> None:
    owner, order_id = next(iter(kitchen.orders["boil"]))
    names = [{"owner": owner, "id": order_id}]

    with pytest.raises(ValueError, match="need failed_before"):
        ops.retry_orders(names)
    assert ops.retry_orders(names, failed_before=moment(kitchen.cloud))["retried"] == 1
    with pytest.raises(ValueError, match="time zone"):
        ops.retry("boil", datetime(2026, 1, 1))  # noqa: DTZ001


def test_orders_of_other_owners_are_shown_and_cancelled(
    ops: Operator, kitchen: Kitchen, wire: Wire
) -> None:
    placed = [{"owner": owner, "id": kitchen.place(owner, "fry")["id"]} for owner in OWNERS]
    gone = {"owner": "anna", "id": "0" * 26}

    result = ops.cancel_orders([*placed, gone])
    fail_at_the_third(wire, "GetItem")
    again = ops.cancel_orders(placed, stop_running=False)
    shown = ops.show("ben", placed[1]["id"], include=["input", "history"])

    assert (result["cancelled"], result["refused"], again["cancelled"]) == (3, 1, 3)
    assert [item["owner"] for item in result["items"]] == [*OWNERS, "anna"]
    assert [item["status"] for item in again["items"]] == ["CANCELLED"] * 3
    assert result["items"][3]["problem"]["type"] == "/problems/not-found"
    assert (shown["owner"], shown["status"], shown["input"]) == ("ben", "CANCELLED", {})


def test_the_overview_counts_failures_by_task(ops: Operator, kitchen: Kitchen) -> None:
    kitchen.place("anna", "fry")

    overview = ops.overview()

    counts = {each["name"]: each["failed_1h"] for each in overview["tasks"]}
    assert (counts["boil"], counts["fry"], counts["cook_nuggets"]) == (ALL, ALL, 0)
    assert [(lane["name"], lane["waiting"]) for lane in overview["lanes"]] == [("default", 1)]
    assert (overview["overdue"]["count"], overview["dead_letters"]) == (0, 0)


def test_an_owners_token_sees_and_retries_nothing(kitchen: Kitchen, front: Front) -> None:
    anna = Orderline(front.url, kitchen.tokens["anna"]).operator
    calls: list[Any] = [
        anna.overview,
        lambda: list(anna.failures()),
        lambda: anna.show("anna", "0" * 26),
        lambda: anna.retry("boil", hour_ago(kitchen.cloud)),
        lambda: anna.retry_orders([{"owner": "ben", "id": "0" * 26}], hour_ago(kitchen.cloud)),
        lambda: anna.cancel_orders([{"owner": "ben", "id": "0" * 26}]),
    ]
    for call in calls:
        with pytest.raises(RequestRejected, match="orders:admin") as error:
            call()
        assert error.value.status == 403
    assert kitchen.rounds() == {"boil": {0}, "fry": {0}}


# The commands


def lines(terminal: Terminal, *words: str) -> list[Any]:
    result = terminal.type(*words, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_command_retries_all_failed_orders_of_a_task(
    terminal: Terminal, kitchen: Kitchen
) -> None:
    words = ("retry", "--task", "fry", "--failed-since", hour_ago(kitchen.cloud), "--over", "10m")

    dry = terminal.type(*words, "--dry-run")
    rounds_after_dry = kitchen.rounds()
    done = terminal.type(*words)
    again = terminal.json(*words)

    assert (dry.exit_code, dry.stdout) == (0, f"{ALL} orders would be retried.\n")
    assert rounds_after_dry == {"boil": {0}, "fry": {0}}
    assert (done.exit_code, done.stdout) == (0, f"{ALL} orders retried over the next 600 s.\n")
    assert (again["retried"], again["refused"]) == (0, 0)
    assert kitchen.rounds() == {"boil": {0}, "fry": {1}}
    assert all(kitchen.row(*order).run_at for order in kitchen.orders["fry"])


def test_after_a_lost_answer_the_command_prints_how_to_retry_the_rest(
    terminal: Terminal, kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orderline.connect.PATIENCE_S", 0)
    since = hour_ago(kitchen.cloud)
    terminal.front.deliver = 1  # the answer to the dry run
    terminal.front.lose = 1

    lost = terminal.type("retry", "--task", "boil", "--failed-since", since, "--over", "60s")
    command = lost.stderr.partition("retry the rest: orderline ")[2].splitlines()[0]
    kitchen.cloud.drain(batch=10)
    repeated = terminal.json(*command.split())

    assert (lost.exit_code, "does not answer" in lost.stderr) == (3, True)
    assert repeated["retried"] == 0
    assert kitchen.rounds() == {"boil": {1}, "fry": {0}}


def test_ctrl_c_prints_how_to_retry_the_rest(
    terminal: Terminal, kitchen: Kitchen, wire: Wire
) -> None:
    pytest.importorskip("rich")  # requirements.txt alone lacks it
    words = ("retry", "--task", "boil", "--failed-since", hour_ago(kitchen.cloud))
    retrying = subprocess.Popen(
        [sys.executable, "-m", "orderline", *words],
        cwd=ROOT,
        text=True,
        env={**os.environ, **terminal.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )

    def interrupt(call: Call) -> None:
        if call.operation == "UpdateItem":
            retrying.send_signal(signal.SIGINT)
            retrying.wait(PATIENCE_S)

    wire.gate = interrupt
    _, stderr = retrying.communicate(timeout=PATIENCE_S)

    assert retrying.returncode == 130
    assert "retry the rest: orderline retry --task boil" in stderr
    assert "Traceback" not in stderr


def test_failures_and_the_overview_are_lines_of_json(terminal: Terminal, kitchen: Kitchen) -> None:
    failed = lines(terminal, "failures", "--task", "boil", "--owner", "ben", "--limit", "2")
    (overview,) = lines(terminal, "overview")

    assert {(order["task"], order["owner"]) for order in failed} == {("boil", "ben")}
    assert len(failed) == 2
    assert {"lanes", "tasks", "overdue", "dead_letters", "at"} <= set(overview)


def test_failures_and_the_overview_are_readable_without_a_terminal(
    terminal: Terminal, kitchen: Kitchen
) -> None:
    pytest.importorskip("rich")  # requirements.txt alone lacks it
    failed = terminal.type("failures", "--limit", "3").stdout.splitlines()
    overview = [line.split() for line in terminal.type("overview").stdout.splitlines()]

    assert failed[0].split() == ["failed", "owner", "order", "task", "attempts", "error"]
    assert len(failed) == 4
    assert all("task_error: ValueError: the stove is cold" in line for line in failed[1:])
    assert ["default", "0", "0", "0"] in overview
    assert ["boil", "default", str(ALL), str(ALL), "0"] in overview
    assert overview.index(["fry", "default", str(ALL), str(ALL), "0"]) < [
        line[0] if line else "" for line in overview
    ].index("cook_nuggets")


def test_a_watched_overview_is_text_without_a_terminal(
    terminal: Terminal, kitchen: Kitchen, tmp_path: Path
) -> None:
    pytest.importorskip("rich")  # requirements.txt alone lacks it
    output = tmp_path / "output"
    with output.open("w") as stream:
        watching = subprocess.Popen(
            [sys.executable, "-m", "orderline", "overview", "--watch"],
            cwd=ROOT,
            env={**os.environ, **terminal.environment},
            stdout=stream,
            stderr=stream,
        )
    try:
        until(lambda: ["fry", "default", str(ALL), str(ALL), "0"] in words_of(output))
        watching.send_signal(signal.SIGINT)
        assert watching.wait(PATIENCE_S) == 0
    finally:
        watching.kill()
    assert "Traceback" not in output.read_text()


def words_of(output: Path) -> list[list[str]]:
    """Return the words of each line."""
    return [line.split() for line in output.read_text().splitlines()]


@pytest.mark.local
def test_a_terminal_shows_the_overview_until_ctrl_c_and_a_retry(
    terminal: Terminal, kitchen: Kitchen
) -> None:
    with at_a_screen(terminal, "overview", "--watch") as watching:
        watching.reads("dead letters")
        watching.reads("boil")
        watching.interrupt()
    words = ("retry", "--task", "boil", "--failed-since", hour_ago(kitchen.cloud))
    with at_a_screen(terminal, *words) as retrying:
        retrying.reads(f"{ALL} orders retried.")
    assert (watching.exit_code, retrying.exit_code) == (0, 0)


def test_an_owners_token_is_told_what_the_operator_needs(
    terminal: Terminal, kitchen: Kitchen
) -> None:
    terminal.environment["ORDERLINE_TOKEN"] = kitchen.tokens["anna"]
    for words in (
        ["failures"],
        ["overview"],
        ["retry", "--task", "boil", "--failed-since", "2h"],
    ):
        result = terminal.type(*words, "--json")
        assert (result.exit_code, result.stdout) == (3, "")
        assert "orders:admin" in result.stderr
        assert "token create OWNER --admin" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "REFERENCE, or use --task and --failed-since"),
        (["7XYZ", "--task", "fry", "--failed-since", "2h"], "REFERENCE or --task, not both"),
        (["7XYZ", "--over", "1h"], "REFERENCE or --over, not both"),
        (["7XYZ", "--dry-run"], "REFERENCE or --dry-run, not both"),
        (["--task", "fry"], "--task and --failed-since belong together"),
        (["--failed-since", "2h"], "--task and --failed-since belong together"),
        (["--task", "fry", "--failed-since", "2h", "--wait"], "--wait is for one order"),
        (["--task", "fry", "--failed-since", "2 hours"], "such as 90s, 2h or 3d"),
        (["--task", "fry", "--failed-since", "2026-11-26"], "2026-01-31T08:00:00Z"),
        (["--task", "fry", "--failed-since", "2h", "--over", "60"], "a number and s, m, h or d"),
    ],
)
def test_a_retry_of_one_order_or_of_many_and_nothing_between(
    cloud: Cloud, words: list[str], message: str
) -> None:
    with serving(cloud) as front:
        result = Terminal(front).type("retry", *words)
    assert (result.exit_code, message in result.output) == (2, True), result.output
    assert front.requests == []


def test_several_orders_are_cancelled_at_once(cloud: Cloud) -> None:
    with serving(cloud) as front:
        terminal = Terminal(front)
        ids = [terminal.json("place", "cook_nuggets", "pieces=1")["id"] for _ in range(4)]
        cloud.claim(ids[3], lease_s=60)
        done = terminal.type("cancel", ids[0], ids[1][-6:])
        refused = terminal.type("cancel", ids[2], ids[3], "0" * 26, "--json")

    assert (done.exit_code, done.stdout) == (0, "2 orders cancelled.\n")
    assert refused.exit_code == 3
    assert "2 orders refused:" in refused.stderr
    assert f"{ids[3]}: only a PENDING order" in refused.stderr
    assert [json.loads(line).get("status") for line in refused.stdout.splitlines()] == [
        "CANCELLED",
        None,
        None,
    ]
    assert [cloud.get(id)["status"] for id in ids] == ["CANCELLED"] * 3 + ["RUNNING"]
