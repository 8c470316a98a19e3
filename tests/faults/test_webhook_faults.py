"""Inject every kind of fault at every AWS call of every flow with webhooks.

PROOF=1 (`make proof`) runs all of it; a plain run takes a sample by a seed that it prints.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.faults.conftest import reported
from tests.faults.test_faults import inject, random_faults, single_faults
from tests.faults.webhook_flows import KINDS, WEBHOOK_FLOWS
from tests.faults.webhook_world import WebhookWorld, webhook_world
from tests.faults.world import SEED, WHOLE

SAMPLE = 2  # scenarios with a fault of each flow and kind in a plain run
RANDOM = 1000 if WHOLE else 10


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest) -> Iterator[WebhookWorld]:
    with webhook_world() as world, reported(request, world):
        yield world


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flow", WEBHOOK_FLOWS)
def test_each_end_is_told_whatever_call_fails(world: WebhookWorld, flow: str, kind: str) -> None:
    calls = _scenario(world, flow, kind, {})
    for plan in single_faults(world.wire, calls, SAMPLE, flow, kind):
        _scenario(world, flow, kind, plan)


def test_each_end_is_told_despite_two_or_three_random_faults(world: WebhookWorld) -> None:
    dice = random.Random(SEED)
    for _ in range(RANDOM):
        plan = random_faults(world.wire, dice)
        _scenario(world, dice.choice(list(WEBHOOK_FLOWS)), dice.choice(KINDS), plan)


def _scenario(world: WebhookWorld, flow: str, kind: str, plan: dict[int, str]) -> int:
    """Run a flow with faults at the planned calls until every order is final.

    Returns the number of calls that the flow itself made.
    """
    world.fresh()
    inject(world.wire, plan)
    try:
        WEBHOOK_FLOWS[flow](world, kind)
        calls = len(world.wire.calls)
        if not plan:
            world.check_strays()  # without the sweeper
        world.settle()
        world.check(attempts_to_spare=len(plan) <= 1)
        world.check_webhooks()
    except AssertionError as error:
        raise AssertionError(f"SEED={SEED}: {flow}, {kind}, faults {plan}: {error}") from error
    return calls
