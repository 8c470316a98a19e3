"""`make run`: the whole of Orderline on this machine, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from botocore.exceptions import BotoCoreError, ClientError

from cli.cloud import HOST, CloudError
from cli.formation import StackError
from cli.local import LocalStack, Options
from cli.package import ROOT, PackageError, own_files
from cli.snapshot import SnapshotError

ERRORS = (CloudError, PackageError, SnapshotError, StackError, BotoCoreError, ClientError, OSError)
_LOOK_S = 0.3


def run() -> int:
    """Set up, say what to type next, follow changes of the code. Returns the exit code."""
    for ending in (
        signal.SIGTERM,
        signal.SIGINT,
    ):  # a shell's background job would ignore SIGINT otherwise
        signal.signal(ending, _interrupt)
    local: LocalStack | None = None
    failed = True
    try:
        local = LocalStack(Options.read(os.environ))
        _set_up(local)
        say(_welcome(local.options))
        _follow_changes(local)
    except KeyboardInterrupt:
        say("\nstopping ...")
        failed = False
    except ERRORS as error:
        say(f"orderline: {error}")
    finally:
        for ending in (signal.SIGTERM, signal.SIGINT):
            signal.signal(
                ending, signal.SIG_IGN
            )  # a second Ctrl-C must not lose the state that is being saved
        failed |= local is not None and not _stop(local)
    return int(failed)


def _stop(local: LocalStack) -> bool:
    """Return whether all that was accepted is kept, and say so."""
    try:
        if local.stop():
            say(f"orders are kept in {local.options.local}/")
    except ERRORS as error:
        say(f"orderline: {error}")
        return False
    return True


def _set_up(local: LocalStack) -> None:
    options = local.options
    with _step(f"the local cloud, on http://{HOST}:{options.cloud_port}"):
        local.start_cloud()
    with _step("the stack: queue, tables, functions, from the template that AWS gets"):
        local.deploy()
    with _step(f"HTTP, on http://{HOST}:{options.port}"):
        local.serve()


def _welcome(options: Options) -> str:
    url, folder = f"http://{HOST}:{options.port}", options.local
    return f"""
Orderline is ready. Its board, for your browser (the address holds your token):

  {url}/board#token={(options.folder / "token").read_text().strip()}

Place an order, from another terminal in this folder:

  curl -s -H "Authorization: Bearer $(cat {folder}/token)" -H "Content-Type: application/json" \\
    -d '{{"task": "cook_nuggets", "input": {{"pieces": 6}}}}' {url}/orders

or with the terminal client:

  .venv/bin/python -m cli place cook_nuggets pieces=12 --wait

A file in chalicelib/tasks/ is a task; it is live a moment after you save it.
Logs: {folder}/cloud.log (the worker), {folder}/http.log. Ctrl-C stops all; orders are kept in {folder}/.
"""


def _follow_changes(local: LocalStack) -> NoReturn:
    seen = _snapshot()
    while True:
        time.sleep(_LOOK_S)
        if local.cloud_ended():
            raise CloudError(
                "the local cloud ended by itself; start again: what was ordered up to 2 s before is kept"
                f" ({local.options.local}/cloud.log may say why)"
            )
        if news := local.reports():
            say(f"orderline: {news}")
        if local.revive():
            say(
                f"the HTTP front ended by itself, another took over; see {local.options.local}/http.log"
            )
        now = _snapshot()
        if now == seen:
            continue
        while (later := _snapshot(_LOOK_S)) != now:  # an editor may still be writing
            now = later
        _reload(local, template=_template(now) != _template(seen))
        seen = now


def _reload(local: LocalStack, template: bool) -> None:
    began = time.monotonic()
    try:
        local.serve()
        if template:
            local.deploy()
        else:
            local.update_code()
    except ERRORS as error:
        say(f"your change is not live: {error}\n(the version before it goes on)")
    else:
        say(f"your change is live ({time.monotonic() - began:.1f} s)")


def _snapshot(after_s: float = 0) -> dict[str, int]:
    """When each file that is deployed was last changed."""
    time.sleep(after_s)
    files = [path for path, _ in own_files()] + [
        ROOT / "requirements-lambda.txt",
        *(ROOT / ".chalice").glob("*.*"),
    ]
    return {str(path): _changed(path) for path in files}


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # gone between the listing and the look
        return 0


def _template(snapshot: dict[str, int]) -> dict[str, int]:
    """The part of a snapshot whose change needs the stack to be made anew."""
    code = (str(ROOT / "app.py"), str(ROOT / "chalicelib"))
    return {path: when for path, when in snapshot.items() if not path.startswith(code)}


@contextmanager
def _step(what: str) -> Iterator[None]:
    began = time.monotonic()
    say(f"{what} ...", end="")
    try:
        yield
    except BaseException:
        say("")
        raise
    say(f" {time.monotonic() - began:.1f} s")


def say(text: str, end: str = "\n", write: Callable[[str], int] = sys.stdout.write) -> None:
    write(text + end)
    sys.stdout.flush()


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
