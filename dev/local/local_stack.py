"""Local stack: ministack as the cloud, the packaged app deployed there, and an HTTP server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from chalicelib import auth
from chalicelib.config import DEFAULT_LANE, lane_queue
from dev.deploy import bucket, data, growth, stack
from dev.local import cloud, snapshot
from dev.packaging.lanes import VISIBILITY_FACTOR
from dev.packaging.own import Own
from dev.packaging.own import read as read_own
from dev.packaging.package import ROOT, Package, package, refreshed
from dev.secrets import Laptop, remove, store
from dev.tokens import Tokens

NAME = "orderline-dev"
STAGE = "dev"
IDLE_WAIT_S = 3
REVIVALS = 5


@dataclass(frozen=True)
class Options:
    """Options of `make run`; each is an environment variable of the same name in capitals.

    Those of the worker are, unless set, as orderline.yaml has the default lane.
    """

    port: int = 8000
    cloud_port: int = 4566
    worker_timeout_s: int = 20
    visibility_s: int = 120
    resend_after_s: int = 30
    concurrency: int = 5
    batch: int = 1
    local: str = ".local"

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Options:
        """Read the options from the environment. Raises CloudError if a value is not a number."""
        values = _default_lane()
        for name in cls.__dataclass_fields__:
            is_number = isinstance(getattr(cls, name), int)
            text = environ.get(name.upper(), "")
            if text and is_number and not text.isdigit():
                raise cloud.CloudError(f"{name.upper()}={text!r}: must be a whole number")
            if text:
                values[name] = int(text) if is_number else text
        return cls(**values)

    @property
    def folder(self) -> Path:
        return ROOT / self.local

    def parameters(self) -> dict[str, str]:
        """Return the template's parameters for a laptop: small and quick."""
        return {
            "WorkerTimeout": str(self.worker_timeout_s),
            "Visibility": str(self.visibility_s),
            "ResendAfter": str(self.resend_after_s),
            "WorkerConcurrency": str(self.concurrency),
            "WorkerBatchSize": str(self.batch),
            "PeriodicOwner": auth.LOCAL_OWNER,
        }


class LocalStack:
    """Local stack that is started step by step; `stop` ends the parts that were started."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.own = Own()
        self.package: Package | None = None
        self._cloud: subprocess.Popen[bytes] | None = None
        self._http: subprocess.Popen[bytes] | None = None
        self._listening: socket.socket | None = None

    def start_cloud(self) -> None:
        options = self.options
        with _writing(options.folder):
            # It holds inputs, results and secrets in clear text
            options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (options.folder / "state").mkdir(exist_ok=True)
            _require_writable(options.folder, options.folder / "state")
            _require_same_port(options.folder / "cloud-port", options.cloud_port)
            cloud.require_free(options.port, "PORT")
            self._cloud = cloud.start(
                options.cloud_port, options.folder / "state", options.folder / "cloud.log"
            )
            (options.folder / "cloud-port").write_text(str(options.cloud_port))

    def deploy(self) -> None:
        """Package and create or update the stack; write `env`, `token` and `url` into .local/."""
        self.own = read_own(STAGE)
        self.package = package(STAGE, this_machine=True)
        os.environ.update(cloud.client_environment(self.options.cloud_port))
        parameters = self.options.parameters()
        outputs = stack.deploy(NAME, self.package, parameters)
        self.store_secrets()
        bucket.forget(NAME)  # the functions have their code
        data.delete_expired(outputs["FilesBucketName"])
        environment = self.environment(outputs)
        os.environ.update(environment)
        lines = [f"export {name}='{value}'" for name, value in environment.items()]
        with _writing(self.options.folder):
            (self.options.folder / "env").write_text("\n".join(lines) + "\n")
            (self.options.folder / "url").write_text(f"http://{cloud.HOST}:{self.options.port}\n")
            self._write_token()

    def environment(self, outputs: dict[str, str]) -> dict[str, str]:
        """Return the variables for the app outside Lambda: settings, and the local cloud's URL."""
        assert self.package is not None
        return {
            **cloud.client_environment(self.options.cloud_port),
            "STACK": NAME,
            "ACCESS": "token",
            "QUEUE_URL": outputs["OrdersQueueURL"],
            "CURSOR_KEY": outputs["StackId"],
            "BUCKET": outputs["FilesBucketName"],
            "AWS_TRANSPORT": os.environ.get("AWS_TRANSPORT", "sigv4"),
            "RESEND_AFTER_S": str(self.options.resend_after_s),
            **growth.settings(self.package.template),
            **self.own.variables(self.options.worker_timeout_s, NAME),
        }

    def store_secrets(self) -> None:
        """Put the secrets in .local/secrets into the local cloud's SSM. Raises SecretError."""
        laptop = Laptop(self.options.folder / "secrets")
        values = laptop.values()
        ssm = boto3.client("ssm")
        for name, parameter in laptop.declared.items():
            if name in values:
                store(ssm, parameter, values[name])
            else:
                remove(ssm, parameter)

    def serve(self) -> None:
        """Start the HTTP server, or replace it by one with changed code once that is ready."""
        if self._listening is None:
            self._listening = socket.socket()
            self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listening.bind((cloud.HOST, self.options.port))
            self._listening.listen(128)
        old = self._http
        self._http = _start_server(self._listening, self.options.folder / "http.log")
        if old:
            old.terminate()

    def update_code(self) -> None:
        """Deploy the current code to the functions.

        Waits a little for running orders, since an update ends them.
        """
        assert self.package is not None
        self._wait_idle()
        body = refreshed(self.package.zip)
        functions = boto3.client("lambda")
        for name in stack.functions(NAME):
            functions.update_function_code(FunctionName=name, ZipFile=body)

    def stop(self) -> bool:
        """Stop all. Return True if orders are saved; raise CloudError if some could not be."""
        if self._http:
            self._http.terminate()
            self._http.wait()
        if self._cloud is None:
            return False
        cloud.stop(self._cloud)
        return snapshot.read(self.options.folder / "state") is not None

    def cloud_ended(self) -> bool:
        """Return True if the cloud ended by itself; state that it did not save is lost."""
        return self._cloud is not None and self._cloud.poll() is not None

    def reports(self) -> str:
        """Return the cloud's messages since the last call."""
        return cloud.reports(self._cloud) if self._cloud else ""

    def revive(self) -> bool:
        """Restart the HTTP server if it died.

        We hold the listening socket, so connections queue instead of being refused.
        """
        if self._http is None or self._http.poll() is None:
            return False
        for _ in range(REVIVALS - 1):  # the cause may end the next server as it starts, too
            with suppress(cloud.CloudError):
                self.serve()
                return True
        self.serve()
        return True

    def _wait_idle(self) -> None:
        sqs = boto3.client("sqs")
        name = "ApproximateNumberOfMessagesNotVisible"
        default = os.environ["QUEUE_URL"]
        urls = [lane_queue(default, lane) for lane in (DEFAULT_LANE, *self.own.others)]
        for _ in range(IDLE_WAIT_S * 5):
            running = [
                sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]
                for url in urls
            ]
            if set(running) == {"0"}:
                return
            time.sleep(0.2)

    def _write_token(self) -> None:
        """Write a token of the owner `local`, unless the saved state has the one that is there.

        It has all scopes: the person who runs the stack is its operator.
        """
        path = self.options.folder / "token"
        tokens = Tokens(NAME, boto3.client("dynamodb"))
        record = tokens.find(path.read_text()[3:11]) if path.exists() else None
        if record and set(record.scopes) >= set(auth.SCOPES):
            return
        text, _ = tokens.create(auth.LOCAL_OWNER, auth.SCOPES)
        path.touch(mode=0o600)
        path.write_text(text + "\n")


def _default_lane() -> dict[str, Any]:
    """Return the options of the worker that orderline.yaml sets for the default lane."""
    lane = read_own(STAGE).default
    values = {"concurrency": lane.concurrency, "batch": lane.batch}
    if lane.timeout_s:
        values |= {
            "worker_timeout_s": lane.timeout_s,
            "visibility_s": VISIBILITY_FACTOR * lane.timeout_s,
        }
    return {name: value for name, value in values.items() if value}


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn an OSError into a CloudError that contains a fix."""
    try:
        yield
    except OSError as error:
        raise cloud.CloudError(
            f"{error.filename or folder} can't be written ({error.strerror}), but orders are saved"
            f" in {folder}/; fix that, or choose another folder: make run LOCAL=.other"
        ) from error


def _require_writable(*folders: Path) -> None:
    """Raise OSError if a folder is not writable: a later error would be harder to understand."""
    for folder in folders:
        (folder / "writable").write_bytes(b"?" * 4096)
        (folder / "writable").unlink()


def _require_same_port(file: Path, port: int) -> None:
    """Raise CloudError unless the saved state belongs to this port.

    The saved queue URLs contain the port; on another one no message would ever be delivered.
    """
    saved = file.read_text().strip() if file.exists() else ""
    if saved not in ("", str(port)):
        folder = file.parent.name
        raise cloud.CloudError(
            f"the orders in {folder}/ belong to a local cloud on port {saved}, not {port};"
            f" run with CLOUD_PORT={saved}, or delete them: rm -r {folder}"
        )


def _start_server(listening: socket.socket, log: Path) -> subprocess.Popen[bytes]:
    """Start a server process and wait until it is ready.

    Raises CloudError with the end of its log if it can't load the app.
    """
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "dev.local.serve", str(listening.fileno()), str(os.getpid())],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=errors,
            pass_fds=[listening.fileno()],
            start_new_session=True,
        )
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        process.wait()
        raise cloud.CloudError(
            "the app can't be loaded:\n  " + "\n  ".join(log.read_text().splitlines()[-6:])
        )
    return process
