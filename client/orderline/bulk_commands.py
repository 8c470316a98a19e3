"""The options that place an order for each line of a file."""

from __future__ import annotations

import hashlib
import json
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import click

from orderline import NotReachable, Order, Orderline, RequestRejected, connect, output, terminal
from orderline.bulk import Outcomes

MAX_REASONS = 20  # of refused lines, and of orders that did not succeed
Lines = list[tuple[int, Any]]


def each(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options --each and --again to the command that places an order."""

    @click.option(
        "--each",
        "file",
        metavar="FILE",
        help="Place an order for each line of FILE, an input in JSON. Use - for standard input."
        " The same FILE is placed only once.",
    )
    @click.option("--again", is_flag=True, help="Place new orders for a FILE that was placed.")
    @wraps(command)
    def run(client: Orderline, file: str | None, again: bool, **options: Any) -> None:
        if file is not None:
            _place_each(client, file, again, **options)
        elif again:
            raise click.UsageError("--again needs --each, the file whose lines to place")
        else:
            command(client, **options)

    return run


def _place_each(
    client: Orderline,
    file: str,
    again: bool,
    task: str,
    key: str | None,
    wait: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Place an order for each line; exit with 3 if some are refused, or 1 if some end otherwise."""
    for name, option in (("members", "KEY=VALUE"), ("text", "--input")):
        if options[name]:
            raise click.UsageError(f"{option} can't be combined with --each")
    if again and key:
        raise click.UsageError("use either --again or --key, not both")
    content = _read(file)
    lines = _parse(content, file)
    members = _members(client, options)
    orders = [{"task": task, "input": value, **members} for _, value in lines]
    key = key or (uuid.uuid4().hex if again else _key(task, content))
    command = "the same command " + (f"with --key {key} instead of --again" if again else "again")
    try:
        with terminal.counting("placing", len(orders)) as progress:
            outcomes = client.place_many(orders, key, progress)
    except (KeyboardInterrupt, NotReachable) as error:
        click.echo(f"Some may be placed already. To place the rest, run {command}.", err=True)
        if isinstance(error, NotReachable):
            raise
        sys.exit(output.INTERRUPTED)
    refused = _print(lines, outcomes, as_json, wait)
    failed = 0
    if wait:
        with _explained(command):
            failed = _wait(client, lines, outcomes, as_json)
    if refused:
        sys.exit(connect.CALL_FAILED)
    if failed:
        sys.exit(output.FAILED)


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise click.UsageError(f"{file}: {error.strerror}") from None


def _parse(content: bytes, file: str) -> Lines:
    """Return the input of each line that is not blank, with the line's number.

    Raises UsageError if one is not a JSON object, so that nothing is placed of a broken file.
    """
    lines: Lines = []
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            try:
                lines.append((number, _input(line)))
            except ValueError as error:
                raise click.UsageError(f"{file}, line {number}: {error}") from None
    if not lines:
        raise click.UsageError(f"{file} has no lines")
    return lines


def _input(line: bytes) -> Any:
    """Return the input of a line. Raises ValueError with the reason."""
    try:
        value = json.loads(line.decode(), parse_constant=_reject_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON: {error.msg} (column {error.colno})") from None
    except UnicodeDecodeError:
        raise ValueError("not valid UTF-8") from None
    except UnicodeEncodeError:
        raise ValueError("a string contains a lone surrogate") from None
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError('an input must be an object, such as {"pieces": 6}')
    return value


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"not valid JSON: {name} is not a JSON number")


def _members(client: Orderline, options: dict[str, Any]) -> dict[str, Any]:
    """Return the members that all orders share, beside their task."""
    members: dict[str, Any] = {}
    if options["delay_s"] is not None:
        members["delay_s"] = options["delay_s"]
    if options["references"]:
        members["after"] = [client.find(reference) for reference in options["references"]]
    if options["when"]:
        if not options["references"]:
            raise click.UsageError("--when needs --after, the orders that must end first")
        members["when"] = options["when"]
    if options["notify"]:
        members["notify"] = list(options["notify"])
    return members


def _key(task: str, content: bytes) -> str:
    """Return the idempotency key of a file's orders."""
    return hashlib.sha256(task.encode() + b"\0" + content).hexdigest()


def _print(lines: Lines, outcomes: Outcomes, as_json: bool, wait: bool) -> int:
    """Print a summary, or outcomes as JSON, and why lines were refused; return how many were.

    With `wait` the JSON of an order is printed at its end.
    """
    refused = []
    replayed = 0
    for (number, _), outcome in zip(lines, outcomes, strict=True):
        if isinstance(outcome, RequestRejected):
            refused.append((number, outcome))
            members = {"problem": outcome.problem}
        else:
            replayed += outcome["replayed"]
            members = outcome
        if as_json and not (wait and "id" in members):
            click.echo(json.dumps({"line": number, **members}))
    if not as_json:
        earlier = f" ({replayed} of them earlier)" if replayed else ""
        click.echo(f"{len(outcomes) - len(refused)} placed{earlier}, {len(refused)} refused")
    _print_reasons([f"line {number}: {_reason(error)}" for number, error in refused])
    return len(refused)


def _reason(error: RequestRejected) -> str:
    pointer = error.problem.get("pointer")
    return f"{error} (at {pointer})" if pointer else str(error)


def _print_reasons(reasons: list[str]) -> None:
    """Print the first reasons to standard error."""
    for reason in reasons[:MAX_REASONS]:
        click.echo(reason, err=True)
    if len(reasons) > MAX_REASONS:
        click.echo(f"and {len(reasons) - MAX_REASONS} more", err=True)


def _wait(client: Orderline, lines: Lines, outcomes: Outcomes, as_json: bool) -> int:
    """Wait for the placed orders; return how many did not succeed.

    Print a summary, or each order as JSON at its end, and why the first ones did not succeed.
    """
    numbers = {
        outcome["id"]: number
        for (number, _), outcome in zip(lines, outcomes, strict=True)
        if not isinstance(outcome, RequestRejected)
    }
    counts: Counter[str] = Counter(SUCCESS=0, FAILED=0)
    others: dict[int, str] = {}
    with terminal.counting("waiting", len(numbers)) as progress:
        for order in client.wait_many(numbers, progress=progress):
            number = numbers[order["id"]]
            counts[order["status"]] += 1
            if order["status"] != "SUCCESS":
                others[number] = f"line {number}: {_end(order)}"
            if as_json:
                click.echo(json.dumps({"line": number, **order}))
    if not as_json:
        click.echo(", ".join(f"{count} {status}" for status, count in counts.items()))
    _print_reasons([others[number] for number in sorted(others)])
    return len(others)


def _end(order: Order) -> str:
    message = f": {order['error']['message']}" if order["error"] else ""
    return f"order {order['id']} {order['status']}{message}"


@contextmanager
def _explained(command: str) -> Iterator[None]:
    """Tell which command waits again, if the waiting is interrupted or the API does not answer."""
    hint = f"To wait for them again, run {command}."
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"The orders continue. {hint}", err=True)
        sys.exit(output.INTERRUPTED)
    except NotReachable:
        click.echo(f"The orders may continue. {hint}", err=True)
        raise
