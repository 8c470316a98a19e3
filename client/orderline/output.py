"""Print what a command answers: for people, or as lines of JSON; and its exit code."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click

from orderline import NotReachable, Order, Orderline

FAILED = 1
INTERRUPTED = 130  # the shells' exit code of a command that was ended by Ctrl-C
WATCH_S = 2
MAX_REASONS = 20
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Output JSON, one value per line.")


def show_or_follow(client: Orderline, order: Order, wait: bool, as_json: bool) -> None:
    """Show an order, or with `wait` follow it and exit with its code."""
    if wait:
        follow(client, order, as_json)
    else:
        show_order(order, as_json)


def follow(client: Orderline, order: Order, as_json: bool) -> None:
    """Show the order's progress until it is final, then show the order and exit with its code."""
    try:
        order = client.wait(order["id"]) if as_json else _show_progress(client, order)
    except KeyboardInterrupt:
        click.echo(
            f"The order continues. To follow it again: orderline wait {order['id']}", err=True
        )
        sys.exit(INTERRUPTED)
    except NotReachable:
        click.echo(
            f"The order may continue. To follow it again: orderline wait {order['id']}",
            err=True,
        )
        raise
    show_order(order, as_json)
    sys.exit(exit_code(order))


def _show_progress(client: Orderline, order: Order) -> Order:
    from orderline import show

    return show.progress(client.watch(order["id"]), order)


def show_order(order: Order, as_json: bool) -> None:
    """Print an order."""
    if as_json:
        print_lines([order])
        return
    from orderline import show

    show.order(order)


def print_lines(values: list[Any], read_again: Callable[[], list[Any]] | None = None) -> None:
    """Print each value as a line of JSON.

    With `read_again`, also print a line for each value that changes, until Ctrl-C.
    """
    printed: list[Any] = []
    try:
        while True:
            for value in reversed(values) if read_again else values:
                if value not in printed:
                    click.echo(json.dumps(value))
            if read_again is None:
                return
            time.sleep(WATCH_S)
            printed = values
            values = read_again()
    except KeyboardInterrupt:
        return


def exit_code(order: Order) -> int:
    """Return the exit code for an order: 1 if it failed or was cancelled."""
    return FAILED if order["done"] and order["status"] != "SUCCESS" else 0


def report_refused(count: int, items: Iterable[Mapping[str, Any]]) -> None:
    """Print to standard error how many orders were refused, if any were, and why the first were."""
    if not count:
        return
    click.echo(f"{orders(count)} refused:", err=True)
    for item in list(items)[:MAX_REASONS]:
        detail = item["problem"].get("detail") or item["problem"].get("title", "")
        owner = f"{item['owner']} " if "owner" in item else ""
        click.echo(f"  {owner}{item['id']}: {detail}", err=True)


def orders(count: int) -> str:
    """Return a number of orders in words."""
    return f"{count} order" if count == 1 else f"{count} orders"
