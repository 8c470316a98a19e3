"""Save the state of the local cloud soon after it changed, so that kill -9 loses no more than the last moment.

The state is written by a forked copy of the process: it is the state between two requests, nothing changes it while
it is written, and no request waits.
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

from cli import snapshot

SAVE_AFTER_S = 0.5
DEPLOY_LIMIT_S = 10
WRITE_LIMIT_S = 20
_READS = re.compile(r"\.(?:BatchGet|Describe|Get|List|Query|Scan)")


def may_change(method: str, headers: Mapping[str, str]) -> bool:
    """Return whether a request may change the state: all but GET, HEAD, and AWS's JSON operations that only read."""
    return method not in ("GET", "HEAD") and not _READS.search(headers.get("x-amz-target", ""))


class Saver:
    """Reads the state at the start; saves it after `changed` was set, and at the end.

    Args:
        folder: where the snapshot is.
        report: is given a sentence for the person who ran this.
    """

    def __init__(self, folder: Path, report: Callable[[str], None]) -> None:
        self.folder = folder
        self.report = report
        self.changed = asyncio.Event()
        self.error = ""
        self._one_at_a_time = asyncio.Lock()

    def restore(self) -> None:
        """Give each service its state. Raises SnapshotError."""
        body = snapshot.read(self.folder)
        if body is None:
            return
        try:
            for service, state in json.loads(
                body, object_hook=persistence._json_object_hook
            ).items():
                if state:
                    ministack._get_module(ministack._state_map[service]).load_persisted_state(state)
        except Exception as error:  # of any service of ministack's: it would go on without
            raise snapshot.damaged(
                self.folder, f"the local cloud can't take it: {error!r}"
            ) from error

    async def follow(self) -> None:
        """Save after each change, for ever. Report when that begins to fail, and when it works again."""
        while True:
            await self.changed.wait()
            await asyncio.sleep(SAVE_AFTER_S)
            failed_before = bool(self.error)
            await self.save()
            if self.error and not failed_before:
                self.report(
                    f"orders can't be saved ({self.error}): make room in {self.folder} before you stop"
                )
            if failed_before and not self.error:
                self.report("orders are saved again")

    async def save(self) -> None:
        """Save now. What went wrong is in `error` then, and is tried again."""
        async with self._one_at_a_time:
            try:
                await _deployed()
                self.changed.clear()
                self.error = await _written_by_a_copy(self.folder)
            except (
                Exception
            ) as error:  # no process, no file descriptor; a state that ministack has otherwise now
                self.error = repr(error)
            if self.error:
                self.changed.set()


async def _deployed() -> None:
    """Wait for running changes of stacks: half of a stack is nothing to start from."""
    stacks = ministack._get_module("cloudformation")._stacks
    for _ in range(DEPLOY_LIMIT_S * 10):
        statuses = [stack.get("StackStatus", "") for stack in stacks.all_values()]
        if not any(
            status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS"
            for status in statuses
        ):
            return
        await asyncio.sleep(0.1)


async def _written_by_a_copy(folder: Path) -> str:
    """Return why the state could not be written; empty if it was."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        _write_and_exit(folder, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        error = (await asyncio.to_thread(stream.read)).decode()
    _, status = await asyncio.to_thread(os.waitpid, process, 0)
    return error or (f"the process that writes it ended with {status}" if status else "")


def _write_and_exit(folder: Path, errors: int) -> NoReturn:
    """In the copy: write the state, tell what went wrong, and end without any of the original's clean-up."""
    signal.alarm(WRITE_LIMIT_S)  # a thread that is not in the copy may hold a lock
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
    copy.deepcopy = _uncopied  # type: ignore[assignment]  # nothing else runs here that could change a value
    for group in cloudwatch_logs._log_groups.all_values():
        group["streams"] = {}  # two thirds of the state, and cloud.log has the same lines
    code = set[str]()
    remove_all_but = lambda_svc._prune_orphan_code_blobs
    lambda_svc._prune_orphan_code_blobs = code.update
    states = {name: state() for name, state in ministack._build_persistence_save_dict().items()}
    for digest in code:
        snapshot.sync(folder / "lambda-blobs" / f"{digest}.zip")
    snapshot.write(folder, json.dumps(states, default=persistence._json_default).encode())
    remove_all_but(code)  # not before: the snapshot before this one needed the others


def _uncopied(value: object, *_: object) -> object:
    return value
