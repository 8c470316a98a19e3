"""Save the state of the local cloud soon after changes, so that kill -9 loses only the last moment.

A forked copy of the process writes the state: it has the state between two requests, nothing
changes it meanwhile, and no request waits.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import re
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from ministack import app as ministack
from ministack.core import persistence
from ministack.services import cloudwatch_logs, lambda_svc

from dev.local import snapshot

SAVE_AFTER_S = 0.5
DEPLOY_LIMIT_S = 10
WRITE_LIMIT_S = 20
_READS = re.compile(r"\.(?:BatchGet|Describe|Get|List|Query|Scan)")


def may_change(method: str, headers: Mapping[str, str]) -> bool:
    """Return False if the request only reads: GET, HEAD, or a reading operation of a JSON API."""
    return method not in ("GET", "HEAD") and not _READS.search(headers.get("x-amz-target", ""))


class Saver:
    """Saver that restores the state at the start, and saves it after each change and at the end.

    Set `changed` after a change. `error` is the reason why the last save failed, or empty.

    Args:
        folder: folder of the snapshot.
        report: function that shows a sentence to the user.
    """

    def __init__(self, folder: Path, report: Callable[[str], None]) -> None:
        self.folder = folder
        self.report = report
        self.changed = asyncio.Event()
        self.error = ""
        self._one_at_a_time = asyncio.Lock()

    def restore(self) -> None:
        """Load the saved state into the services. Raises SnapshotError if it can't be read."""
        body = snapshot.read(self.folder)
        if body is None:
            return
        try:
            states = json.loads(body, object_hook=persistence._json_object_hook)
            for service, state in states.items():
                if state:
                    ministack._get_module(ministack._state_map[service]).load_persisted_state(state)
        except Exception as error:  # of any ministack service, which would start without its state
            raise snapshot.damaged(
                self.folder, f"the local cloud can't load it: {error!r}"
            ) from error

    async def follow(self) -> None:
        """Save after each change, for ever. Report when saving starts to fail and works again."""
        while True:
            await self.changed.wait()
            await asyncio.sleep(SAVE_AFTER_S)
            failed_before = bool(self.error)
            await self.save()
            if self.error and not failed_before:
                self.report(
                    f"orders can't be saved ({self.error}):"
                    f" free disk space for {self.folder} before you stop"
                )
            if failed_before and not self.error:
                self.report("orders are saved again")

    async def save(self) -> None:
        """Save now. If it fails, set `error` and try again after SAVE_AFTER_S."""
        async with self._one_at_a_time:
            try:
                await _wait_for_deployments()
                self.changed.clear()
                self.error = await _write_in_copy(self.folder)
            except Exception as error:  # e.g. no process or no file descriptor left
                self.error = repr(error)
            if self.error:
                self.changed.set()


async def _wait_for_deployments() -> None:
    """Wait for changes of stacks, since a half-deployed stack could not be resumed."""
    stacks = ministack._get_module("cloudformation")._stacks
    for _ in range(DEPLOY_LIMIT_S * 10):
        statuses = [stack.get("StackStatus", "") for stack in stacks.all_values()]
        if not any(
            status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS"
            for status in statuses
        ):
            return
        await asyncio.sleep(0.1)


async def _write_in_copy(folder: Path) -> str:
    """Write the state in a forked process. Return the reason if that failed, else an empty text."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        _write_and_exit(folder, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        error = (await asyncio.to_thread(stream.read)).decode()
    _, status = await asyncio.to_thread(os.waitpid, process, 0)
    return error or (f"the writing process ended with status {status}" if status else "")


def _write_and_exit(folder: Path, errors: int) -> NoReturn:
    """Write the state, report an error, and exit without any clean-up. Runs in the forked copy."""
    signal.alarm(WRITE_LIMIT_S)  # a lock may be held by a thread that the copy does not have
    status = 1
    try:
        _write(folder)
        status = 0
    except BaseException as error:
        reason = error.strerror if isinstance(error, OSError) else None
        os.write(errors, (reason or repr(error)).encode())
    finally:
        os._exit(status)


def _write(folder: Path) -> None:
    # Nothing else runs in this process that could change a value, so no copies are needed
    copy.deepcopy = _return_unchanged  # type: ignore[assignment]
    for group in cloudwatch_logs._log_groups.all_values():
        group["streams"] = {}  # cloud.log has the same lines
    code = set[str]()
    remove_all_but = lambda_svc._prune_orphan_code_blobs
    lambda_svc._prune_orphan_code_blobs = code.update
    states = {name: state() for name, state in ministack._build_persistence_save_dict().items()}
    _sync_files(folder)
    for digest in code:
        snapshot.sync(folder / "lambda-blobs" / f"{digest}.zip")
    snapshot.write(
        folder, json.dumps(states, default=persistence._json_default, check_circular=False).encode()
    )
    remove_all_but(code)  # only now, since the previous snapshot needed the others


def _sync_files(folder: Path) -> None:
    """Make the files since the previous snapshot durable, before the orders that name them."""
    previous = folder / snapshot.NAME
    since = previous.stat().st_mtime - WRITE_LIMIT_S if previous.exists() else 0
    for path in (folder / snapshot.FILES).rglob("*"):
        if path.stat().st_mtime >= since:
            snapshot.sync(path)


def _return_unchanged(value: object, *_: object) -> object:
    return value
