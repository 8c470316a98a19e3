"""CPU time of processes that are not ours to change, read from Linux's /proc, and processes that end with a block."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_TICKS_A_S = os.sysconf("SC_CLK_TCK")


def cpu_ms(roots: Iterable[int]) -> float:
    """User and system time that these processes and everything below them took, ended children included; in steps of
    10 ms. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html"""
    stats = dict(_stats())
    below = set(roots)
    while more := {pid for pid, fields in stats.items() if int(fields[1]) in below} - below:
        below |= more
    return (
        sum(sum(map(int, stats[pid][11:15])) for pid in below if pid in stats) * 1000 / _TICKS_A_S
    )


def _stats() -> Iterator[tuple[int, list[str]]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                yield int(folder.name), (folder / "stat").read_text().rpartition(") ")[2].split()
            except OSError:  # it ended just now
                continue


@contextmanager
def running(
    command: list[str], folder: Path, log: Path, environment: Mapping[str, str]
) -> Iterator[int]:
    """The process id of a command that is ended, with all that it started, when the block ends."""
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
        for how in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, how)
            try:
                process.wait(10)
                break
            except subprocess.TimeoutExpired:
                continue


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
