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

from orderline import CallError, NotReachable, Orderline, RequestRejected

DEFAULT_URL = "http://127.0.0.1:8000"
CALL_FAILED = 3  # exit code
PATIENCE_S = 10
_URL_HELP = "URL of the API. [default: ORDERLINE_URL, else the local API]"
_TOKEN_HELP = "Access token. [default: ORDERLINE_TOKEN, else the local token]"
_CREATE_TOKEN = "to create one, in a clone of Orderline: .venv/bin/python -m dev token create OWNER"
_ADMIN = "orders:admin"
_ADMIN_HINT = f"\n  Use a token with the scope {_ADMIN}; {_CREATE_TOKEN} --admin"
_HINTS = {
    401: f"\n  Set --token or ORDERLINE_TOKEN; {_CREATE_TOKEN}",
    403: f"\n  Use a token with every scope; {_CREATE_TOKEN}",
}


def options(group: Callable[..., None]) -> Callable[..., None]:
    """Add options that name the API and the token; `client` reads them."""
    group = click.option("--url", envvar="ORDERLINE_URL", help=_URL_HELP)(group)
    return click.option("--token", envvar="ORDERLINE_TOKEN", help=_TOKEN_HELP)(group)


def client(command: Callable[..., None]) -> Callable[..., None]:
    """Pass a client to the command. Print errors of calls on one line and exit with code 3.

    The command has the group's options too, so that they may stand before or after its name.
    """

    @click.option("--url", help=_URL_HELP)
    @click.option("--token", help=_TOKEN_HELP)
    @wraps(command)
    def run(url: str | None, token: str | None, **arguments: Any) -> None:
        group = click.get_current_context().find_root()
        url = url or group.params["url"]
        token = token or group.params["token"]
        local_url, local_token = _local()
        # Send the local token only to the local API, wherever ORDERLINE_URL may point
        token = token or (local_token if url in (None, local_url) else None)
        if token is None:
            raise click.UsageError(
                "an access token is required: set --token or ORDERLINE_TOKEN, or start `make run`"
                f" in this folder; {_CREATE_TOKEN}"
            )
        with _report_call_errors():
            command(_orderline(url or local_url, token), **arguments)

    return run


def _orderline(url: str, token: str) -> Orderline:
    try:
        return Orderline(url, token, PATIENCE_S)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _local() -> tuple[str, str | None]:
    """Return the URL and token that `make run` wrote into .local (or LOCAL) of this folder.

    Without them, return the default URL and no token. Folders above are not searched, since files
    of somebody else there could decide where orders go.
    """
    folder = Path(os.environ.get("LOCAL", ".local"))
    url = _read(folder / "url") or DEFAULT_URL
    return url, _read(folder / "token")


def _read(path: Path) -> str | None:
    return path.read_text().strip() if path.is_file() else None


@contextmanager
def _report_call_errors() -> Iterator[None]:
    try:
        yield
    except CallError as error:
        click.echo(f"orderline: {error}{_hint(error)}", err=True)
        sys.exit(CALL_FAILED)


def _hint(error: CallError) -> str:
    if isinstance(error, RequestRejected):
        if error.status == 403 and error.problem.get("scope") == _ADMIN:
            return _ADMIN_HINT
        pointer = error.problem.get("pointer")
        return f" (at {pointer})" if pointer else _HINTS.get(error.status, "")
    if isinstance(error, NotReachable):
        return "\n  Is it running? On your machine, `make run` starts it."
    return ""
