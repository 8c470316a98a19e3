"""Commands of the operator, which need a token with the scope orders:admin; and `retry`."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click

from orderline import NotReachable, Orderline, connect, output, terminal
from orderline.moments import duration, moment
from orderline.operator_types import Retried


@click.command()
@click.option("--task", help="Only of this task, which may be the old name of a renamed one.")
@click.option("--owner", help="Only of this owner.")
@click.option("--code", help="Only with this error code.")
@click.option(
    "--since",
    metavar="TIME",
    callback=moment,
    help="Only those that failed since: how long ago (90s, 2h, 3d), or a time. [default: 24h]",
)
@click.option("--until", metavar="TIME", callback=moment, help="Only those that failed before.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Maximum number of orders.",
)
@output.AS_JSON
@connect.client
def failures(client: Orderline, limit: int, as_json: bool, **filters: str | None) -> None:
    """List failed orders of all owners, the latest first."""
    orders = client.operator.failures(**filters, limit=limit)
    if as_json:
        for order in orders:
            output.print_lines([order])
        return
    from orderline import operator_show

    operator_show.failures(orders)


@click.command()
@click.option("--watch", is_flag=True, help="Refresh it until Ctrl-C.")
@output.AS_JSON
@connect.client
def overview(client: Orderline, watch: bool, as_json: bool) -> None:
    """Show what waits, runs, is overdue and has failed, by lane and task."""
    read = client.operator.overview
    if as_json:
        output.print_lines([read()], read_again=(lambda: [read()]) if watch else None)
        return
    from orderline import operator_show

    if watch:
        operator_show.watch(read)
    else:
        operator_show.overview(read())


@click.command()
@click.argument("reference", required=False)
@click.option("--wait", is_flag=True, help="Wait until the order is done, then show it.")
@click.option("--task", help="Retry all failed orders of this task, of all owners.")
@click.option(
    "--failed-since",
    metavar="TIME",
    callback=moment,
    help="Those that failed since: how long ago (90s, 2h, 3d), or a time.",
)
@click.option(
    "--failed-before",
    metavar="TIME",
    callback=moment,
    help="Those that failed before; the same time again retries none twice. [default: now]",
)
@click.option(
    "--over",
    "over_s",
    metavar="DURATION",
    callback=duration,
    help="Spread them evenly over this duration (90s, 2h), so that they don't start at once.",
)
@click.option("--dry-run", is_flag=True, help="Only say how many orders it would be.")
@output.AS_JSON
@connect.client
def retry(
    client: Orderline, reference: str | None, wait: bool, as_json: bool, **options: Any
) -> None:
    """Run a failed or cancelled order again, or all failed orders of a task.

    The latter needs a token with the scope orders:admin: --task cook_nuggets --failed-since 2h.
    """
    _require_one_form(reference, wait, options)
    if reference is None:
        _retry_all(client, options, as_json)
        return
    order = client.retry(client.find(reference))
    output.show_or_follow(client, order, wait, as_json)


def _require_one_form(reference: str | None, wait: bool, options: dict[str, Any]) -> None:
    """Raise UsageError unless there is either a reference, or a task and since when."""
    used = [name for name, value in options.items() if value not in (None, False)]
    if reference is not None:
        if used:
            option = f"--{used[0].removesuffix('_s').replace('_', '-')}"
            raise click.UsageError(f"use either REFERENCE or {option}, not both")
        return
    if not used:
        raise click.UsageError("name an order by REFERENCE, or use --task and --failed-since")
    if options["task"] is None or options["failed_since"] is None:
        raise click.UsageError(
            "--task and --failed-since belong together: which orders to retry, and since when"
        )
    if wait:
        raise click.UsageError(
            "--wait is for one order; to follow many: orderline overview --watch"
        )


def _retry_all(client: Orderline, options: dict[str, Any], as_json: bool) -> None:
    dry_run = options.pop("dry_run")
    found = client.operator.retry(**options, dry_run=True)
    options["failed_before"] = found["failed_before"]
    if dry_run:
        _report(found, as_json, f"{_matching(found)} would be retried.")
        return
    try:
        with terminal.counting("retrying", found["matching"]) as progress:
            result = client.operator.retry(**options, progress=progress)
    except (KeyboardInterrupt, NotReachable) as error:
        click.echo(f"Some may be retried already. To retry the rest: {_command(options)}", err=True)
        if isinstance(error, NotReachable):
            raise
        sys.exit(output.INTERRUPTED)
    spread = "" if options["over_s"] is None else f" over the next {options['over_s']:g} s"
    _report(result, as_json, f"{output.orders(result['retried'])} retried{spread}.")


def _matching(found: Retried) -> str:
    at_least = "At least " if found["more"] else ""
    return f"{at_least}{output.orders(found['matching'])}"


def _report(result: Retried, as_json: bool, sentence: str) -> None:
    """Print the result of a retry; exit with code 3 if orders were refused."""
    if as_json:
        output.print_lines([result])
    else:
        click.echo(sentence)
    output.report_refused(result["refused"], result["problems"])
    if result["refused"]:
        sys.exit(connect.CALL_FAILED)


def _command(options: dict[str, Any]) -> str:
    """Return the command that retries the same orders, and none of them twice."""
    words = ["orderline", "retry", "--task", options["task"]]
    words += ["--failed-since", options["failed_since"]]
    words += ["--failed-before", options["failed_before"]]
    words += [] if options["over_s"] is None else ["--over", f"{options['over_s']}s"]
    return shlex.join(words)
