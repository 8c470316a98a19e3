"""Commands that place and follow orders.

Exit codes: 0 success, 1 the order failed, 2 wrong usage, 3 the API is not reachable or rejected the
request (connect.py).
"""

from __future__ import annotations

import sys
from typing import Literal

import click

from orderline import (
    Order,
    Orderline,
    bulk_commands,
    connect,
    file_commands,
    inputs,
    operator_commands,
    output,
    terminal,
    webhook_commands,
)


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
@click.option(
    "--wait",
    is_flag=True,
    help="Wait until the order is done, then show it; with --each, until all are, then count them.",
)
@output.AS_JSON
@connect.client
@bulk_commands.each
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
    output.show_or_follow(client, order, wait, as_json)


@main.command()
@click.argument("reference")
@output.AS_JSON
@connect.client
def status(client: Orderline, reference: str, as_json: bool) -> None:
    """Show an order.

    REFERENCE is the order's id, or its last characters as on the board.
    """
    order = client.get(client.find(reference))
    output.show_order(order, as_json)
    sys.exit(output.exit_code(order))


@main.command()
@click.argument("reference")
@output.AS_JSON
@connect.client
def wait(client: Orderline, reference: str, as_json: bool) -> None:
    """Wait until an order is done, then show it. Ctrl-C stops the waiting, not the order."""
    output.follow(client, client.get(client.find(reference)), as_json)


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
@output.AS_JSON
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
        output.print_lines(read(), read_again=read if watch else None)
        return
    from orderline import show

    if watch:
        show.watch(read)
    else:
        show.table(read())


@main.command()
@click.argument("references", metavar="REFERENCE...", nargs=-1, required=True)
@output.AS_JSON
@connect.client
def cancel(client: Orderline, references: tuple[str, ...], as_json: bool) -> None:
    """Cancel orders that have not started."""
    ids = [client.find(reference) for reference in references]
    if len(ids) == 1:
        output.show_order(client.cancel(ids[0]), as_json)
        return
    result = client.cancel_many(ids, stop_running=False)
    if as_json:
        output.print_lines(result["items"])
    else:
        click.echo(f"{output.orders(result['cancelled'])} cancelled.")
    refused = [item for item in result["items"] if "problem" in item]
    output.report_refused(len(refused), refused)
    if refused:
        sys.exit(connect.CALL_FAILED)


@main.command()
@click.argument("reference")
@click.option("--wait", is_flag=True, help="Wait until the order is done, then show it.")
@output.AS_JSON
@connect.client
def stop(client: Orderline, reference: str, wait: bool, as_json: bool) -> None:
    """Cancel an order, or ask its running task to stop."""
    order = client.stop(client.find(reference))
    output.show_or_follow(client, order, wait, as_json)


@main.command()
@output.AS_JSON
@connect.client
def tasks(client: Orderline, as_json: bool) -> None:
    """List the available tasks."""
    available = client.tasks()
    if as_json:
        output.print_lines(available)
        return
    from orderline import show

    show.tasks(available)


main.add_command(file_commands.get_file)
main.add_command(webhook_commands.webhook)
main.add_command(operator_commands.failures)
main.add_command(operator_commands.overview)
main.add_command(operator_commands.retry)


def _input_schema(client: Orderline, task: str) -> inputs.Schema:
    """Return the schema of a task's input, empty if there is no such task."""
    schemas: dict[str, inputs.Schema] = {
        each["name"]: each["input_schema"] for each in client.tasks()
    }
    return schemas.get(task, {})
