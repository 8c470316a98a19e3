"""The tasks of a world: each records its runs, and behaves as the kind in its input says.

The kinds are ok, flaky (fails once), failing (always), parent (places an order) and reporting
(reports progress).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chalicelib.execution.context import Context
from chalicelib.tasks import File, task
from tests.faults.client import LARGE, PHOTO

if TYPE_CHECKING:
    from tests.faults.world import World

COPY = b"the file that a task makes for its follow-up"
PER_MINUTE = 2  # starts of the task `paced`: a slot each 32.5 s
FOLLOW_UPS = {"fanning": 3, "branching": 6}
"""Orders that a run of these tasks places, and the orders of its tree; of any other, one."""


def register(world: World) -> None:
    """Register all tasks, for as long as the test kit keeps the registry."""
    _register_plain(world)
    _register_with_files(world)
    _register_waiting(world)


def _register_plain(world: World) -> None:
    """Register `proof`, `broken`, `patient`, `paced` and `stopped`.

    `broken` fails at once until it is retried, and as the kind failing after that too. `patient`
    has long backoffs, and `paced` a limit of starts a minute.
    The owner stops `stopped` while it runs: of its kinds flaky hears of it, ok returns and failing
    fails.
    """

    @task(max_attempts=3, backoff_s=1)
    def proof(context: Context, kind: str) -> str:
        with world.run(context) as result:
            return _behave(context, kind, result, "proof", {"kind": "ok"})

    @task(max_attempts=3, backoff_s=1, no_retry_on=(LookupError,))
    def broken(context: Context, kind: str) -> str:
        with world.run(context) as result:
            if retry_round(context) == 0 or kind == "failing":
                raise LookupError("not fixed yet")
            return _behave(context, kind, result, "", {})

    @task(max_attempts=3, backoff_s=1800)
    def patient(context: Context, kind: str) -> str:
        with world.run(context) as result:
            return _behave(context, kind, result, "proof", {"kind": "ok"})

    @task(max_attempts=3, backoff_s=1, per_minute=PER_MINUTE)
    def paced(context: Context, kind: str) -> str:
        with world.run(context) as result:
            return _behave(context, kind, result, "paced", {"kind": "ok"})

    @task(max_attempts=3, backoff_s=1)
    def stopped(context: Context, kind: str) -> str:
        with world.run(context) as result:
            if retry_round(context) == 0:
                world.cancel(context.id)  # while it runs
            if kind == "flaky":
                context.progress(10)
            return _behave(context, kind, result, "", {})


def _register_with_files(world: World) -> None:
    """Register `filing` and `large`.

    `filing` reads a file and returns one. `large` has an input and a result that are too large for
    the row.
    """

    @task(max_attempts=3, backoff_s=1)
    def filing(context: Context, kind: str, image: File) -> File:
        with world.run(context) as result:
            assert image.read() in (PHOTO, COPY)
            child = {"kind": "ok", "image": File.of(COPY)}
            return File.of(_behave(context, kind, result, "filing", child).encode())

    @task(max_attempts=3, backoff_s=1)
    def large(
        context: Context, kind: str, text: str, image: File | None = None
    ) -> tuple[File, str]:
        with world.run(context) as result:
            assert text.startswith(LARGE)
            assert image is None or image.read() in (PHOTO, COPY)
            child = {"kind": "ok", "text": f"{text} child", "image": File.of(COPY)}
            behaved = _behave(context, kind, result, "large", child)
            return File.of(behaved.encode()), f"{text} {behaved}"


def _register_waiting(world: World) -> None:
    """Register `gathering`, which waits for others, and three tasks whose orders others wait for.

    The owner places an order after `inviting` while it runs. `fanning` places two orders and one
    that waits for them; `branching` places three, more than a row of this world can name.
    """

    @task(max_attempts=3, backoff_s=1)
    def gathering(context: Context, kind: str) -> str:
        with world.run(context) as result:
            world.gathered[context.id] = [done.id for done in context.after()]
            return _behave(context, kind, result, "proof", {"kind": "ok"})

    @task(max_attempts=3, backoff_s=1)
    def inviting(context: Context, kind: str) -> str:
        with world.run(context) as result:
            if (retry_round(context), context.attempt) == (0, 1):
                world.place_after([context.id])
                world.place_after([context.id], when="end")
            return _behave(context, kind, result, "", {})

    @task(max_attempts=3, backoff_s=1)
    def fanning(context: Context, kind: str) -> str:
        with world.run(context) as result:
            _fan_out(context, 2)
            return _behave(context, kind, result, "", {})

    @task(max_attempts=3, backoff_s=1)
    def branching(context: Context, kind: str) -> str:
        with world.run(context) as result:
            _fan_out(context, 3)
            return _behave(context, kind, result, "", {})


def _fan_out(context: Context, children: int) -> None:
    """Place orders, of which the first fails once, and an order that waits for all of them."""
    placed = [
        context.place("proof", {"kind": "flaky" if n == 0 else "ok"}, f"child {n}")
        for n in range(children)
    ]
    context.place("gathering", {"kind": "ok"}, after=placed)


def retry_round(context: Context) -> int:
    """Return the retry round of a running task's order."""
    return int(context.key.rpartition(".")[2])


def _behave(context: Context, kind: str, result: str, task: str, child: Any) -> str:
    if kind == "parent":
        context.place(task, child, "child")
    if kind == "reporting":
        context.progress(50, "half")
    if kind == "failing" or (kind == "flaky" and context.attempt == 1):
        raise RuntimeError(kind)
    return result
