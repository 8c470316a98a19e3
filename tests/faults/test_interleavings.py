"""Every interleaving of two actors at their calls to the table, with a jump of the clock at any point of it.

PROOF=1 runs all of them, a plain run some of each pair by a seed that it prints.
"""

from __future__ import annotations

import itertools
import random
from contextlib import suppress
from typing import Any

import pytest

from chalicelib import config, service
from chalicelib.errors import Refusal
from chalicelib.functions import dead_letters, sweeper, worker
from chalicelib.table import transitions
from tests.faults.interleave import Deed, interleaved, schedules
from tests.faults.world import CLIENT, SEED, WHOLE, World

SAMPLE = 2
JUMP_S = 125  # over a lease (60 s + 2), over GRACE (120 s)

ACTORS = ("worker", "second worker", "cancel", "dead letter", "sweeper", "second sweeper", "retry")
PAIRS = [pair for pair in itertools.combinations(ACTORS, 2) if pair != ("worker", "worker")]
# Where the order stands when the two meet: waiting, held by one who died, out of attempts, ended
BEGINNINGS = ("waiting", "overdue", "held", "exhausted", "failed")


@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_two_actors_in_every_order(world: World, pair: tuple[str, str], beginning: str) -> None:
    dice = random.Random(f"{SEED}{pair}{beginning}")

    def run(schedule: list[str]) -> list[tuple[str, list[str]]]:
        return _scenario(world, pair, beginning, schedule)

    if WHOLE:
        for _ in schedules(run):
            pass
        return
    for _ in range(SAMPLE):
        _random_walk(world, pair, beginning, dice)


def _random_walk(world: World, pair: tuple[str, str], beginning: str, dice: random.Random) -> None:
    """A schedule by dice: each step of the one before is a place to turn off."""
    steps = _scenario(world, pair, beginning, [])
    for _ in range(2):
        n = dice.randrange(len(steps))
        schedule = [name for name, _ in steps[:n]] + [dice.choice(steps[n][1])]
        steps = _scenario(world, pair, beginning, schedule)


def _scenario(
    world: World, pair: tuple[str, str], beginning: str, schedule: list[str]
) -> list[tuple[str, list[str]]]:
    world.fresh()
    record = _begin(world, beginning)
    deeds = {name: _deed(world, name, record) for name in pair} | {
        "time": lambda: world.advance(JUMP_S)
    }
    try:
        steps = interleaved(world.wire, deeds, schedule)
        world.settle()
        world.check(attempts_to_spare=beginning in ("waiting", "overdue", "held"))
    except AssertionError as broken:
        raise AssertionError(
            f"SEED={SEED}: {pair}, {beginning}, schedule {schedule}: {broken}"
        ) from broken
    return steps


def _begin(world: World, beginning: str) -> dict[str, Any]:
    """An order where the actors meet it, and its message, which stays in the queue besides: a duplicate."""
    order_id = world.place("ok")
    if beginning == "overdue":
        world.advance(config.settings().resend_after_s + 1)
    if beginning in ("held", "exhausted"):
        for n in range(3 if beginning == "exhausted" else 1):
            world.cloud.claim(order_id, lease_s=10 if beginning == "exhausted" else 62)
            world.advance(11 if beginning == "exhausted" else n)
    if beginning == "failed":
        world.fail(order_id)
    body = world.body(order_id)
    return {
        "messageId": "m",
        "receiptHandle": "r",
        "body": body,
        "attributes": {"ApproximateReceiveCount": "1"},
    }


def _deed(world: World, name: str, record: dict[str, Any]) -> Deed:
    (order_id,) = world.accepted

    def cancel() -> None:
        with suppress(Refusal):
            world.bystander.cancelled(service.cancel(CLIENT, order_id))

    def retry() -> None:
        with suppress(Refusal):
            service.retry(CLIENT, order_id)

    return {
        "worker": lambda: worker.work([record], lambda: 60),
        "second worker": lambda: worker.work([record], lambda: 60),
        "dead letter": lambda: dead_letters.settle([record]),
        "sweeper": lambda: sweeper.sweep(lambda: 60),
        "second sweeper": lambda: sweeper.sweep(lambda: 60),
        "cancel": cancel,
        "retry": retry,
    }[name]


def test_the_walk_takes_every_order_once(world: World) -> None:
    """Two actors of two calls each and the clock: 5 steps in 5! / (2! 2! 1!) orders."""
    world.fresh()

    def ask_twice() -> None:
        transitions.read("kit#none")
        transitions.read("kit#none")

    def run(schedule: list[str]) -> list[tuple[str, list[str]]]:
        return interleaved(
            world.wire, {"a": ask_twice, "b": ask_twice, "time": lambda: None}, schedule
        )

    taken = list(schedules(run))
    assert len(taken) == len(set(map(tuple, taken)))
    assert {(steps.count("a"), steps.count("b"), steps.count("time")) for steps in taken} == {
        (3, 3, 1)
    }
    assert len(taken) == 140
