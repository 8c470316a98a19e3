"""`make run`'s stack, started as a user starts it: from a copy of the project, on free ports."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import site
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from testkit.cloud import Reply

ROOT = Path(__file__).parents[2]
READY = "Orderline is ready"
PATIENCE_S = 120  # only a failing test waits this long; a busy machine may be ten times slower


_STARTED = list["Stack"]()


def copy_of_the_project(target: Path) -> Path:
    """Copy the files of a clone, and the wheels of an earlier copy, which saves a run of pip."""
    for stack in _STARTED[:1]:
        for wheels in stack.project.glob("build/wheels-*"):
            shutil.copytree(wheels, target / "build" / wheels.name)
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for name in names:
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    return target


def with_environment(project: Path) -> Path:
    """Give the project a .venv on top of this one, so that what it installs stays there."""
    target = project / ".venv"
    venv.create(target, with_pip=False)
    (packages,) = target.glob("lib/*/site-packages")
    ours = [folder for folder in site.getsitepackages() if Path(folder).is_dir()]
    lines = [f"import site; site.addsitedir({folder!r})\n" for folder in ours]
    (packages / "ours.pth").write_text("".join(lines))
    for path in Path(sys.prefix, "bin").iterdir():
        if not (target / "bin" / path.name).exists():
            (target / "bin" / path.name).symlink_to(path)
    for stamp in Path(sys.prefix).glob("installed-*"):
        (target / stamp.name).write_bytes(stamp.read_bytes())
    return project


_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORTS = itertools.count(os.getpid() % 300 * 5)


def free_port() -> int:
    """Return a port that nothing listens on.

    Each process of `pytest -n` has 1,500 ports of its own. All are below 32768, where the ports of
    outgoing connections begin, so none is taken before the server binds it.
    """
    while True:
        port = 20_000 + _WORKER % 8 * 1_500 + next(_PORTS) % 1_500
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without AWS variables, and with the given ones."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**inherited, **variables}


class Stack:
    """A stack of `make run`; `output` is what it has printed, `url` the address of its API."""

    def __init__(self, project: Path, **options: str) -> None:
        self.project = project
        self.options = {"PORT": str(free_port()), "CLOUD_PORT": str(free_port()), **options}
        self.url = f"http://127.0.0.1:{self.options['PORT']}"
        self.printed = project / "printed.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        command: tuple[str, ...] = (sys.executable, "-m", "dev", "run"),
        within_s: float = PATIENCE_S,
    ) -> Stack:
        """Start, and wait until it is ready; raises AssertionError if it ends before."""
        with self.printed.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=self.project,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment(**self.options),
                start_new_session=True,
            )
        _STARTED.append(self)
        until(lambda: READY in self.output or self.ended is not None, within_s)
        assert self.ended is None, self.output
        return self

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """Stop it as Ctrl-C does, and wait; return its exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            os.killpg(self._process.pid, how)  # like a terminal: to make and its children
        return self._process.wait(PATIENCE_S)

    @property
    def ended(self) -> int | None:
        return None if self._process is None else self._process.poll()

    @property
    def output(self) -> str:
        return self.printed.read_text()

    @property
    def token(self) -> str:
        return (self.project / ".local" / "token").read_text().strip()

    def http(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Reply:
        all_headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            **(headers or {}),
        }
        raw = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, raw, all_headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return Reply(answer.status, dict(answer.headers), answer.read().decode())
        except urllib.error.HTTPError as error:
            return Reply(error.code, dict(error.headers), error.read().decode())

    def place(self, task: str, input: Any) -> Any:
        reply = self.http("POST", "/orders", {"task": task, "input": input})
        assert reply.status == 202, reply.body
        return reply.json

    def dev(self, *words: str) -> str:
        """Run `python -m dev` in its clone; return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "dev", *words],
            cwd=self.project,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def upload(self, content: bytes, type: str) -> str:
        """Upload a file as a client does, and return its id."""
        digest = hashlib.sha256(content).hexdigest()
        reply = self.http("POST", "/files", {"sha256": digest, "size": len(content), "type": type})
        if upload := reply.json["upload"]:
            request = urllib.request.Request(
                upload["url"], content, upload["headers"], method=upload["method"]
            )
            urllib.request.urlopen(request, timeout=PATIENCE_S).close()
        return digest

    def get(self, order_id: str) -> Any:
        return self.http("GET", f"/orders/{order_id}").json

    def ended_order(self, order_id: str) -> Any:
        """Wait until an order is final, and return it."""
        until(lambda: self.get(order_id)["done"])
        return self.get(order_id)

    def processes(self, pattern: str = "") -> list[int]:
        """Return the ids of its child processes whose command line matches a pattern."""
        assert self._process is not None
        ps = ["ps", "-A", "-ww", "-o", "pid=,ppid=,command="]
        listing = subprocess.run(ps, capture_output=True, text=True, check=True)
        rows = [line.split(None, 2) for line in listing.stdout.splitlines()]
        commands = {int(pid): command for pid, _, command in rows}
        parents = {int(pid): int(parent) for pid, parent, _ in rows}
        below = {self._process.pid}
        for _ in parents:  # a child may have a smaller id than its parent, once the ids wrap around
            found = {pid for pid, parent in parents.items() if parent in below} | below
            if found == below:
                break
            below = found
        pids = sorted(below - {self._process.pid})
        return [pid for pid in pids if re.search(pattern, commands.get(pid, ""))]


def stop_all() -> None:
    """Stop the stacks that still run: a failed test leaves its own behind."""
    for stack in _STARTED:
        stack.stop()


def until(holds: Callable[[], Any], within_s: float = PATIENCE_S) -> None:
    """Wait until a condition holds; raises AssertionError after `within_s` seconds."""
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, f"the condition did not hold within {within_s} s"
        time.sleep(0.05)
