"""The flows of orders that wait for others."""

from __future__ import annotations

from unittest.mock import patch

from chalicelib import config, ending
from tests.faults.world import World


def fan_in(world: World, kind: str) -> None:
    """Place an order after two; one of them may fail."""
    world.place_after([world.place(kind), world.place("ok")])
    _let_attempts_pass(world)


def fan_in_at_any_end(world: World, kind: str) -> None:
    """Place an order that runs after any end of two."""
    world.place_after([world.place(kind), world.place("ok")], when="end")
    _let_attempts_pass(world)


def after_ended_ones(world: World, kind: str) -> None:
    """Place orders after two that have ended, or may still be retried by the worker."""
    before = [world.place(kind), world.place("ok")]
    world.drain()
    for when in ("success", "end"):
        world.place_after(before, when=when)
    _let_attempts_pass(world)


def after_running_ones(world: World, kind: str) -> None:
    """Place orders after one that runs, and after one whose worker has died."""
    world.place(kind, "inviting")
    held = world.place(kind)
    world.claim(held, lease_s=30)
    world.place_after([held], when="end")
    world.drain()
    world.advance(31)
    _let_attempts_pass(world)


def cancel_the_one_before(world: World, kind: str) -> None:
    """Cancel the order that two wait for, and retry it and one of them."""
    before = world.place(kind)
    last = world.place_after([before])
    world.place_after([before], when="end")
    world.cancel(before)
    world.retry(before)
    world.retry(last)
    _let_attempts_pass(world)


def stop_the_one_before(world: World, kind: str) -> None:
    """Stop the order that two wait for while it runs; retry it and the one that failed."""
    before = world.place(kind, "stopped")
    last = world.place_after([before])
    world.place_after([before], when="end")
    _let_attempts_pass(world)
    world.retry(before)
    world.retry(last)
    _let_attempts_pass(world)


def cancel_and_retry_the_waiting_one(world: World, kind: str) -> None:
    """Cancel an order that waits, and retry it before and after those before it have ended."""
    before = [world.place(kind), world.place("ok")]
    last = world.place_after(before, when="end")
    world.cancel(last)
    world.retry(last)
    world.cancel(last)
    _let_attempts_pass(world)
    world.retry(last)
    world.drain()


def retry_both(world: World, kind: str) -> None:
    """Retry an order that failed because of the one before it: too early, and after that one."""
    before = world.place(kind)
    last = world.place_after([before, world.place("ok")])
    _let_attempts_pass(world)
    world.retry(last)
    world.retry(before)
    world.retry(last)
    _let_attempts_pass(world)


def chain(world: World, kind: str) -> None:
    """Place a chain of four, of which the sweeper sends each second one."""
    with patch.object(ending, "MAX_DIRECT_DEPTH", 2):
        ids = [world.place(kind)]
        for _ in range(3):
            ids.append(world.place_after(ids[-1:]))
        _let_attempts_pass(world)
        world.sweep()
        world.drain()


def fan_out_and_in(world: World, kind: str) -> None:
    """Run a task that places two orders and one after them; it may fail after that, and repeat."""
    order_id = world.place(kind, "fanning")
    _let_attempts_pass(world)
    world.retry(order_id)
    _let_attempts_pass(world)


def fan_in_by_a_tree(world: World, kind: str) -> None:
    """Run a task that places an order after more than a row can name."""
    world.place(kind, "branching")
    _let_attempts_pass(world)


def fan_in_with_slots(world: World, kind: str) -> None:
    """Let an order with a slot wait for one that has a slot too."""
    before = world.place(kind, "paced")
    world.place_after([before], task="paced")
    for _ in range(6):
        world.drain()
        world.advance(33)
    world.drain()


def replay_the_waiting_one(world: World, kind: str) -> None:
    """Repeat the request of an order that waits, runs or has ended."""
    last = world.place_after([world.place(kind)], when="end")
    world.replay(last)
    world.deliver()
    world.replay(last)
    _let_attempts_pass(world)
    world.replay(last)


def lose_the_messages_of_a_fan_in(world: World, kind: str) -> None:
    """Lose the messages of the orders before, then that of the order that they released."""
    world.place_after([world.place(kind), world.place("ok")], when="end")
    for _ in range(2):
        world.lose_messages()
        world.advance(config.settings().resend_after_s + 1)
        world.sweep()
        world.deliver()
        world.deliver()
    _let_attempts_pass(world)


def give_up_the_one_before(world: World, kind: str) -> None:
    """Let attempts of two orders crash until a dead letter and the sweeper give them up."""
    before = [world.place(kind) for _ in range(2)]
    for each in before:
        world.accepted[each] = "failing"
        world.place_after([each])
        world.place_after([each], when="end")
    for _ in range(3):
        for each in before:
            world.claim(each, lease_s=10)
        world.advance(11)
    world.lose_messages()
    world.bury(before[0])
    world.drain()
    world.advance(config.settings().resend_after_s + 1)
    world.sweep()
    world.drain()


def bury_the_waiting_one(world: World, kind: str) -> None:
    """Let a message of an order that waits again become a dead letter, and another come early."""
    last = world.place_after([world.place(kind)], when="end")
    world.duplicate(last)
    world.bury(last)
    world.drain()
    _let_attempts_pass(world)


def lose_the_one_before(world: World, kind: str) -> None:
    """Delete the row of an order that two wait for: they fail once it is certainly gone."""
    before = world.place(kind)
    for when in ("success", "end"):
        world.place_after([before], when=when)
    world.delete(before)
    for _ in range(5):
        world.advance(300)
        world.sweep()
    world.drain()


def _let_attempts_pass(world: World) -> None:
    """Deliver until orders whose attempts fail have used them up."""
    for _ in range(4):
        world.drain()
        world.advance(10)
    world.drain()


FAN_IN_FLOWS = (
    fan_in,
    fan_in_at_any_end,
    after_ended_ones,
    after_running_ones,
    cancel_the_one_before,
    stop_the_one_before,
    cancel_and_retry_the_waiting_one,
    retry_both,
    chain,
    fan_out_and_in,
    fan_in_by_a_tree,
    fan_in_with_slots,
    replay_the_waiting_one,
    lose_the_messages_of_a_fan_in,
    give_up_the_one_before,
    bury_the_waiting_one,
    lose_the_one_before,
)
# Flows that lose messages or kill functions themselves, so that the sweeper is needed
DISTURBED_FLOWS = ("lose_the_messages_of_a_fan_in", "give_up_the_one_before", "lose_the_one_before")
