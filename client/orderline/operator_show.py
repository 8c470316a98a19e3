"""Terminal output of the operator's commands. Data of orders is printed as plain text."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orderline.operator_types import Failure, Overview, TaskCounts
from orderline.show import age_text, duration_text, plain

WATCH_S = 10
_WIDE = 400  # columns of a file or a pipe, where nothing needs to be cut off


def failures(orders: Iterable[Failure]) -> None:
    """Print a table of failed orders."""
    rows = _table(("failed", "attempts"), "failed", "owner", "order", "task", "attempts", "error")
    for order in orders:
        error = order.get("error") or {}
        reason = " ".join(f"{error.get('code', '')}: {error.get('message', '')}".split())
        rows.add_row(
            f"{age_text(order['failed_at'])} ago",
            Text(plain(order["owner"])),
            order["id"],
            Text(plain(order["task"])),
            f"{order['attempts']} of {order['max_attempts']}",
            Text(plain(reason), style="red"),
        )
    _console().print(rows)


def overview(current: Overview) -> None:
    """Print the overview."""
    _console().print(_overview(current))


def watch(read: Callable[[], Overview]) -> None:
    """Show the overview again and again until Ctrl-C; print it as text without a terminal."""
    try:
        if not sys.stdout.isatty():
            while True:
                overview(read())
                _console().print()
                time.sleep(WATCH_S)
        with Live(_overview(read()), screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(WATCH_S)
                live.update(_overview(read()), refresh=True)
    except KeyboardInterrupt:
        return


def _overview(current: Overview) -> RenderableType:
    lanes = _table(("waiting", "running", "delayed"), "lane", "waiting", "running", "delayed")
    for lane in current["lanes"]:
        numbers = (lane["waiting"], lane["running"], lane["delayed"])
        lanes.add_row(plain(lane["name"]), *map(_number, numbers))
    counts = ("failed 1 h", "failed 24 h", "overdue")
    tasks = _table(counts, "task", "lane", *counts)
    for task in sorted(current["tasks"], key=_trouble_first):
        most = task["failed_24h"] if task["more"] else None  # where counting stopped
        tasks.add_row(
            Text(plain(task["name"])),
            plain(task["lane"]),
            _warning(task["failed_1h"], most),
            _warning(task["failed_24h"], most),
            _warning(task["overdue"], None),
        )
    return Group(_headline(current), Text(), lanes, Text(), tasks)


def _headline(current: Overview) -> Text:
    overdue = current["overdue"]
    more = "+" if overdue["more"] else ""
    oldest = f", the oldest for {duration_text(overdue['oldest_s'])}" if overdue["count"] else ""
    return Text.assemble(
        current["at"][:19].replace("T", " "),
        " UTC  ",
        (f"{overdue['count']}{more} overdue{oldest}", "red" if overdue["count"] else ""),
        "  ",
        (f"{_number(current['dead_letters'])} dead letters", ""),
    )


def _trouble_first(task: TaskCounts) -> tuple[Any, ...]:
    return -task["failed_1h"], -task["failed_24h"], -task["overdue"], task["name"]


def _warning(count: int, most: int | None) -> Text:
    """Return a count, in red unless it is zero, and with a `+` if counting stopped there."""
    return Text(f"{count}+" if count == most else str(count), style="red" if count else "")


def _number(number: int | None) -> str:
    return "?" if number is None else str(number)


def _table(right: Iterable[str], *headings: str) -> Table:
    """Return an empty table; the columns `right` have numbers."""
    rows = Table(box=None, pad_edge=False)
    for heading in headings:
        rows.add_column(heading, justify="right" if heading in right else "left", no_wrap=True)
    return rows


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=_WIDE)
