"""`make run`: run all of Orderline on this machine until Ctrl-C."""

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

from dev.deploy.formation import StackError
from dev.local.cloud import HOST, CloudError
from dev.local.local_stack import LocalStack, Options
from dev.local.snapshot import SnapshotError
from dev.packaging import PackageError, own
from dev.packaging.package import ROOT, own_files
from dev.packaging.wheels import OWN_LOCK
from dev.secrets import SecretError

ERRORS = (
    CloudError,
    PackageError,
    SecretError,
    SnapshotError,
    StackError,
    BotoCoreError,
    ClientError,
    OSError,
)
_POLL_S = 0.3
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run() -> int:
    """Set up the local stack, print the next steps, deploy code changes. Return the exit code."""
    for number in _SIGNALS:  # in a shell's background job, SIGINT is ignored unless it is handled
        signal.signal(number, _interrupt)
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
        for number in _SIGNALS:  # a second Ctrl-C must not interrupt the saving of the state
            signal.signal(number, signal.SIG_IGN)
        failed |= local is not None and not _stop(local)
    return int(failed)


def _stop(local: LocalStack) -> bool:
    """Stop the local stack. Return True unless accepted orders could not be saved."""
    try:
        if local.stop():
            say(f"orders are saved in {local.options.local}/")
    except ERRORS as error:
        say(f"orderline: {error}")
        return False
    return True


def _set_up(local: LocalStack) -> None:
    options = local.options
    with _step(f"Starting the local cloud on http://{HOST}:{options.cloud_port}"):
        local.start_cloud()
    with _step("Deploying queue, tables and functions from the template for AWS"):
        local.deploy()
    with _step(f"Starting the HTTP server on http://{HOST}:{options.port}"):
        local.serve()


def _welcome(options: Options) -> str:
    url = f"http://{HOST}:{options.port}"
    folder = options.local
    return f"""
Orderline is ready. Open the board in your browser (the URL contains your token):

  {url}/board#token={(options.folder / "token").read_text().strip()}

What failed, of all owners, is at {url}/operator with the same token.

Place an order from another terminal in this folder:

  curl -s -H "Authorization: Bearer $(cat {folder}/token)" -H "Content-Type: application/json" \\
    -d '{{"task": "cook_nuggets", "input": {{"pieces": 6}}}}' {url}/orders

or with the command line client:

  .venv/bin/orderline place cook_nuggets pieces=12 --wait

Add a file to chalicelib/tasks/ to add a task; changes are live a moment after you save them.
Logs: {folder}/cloud.log (worker), {folder}/http.log.
Orders are saved in {folder}/. Press Ctrl-C to stop.
"""


def _follow_changes(local: LocalStack) -> NoReturn:
    secrets = local.options.folder / "secrets"
    stored = _modified_ns(secrets)
    installed = _modified_ns(OWN_LOCK)
    deployed = _snapshot()
    template_failed = False
    while True:
        time.sleep(_POLL_S)
        if local.cloud_ended():
            raise CloudError(
                "the local cloud ended unexpectedly; start again: orders placed up to 2 s before"
                f" are saved (see {local.options.local}/cloud.log)"
            )
        if message := local.reports():
            say(f"orderline: {message}")
        if local.revive():
            say(
                "the HTTP server ended unexpectedly and was restarted;"
                f" see {local.options.local}/http.log"
            )
        if stored != (stored := _modified_ns(secrets)):
            _store_secrets(local)
        if installed != (installed := _modified_ns(OWN_LOCK)):
            say(
                "requirements/own.txt has changed: press Ctrl-C and start `make run` again to"
                " install your libraries"
            )
        current = _snapshot()
        if current == deployed:
            continue
        while (later := _snapshot(_POLL_S)) != current:  # an editor may still be writing
            current = later
        # A change of the template that was refused is tried again with the next change
        template = template_failed or _template(current) != _template(deployed)
        template_failed = not _reload(local, template) and template
        deployed = current


def _store_secrets(local: LocalStack) -> None:
    try:
        local.store_secrets()
    except ERRORS as error:
        say(f"your secrets are not live: {error}")
    else:
        say("your secrets are live; functions may cache the old ones for 5 minutes")


def _reload(local: LocalStack, template: bool) -> bool:
    """Deploy the changed files; return False if that failed."""
    began = time.monotonic()
    try:
        if template:  # first: the server may need its settings, such as a new lane
            local.deploy()
            local.serve()
        else:
            local.serve()
            local.update_code()
    except ERRORS as error:
        say(f"your change is not live: {error}\n(the previous version keeps running)")
        return False
    else:
        say(f"your change is live ({time.monotonic() - began:.1f} s)")
        return True


def _snapshot(after_s: float = 0) -> dict[str, int]:
    """Wait `after_s` seconds, then return the deployed files' modification times in ns."""
    time.sleep(after_s)
    files = [path for path, _ in own_files()] + [
        ROOT / "requirements-lambda.txt",
        own.PATH,
        *(ROOT / ".chalice").glob("*.*"),
    ]
    return {str(path): _modified_ns(path) for path in files}


def _modified_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # deleted after it was listed
        return 0


def _template(snapshot: dict[str, int]) -> dict[str, int]:
    """Return the files of a snapshot that affect the template: their change needs a deployment."""
    code = (str(ROOT / "app.py"), str(ROOT / "chalicelib"))
    return {path: when for path, when in snapshot.items() if not path.startswith(code)}


@contextmanager
def _step(title: str) -> Iterator[None]:
    began = time.monotonic()
    say(f"{title} ...", end="")
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
