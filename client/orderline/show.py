"""Terminal output. Data of orders is printed as plain text: no markup, no control sequences."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from orderline import Order
from orderline.files import references
from orderline.transfer import Progress as Report

WATCH_S = 2
STYLES = {"SUCCESS": "green", "FAILED": "red", "CANCELLED": "dim", "RUNNING": "cyan"}


def order(order: Order) -> None:
    """Print an order: its id, task and status, and its result or error."""
    out = Console(soft_wrap=True)
    out.print(
        Text.assemble(order["id"], "  ", plain(order["task"]), "  ", _status(order), _note(order))
    )
    if order.get("error"):
        error = order["error"]
        line = f"{error['code']} in attempt {error['attempt']}: {error['message']}"
        out.print(Text(plain(line), style="red"))
    if order["status"] == "SUCCESS":
        out.print(Text(json.dumps(order.get("result"), indent=2)))
        _print_files(out, order)


def _print_files(out: Console, order: Order) -> None:
    files = list(references(order.get("result")))
    if not files:
        return
    rows = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for file in files:
        name = Text(plain(str(file.get("name") or file["file"])), style="bold")
        rows.add_row(name, plain(str(file.get("type", ""))), size_text(file.get("size")))
    out.print(rows)
    out.print(Text(f"To save: orderline get-file {order['id']}", style="dim"))


def size_text(size: Any) -> str:
    """Return a number of bytes in a unit that fits."""
    if not isinstance(size, int):
        return ""
    for unit, bytes_in_it in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= bytes_in_it:
            return f"{size / bytes_in_it:.1f} {unit}"
    return f"{size} bytes"


def table(orders: Iterable[Order]) -> None:
    Console().print(_table(orders))


def tasks(available: Iterable[dict[str, Any]]) -> None:
    """Print the tasks with their inputs' members, optional ones with a `?`."""
    rows = Table(box=None, pad_edge=False)
    for heading in ("task", "input", "description"):
        rows.add_column(heading, overflow="fold")
    for task in available:
        schema = task["input_schema"]
        names = [
            name if name in schema.get("required", ()) else f"{name}?"
            for name in schema.get("properties", {})
        ]
        sentence = task["description"].partition("\n\n")[0]
        rows.add_row(
            Text(task["name"], style="bold"), Text(plain("\n".join(names))), Text(plain(sentence))
        )
    Console().print(rows)


def progress(changes: Iterator[Order], order: Order) -> Order:
    """Show a progress bar on standard error if it is a terminal. Return the last change."""
    err = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        row = bar.add_task(_bar_label(order), total=None)
        for last in changes:
            percent = (last.get("progress") or {}).get("percent")
            bar.update(
                row,
                description=_bar_label(last),
                total=None if percent is None else 100,
                completed=percent or 0,
            )
    return last


@contextmanager
def transfer_bars() -> Iterator[Report]:
    """Show a bar for each file on standard error, until the block ends."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        rows: dict[str, Any] = {}

        def report(name: str, done: int, size: int) -> None:
            if name not in rows:
                rows[name] = bars.add_task(plain(name), total=size)
            bars.update(rows[name], completed=done)

        yield report


def watch(read: Callable[[], list[Order]]) -> None:
    """Show the table and refresh it until Ctrl-C."""
    try:
        with Live(_table(read()), screen=sys.stdout.isatty(), auto_refresh=False) as live:
            while True:
                time.sleep(WATCH_S)
                live.update(_table(read()), refresh=True)
    except KeyboardInterrupt:
        return


def _table(orders: Iterable[Order]) -> Table:
    rows = Table(box=None, pad_edge=False)
    for heading in ("order", "task", "status", "attempts", "age", ""):
        rows.add_column(
            heading,
            justify="right" if heading in ("attempts", "age") else "left",
            no_wrap=heading != "",
        )
    for order in orders:
        rows.add_row(
            order["id"],
            Text(plain(order["task"])),
            _status(order),
            f"{order['attempts']} of {order['max_attempts']}",
            age_text(order["created_at"]),
            _note(order),
        )
    return rows


def _bar_label(order: Order) -> str:
    word = plain((order.get("progress") or {}).get("word") or "")
    word = word or _waits_for(order)
    return f"{order['id'][-4:]} {_status(order).plain}" + (f" · {word}" if word else "")


def _status(order: Order) -> Text:
    text = plain(order["status"]) + (", stopping" if order.get("stopping") else "")
    return Text(text, style=STYLES.get(order["status"], ""))


def _waits_for(order: Order) -> str:
    """Return how many orders this one waits for, empty if for none."""
    return f"waits for {order['waits_for']}" if order.get("waits_for") else ""


def _note(order: Order) -> Text:
    """Return an order's progress, what it waits for, or the code of its error."""
    progress = order.get("progress")
    error = order.get("error")
    if progress and not order["done"]:
        return Text(plain(f"  {progress['percent']} % {progress['word']}"), style="cyan")
    if waits_for := _waits_for(order):
        return Text(plain(f"  {waits_for}"), style="cyan")
    return Text(plain(f"  {error['code']}"), style="red") if error else Text()


def age_text(time: str) -> str:
    """Return how long ago a time of the API was."""
    moment = datetime.strptime(time, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    return duration_text(max(0, int((datetime.now(timezone.utc) - moment).total_seconds())))


def duration_text(seconds: int) -> str:
    """Return a duration in a unit that fits."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def plain(text: str) -> str:
    """Escape control and invisible characters, which could control the terminal."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else f"\\x{ord(letter):02x}"
        for letter in text
    )
