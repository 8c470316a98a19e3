"""Run ministack with a guard and a saver: `python -m dev.local.emulator PARENT FOLDER`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypercorn.asyncio
import uvicorn
from ministack import app as ministack
from ministack.services import lambda_svc, s3
from ministack.services.cloudformation import provisioners

from dev.local import guard, shortcuts
from dev.local.asgi import App, Receive, Scope, Send
from dev.local.cloud import follow
from dev.local.saver import Saver, may_change
from dev.local.snapshot import SnapshotError


def hosted(app: App, saver: Saver) -> App:
    """Wrap ministack's ASGI app: refuse pages of other origins, save the state after changes."""

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, _receive_and_save(saver, receive), send)
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        query = scope.get("query_string", b"").decode("latin-1")
        method, path = scope.get("method", ""), scope["path"]
        reason = guard.foreign_request(headers, method, path, query)
        if reason:
            await _refuse(send, reason)
            return
        try:
            if service := shortcuts.service_of(method, path, headers):
                await shortcuts.answer(service, headers, receive, send)
            else:
                await app(scope, receive, send)
        finally:
            if may_change(method, headers):
                saver.changed.set()

    return handle


def _receive_and_save(saver: Saver, receive: Receive) -> Receive:
    """Return the lifespan's `receive`, which starts the saver and saves before the shutdown."""

    async def receive_and_save() -> Any:
        message = await receive()
        if message["type"] == "lifespan.startup":
            tasks.append(asyncio.create_task(saver.follow()))
        else:
            await saver.save()
        return message

    tasks: list[asyncio.Task[None]] = []  # a task without a reference may be garbage-collected
    return receive_and_save


async def _refuse(send: Send, reason: str) -> None:
    body = f"{reason}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main(parent: int, folder: Path) -> None:
    """Serve until SIGTERM or the end of the parent. Write messages to it on standard output."""
    reports = os.dup(1)
    os.dup2(2, 1)  # ministack's own lines go to the log
    saver = Saver(folder, lambda sentence: _report(reports, sentence))
    # After an order the event source mapping polls once more, finds nothing and would then sleep
    # for 50 ms: half the latency of an order that is placed meanwhile
    lambda_svc._ESM_IDLE_WAKE_GAP_SECONDS = 0.005
    # It would refuse an adopted bucket too; a taken name of a new one is still refused, later
    provisioners.s3_bucket_name_conflict = lambda _: None
    s3._persist_object = _persisting(s3._persist_object)
    lambda_svc._emit_lambda_logs = logging_of_existing(lambda_svc._emit_lambda_logs)
    ministack.app = hosted(ministack.app, saver)
    ministack._load_persisted_state = lambda: _restore(saver)
    ministack.save_all = lambda _: None  # the saver has saved already
    shortcuts.install()
    hypercorn.asyncio.serve = _serve  # type: ignore[assignment]
    follow(parent)
    try:
        ministack.main()
    finally:
        if saver.error:
            saver.report(
                f"the latest orders are lost: {folder} could not be written ({saver.error});"
                " free disk space, start again and place them again"
            )
            sys.exit(1)


async def _serve(app: App, config: Any) -> None:
    """Serve by uvicorn and httptools: a request takes half of the time that it takes hypercorn.

    Without WebSockets, which nothing here needs.
    """
    host, _, port = config.bind[0].rpartition(":")
    options = uvicorn.Config(
        app,
        host,
        int(port),
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(config.keep_alive_timeout),
        timeout_graceful_shutdown=int(config.graceful_timeout),
    )
    await uvicorn.Server(options).serve()


def _persisting(persist: Callable[[str, str, Any], None]) -> Callable[[str, str, Any], None]:
    """Return ministack's function that writes an object to the disk, which hides errors.

    The upload fails if the object could not be written: else it would be lost at the next start.
    """

    def persist_or_fail(bucket: str, key: str, stored: Any) -> None:
        persist(bucket, key, stored)
        if stored["body"] is not None:
            del s3._buckets[bucket]["objects"][key]
            raise OSError(f"{key} could not be written")

    return persist_or_fail


def logging_of_existing(log: Callable[..., None]) -> Callable[..., None]:
    """Return ministack's function that logs a run, for functions that still exist.

    A run that ends after its stack would create the log group again. On AWS our roles forbid it.
    """

    def log_if_it_exists(function: Any, *arguments: Any, **options: Any) -> None:
        if function.get("config", function).get("FunctionName") in lambda_svc._functions:
            log(function, *arguments, **options)

    return log_if_it_exists


def _restore(saver: Saver) -> None:
    try:
        saver.restore()
    except SnapshotError as error:
        saver.report(str(error))
        os._exit(1)  # running on would overwrite the state that can't be read


def _report(reports: int, sentence: str) -> None:
    with suppress(BrokenPipeError):  # the parent was killed
        os.write(reports, f"{sentence}\n".encode())


if __name__ == "__main__":
    _folder = Path(sys.argv.pop())
    main(int(sys.argv.pop()), _folder)  # ministack reads what is left
