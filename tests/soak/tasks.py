"""The tasks of a soak, copied into its project as chalicelib/tasks/soak.py.

Each run appends lines to the file `runs`.
"""

from __future__ import annotations

import ctypes
import os
import time
from typing import Any, NoReturn

from chalicelib.tasks import Context, File, task


def record(order: Context, runs: str, event: str) -> None:
    """Append a line to `runs` in a single write, so that lines of several processes do not mix."""
    line = f"{order.key} {order.attempt} {event} {time.time():.6f} {os.getpid()}\n"
    file = os.open(runs, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@task(max_attempts=12, backoff_s=0.5)
def steady(number: int, runs: str, order: Context) -> int:
    record(order, runs, "began")
    record(order, runs, "ended")
    return number * number


@task(max_attempts=12, backoff_s=0.5)
def slow(number: int, runs: str, order: Context) -> int:
    record(order, runs, "began")
    for percent in range(0, 100, 25):
        order.progress(percent)
        time.sleep(0.25)
    record(order, runs, "ended")
    return number * number


@task(max_attempts=12, backoff_s=0.5)
def flaky(number: int, runs: str, order: Context) -> int:
    record(order, runs, "began")
    if order.attempt < 3:
        record(order, runs, "ended")
        raise RuntimeError("not yet")
    record(order, runs, "ended")
    return number * number


@task(lane="heavy", max_attempts=12, backoff_s=0.5)
def placing(number: int, runs: str, order: Context) -> int:
    record(order, runs, "began")
    for name in ("one", "two"):
        order.place("steady", {"number": number, "runs": runs}, name)
    record(order, runs, "ended")
    return number * number


@task(max_attempts=12, backoff_s=0.5)
def filing(number: int, runs: str, image: File, order: Context) -> File:
    """Read a file and return another; place an order with a third."""
    record(order, runs, "began")
    assert int(image.read()) == number
    if image.name != "child":
        child = File.of(str(number).encode() + b" ", name="child")
        order.place("filing", {"number": number, "runs": runs, "image": child}, "child")
    record(order, runs, "ended")
    return File.of(str(number * number).encode())


@task(lane="heavy", max_attempts=12, backoff_s=0.5)
def large(number: int, runs: str, text: str, order: Context) -> list[Any]:
    """Return a result that is too large for the row, as the input is; place an order like it."""
    record(order, runs, "began")
    assert text.endswith(str(number))
    if not text.startswith("child"):
        child = {"number": number, "runs": runs, "text": f"child {text}"}
        order.place("large", child, "child")
    record(order, runs, "ended")
    return [number * number, text]


@task(max_attempts=12, backoff_s=0.5)
def member(number: int, runs: str, order: Context) -> int:
    """Return the number; each twentieth one takes half a second."""
    record(order, runs, "began")
    if number % 20 == 0:
        time.sleep(0.5)
    record(order, runs, "ended")
    return number * number


@task(max_attempts=12, backoff_s=0.5)
def gathering(number: int, runs: str, order: Context) -> list[Any]:
    """Return the results of the orders that it waited for."""
    record(order, runs, "began")
    results = [done.result for done in order.after()]
    record(order, runs, "ended")
    return results


@task(max_attempts=3, backoff_s=0.5)
def failing(number: int, runs: str, order: Context) -> NoReturn:
    record(order, runs, "began")
    record(order, runs, "ended")
    raise RuntimeError(f"{number} is wrong")


@task(max_attempts=2)
def crashing(number: int, runs: str, order: Context) -> NoReturn:
    record(order, runs, "began")
    os._exit(1)


@task(max_attempts=2, backoff_s=0.5)
def sleeping(number: int, runs: str, order: Context) -> int:
    """Sleep past any time limit."""
    record(order, runs, "began")
    time.sleep(600)
    return number


@task(max_attempts=1)
def spinning(number: int, runs: str, order: Context) -> int:
    record(order, runs, "began")
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
    """Make a C call of `number` milliseconds, which no signal interrupts."""
    record(order, runs, "began")
    python = ctypes.pythonapi
    python.PyThread_allocate_lock.restype = ctypes.c_void_p
    lock = ctypes.c_void_p(python.PyThread_allocate_lock())
    python.PyThread_acquire_lock(lock, 1)
    python.PyThread_acquire_lock_timed(lock, ctypes.c_longlong(number * 1000), 0)
    return number
