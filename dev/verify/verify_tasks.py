"""Tasks of the stack that `make verify-aws` deploys, and of no other.

verify.py adds this file to its zip as chalicelib/tasks/verify_tasks.py. Here it is only read.
"""

from __future__ import annotations

from chalicelib.tasks import Context, File, task


@task(backoff_s=0.5)
def fail_once(order: Context) -> int:
    """Fail in the first attempt; return the number of the attempt that succeeded."""
    if order.attempt == 1:
        raise RuntimeError("The first attempt fails on purpose.")
    return order.attempt


@task
def reverse(file: File) -> File:
    """Return a file with the bytes of another in reverse order."""
    return File.of(file.read()[::-1])


@task
def place_follow_up(order: Context) -> str:
    """Place an order and return its id."""
    return order.place("cook_nuggets", {"pieces": 1})
