"""The model has the transitions of the code, and the conditions that reach DynamoDB."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chalicelib import clock, orders
from chalicelib.clock import SECOND
from chalicelib.dispatch import MAX_DELAY_S, QUEUED, SCHEDULED, Dispatch, plan
from chalicelib.errors import ConditionFailed
from chalicelib.orders import Failure, Order, Progress
from chalicelib.table import fan_in, retries, stops, transitions
from testkit import Cloud
from testkit.wire import tapped
from tests.model import words
from tests.model.table import CLAUSES, IN_ROUND, IN_SLOT, RULES, WITH_SLOT

ERROR = Failure("task_error", "", 1)
NUGGETS = {"pieces": 1}


def test_the_model_has_the_transitions_of_the_code() -> None:
    code = {
        t.label: (tuple(s.value for s in t.sources), t.target.value if t.target else None)
        for t in orders.TRANSITIONS
    }

    assert code == {label: (rule.sources, rule.target) for label, rule in RULES.items()}


def test_every_clause_has_a_meaning_in_the_model() -> None:
    assert (
        {clause for rule in (*RULES.values(), IN_SLOT) for clause in rule.clauses}
        == set(CLAUSES)
        == set(words.WORDS.values())
    )


def _waiting(cloud: Cloud) -> Order:
    return cloud.order(cloud.place("cook_nuggets", NUGGETS)["id"])


def _claimed(cloud: Cloud) -> Order:
    return cloud.claim(_waiting(cloud).id, lease_s=60)


def _due(cloud: Cloud) -> Order:
    order = _waiting(cloud)
    cloud.clock.advance(10_000)
    return order


def _failed(cloud: Cloud) -> Order:
    return transitions.fail(_claimed(cloud), ERROR)


def _dispatch(order: Order) -> Dispatch:
    return plan(order.id, clock.now(), None, wait_s=60)


def _after(cloud: Cloud) -> Order:
    """Return an order that waits for another."""
    first = _waiting(cloud)
    body = {"task": "cook_nuggets", "input": NUGGETS, "after": [first.id]}
    return cloud.order(cloud.http("POST", "/orders", body).json["id"])


def _released(cloud: Cloud) -> Order:
    order = _after(cloud)
    return fan_in.release(order.key, order.waits_for, order.retry_round)


def _cancel_stopped(cloud: Cloud) -> Order:
    order = stops.stop(_claimed(cloud))
    cloud.clock.advance(61)
    return stops.cancel_stopped(order)


Write = Callable[[Cloud], object]
WRITES: dict[str, Write] = {
    "T1": _waiting,
    "T3": _claimed,
    "T4": lambda cloud: transitions.succeed(_claimed(cloud), "1"),
    "T5": lambda cloud: transitions.put_back(_claimed(cloud), ERROR, SECOND),
    "T6": _failed,
    "T7": lambda cloud: transitions.give_up(_waiting(cloud), ERROR),
    "T8": lambda cloud: transitions.cancel(_waiting(cloud)),
    "T9": lambda cloud: transitions.resend(order := _due(cloud), _dispatch(order)),
    "T10": lambda cloud: transitions.postpone(order := _waiting(cloud), _dispatch(order)),
    "T11": lambda cloud: retries.retry(order := _failed(cloud), _dispatch(order)),
    "T12": lambda cloud: transitions.report(_claimed(cloud), Progress(1, "")),
    "T13": lambda cloud: transitions.reschedule(
        order := _waiting(cloud), clock.now(), _dispatch(order)
    ),
    "T14": lambda cloud: stops.stop(_claimed(cloud)),
    "T15": lambda cloud: stops.end_stopped(stops.stop(_claimed(cloud)), None),
    "T16": _cancel_stopped,
    "T17": lambda cloud: fan_in.join(_waiting(cloud), "0" * 26),
    "T18": lambda cloud: fan_in.release(_after(cloud).key, frozenset({"0"}), None),
    "T19": lambda cloud: fan_in.ready(_released(cloud), _dispatch(_waiting(cloud))),
}


@pytest.mark.parametrize("label", RULES)
def test_the_model_has_the_condition_that_is_sent(cloud: Cloud, label: str) -> None:
    with tapped() as wire:
        WRITES[label](cloud)

    assert words.rule(wire.requests) == RULES[label]


def test_the_model_has_the_claims_of_a_task_with_per_minute(cloud: Cloud) -> None:
    order = _waiting(cloud)
    lease_until = clock.now() + 60 * SECOND
    with tapped() as wire:
        with pytest.raises(ConditionFailed):
            transitions.claim_in_slot(order.key, order.task, lease_until)
        assert words.rule(wire.requests) == IN_SLOT

        transitions.claim_with_slot(order, lease_until, clock.now())
        assert words.rule(wire.requests) == WITH_SLOT


def test_the_model_has_the_release_from_what_did_not_succeed(cloud: Cloud) -> None:
    with tapped() as wire:
        _released(cloud)
        assert words.rule(wire.requests) == IN_ROUND


@pytest.mark.parametrize("ahead_s", [0.5, 1, 60, 897, 898, 898.5, 899, 3600, 90 * 86400])
def test_only_orders_within_the_longest_delay_of_sqs_are_sent(ahead_s: float) -> None:
    """An order is sent so that it arrives after run_at, or is due as soon as it can be sent."""
    sent_at = 1_800_000_000 * SECOND
    run_at = sent_at + int(ahead_s * SECOND)

    dispatch = plan("ID", sent_at, run_at, wait_s=60)
    if dispatch.delay_s is None:
        assert dispatch.check_shard.startswith(SCHEDULED)
        assert dispatch.check_at == run_at - 898 * SECOND
        sent_at = dispatch.check_at
        dispatch = plan("ID", sent_at, run_at, wait_s=60)

    assert dispatch.delay_s is not None
    assert dispatch.check_shard.startswith(QUEUED)
    assert run_at <= sent_at + dispatch.delay_s * SECOND <= sent_at + MAX_DELAY_S * SECOND
    assert dispatch.check_at == run_at + 60 * SECOND
