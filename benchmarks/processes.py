"""Start processes, end them with a block, and read their CPU time from Linux's /proc."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_ms(roots: Iterable[int]) -> float:
    """Return the user and system time in ms of these processes and their descendants.

    Those that have ended are included. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    """
    stats = dict(_stats())
    pids = set(roots)
    while children := {pid for pid, fields in stats.items() if int(fields[1]) in pids} - pids:
        pids |= children
    ended = sum(sum(map(int, stats[pid][13:15])) for pid in pids if pid in stats)  # the children
    running_s = sum(time.clock_gettime(_clock(pid)) for pid in pids if pid in stats)
    return (running_s + ended / _TICKS_PER_S) * 1000


def _clock(pid: int) -> int:
    """Return the id of a process's CPU clock, whose resolution is that of the scheduler.

    As in clock_getcpuclockid(3), which Python does not have.
    """
    return ~pid << 3 | 2


def _stats() -> Iterator[tuple[int, list[str]]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                yield int(folder.name), (folder / "stat").read_text().rpartition(") ")[2].split()
            except OSError:  # the process has ended
                continue


@contextmanager
def running(
    command: list[str], folder: Path, log: Path, environment: Mapping[str, str]
) -> Iterator[int]:
    """Start a command and yield its process id; end its process group with the block."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    try:
        yield process.pid
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, number)
            try:
                process.wait(10)
                break
            except subprocess.TimeoutExpired:
                continue


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
