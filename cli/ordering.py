"""The commands that place orders and follow them. Exit codes: 0 success, 1 the order failed, 2 usage, 3 not reachable
or refused (cli/connect.py).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import click

from cli import connect, inputs
from cli.client import NotReachable, Order, Orderline

FAILED = 1
WATCH_S = 2
INTERRUPTED = 130  # what shells expect of a command that Ctrl-C ended
_AS_JSON = click.option(
    "--json", "as_json", is_flag=True, help="JSON for scripts: one value a line."
)


@click.command()
@click.argument("task")
@click.argument("members", metavar="[KEY=VALUE]...", nargs=-1)
@click.option(
    "--input",
    "text",
    metavar="JSON",
    help="The whole input, instead of KEY=VALUE; @FILE and - are read.",
)
@click.option(
    "--delay", "delay_s", type=click.FloatRange(0), metavar="SECONDS", help="Run it no sooner."
)
@click.option(
    "--key", help="Its Idempotency-Key: the same key places no second order. Else a random one."
)
@click.option("--wait", is_flag=True, help="Wait for its end, and show it.")
@_AS_JSON
@connect.client
def place(
    client: Orderline,
    task: str,
    members: tuple[str, ...],
    text: str | None,
    delay_s: float | None,
    key: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Place an order for TASK.

    VALUE is JSON where it reads as such, else text: pieces=6 sauce=curry. @FILE stands for a file's text, or for its
    base64 if it is no text: image=@digit.png.
    """
    order = client.place(task, inputs.read(members, text), delay_s=delay_s, key=key)
    if wait:
        _follow(client, order, as_json)
    else:
        _show(order, as_json)


@click.command()
@click.argument("reference")
@_AS_JSON
@connect.client
def status(client: Orderline, reference: str, as_json: bool) -> None:
    """How an order stands. REFERENCE is its id, or the last characters that the board shows."""
    order = client.get(client.find(reference))
    _show(order, as_json)
    sys.exit(_code(order))


@click.command()
@click.argument("reference")
@_AS_JSON
@connect.client
def wait(client: Orderline, reference: str, as_json: bool) -> None:
    """Wait for an order's end, and show it. Ctrl-C stops the waiting, not the order."""
    _follow(client, client.get(client.find(reference)), as_json)


@click.command("list")
@click.option(
    "--status", "statuses", multiple=True, help="Only these; may be given more than once."
)
@click.option("--task", help="Only of this task.")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="No more than so many."
)
@click.option("--watch", is_flag=True, help="Stay, and show what changes, until Ctrl-C.")
@_AS_JSON
@connect.client
def list_orders(
    client: Orderline,
    statuses: tuple[str, ...],
    task: str | None,
    limit: int,
    watch: bool,
    as_json: bool,
) -> None:
    """Your orders, newest first."""

    def read() -> list[Order]:
        return list(client.list([status.upper() for status in statuses], task, limit))

    if as_json:
        _lines(read(), again=read if watch else None)
        return
    from cli import show

    if watch:
        show.watch(read)
    else:
        show.table(read())


@click.command()
@click.argument("reference")
@_AS_JSON
@connect.client
def cancel(client: Orderline, reference: str, as_json: bool) -> None:
    """Withdraw an order that waits."""
    _show(client.cancel(client.find(reference)), as_json)


@click.command()
@click.argument("reference")
@click.option("--wait", is_flag=True, help="Wait for its end, and show it.")
@_AS_JSON
@connect.client
def retry(client: Orderline, reference: str, wait: bool, as_json: bool) -> None:
    """Another round for an order that failed or was cancelled."""
    order = client.retry(client.find(reference))
    if wait:
        _follow(client, order, as_json)
    else:
        _show(order, as_json)


@click.command()
@_AS_JSON
@connect.client
def tasks(client: Orderline, as_json: bool) -> None:
    """What can be ordered."""
    known = client.tasks()
    if as_json:
        _lines(known)
        return
    from cli import show

    show.tasks(known)


COMMANDS = (place, status, wait, list_orders, cancel, retry, tasks)


def _follow(client: Orderline, order: Order, as_json: bool) -> None:
    """Show how it gets on until it ends, then it, and exit with its code."""
    try:
        order = client.wait(order["id"]) if as_json else _progress(client, order)
    except KeyboardInterrupt:
        click.echo(f"The order goes on. Find it again: python -m cli wait {order['id']}", err=True)
        sys.exit(INTERRUPTED)
    except NotReachable:
        click.echo(
            f"The order goes on, as far as is known. Find it again: python -m cli wait {order['id']}",
            err=True,
        )
        raise
    _show(order, as_json)
    sys.exit(_code(order))


def _progress(client: Orderline, order: Order) -> Order:
    from cli import show

    return show.progress(client.watch(order["id"]), order)


def _show(order: Order, as_json: bool) -> None:
    if as_json:
        _lines([order])
        return
    from cli import show

    show.order(order)


def _lines(values: list[Any], again: Callable[[], list[Any]] | None = None) -> None:
    """A line of JSON for each value; read `again`, a line for each that has changed, until Ctrl-C."""
    known: list[Any] = []
    try:
        while True:
            for value in reversed(values) if again else values:
                if value not in known:
                    click.echo(json.dumps(value))
            if again is None:
                return
            time.sleep(WATCH_S)
            known, values = values, again()
    except KeyboardInterrupt:
        return


def _code(order: Order) -> int:
    return FAILED if order["done"] and order["status"] != "SUCCESS" else 0
