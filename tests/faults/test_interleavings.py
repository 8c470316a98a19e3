"""Every interleaving of two actors' calls, with a jump of the clock at any point.

PROOF=1 runs all of them; a plain run takes some of each pair by a seed that it prints.
"""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from chalicelib import config, service
from chalicelib.errors import Refusal
from chalicelib.functions import dead_letters, sweeper, worker
from chalicelib.table import transitions
from tests.faults.client import OWNER
from tests.faults.interleave import Action, interleaved, record, run_random_schedules, schedules
from tests.faults.world import SEED, WHOLE, World

SAMPLE = 2
FILE_SCHEDULES = 100 if WHOLE else 1  # thrice as many; all of two workers would be 3 million
JUMP_S = 125  # longer than a lease (60 s + 2 s) and than RESEND_AFTER_S (120 s)

ACTORS = ("worker", "second worker", "cancel", "dead letter", "sweeper", "second sweeper", "retry")
PAIRS = [pair for pair in itertools.combinations(ACTORS, 2) if pair != ("worker", "worker")]
# The state of the order when the actors meet it; "held": by a worker that died
BEGINNINGS = ("waiting", "overdue", "held", "exhausted", "failed")


@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_two_actors_keep_every_promise_in_any_order(
    world: World, pair: tuple[str, str], beginning: str
) -> None:
    dice = random.Random(f"{SEED}{pair}{beginning}")

    def run(schedule: list[str]) -> list[tuple[str, list[str]]]:
        return _scenario(world, pair, beginning, schedule)

    if WHOLE:
        for _ in schedules(run):
            pass
        return
    for _ in range(SAMPLE):
        _run_random_schedules(world, pair, beginning, dice)


@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize("other", [actor for actor in ACTORS if actor != "worker"])
@pytest.mark.parametrize("task", ["filing", "large"])
def test_a_worker_of_an_order_with_files_meets_another_actor(
    world: World, task: str, other: str, beginning: str
) -> None:
    """Run a task that reads a file and returns one: two calls more for each worker.

    A large input and a large result are two calls more again.
    """
    dice = random.Random(f"{SEED}{task}{other}{beginning}")
    for _ in range(FILE_SCHEDULES):
        _run_random_schedules(world, ("worker", other), beginning, dice, task)


@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize("other", [actor for actor in ACTORS if actor != "worker"])
def test_a_worker_of_an_order_with_a_slot_meets_another_actor(
    world: World, other: str, beginning: str
) -> None:
    """Run an order in its slot, or in another one if it is overdue or retried."""
    dice = random.Random(f"{SEED}slot{other}{beginning}")
    for _ in range(FILE_SCHEDULES):
        _run_random_schedules(world, ("worker", other), beginning, dice, "paced")


def _run_random_schedules(
    world: World,
    pair: tuple[str, str],
    beginning: str,
    dice: random.Random,
    task: str = "proof",
) -> None:
    """Run three schedules; each leaves the one before it at a random step."""
    run_random_schedules(lambda schedule: _scenario(world, pair, beginning, schedule, task), dice)


def _scenario(
    world: World,
    pair: tuple[str, str],
    beginning: str,
    schedule: list[str],
    task: str = "proof",
) -> list[tuple[str, list[str]]]:
    world.fresh()
    message = _begin(world, beginning, task)
    actions = {name: _action(world, name, message) for name in pair}
    actions["time"] = lambda: world.advance(JUMP_S)
    try:
        steps = interleaved(world.wire, actions, schedule)
        world.settle()
        world.check(attempts_to_spare=beginning in ("waiting", "overdue", "held"))
    except AssertionError as error:
        raise AssertionError(
            f"SEED={SEED}: {pair}, {beginning}, schedule {schedule}: {error}"
        ) from error
    return steps


def _begin(world: World, beginning: str, task: str) -> dict[str, Any]:
    """Bring an order to the point where the actors meet it; return its message as a record.

    The message stays in the queue too, so the record is a duplicate.
    """
    places: dict[str, Callable[[str], str]] = {
        "proof": world.place,
        "paced": functools.partial(world.place, task="paced"),
        "filing": world.place_with_file,
        "large": world.place_large,
    }
    order_id = places[task]("ok")
    if beginning == "overdue":
        world.advance(config.settings().resend_after_s + 1)
    if beginning in ("held", "exhausted"):
        for n in range(3 if beginning == "exhausted" else 1):
            world.cloud.claim(order_id, lease_s=10 if beginning == "exhausted" else 62)
            world.advance(11 if beginning == "exhausted" else n)
    if beginning == "failed":
        world.fail(order_id)
    return record(world.body(order_id))


def _action(world: World, name: str, message: dict[str, Any]) -> Action:
    (order_id,) = world.accepted

    def cancel() -> None:
        with suppress(Refusal):
            world.checker.record_cancel(service.cancel(OWNER, order_id))

    def retry() -> None:
        with suppress(Refusal):
            service.retry(OWNER, order_id)

    return {
        "worker": lambda: worker.work([message], lambda: 60),
        "second worker": lambda: worker.work([message], lambda: 60),
        "dead letter": lambda: dead_letters.settle([message]),
        "sweeper": lambda: sweeper.sweep(lambda: 60),
        "second sweeper": lambda: sweeper.sweep(lambda: 60),
        "cancel": cancel,
        "retry": retry,
    }[name]


def test_every_schedule_is_run_once(world: World) -> None:
    """Two calls are three steps: two actors and the clock have 7! / (3! 3! 1!) = 140 schedules."""
    world.fresh()

    def read_twice() -> None:
        transitions.read("kit#none")
        transitions.read("kit#none")

    def run(schedule: list[str]) -> list[tuple[str, list[str]]]:
        return interleaved(
            world.wire, {"a": read_twice, "b": read_twice, "time": lambda: None}, schedule
        )

    found = list(schedules(run))
    assert len(found) == len(set(map(tuple, found)))
    assert {(steps.count("a"), steps.count("b"), steps.count("time")) for steps in found} == {
        (3, 3, 1)
    }
    assert len(found) == 140
