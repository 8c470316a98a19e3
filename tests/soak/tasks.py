"""What a soak orders: copied into its project as chalicelib/tasks/soak.py. Each run leaves a line in `runs`, a file."""

from __future__ import annotations

import ctypes
import os
import time
from typing import NoReturn

from chalicelib.tasks import Context, task


def note(order: Context, runs: str, word: str) -> None:
    """One write of one short line: nobody's lines mix."""
    line = f"{order.key} {order.attempt} {word} {time.time():.6f} {os.getpid()}\n"
    file = os.open(runs, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@task(max_attempts=12, backoff_s=0.5)
def steady(number: int, runs: str, order: Context) -> int:
    note(order, runs, "began")
    note(order, runs, "ended")
    return number * number


@task(max_attempts=12, backoff_s=0.5)
def slow(number: int, runs: str, order: Context) -> int:
    note(order, runs, "began")
    for percent in range(0, 100, 25):
        order.progress(percent)
        time.sleep(0.25)
    note(order, runs, "ended")
    return number * number


@task(max_attempts=12, backoff_s=0.5)
def flaky(number: int, runs: str, order: Context) -> int:
    note(order, runs, "began")
    if order.attempt < 3:
        note(order, runs, "ended")
        raise RuntimeError("not yet")
    note(order, runs, "ended")
    return number * number


@task(max_attempts=12, backoff_s=0.5)
def placing(number: int, runs: str, order: Context) -> int:
    note(order, runs, "began")
    for name in ("one", "two"):
        order.place("steady", {"number": number, "runs": runs}, name)
    note(order, runs, "ended")
    return number * number


@task(max_attempts=3, backoff_s=0.5)
def failing(number: int, runs: str, order: Context) -> NoReturn:
    note(order, runs, "began")
    note(order, runs, "ended")
    raise RuntimeError(f"{number} is wrong")


@task(max_attempts=2)
def crashing(number: int, runs: str, order: Context) -> NoReturn:
    note(order, runs, "began")
    os._exit(1)


@task(max_attempts=2, backoff_s=0.5)
def sleeping(number: int, runs: str, order: Context) -> int:
    """Sleeps past any deadline."""
    note(order, runs, "began")
    time.sleep(600)
    return number


@task(max_attempts=1)
def spinning(number: int, runs: str, order: Context) -> int:
    note(order, runs, "began")
    while True:
        number += 1


@task(max_attempts=1, timeout_s=1)
def sleeping_1_s(number: int, runs: str, order: Context) -> int:
    return sleeping(number, runs, order)


@task(max_attempts=1, timeout_s=1)
def spinning_1_s(number: int, runs: str, order: Context) -> int:
    return spinning(number, runs, order)


@task(max_attempts=1, timeout_s=1)
def in_c(number: int, runs: str, order: Context) -> int:
    """One C call of so many milliseconds, which no signal interrupts."""
    note(order, runs, "began")
    python = ctypes.pythonapi
    python.PyThread_allocate_lock.restype = ctypes.c_void_p
    lock = ctypes.c_void_p(python.PyThread_allocate_lock())
    python.PyThread_acquire_lock(lock, 1)
    python.PyThread_acquire_lock_timed(lock, ctypes.c_longlong(number * 1000), 0)
    return number
