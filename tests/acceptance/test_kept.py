"""Durability of `make run`: a killed cloud, a full disk, a damaged state."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from chalicelib import config
from dev.local import snapshot
from tests.acceptance.stack import PATIENCE_S, Stack, environment, free_port, until

pytestmark = pytest.mark.local

MAX_LOSS_S = 2  # as docs/laptop.md says
LAUNCH_LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1_200_000, 1_200_000))
os.execv(sys.executable, [sys.executable, "-m", "dev", "run"])
"""


def test_a_state_that_could_not_be_saved_is_saved_as_soon_as_it_can_be(own: Stack) -> None:
    state = own.project / ".local" / "state"
    aside = own.project / "aside"
    state.rename(aside)
    state.touch()
    order = own.place("cook_nuggets", {"pieces": 1})
    until(lambda: "orders can't be saved (Not a directory)" in own.output)

    state.unlink()
    aside.rename(state)

    until(lambda: "orders are saved again" in own.output)
    assert order["id"].encode() in (snapshot.read(state) or b"")


def test_a_killed_cloud_loses_at_most_the_last_two_seconds(own: Stack) -> None:
    done = own.ended_order(own.place("cook_nuggets", {"pieces": 1})["id"])
    later = own.http(
        "POST", "/orders", {"task": "cook_nuggets", "input": {"pieces": 1}, "delay_s": 9}
    ).json
    file = own.project / ".local" / "state" / snapshot.NAME
    until(lambda: later["id"].encode() in file.read_bytes(), MAX_LOSS_S)

    saves: set[int] = set()
    end = time.monotonic() + 4
    while time.monotonic() < end:
        assert own.get(later["id"])["status"] == "PENDING"
        saves.add(file.stat().st_mtime_ns)
    assert len(saves) <= 3  # after the order, its message and a sweep; reads cause none

    os.kill(own.processes("dev.local.emulator")[0], signal.SIGKILL)

    until(lambda: own.ended is not None)
    assert own.ended == 1
    assert "the local cloud ended unexpectedly; start again" in own.output
    token = own.token
    own.start()
    assert own.token == token
    assert own.get(done["id"]) == done
    assert own.ended_order(later["id"])["status"] == "SUCCESS"
    assert own.stop() == 0
    assert "orders are saved in .local/" in own.output


def test_a_file_survives_a_killed_cloud_and_a_restart_until_its_days_are_over(own: Stack) -> None:
    photo = os.urandom(3_000_000)
    file_id = upload(own, photo)
    saved = own.project / ".local" / "state"
    until((saved / snapshot.NAME).exists)
    assert photo not in (snapshot.read(saved) or b""), "saving would take longer with each file"

    os.kill(own.processes("dev.local.emulator")[0], signal.SIGKILL)
    until(lambda: own.ended is not None)
    own.start()
    assert download(own, file_id) == photo
    assert own.stop() == 0

    own.start()
    assert download(own, file_id) == photo
    assert own.stop() == 0

    (sidecar,) = (saved / snapshot.FILES).rglob(f"{file_id}.meta.json")
    metadata = json.loads(sidecar.read_text())
    uploaded_at = datetime.now(timezone.utc) - timedelta(days=config.DEFAULTS.file_days, hours=1)
    sidecar.write_text(json.dumps({**metadata, "last_modified": uploaded_at.isoformat()}))
    own.start()
    assert own.http("GET", f"/files/{file_id}").status == 404
    assert not list((saved / snapshot.FILES).rglob(f"{file_id}*"))


def upload(stack: Stack, content: bytes) -> str:
    file_id = hashlib.sha256(content).hexdigest()
    file = {"sha256": file_id, "size": len(content), "type": "text/plain"}
    signed = stack.http("POST", "/files", file).json["upload"]
    request = urllib.request.Request(signed["url"], content, signed["headers"], method="PUT")
    with urllib.request.urlopen(request, timeout=PATIENCE_S):
        return file_id


def download(stack: Stack, file_id: str) -> bytes:
    """Return a file's bytes; urllib follows the redirect to the local cloud."""
    headers = {"Authorization": f"Bearer {stack.token}"}
    request = urllib.request.Request(f"{stack.url}/files/{file_id}", headers=headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
        content: bytes = response.read()
    return content


def test_a_full_disk_is_reported_at_once_and_at_the_end(project: Path) -> None:
    stack = Stack(project).start(command=(sys.executable, "-c", LAUNCH_LIMITED))
    small = stack.place("cook_nuggets", {"pieces": 1})
    stack.ended_order(small["id"])
    file = project / ".local" / "state" / snapshot.NAME
    until(lambda: small["id"].encode() in file.read_bytes(), MAX_LOSS_S)

    photo = os.urandom(3_000_000)
    with pytest.raises(urllib.error.HTTPError, match="500"):
        upload(stack, photo)
    assert stack.http("GET", f"/files/{hashlib.sha256(photo).hexdigest()}").status == 404
    for _ in range(80):
        stack.place("process_email", {"message": "Subject: large\r\n\r\n" + "x" * 15_000})

    until(lambda: "orders can't be saved (File too large): free disk space" in stack.output)
    assert stack.stop() == 1
    assert "the latest orders are lost" in stack.output
    assert "orders are saved in" not in stack.output.partition("stopping")[2]
    last_complete_save = snapshot.read(file.parent) or b""
    assert small["id"].encode() in last_complete_save


def write_state(project: Path, body: bytes = b'{"sqs": {}}') -> Path:
    """Write the state that a run leaves behind; return its file."""
    state = project / ".local" / "state"
    state.mkdir(parents=True)
    snapshot.write(state, body)
    return state / snapshot.NAME


def test_a_damaged_state_is_never_started_over(project: Path) -> None:
    file = write_state(project)
    whole = file.read_bytes()
    for damage in (whole[:-1], b"\0" * 100):
        file.write_bytes(damage)

        run = _run(project)

        assert run.returncode == 1
        assert "the orders saved in" in run.stdout, run.stdout
        assert "restore that folder from a backup, or delete the orders: rm -r" in run.stdout
        assert "Traceback" not in run.stdout
        assert "orders are saved in" not in run.stdout
        assert file.read_bytes() == damage


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'{"lambda": {"code_blob_ref":"' + b"0" * 64 + b'"}}',
    ],
)
def test_a_state_that_no_service_can_load_is_never_started_over(project: Path, body: bytes) -> None:
    file = write_state(project, body)
    before = file.read_bytes()

    run = _run(project)

    assert (run.returncode, "can't be read" in run.stdout, "Traceback" in run.stdout) == (
        1,
        True,
        False,
    ), run.stdout
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "path", [".local", ".local/state", ".local/writable", ".local/cloud.log", ".local/tmp"]
)
def test_the_error_names_a_path_that_can_not_be_written_and_a_fix(project: Path, path: str) -> None:
    blocked = project / path
    blocked.parent.mkdir(exist_ok=True)
    if path in (".local", ".local/state", ".local/tmp"):
        blocked.write_text("a file where a folder belongs")
    else:
        blocked.mkdir()

    run = _run(project)

    assert (run.returncode, "Traceback" in run.stdout) == (1, False), run.stdout
    assert str(blocked) in run.stdout
    assert "make run LOCAL=" in run.stdout


def _run(project: Path) -> subprocess.CompletedProcess[str]:
    ports = {"PORT": str(free_port()), "CLOUD_PORT": str(free_port())}
    return subprocess.run(
        [sys.executable, "-m", "dev", "run"],
        cwd=project,
        env=environment(**ports),
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
    )
