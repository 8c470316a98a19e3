"""Every interleaving of requests about many orders: of bulks, and of operators' retries.

The clock jumps at any point. PROOF=1 runs all interleavings of two actors and many of three; a
plain run takes three of each meeting.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from chalicelib import bulk, ids, operators
from chalicelib.building import NewOrder
from chalicelib.errors import OrderlineError
from chalicelib.functions import sweeper, worker
from chalicelib.orders import Order, Status
from chalicelib.service import Placed
from tests.faults.bulk_invariants import BROKEN, Press
from tests.faults.client import OWNER
from tests.faults.interleave import (
    Action,
    Steps,
    interleaved,
    record,
    run_random_schedules,
    schedules,
)
from tests.faults.world import SEED, WHOLE, World

JUMP_S = 125  # longer than a lease (60 s + 2 s) and than RESEND_AFTER_S (120 s)
SAMPLES = 200 if WHOLE else 1  # of three actors, thrice as many schedules
Meeting = Callable[[World, str], dict[str, Action]]


def two_presses(world: World, kind: str) -> dict[str, Action]:
    """Let two operators retry all that failed."""
    _failed(world, kind, 2)
    return {"press": _press(world), "second press": _press(world)}


def press_and_press_of_chosen(world: World, kind: str) -> dict[str, Action]:
    order_ids = _failed(world, kind, 2)
    return {"press": _press(world), "chosen": _press_chosen(world, order_ids)}


def press_and_retry(world: World, kind: str) -> dict[str, Action]:
    """Let the owner retry one of the failed orders too."""
    order_ids = _failed(world, kind, 2)
    return {"press": _press(world), "retry": lambda: world.retry(order_ids[0])}


def press_and_cancel(world: World, kind: str) -> dict[str, Action]:
    """Let the owner cancel one of the orders; that is refused until it is retried."""
    order_ids = _failed(world, kind, 2)
    return {"press": _press(world), "cancel": lambda: world.cancel(order_ids[0])}


def press_and_cancel_of_both(world: World, kind: str) -> dict[str, Action]:
    order_ids = _failed(world, kind, 2)
    return {"press": _press(world), "cancel": _cancel(world, order_ids)}


def press_and_sweep(world: World, kind: str) -> dict[str, Action]:
    _failed(world, kind, 2)
    return {"press": _press(world), "sweeper": lambda: sweeper.sweep(lambda: 60)}


def two_bulks(world: World, kind: str) -> dict[str, Action]:
    """Let a bulk be sent twice with one key."""
    return _two_bulks(world, [kind, "ok", kind], "proof")


def two_bulks_with_slots(world: World, kind: str) -> dict[str, Action]:
    return _two_bulks(world, [kind, "ok"], "paced")


def bulk_and_cancel(world: World, kind: str) -> dict[str, Action]:
    """Let a repeated bulk meet the cancel of what the first one placed."""
    order_ids, place = _bulk(world, [kind, "ok"], "proof")
    place()
    return {"bulk": place, "cancel": _cancel(world, order_ids)}


def two_cancels(world: World, kind: str) -> dict[str, Action]:
    order_ids = [world.place(kind) for _ in range(2)]
    return {"cancel": _cancel(world, order_ids), "second cancel": _cancel(world, order_ids)}


def cancel_and_work(world: World, kind: str) -> dict[str, Action]:
    order_ids = [world.place(kind) for _ in range(2)]
    return {"cancel": _cancel(world, order_ids), "worker": _work(world, order_ids[1])}


def two_presses_and_work(world: World, kind: str) -> dict[str, Action]:
    """Let an order run, and maybe fail again, between two presses."""
    (order_id,) = _failed(world, kind, 1)
    return {
        "press": _press(world),
        "second press": _press(world),
        "worker": _work(world, order_id),
    }


def press_retry_and_work(world: World, kind: str) -> dict[str, Action]:
    (order_id,) = _failed(world, kind, 1)
    return {
        "press": _press(world),
        "retry": lambda: world.retry(order_id),
        "worker": _work(world, order_id),
    }


def two_bulks_and_sweep(world: World, kind: str) -> dict[str, Action]:
    meeting = _two_bulks(world, [kind, "ok"], "proof")
    return {**meeting, "sweeper": lambda: sweeper.sweep(lambda: 60)}


MEETINGS: tuple[Meeting, ...] = (
    two_presses,
    press_and_press_of_chosen,
    press_and_retry,
    press_and_cancel,
    press_and_cancel_of_both,
    press_and_sweep,
    two_bulks,
    two_bulks_with_slots,
    bulk_and_cancel,
    two_cancels,
    cancel_and_work,
)
MEETINGS_OF_THREE: tuple[Meeting, ...] = (
    two_presses_and_work,
    press_retry_and_work,
    two_bulks_and_sweep,
)


@pytest.mark.parametrize("kind", ["ok", "failing"])
@pytest.mark.parametrize("meeting", MEETINGS, ids=lambda meeting: meeting.__name__)
def test_two_requests_keep_every_promise_in_any_order(
    world: World, meeting: Meeting, kind: str
) -> None:
    def run(schedule: list[str]) -> Steps:
        return _run(world, meeting, kind, schedule)

    if WHOLE:
        for _ in schedules(run):
            pass
    else:
        run_random_schedules(run, random.Random(f"{SEED}{meeting.__name__}{kind}"))


@pytest.mark.parametrize("kind", ["ok", "failing"])
@pytest.mark.parametrize("meeting", MEETINGS_OF_THREE, ids=lambda meeting: meeting.__name__)
def test_three_actors_keep_every_promise_in_any_order(
    world: World, meeting: Meeting, kind: str
) -> None:
    dice = random.Random(f"{SEED}{meeting.__name__}{kind}")
    for _ in range(SAMPLES):
        run_random_schedules(lambda schedule: _run(world, meeting, kind, schedule), dice)


def _run(world: World, meeting: Meeting, kind: str, schedule: list[str]) -> Steps:
    world.fresh()
    actions = {**meeting(world, kind), "time": lambda: world.advance(JUMP_S)}
    world.lose_messages()  # a repeated message would do what an actor forgot
    try:
        steps = interleaved(world.wire, actions, schedule)
        world.settle()
        world.check(attempts_to_spare=True)
    except AssertionError as error:
        raise AssertionError(
            f"SEED={SEED}: {meeting.__name__}, {kind}, schedule {schedule}: {error}"
        ) from error
    return steps


def _failed(world: World, kind: str, count: int) -> list[str]:
    """Place orders whose first round fails; return their ids."""
    order_ids = world.place_many([kind] * count, BROKEN)
    world.drain()
    assert {row.status for row in world.rows()} == {Status.FAILED}
    return order_ids


def _press(world: World) -> Action:
    """Let an operator retry all that has failed by now."""
    before = world.cloud.clock()
    world.checker.bulk.presses.append(Press(before))
    return lambda: operators.retry_failed(BROKEN, 0, before, 10, lambda: 60)


def _press_chosen(world: World, order_ids: Sequence[str]) -> Action:
    before = world.cloud.clock()
    world.checker.bulk.presses.append(Press(before))
    keys = [ids.key_of(OWNER, order_id) for order_id in order_ids]
    return lambda: operators.retry_chosen(keys, before, lambda: 60)


def _cancel(world: World, order_ids: Sequence[str]) -> Action:
    """Cancel orders; of those that are cancelled, this round must never succeed."""

    def cancel() -> None:
        references = [(OWNER, order_id) for order_id in order_ids]
        for outcome in bulk.cancel(references, stop_running=True, time_left_s=lambda: 60):
            if isinstance(outcome, Order) and outcome.status is Status.CANCELLED:
                world.checker.record_cancel(outcome)

    return cancel


def _work(world: World, order_id: str) -> Action:
    message = record(world.body(order_id))
    return lambda: worker.work([message], lambda: 60)


def _bulk(
    world: World, kinds: Sequence[str], task: str
) -> tuple[list[str], Callable[[], list[Placed | OrderlineError]]]:
    """Return the ids of a bulk's orders, and an action that places it, again with the same ids."""
    order_ids = [ids.id_of(OWNER, "key", "bulk", str(n)) for n in range(len(kinds))]
    orders = [
        NewOrder(task, {"kind": kind}, id=order_id)
        for kind, order_id in zip(kinds, order_ids, strict=True)
    ]
    world.accepted.update(zip(order_ids, kinds, strict=True))
    return order_ids, lambda: bulk.place(OWNER, orders, lambda: 60)


def _two_bulks(world: World, kinds: Sequence[str], task: str) -> dict[str, Action]:
    """Return two actors that place the same bulk; each order must be new for one of them."""
    _, place = _bulk(world, kinds, task)
    new: list[str] = []

    def place_and_note() -> None:
        for outcome in place():
            assert isinstance(outcome, Placed), outcome
            if not outcome.replayed:
                assert outcome.order.id not in new, "placed twice"
                new.append(outcome.order.id)

    return {"bulk": place_and_note, "second bulk": place_and_note}
