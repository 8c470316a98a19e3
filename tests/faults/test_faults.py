"""Every AWS call of every flow x every kind of fault x a task that is ok, flaky or failing; and two or three at random.

PROOF=1 (`make proof`) runs all of them; a plain run takes a sample, by a seed that it prints.
"""

from __future__ import annotations

import random

import pytest

from tests.faults.flows import FLOWS, KINDS
from tests.faults.world import SEED, WHOLE, World
from tests.kit import wire
from tests.kit.wire import ATTEMPTS, Fault, Wire

SAMPLE = 12  # scenarios of each flow and kind in a plain run
RANDOM = 4000 if WHOLE else 60


def faults(tap: Wire) -> dict[str, tuple[Fault, int]]:
    """Each kind, and how many requests it strikes: one is hidden by botocore's own retries, ATTEMPTS are not."""
    kinds = {
        "lost": wire.lost,
        "answer lost": wire.answer_lost,
        "throttled": wire.throttled,
        "500": wire.server_error,
    }
    hidden = {f"{name}, once": (fault, 1) for name, fault in kinds.items()}
    shown = {name: (fault, ATTEMPTS) for name, fault in kinds.items()}
    return {
        **hidden,
        **shown,
        "denied": (wire.denied, 1),
        "killed before": (tap.killed, 1),
        "killed after": (tap.killed_after, 1),
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flow", FLOWS)
def test_any_fault_at_any_call(world: World, flow: str, kind: str) -> None:
    calls = _scenario(world, flow, kind, {})
    every = [(n, name) for n in range(calls) for name in faults(world.wire)]
    chosen = (
        every
        if WHOLE
        else random.Random(f"{SEED}{flow}{kind}").sample(every, min(SAMPLE, len(every)))
    )
    for n, name in chosen:
        _scenario(world, flow, kind, {n: name})


def test_two_or_three_faults_at_random(world: World) -> None:
    dice = random.Random(SEED)
    for _ in range(RANDOM):
        plan = {
            dice.randrange(30): dice.choice(list(faults(world.wire)))
            for _ in range(dice.choice((2, 3)))
        }
        _scenario(world, dice.choice(list(FLOWS)), dice.choice(KINDS), plan)


def _scenario(world: World, flow: str, kind: str, plan: dict[int, str]) -> int:
    """A flow with faults at the given calls, led to its end. Returns how many calls the flow itself made."""
    world.fresh()
    known = faults(world.wire)
    for n, name in plan.items():
        fault, times = known[name]
        world.wire.faults |= dict.fromkeys(range(n, n + times), fault)
    try:
        FLOWS[flow](world, kind)
        calls = len(world.wire.calls)
        world.settle()
        world.check(attempts_to_spare=len(plan) <= 1)
    except AssertionError as broken:
        raise AssertionError(f"SEED={SEED}: {flow}, {kind}, faults {plan}: {broken}") from broken
    return calls
