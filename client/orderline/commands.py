"""Commands that place and follow orders.

Exit codes: 0 success, 1 the order failed, 2 wrong usage, 3 the API is not reachable or rejected the
request (connect.py).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

import click

from orderline import (
    NotReachable,
    Order,
    Orderline,
    connect,
    file_commands,
    inputs,
    terminal,
    webhook_commands,
)

FAILED = 1
WATCH_S = 2
INTERRUPTED = 130  # the shells' exit code of a command that was ended by Ctrl-C
_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Output JSON, one value per line.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@connect.options
def main(**_: str | None) -> None:
    """Place orders and follow them."""


@main.command()
@click.argument("task")
@click.argument("members", metavar="[KEY=VALUE]...", nargs=-1)
@click.option(
    "--input",
    "text",
    metavar="JSON",
    help="The whole input, instead of KEY=VALUE. Use @FILE for a file, - for standard input.",
)
@click.option(
    "--delay", "delay_s", type=click.FloatRange(0), metavar="SECONDS", help="Delay the order."
)
@click.option(
    "--after",
    "references",
    multiple=True,
    metavar="REFERENCE",
    help="An order that must end first: its id or its last characters; can be repeated.",
)
@click.option(
    "--when",
    type=click.Choice(["success", "end"]),
    help="How those orders must end; end: in any way. [default: success]",
)
@click.option(
    "--notify",
    multiple=True,
    metavar="NAME",
    help="A webhook endpoint of yours to tell of the order's end; can be repeated.",
)
@click.option(
    "--key",
    help="Idempotency key: a repetition with the same key places no second order."
    " [default: random]",
)
@click.option("--wait", is_flag=True, help="Wait until the order is done, then show it.")
@_AS_JSON
@connect.client
def place(
    client: Orderline,
    task: str,
    members: tuple[str, ...],
    text: str | None,
    delay_s: float | None,
    references: tuple[str, ...],
    when: Literal["success", "end"] | None,
    notify: tuple[str, ...],
    key: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Place an order for TASK.

    VALUE is parsed as JSON if it is valid JSON, else it is text: pieces=6 sauce=curry.

    Use @FILE for a file: image=@photo.jpg. If the task takes a file there, it is sent or uploaded
    as it is; repeat KEY=@FILE for a list of files. Otherwise the value is the file's content, in
    base64 unless it is text.
    """
    if when and not references:
        raise click.UsageError("--when needs --after, the orders that must end first")
    input = inputs.read(members, text, lambda: _input_schema(client, task))
    after = [client.find(reference) for reference in references]
    with terminal.file_errors(), terminal.transfers() as progress:
        order = client.place(
            task,
            input,
            delay_s=delay_s,
            after=after,
            when=when or "success",
            notify=notify,
            key=key,
            progress=progress,
        )
    _show_or_follow(client, order, wait, as_json)


@main.command()
@click.argument("reference")
@_AS_JSON
@connect.client
def status(client: Orderline, reference: str, as_json: bool) -> None:
    """Show an order.

    REFERENCE is the order's id, or its last characters as on the board.
    """
    order = client.get(client.find(reference))
    _show(order, as_json)
    sys.exit(_code(order))


@main.command()
@click.argument("reference")
@_AS_JSON
@connect.client
def wait(client: Orderline, reference: str, as_json: bool) -> None:
    """Wait until an order is done, then show it. Ctrl-C stops the waiting, not the order."""
    _follow(client, client.get(client.find(reference)), as_json)


@main.command("list")
@click.option("--status", "statuses", multiple=True, help="Filter by status; can be repeated.")
@click.option("--task", help="Filter by task.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Maximum number of orders.",
)
@click.option("--watch", is_flag=True, help="Refresh the list until Ctrl-C.")
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
    """List your orders, newest first."""

    def read() -> list[Order]:
        return list(client.list([status.upper() for status in statuses], task, limit))

    if as_json:
        _print_lines(read(), read_again=read if watch else None)
        return
    from orderline import show

    if watch:
        show.watch(read)
    else:
        show.table(read())


@main.command()
@click.argument("reference")
@_AS_JSON
@connect.client
def cancel(client: Orderline, reference: str, as_json: bool) -> None:
    """Cancel an order that has not started."""
    _show(client.cancel(client.find(reference)), as_json)


@main.command()
@click.argument("reference")
@click.option("--wait", is_flag=True, help="Wait until the order is done, then show it.")
@_AS_JSON
@connect.client
def stop(client: Orderline, reference: str, wait: bool, as_json: bool) -> None:
    """Cancel an order, or ask its running task to stop."""
    order = client.stop(client.find(reference))
    _show_or_follow(client, order, wait, as_json)


@main.command()
@click.argument("reference")
@click.option("--wait", is_flag=True, help="Wait until the order is done, then show it.")
@_AS_JSON
@connect.client
def retry(client: Orderline, reference: str, wait: bool, as_json: bool) -> None:
    """Run a failed or cancelled order again."""
    order = client.retry(client.find(reference))
    _show_or_follow(client, order, wait, as_json)


@main.command()
@_AS_JSON
@connect.client
def tasks(client: Orderline, as_json: bool) -> None:
    """List the available tasks."""
    available = client.tasks()
    if as_json:
        _print_lines(available)
        return
    from orderline import show

    show.tasks(available)


main.add_command(file_commands.get_file)
main.add_command(webhook_commands.webhook)


def _input_schema(client: Orderline, task: str) -> inputs.Schema:
    """Return the schema of a task's input, empty if there is no such task."""
    schemas: dict[str, inputs.Schema] = {
        each["name"]: each["input_schema"] for each in client.tasks()
    }
    return schemas.get(task, {})


def _show_or_follow(client: Orderline, order: Order, wait: bool, as_json: bool) -> None:
    if wait:
        _follow(client, order, as_json)
    else:
        _show(order, as_json)


def _follow(client: Orderline, order: Order, as_json: bool) -> None:
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
    _show(order, as_json)
    sys.exit(_code(order))


def _show_progress(client: Orderline, order: Order) -> Order:
    from orderline import show

    return show.progress(client.watch(order["id"]), order)


def _show(order: Order, as_json: bool) -> None:
    if as_json:
        _print_lines([order])
        return
    from orderline import show

    show.order(order)


def _print_lines(values: list[Any], read_again: Callable[[], list[Any]] | None = None) -> None:
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


def _code(order: Order) -> int:
    return FAILED if order["done"] and order["status"] != "SUCCESS" else 0
