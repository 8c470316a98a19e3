"""What the terminal shows. Everything that an order brought is shown as text: no markup, no control sequences."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from cli.client import Order

WATCH_S = 2
STYLES = {"SUCCESS": "green", "FAILED": "red", "CANCELLED": "dim", "RUNNING": "cyan"}


def order(order: Order) -> None:
    """One order: its reference and status, and its result or error."""
    out = Console(soft_wrap=True)
    out.print(
        Text.assemble(order["id"], "  ", plain(order["task"]), "  ", _status(order), _aside(order))
    )
    if order.get("error"):
        error = order["error"]
        out.print(
            Text(
                plain(f"{error['code']} in attempt {error['attempt']}: {error['message']}"),
                style="red",
            )
        )
    if order["status"] == "SUCCESS":
        out.print(Text(json.dumps(order.get("result"), indent=2)))


def table(orders: Iterable[Order]) -> None:
    Console().print(_table(orders))


def tasks(known: Iterable[dict[str, Any]]) -> None:
    """Each task with its input's members, a ? after those that may be left out."""
    made = Table(box=None, pad_edge=False)
    for heading in ("task", "input", "what it does"):
        made.add_column(heading, overflow="fold")
    for task in known:
        schema = task["input_schema"]
        names = [
            name if name in schema.get("required", ()) else f"{name}?"
            for name in schema.get("properties", {})
        ]
        sentence = task["description"].partition("\n\n")[0]
        made.add_row(
            Text(task["name"], style="bold"), Text(plain("\n".join(names))), Text(plain(sentence))
        )
    Console().print(made)


def progress(changes: Iterator[Order], order: Order) -> Order:
    """A bar while the order is under way, on standard error, where somebody looks at it. Returns the last change."""
    err = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        shown = bar.add_task(_stage(order), total=None)
        for last in changes:
            percent = (last.get("progress") or {}).get("percent")
            bar.update(
                shown,
                description=_stage(last),
                total=None if percent is None else 100,
                completed=percent or 0,
            )
    return last


def watch(read: Callable[[], list[Order]]) -> None:
    """The table, and how it changes, until Ctrl-C."""
    try:
        with Live(_table(read()), screen=sys.stdout.isatty(), auto_refresh=False) as live:
            while True:
                time.sleep(WATCH_S)
                live.update(_table(read()), refresh=True)
    except KeyboardInterrupt:
        return


def _table(orders: Iterable[Order]) -> Table:
    made = Table(box=None, pad_edge=False)
    for heading in ("order", "task", "status", "attempts", "age", ""):
        made.add_column(
            heading,
            justify="right" if heading in ("attempts", "age") else "left",
            no_wrap=heading != "",
        )
    for order in orders:
        made.add_row(
            order["id"],
            Text(plain(order["task"])),
            _status(order),
            f"{order['attempts']} of {order['max_attempts']}",
            _age(order["created_at"]),
            _aside(order),
        )
    return made


def _stage(order: Order) -> str:
    word = plain((order.get("progress") or {}).get("word") or "")
    return f"{order['id'][-4:]} {order['status']}" + (f" · {word}" if word else "")


def _status(order: Order) -> Text:
    return Text(plain(order["status"]), style=STYLES.get(order["status"], ""))


def _aside(order: Order) -> Text:
    """How far it is, or what went wrong, in a few words."""
    progress, error = order.get("progress"), order.get("error")
    if progress and not order["done"]:
        return Text(plain(f"  {progress['percent']} % {progress['word']}"), style="cyan")
    return Text(plain(f"  {error['code']}"), style="red") if error else Text()


def _age(created_at: str) -> str:
    moment = datetime.strptime(created_at, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    seconds = max(0, int((datetime.now(timezone.utc) - moment).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def plain(text: str) -> str:
    """The text with what could steer a terminal written out: control and invisible characters."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else f"\\x{ord(letter):02x}"
        for letter in text
    )
