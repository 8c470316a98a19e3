"""The flows of the product, as a client, the queue and the schedule drive them."""

from __future__ import annotations

from collections.abc import Callable

from chalicelib import config
from chalicelib.clock import SECOND
from tests.faults.bulk_flows import BULK_FLOWS
from tests.faults.fan_in_flows import FAN_IN_FLOWS
from tests.faults.world import World

DAY_S = 86_400
Flow = Callable[[World, str], None]


def work(world: World, kind: str) -> None:
    """Place an order and let the worker run it."""
    world.place(kind)
    world.drain()


def cancel(world: World, kind: str) -> None:
    order_id = world.place(kind)
    world.cancel(order_id)
    world.drain()


def cancel_and_retry(world: World, kind: str) -> None:
    order_id = world.place(kind)
    world.cancel(order_id)
    world.retry(order_id)
    world.drain()


def fail_and_retry(world: World, kind: str) -> None:
    """Retry an order whose first round may have failed."""
    order_id = world.place(kind)
    for _ in range(4):
        world.drain()
        world.advance(10)
    world.retry(order_id)
    world.drain()


def stop(world: World, kind: str) -> None:
    """Stop an order while its task runs, and retry it."""
    order_id = world.place(kind, "stopped")
    for _ in range(3):
        world.drain()
        world.advance(10)
    world.retry(order_id)
    world.drain()


def stop_after_a_crash(world: World, kind: str) -> None:
    """Stop an order whose worker has died, and one whose message is lost too."""
    order_ids = [world.place(kind) for _ in range(2)]
    for order_id in order_ids:
        world.claim(order_id, lease_s=30)
        world.cancel(order_id)
    world.drain()
    world.advance(31)
    world.drain()
    world.retry(order_ids[0])
    world.lose_messages()
    world.advance(config.settings().resend_after_s + 1)
    world.sweep()
    world.drain()


def lose_the_message(world: World, kind: str) -> None:
    world.place(kind)
    world.lose_messages()
    world.advance(config.settings().resend_after_s + 1)
    world.sweep()
    world.drain()


def bury_the_message(world: World, kind: str) -> None:
    order_id = world.place(kind)
    world.lose_messages()
    world.bury(order_id)
    world.drain()
    world.advance(config.settings().resend_after_s + 1)
    world.sweep()
    world.drain()


def later(world: World, kind: str) -> None:
    """Place an order for a time within the longest delay of SQS."""
    world.place(kind, delay_s=100)
    world.drain()
    world.advance(103)
    world.drain()


def much_later(world: World, kind: str) -> None:
    """Place an order that only the due index holds until the sweeper sends it."""
    world.place(kind, run_at=world.cloud.clock() + 40 * 60 * SECOND)
    world.advance(26 * 60)
    world.sweep()
    world.advance(15 * 60)
    world.drain()


def long_backoff(world: World, kind: str) -> None:
    """Let attempts fail whose backoff is so long that the message leaves the queue."""
    world.place(kind, "patient")
    for _ in range(3):
        world.drain()
        world.advance(15 * 60)
        world.sweep()
        world.advance(15 * 60)


def long_backoff_and_retry(world: World, kind: str) -> None:
    """Cancel an order in a long backoff and retry it; a duplicate comes within the backoff too."""
    order_id = world.place(kind, "patient")
    world.drain()
    world.duplicate(order_id)
    world.drain()
    world.cancel(order_id)
    world.retry(order_id)
    world.drain()


def long_backoff_and_a_dead_letter(world: World, kind: str) -> None:
    """Bury a message of an order that waits for its backoff."""
    order_id = world.place(kind, "patient")
    world.drain()
    world.bury(order_id)
    world.drain()
    world.advance(30 * 60)
    world.sweep()
    world.drain()


def batch(world: World, kind: str) -> None:
    """Deliver three orders in one batch."""
    for member in (kind, "ok", kind):
        world.place(member)
    world.drain(batch=3)


def follow_up(world: World, kind: str) -> None:
    """Run a task that places an order and one that reports progress, beside one of the kind."""
    world.place("parent")
    world.place("reporting")
    world.place(kind)
    world.drain()


def move_the_task(world: World, kind: str) -> None:
    """Move the task to another lane while its order waits, and back while it is retried."""
    order_id = world.place(kind)
    world.move_tasks("heavy")
    world.drain()
    world.move_tasks(config.DEFAULT_LANE)
    for _ in range(3):
        world.advance(10)
        world.drain()
    world.retry(order_id)
    world.drain()


def in_slots(world: World, kind: str) -> None:
    """Place three orders at once; each starts in its slot."""
    for member in (kind, "parent", kind):
        world.place(member, "paced")
    for _ in range(4):
        world.drain()
        world.advance(33)
    world.drain()


def late_for_their_slots(world: World, kind: str) -> None:
    """Let two orders miss their slots; one gets another slot now, and the other one later."""
    for member in (kind, "ok"):
        world.place(member, "paced")
    world.advance(50)
    world.drain()
    world.advance(33)
    world.drain()


def late_for_a_slot_and_far(world: World, kind: str) -> None:
    """Let an order miss its slot when the next one is more than 15 minutes ahead."""
    world.place(kind, "paced")
    world.take_slots(30)
    world.advance(10)
    world.drain()
    world.advance(70)
    world.sweep()
    world.advance(16 * 60)
    world.drain()


def early_for_a_slot(world: World, kind: str) -> None:
    """Deliver a message before the slot, beside the one that is delayed until then."""
    world.take_slots(2)
    order_id = world.place(kind, "paced")
    world.duplicate(order_id)
    world.drain()
    world.advance(66)
    world.drain()


def far_slot(world: World, kind: str) -> None:
    """Place an order whose slot is so far ahead that the sweeper sends its message."""
    world.take_slots(40)
    world.place(kind, "paced")
    world.advance(7 * 60)
    world.sweep()
    world.advance(15 * 60)
    world.drain()


def slot_after_run_at(world: World, kind: str) -> None:
    """Place two orders for the same time, which take their slots then."""
    for member in (kind, "ok"):
        world.place(member, "paced", delay_s=100)
    world.advance(103)
    world.drain()
    world.advance(33)
    world.drain()


def retry_in_another_slot(world: World, kind: str) -> None:
    """Cancel an order with a slot and retry it, and again after its end."""
    order_id = world.place(kind, "paced")
    world.cancel(order_id)
    world.retry(order_id)
    for _ in range(5):
        world.drain()
        world.advance(11)
    world.retry(order_id)
    world.drain()


def lost_and_dead_with_slots(world: World, kind: str) -> None:
    """Lose the messages of two orders with slots; one comes to the dead letters."""
    order_ids = [world.place(kind, "paced") for _ in range(2)]
    world.lose_messages()
    world.bury(order_ids[1])
    world.drain()
    world.advance(config.settings().resend_after_s + 40)
    world.sweep()
    world.drain()


def with_file(world: World, kind: str) -> None:
    """Upload a file, and run a task that reads it and returns another."""
    world.upload()
    world.place_with_file(kind)
    world.drain()


def follow_up_with_file(world: World, kind: str) -> None:
    """Run a task that places an order with a file of its own, beside an order of the kind."""
    world.place_with_file("parent")
    world.place_with_file(kind)
    world.drain()


def old_file_and_retry(world: World, kind: str) -> None:
    """Name a file that must be uploaded again: for the order, and for its retry."""
    world.upload()
    world.advance(1.5 * DAY_S)
    order_id = world.place_with_file(kind)
    for _ in range(4):
        world.drain()
        world.advance(10)
    world.advance(3 * DAY_S)
    world.retry(order_id)
    world.upload()
    world.retry(order_id)
    world.drain()


def replay_with_old_file(world: World, kind: str) -> None:
    """Repeat requests whose file is too old for a new order."""
    order_ids = [world.place_with_file(kind), world.place_large(kind)]
    world.drain()
    world.advance(1.1 * DAY_S)
    for order_id in order_ids:
        world.replay(order_id)
    world.drain()


def large(world: World, kind: str) -> None:
    """Run a task whose input and result are too large for the row."""
    world.upload()
    world.place_large(kind)
    world.drain()


def large_follow_up(world: World, kind: str) -> None:
    """Run a task that places an order with a large input, beside a large order of the kind."""
    world.place_large("parent")
    world.place_large(kind)
    world.drain()


def large_and_retry(world: World, kind: str) -> None:
    """Retry a large order so late that its input must be stored again."""
    order_id = world.place_large(kind)
    for _ in range(4):
        world.drain()
        world.advance(10)
    world.advance(3 * DAY_S)
    world.upload()
    world.retry(order_id)
    world.drain()


def large_and_late(world: World, kind: str) -> None:
    """Place a large order that runs so late that its input stays in the row."""
    world.place_large_text(kind, run_at=world.cloud.clock() + 5 * DAY_S * SECOND)
    for _ in range(5):
        world.advance(DAY_S)
        world.sweep()
    world.advance(15 * 60)
    world.sweep()
    world.drain()


FLOWS: dict[str, Flow] = {
    flow.__name__: flow
    for flow in (
        work,
        cancel,
        cancel_and_retry,
        stop,
        stop_after_a_crash,
        fail_and_retry,
        lose_the_message,
        bury_the_message,
        later,
        much_later,
        long_backoff,
        long_backoff_and_retry,
        long_backoff_and_a_dead_letter,
        batch,
        follow_up,
        move_the_task,
        in_slots,
        late_for_their_slots,
        late_for_a_slot_and_far,
        early_for_a_slot,
        far_slot,
        slot_after_run_at,
        retry_in_another_slot,
        lost_and_dead_with_slots,
        with_file,
        follow_up_with_file,
        old_file_and_retry,
        replay_with_old_file,
        large,
        large_follow_up,
        large_and_retry,
        large_and_late,
        *FAN_IN_FLOWS,
        *BULK_FLOWS,
    )
}
KINDS = ("ok", "flaky", "failing")
