"""Local cloud: ministack on 127.0.0.1, in a process that ends with the one that started it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from dev.local import snapshot
from dev.packaging.package import ROOT

HOST = "127.0.0.1"
REGION = "us-east-1"
# Not keys of any account: the local cloud requires some and checks none
KEYS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
STOP_LIMIT_S = 30
_SERVICES = (
    "sqs,dynamodb,lambda,s3,cloudformation,iam,logs,events,apigateway,sts,cloudwatch,sns,ssm"
)


class CloudError(Exception):
    """The local cloud can't be used; the message gives the reason and a fix."""


def client_environment(port: int) -> dict[str, str]:
    """Return the variables with which an AWS client reaches the local cloud on `port`."""
    return {
        **KEYS,
        "AWS_ENDPOINT_URL": f"http://{HOST}:{port}",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }


def start(port: int, state: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start the local cloud and wait until it answers.

    It gets none of the user's AWS variables, and no Ctrl-C of the terminal. Raises CloudError if
    the port is taken or the cloud does not start.
    """
    require_free(port, "CLOUD_PORT")
    state.mkdir(parents=True, exist_ok=True)
    if not (state / snapshot.NAME).exists():  # files without the stack that they belong to
        shutil.rmtree(state / snapshot.FILES, ignore_errors=True)
    scratch = state.with_name("tmp")  # the functions' unzipped code; killed functions leave theirs
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dev.local.emulator", str(os.getpid()), str(state)],
            cwd=ROOT,
            env=_server_environment(port, state, scratch),
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
        )
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    for _ in range(300):
        if process.poll() is not None:
            raise CloudError(reports(process) or f"the local cloud did not start; see {log}")
        if _answers(port):
            return process
        time.sleep(0.1)
    stop(process)
    raise CloudError(f"the local cloud did not answer within 30 s; see {log}")


def _server_environment(port: int, state: Path, scratch: Path) -> dict[str, str]:
    inherited = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL") if name in os.environ
    }
    return {
        **inherited,
        **KEYS,
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "PERSIST_STATE": "1",
        "STATE_DIR": str(state),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(state / snapshot.FILES),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",  # ministack would listen for both on all addresses
        "MINISTACK_REGION": REGION,
        "SERVICES": _SERVICES,
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(scratch),
    }


def reports(process: subprocess.Popen[bytes]) -> str:
    """Return the cloud's messages since the last call, about reading and saving its state."""
    assert process.stdout is not None
    return (process.stdout.read() or b"").decode().strip()


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the cloud by SIGTERM, on which it saves its state, and wait.

    Raises CloudError if the state was not saved.
    """
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise CloudError(
            f"the local cloud did not end within {STOP_LIMIT_S} s and was killed:"
            " orders of its last seconds may be lost"
        ) from None
    if process.returncode != 0:
        raise CloudError(
            reports(process) or f"the local cloud failed with exit code {process.returncode}"
        )


def require_free(port: int, variable: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise CloudError(
                f"port {port} is taken, perhaps by another `make run`; stop it, or choose another"
                f" port: make run {variable}={port + 1}"
            ) from None


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/_ministack/health", timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


def follow(parent: int) -> None:
    """End this process by SIGTERM once its parent has ended, even if it was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
