"""Inject every kind of fault at every AWS call of every flow, and two or three faults at random.

The tasks are ok, flaky or failing. PROOF=1 (`make proof`) runs all of it; a plain run takes a
sample by a seed that it prints.
"""

from __future__ import annotations

import random

import pytest

from chalicelib.orders import Status
from testkit import wire
from testkit.wire import ATTEMPTS, Fault, Wire
from tests.faults.bulk_flows import BULK_FLOWS
from tests.faults.fan_in_flows import DISTURBED_FLOWS, FAN_IN_FLOWS
from tests.faults.flows import FLOWS, KINDS
from tests.faults.world import SEED, WHOLE, World

SAMPLE = 11  # scenarios of each flow and kind in a plain run: one of each fault
# The same of flows that are many, and long
LONG_SAMPLES = {
    **{flow.__name__: 4 for flow in FAN_IN_FLOWS},
    **{flow.__name__: 2 for flow in BULK_FLOWS},
}
RANDOM = 4000 if WHOLE else 60


def faults(tap: Wire) -> dict[str, tuple[Fault, int]]:
    """Return each kind of fault by name, and the number of requests that it hits.

    botocore's own retries hide one failed request; they do not hide ATTEMPTS of them.
    """
    kinds = {
        "lost": wire.lost,
        "answer lost": wire.answer_lost,
        "throttled": wire.throttled,
        "500": wire.server_error,
    }
    hidden_by_a_retry = {f"{name}, once": (fault, 1) for name, fault in kinds.items()}
    visible = {name: (fault, ATTEMPTS) for name, fault in kinds.items()}
    return {
        **hidden_by_a_retry,
        **visible,
        "denied": (wire.denied, 1),
        "killed before": (tap.killed, 1),
        "killed after": (tap.killed_after, 1),
    }


def single_faults(tap: Wire, calls: int, sample: int, flow: str, kind: str) -> list[dict[int, str]]:
    """Return plans of one fault each: all, or a sample that depends on SEED.

    Each call comes as often in it as the others, and so does each fault in those of a flow.
    """
    names = list(faults(tap))
    if WHOLE:
        return [{n: name} for n in range(calls) for name in names]
    random.Random(f"{SEED}{flow}").shuffle(names)
    start = KINDS.index(kind) * sample
    in_turn = random.Random(f"{SEED}{flow}{kind}").sample(range(calls), calls)
    return [{in_turn[n % calls]: names[(start + n) % len(names)]} for n in range(sample)]


def random_faults(tap: Wire, dice: random.Random) -> dict[int, str]:
    """Return a plan of two or three faults."""
    names = list(faults(tap))
    return {dice.randrange(30): dice.choice(names) for _ in range(dice.choice((2, 3)))}


def inject(tap: Wire, plan: dict[int, str]) -> None:
    """Let the planned faults happen at the calls with these numbers."""
    kinds = faults(tap)
    for n, name in plan.items():
        fault, times = kinds[name]
        tap.faults |= dict.fromkeys(range(n, n + times), fault)


def test_the_sample_of_a_flow_has_every_fault_and_no_call_twice(world: World) -> None:
    samples = [single_faults(world.wire, 30, SAMPLE, "a flow", kind) for kind in KINDS]
    met = {name for plans in samples for plan in plans for name in plan.values()}

    assert met == set(faults(world.wire))
    for plans in samples if not WHOLE else []:
        assert len({n for plan in plans for n in plan}) == len(plans) == SAMPLE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flow", FLOWS)
def test_orders_survive_any_fault_at_any_call(world: World, flow: str, kind: str) -> None:
    calls = _scenario(world, flow, kind, {})
    sample = LONG_SAMPLES.get(flow, SAMPLE)
    for plan in single_faults(world.wire, calls, sample, flow, kind):
        _scenario(world, flow, kind, plan)


@pytest.mark.usefixtures("both_transports")
def test_orders_survive_two_or_three_random_faults(world: World) -> None:
    dice = random.Random(SEED)
    for _ in range(RANDOM):
        plan = random_faults(world.wire, dice)
        _scenario(world, dice.choice(list(FLOWS)), dice.choice(KINDS), plan)


def test_an_order_whose_file_can_not_be_read_fails_after_its_attempts(world: World) -> None:
    world.fresh()
    world.upload()
    order_id = world.place_with_file("ok")
    world.wire.breaks("GetObject", 100)
    world.settle()
    world.check()

    (order,) = world.rows()
    assert (order.id, order.status, order.attempts) == (order_id, Status.FAILED, 3)
    assert order.error is not None
    assert order.error.code == "file_unavailable"
    world.wire.breaks("GetObject", 0)


def _scenario(world: World, flow: str, kind: str, plan: dict[int, str]) -> int:
    """Run a flow with faults at the planned calls until every order is final.

    Returns the number of calls that the flow itself made.
    """
    world.fresh()
    inject(world.wire, plan)
    try:
        FLOWS[flow](world, kind)
        calls = len(world.wire.calls)
        world.settle()
        undisturbed = not plan and flow not in DISTURBED_FLOWS
        world.check(attempts_to_spare=len(plan) <= 1, undisturbed=undisturbed)
    except AssertionError as error:
        raise AssertionError(f"SEED={SEED}: {flow}, {kind}, faults {plan}: {error}") from error
    return calls
