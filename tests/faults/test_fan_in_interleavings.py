"""Every interleaving of two actors that meet at a waiting order, at one before it, or at a stop.

Each meeting runs without a disturbance, when no order may need the sweeper, and with a jump of the
clock at any point. PROOF=1 runs all interleavings; a plain run takes three of each meeting.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

import pytest

from chalicelib import config, ids, service
from chalicelib.errors import Refusal
from chalicelib.execution.context import Context
from chalicelib.functions import dead_letters, sweeper, worker
from chalicelib.orders import Status
from chalicelib.table import transitions
from chalicelib.tasks import task
from testkit.wire import one_call_at_a_time
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
STOPS = 1000 if WHOLE else 40
Meeting = Callable[[World, str, str], dict[str, Action]]


def two_ends(world: World, kind: str, when: str) -> dict[str, Action]:
    """Let the two orders before another one end at the same moment."""
    before = [world.place(kind), world.place("ok")]
    world.place_after(before, when=when)
    return {"worker": _work(world, before[0]), "second worker": _work(world, before[1])}


def join_and_end(world: World, kind: str, when: str) -> dict[str, Action]:
    before = world.place(kind)
    return {"place": _place_after(world, [before], when), "worker": _work(world, before)}


def join_and_cancel(world: World, kind: str, when: str) -> dict[str, Action]:
    before = world.place(kind)
    return {"place": _place_after(world, [before], when), "cancel": _cancel(world, before)}


def join_and_retry(world: World, kind: str, when: str) -> dict[str, Action]:
    before = world.place(kind)
    world.cancel(before)
    return {"place": _place_after(world, [before], when), "retry": _retry(before)}


def two_joins(world: World, kind: str, when: str) -> dict[str, Action]:
    before = world.place(kind)
    return {
        "place": _place_after(world, [before], when),
        "second place": _place_after(world, [before], when),
    }


def retry_and_release(world: World, kind: str, when: str) -> dict[str, Action]:
    """Retry a cancelled order while the one before it ends."""
    before = world.place(kind)
    last = world.place_after([before], when=when)
    world.cancel(last)
    return {"retry": _retry(last), "worker": _work(world, before)}


def retry_and_cancel_before(world: World, kind: str, when: str) -> dict[str, Action]:
    before = world.place(kind)
    last = world.place_after([before, world.place("ok")], when=when)
    world.cancel(last)
    return {"retry": _retry(last), "cancel": _cancel(world, before)}


def retry_of_both(world: World, kind: str, when: str) -> dict[str, Action]:
    before = world.place(kind)
    last = world.place_after([before, world.place("ok")], when=when)
    world.cancel(last)
    world.cancel(before)
    return {"retry": _retry(last), "retry before": _retry(before)}


def cancel_and_release(world: World, kind: str, when: str) -> dict[str, Action]:
    before = world.place(kind)
    last = world.place_after([before], when=when)
    return {"cancel": _cancel(world, last), "worker": _work(world, before)}


def end_and_cancel(world: World, kind: str, when: str) -> dict[str, Action]:
    """Cancel one of the two orders before another one, while the other of them ends."""
    before = [world.place(kind), world.place("ok")]
    world.place_after(before, when=when)
    return {"cancel": _cancel(world, before[0]), "worker": _work(world, before[1])}


def sweep_and_end(world: World, kind: str, when: str) -> dict[str, Action]:
    before = world.place(kind)
    world.place_after([before], when=when)
    work = _work(world, before)
    world.advance(config.settings().resend_after_s + 1)
    return {"sweeper": _sweep, "worker": work}


def sweep_and_retry_before(world: World, kind: str, when: str) -> dict[str, Action]:
    """Let the owner retry the order before, whose end nobody passed on, during a sweep."""
    before = _ended_by_a_function_that_died(world, kind, when)
    return {"sweeper": _sweep, "retry": _retry(before)}


def sweep_and_message(world: World, kind: str, when: str) -> dict[str, Action]:
    before = _ended_by_a_function_that_died(world, kind, when)
    return {"sweeper": _sweep, "worker": _work(world, before)}


def two_sweeps(world: World, kind: str, when: str) -> dict[str, Action]:
    _ended_by_a_function_that_died(world, kind, when)
    return {"sweeper": _sweep, "second sweeper": _sweep}


def stop_and_work(world: World, kind: str, when: str) -> dict[str, Action]:
    """Stop an order at its claim, its put back or its finish."""
    before = world.place(kind)
    world.place_after([before], when=when)
    return {"worker": _work(world, before), "stop": _cancel(world, before)}


def stop_and_second_claim(world: World, kind: str, when: str) -> dict[str, Action]:
    """Stop an order whose worker has died, at the claim of another worker."""
    before = _held_by_a_dead_worker(world, kind, when)
    return {"worker": _work(world, before), "stop": _cancel(world, before)}


def cancel_stopped_and_message(world: World, kind: str, when: str) -> dict[str, Action]:
    before = _held_by_a_dead_worker(world, kind, when)
    world.cancel(before)
    return {"worker": _work(world, before), "dead letter": _bury(world, before)}


def cancel_stopped_and_sweep(world: World, kind: str, when: str) -> dict[str, Action]:
    before = _held_by_a_dead_worker(world, kind, when)
    world.cancel(before)
    world.advance(JUMP_S)
    return {"worker": _work(world, before), "sweeper": _sweep}


MEETINGS: tuple[Meeting, ...] = (
    two_ends,
    join_and_end,
    join_and_cancel,
    join_and_retry,
    two_joins,
    retry_and_release,
    retry_and_cancel_before,
    retry_of_both,
    cancel_and_release,
    end_and_cancel,
    stop_and_work,
)
# Here a function has died or time has passed: the sweeper is needed
DISTURBED_MEETINGS: tuple[Meeting, ...] = (
    sweep_and_end,
    sweep_and_retry_before,
    sweep_and_message,
    two_sweeps,
    stop_and_second_claim,
    cancel_stopped_and_message,
    cancel_stopped_and_sweep,
)


@pytest.mark.parametrize("when", ["success", "end"])
@pytest.mark.parametrize("kind", ["ok", "failing"])
@pytest.mark.parametrize("meeting", MEETINGS, ids=lambda meeting: meeting.__name__)
def test_nothing_waits_for_the_sweeper(
    world: World, meeting: Meeting, kind: str, when: str
) -> None:
    _run(world, meeting, kind, when, jump=False, undisturbed=True)


@pytest.mark.parametrize("when", ["success", "end"])
@pytest.mark.parametrize("kind", ["ok", "failing"])
@pytest.mark.parametrize(
    "meeting", MEETINGS + DISTURBED_MEETINGS, ids=lambda meeting: meeting.__name__
)
def test_every_promise_is_kept_when_the_clock_jumps(
    world: World, meeting: Meeting, kind: str, when: str
) -> None:
    _run(world, meeting, kind, when, jump=True, undisturbed=False)


def _run(
    world: World, meeting: Meeting, kind: str, when: str, jump: bool, undisturbed: bool
) -> None:
    def run(schedule: list[str]) -> Steps:
        world.fresh()
        actions = meeting(world, kind, when)
        if jump:
            actions["time"] = lambda: world.advance(JUMP_S)
        world.lose_messages()  # a repeated message would do what an actor forgot
        try:
            steps = interleaved(world.wire, actions, schedule)
            world.settle()
            world.check(attempts_to_spare=True, undisturbed=undisturbed)
        except AssertionError as error:
            raise AssertionError(
                f"SEED={SEED}: {meeting.__name__}, {kind}, {when}, schedule {schedule}: {error}"
            ) from error
        return steps

    if WHOLE:
        for _ in schedules(run):
            pass
    else:
        run_random_schedules(run, random.Random(f"{SEED}{meeting.__name__}{kind}{when}{jump}"))


def test_a_stop_at_the_moment_of_the_finish_leaves_one_of_two_honest_ends(world: World) -> None:
    """The client's request and the worker run in two threads that start together."""
    world.fresh()
    barrier = threading.Barrier(2)
    result = "0.1"  # the round and the attempt

    @task
    def meeting(context: Context, kind: str) -> str:
        with world.run(context):
            barrier.wait(10)
            context.progress(100)
            return result

    ends: Counter[tuple[Status, str | None, str | None]] = Counter()
    with one_call_at_a_time():
        for _ in range(STOPS):
            order_id = world.place("ok", "meeting")
            client = threading.Thread(target=_stop_at, args=(barrier, order_id))
            client.start()
            world.drain()
            client.join()
            order = world.cloud.order(order_id)
            ends[order.status, order.history[-1].code, order.result] += 1
    world.check()

    assert set(ends) <= {(Status.SUCCESS, None, f'"{result}"'), (Status.CANCELLED, "stopped", None)}
    assert ends.total() == STOPS


def _stop_at(barrier: threading.Barrier, order_id: str) -> None:
    barrier.wait(10)
    with suppress(Refusal):
        service.cancel(OWNER, order_id)


def _work(world: World, order_id: str) -> Action:
    message = record(world.body(order_id))
    return lambda: worker.work([message], lambda: 60)


def _bury(world: World, order_id: str) -> Action:
    message = record(world.body(order_id))
    return lambda: dead_letters.settle([message])


def _sweep() -> None:
    sweeper.sweep(lambda: 60)


def _place_after(world: World, before: Sequence[str], when: str) -> Action:
    return lambda: world.place_after(before, when=when)


def _cancel(world: World, order_id: str) -> Action:
    return lambda: world.cancel(order_id)


def _retry(order_id: str) -> Action:
    def retry() -> None:
        with suppress(Refusal):
            service.retry(OWNER, order_id)

    return retry


def _ended_by_a_function_that_died(world: World, kind: str, when: str) -> str:
    """Cancel an order before another one, without telling that one; return its id."""
    before = world.place(kind)
    world.place_after([before], when=when)
    row = transitions.read(ids.key_of(OWNER, before))
    assert row is not None
    transitions.cancel(row)
    world.advance(config.settings().resend_after_s + 1)
    return before


def _held_by_a_dead_worker(world: World, kind: str, when: str) -> str:
    """Let an order before another one be claimed by a worker that dies; its lease is over."""
    before = world.place(kind)
    world.place_after([before], when=when)
    world.claim(before, lease_s=10)
    world.advance(11)
    return before
