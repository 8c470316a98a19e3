"""Find the API's URL and token: in options, the environment, or the files that `make run` wrote."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import click

from cli.client import CallError, NotReachable, Orderline, RequestRejected

DEFAULT_URL = "http://127.0.0.1:8000"
CALL_FAILED = 3  # exit code
PATIENCE_S = 10
_HINTS = {
    401: "\n  Set --token or ORDERLINE_TOKEN; to create one: python -m cli token create OWNER",
    403: "\n  To create a token with every scope: python -m cli token create OWNER",
}


def client(command: Callable[..., None]) -> Callable[..., None]:
    """Pass a client to the command. Print errors of calls on one line and exit with code 3."""

    @click.option(
        "--url",
        envvar="ORDERLINE_URL",
        help="URL of the API. [default: ORDERLINE_URL, else the local API]",
    )
    @click.option(
        "--token",
        envvar="ORDERLINE_TOKEN",
        help="Access token. [default: ORDERLINE_TOKEN, else the local token]",
    )
    @wraps(command)
    def run(url: str | None, token: str | None, **options: Any) -> None:
        local_token = _read_local("token")
        local_url = _read_local("url") or DEFAULT_URL
        # Send the local token only to the local API, wherever ORDERLINE_URL may point
        token = token or (local_token if url in (None, local_url) else None)
        if token is None:
            raise click.UsageError(
                "an access token is required: set --token or ORDERLINE_TOKEN, or start `make run`"
                " in this folder; to create a token: python -m cli token create OWNER"
            )
        with _report_call_errors():
            command(_orderline(url or local_url, token), **options)

    return run


def _orderline(url: str, token: str) -> Orderline:
    try:
        return Orderline(url, token, PATIENCE_S)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _read_local(name: str) -> str | None:
    """Return the content of a file that `make run` wrote into .local (or LOCAL), or None."""
    path = Path(__file__).parents[1] / os.environ.get("LOCAL", ".local") / name
    return path.read_text().strip() if path.exists() else None


@contextmanager
def _report_call_errors() -> Iterator[None]:
    try:
        yield
    except CallError as error:
        click.echo(f"orderline: {error}{_hint(error)}", err=True)
        sys.exit(CALL_FAILED)


def _hint(error: CallError) -> str:
    if isinstance(error, RequestRejected):
        pointer = error.problem.get("pointer")
        return f" (at {pointer})" if pointer else _HINTS.get(error.status, "")
    return "\n  is `make run` running?" if isinstance(error, NotReachable) else ""
