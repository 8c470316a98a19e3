"""Where the API is and with which token: from options, the environment, or what `make run` wrote into .local/."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import click

from cli.client import CallError, NotReachable, Orderline, Refused

DEFAULT_URL = "http://127.0.0.1:8000"
NOT_DONE = 3
PATIENCE_S = 10
_HINTS = {
    401: "\n  --token, ORDERLINE_TOKEN; `python -m cli token create` makes one",
    403: "\n  `python -m cli token create CLIENT` makes a token with every scope",
}


def client(command: Callable[..., None]) -> Callable[..., None]:
    """Hands the command a client. What the API refuses, or its silence, is one line and exit code 3."""

    @click.option(
        "--url",
        envvar="ORDERLINE_URL",
        help="Where the API is; else ORDERLINE_URL, else the local one.",
    )
    @click.option(
        "--token", envvar="ORDERLINE_TOKEN", help="A token; else ORDERLINE_TOKEN, or the local one."
    )
    @wraps(command)
    def connected(url: str | None, token: str | None, **options: Any) -> None:
        here, local_url = _local("token"), _local("url") or DEFAULT_URL
        # The local token goes to the local API alone, wherever ORDERLINE_URL may point
        token = token or (here if url in (None, local_url) else None)
        if token is None:
            raise click.UsageError(
                "an access token is needed: --token, ORDERLINE_TOKEN, or `make run` in this folder;"
                " `python -m cli token create` makes one"
            )
        with _plain_faults():
            command(_orderline(url or local_url, token), **options)

    return connected


def _orderline(url: str, token: str) -> Orderline:
    try:
        return Orderline(url, token, PATIENCE_S)
    except ValueError as fault:
        raise click.UsageError(str(fault)) from None


def _local(name: str) -> str | None:
    """What `make run` left in the folder .local (or LOCAL)."""
    path = Path(__file__).parents[1] / os.environ.get("LOCAL", ".local") / name
    return path.read_text().strip() if path.exists() else None


@contextmanager
def _plain_faults() -> Iterator[None]:
    try:
        yield
    except CallError as fault:
        click.echo(f"orderline: {fault}{_more(fault)}", err=True)
        sys.exit(NOT_DONE)


def _more(fault: CallError) -> str:
    """What helps to mend it."""
    if isinstance(fault, Refused):
        pointer = fault.problem.get("pointer")
        return f" (at {pointer})" if pointer else _HINTS.get(fault.status, "")
    return "\n  is `make run` running?" if isinstance(fault, NotReachable) else ""
