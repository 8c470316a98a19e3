"""The flows of orders with webhooks."""

from __future__ import annotations

from collections.abc import Callable

from chalicelib import config
from chalicelib.clock import SECOND
from tests.faults.webhook_world import WebhookWorld
from tests.kit.receiver import status

Flow = Callable[[WebhookWorld, str], None]
MAIN = ("main",)
KINDS = ("ok", "failing")


def work(world: WebhookWorld, times: int) -> None:
    for _ in range(times):
        world.drain()
        world.advance(10)


def told(world: WebhookWorld, kind: str) -> None:
    """Tell one endpoint of an order that names it."""
    world.place(kind, notify=MAIN)
    work(world, 4)


def told_twice(world: WebhookWorld, kind: str) -> None:
    """Tell two endpoints, of which one hears of all orders."""
    world.register("every", all=True)
    world.place(kind, notify=MAIN)
    world.place(kind)
    work(world, 4)


def repeated(world: WebhookWorld, kind: str) -> None:
    """Repeat the request of an order with its key: while it waits, and after its end."""
    order_id = world.new_id()
    world.send(order_id, kind)
    world.send(order_id, kind)
    work(world, 4)
    world.send(order_id, kind)
    work(world, 1)


def repeated_at_once(world: WebhookWorld, kind: str) -> None:
    """Let two requests with the same key place an order at the same time."""
    order_id = world.new_id()
    world.before_the_row(lambda: world.send(order_id, kind))
    world.send(order_id, kind)
    work(world, 4)


def key_reused(world: WebhookWorld, kind: str) -> None:
    """Use the key of an order for another request."""
    order_id = world.new_id()
    world.send(order_id, kind)
    world.send(order_id, "flaky")
    work(world, 4)


def never_repeated(world: WebhookWorld, kind: str) -> None:
    """Place orders, and never ask what became of the request."""
    world.place_once(kind)
    world.place_once(kind)
    work(world, 4)


def slow_request(world: WebhookWorld, kind: str) -> None:
    """Let a sweep find the delivery before the request has written its order."""

    def sweep() -> None:
        world.advance(config.settings().resend_after_s + 1)
        world.sweep()

    world.before_the_row(sweep)
    world.place(kind, notify=MAIN)
    work(world, 4)


def cancelled(world: WebhookWorld, kind: str) -> None:
    """Cancel an order, and retry it."""
    order_id = world.place(kind, notify=MAIN)
    world.cancel(order_id)
    world.cancel(order_id)
    work(world, 1)
    world.retry(order_id)
    work(world, 4)


def stopped(world: WebhookWorld, kind: str) -> None:
    """Stop an order while its task runs."""
    world.place(kind, "stopped", notify=MAIN)
    work(world, 2)


def retried(world: WebhookWorld, kind: str) -> None:
    """Fail, retry, fail and retry: each round has its own delivery."""
    order_id = world.place("failing", notify=MAIN)
    work(world, 4)
    world.retry(order_id)
    work(world, 4)
    world.retry(order_id)
    world.cancel(order_id)
    work(world, 1)


def retried_at_once(world: WebhookWorld, kind: str) -> None:
    """Retry an order before the delivery of its earlier round has run."""
    order_id = world.place(kind, notify=MAIN)
    world.cancel(order_id)
    world.retry(order_id)
    world.retry(order_id)
    work(world, 4)


def follow_up(world: WebhookWorld, kind: str) -> None:
    """Tell an endpoint for all orders of a follow-up, whose parent's attempt is repeated."""
    world.register("every", all=True)
    world.place(kind, "calling")
    work(world, 4)


def chain(world: WebhookWorld, kind: str) -> None:
    """Tell of an order that waits for another, and fails without an attempt if that one does."""
    first = world.place(kind, notify=MAIN)
    world.place(kind, after=(first,), notify=MAIN)
    work(world, 8)


def much_later(world: WebhookWorld, kind: str) -> None:
    """Let sweeps look at a delivery while its order still waits for its time."""
    world.place(kind, notify=MAIN, run_at=world.cloud.clock() + 40 * 60 * SECOND)
    for _ in range(5):
        world.advance(9 * 60)
        world.sweep()
        work(world, 1)


def days_later(world: WebhookWorld, kind: str) -> None:
    """Let a delivery wait for longer than an order may run: MAX_AGE_S counts from its time."""
    days = config.settings().max_age_s // 86_400 + 1
    world.place(kind, notify=MAIN, run_at=world.cloud.clock() + days * 86_400 * SECOND)
    for _ in range(days):
        world.advance(86_400)
        world.sweep()
        work(world, 1)


def in_slots(world: WebhookWorld, kind: str) -> None:
    """Place two orders of a task with a rate limit, whose slots are taken after the deliveries."""
    order_ids = [world.place(kind, "paced", notify=MAIN) for _ in range(2)]
    world.cancel(order_ids[1])
    world.retry(order_ids[1])
    for _ in range(3):
        work(world, 1)
        world.advance(33)


def moody_receiver(world: WebhookWorld, kind: str) -> None:
    """Deliver to a receiver that fails, redirects and asks for a pause before it accepts."""
    world.answers += [
        status(500),
        status(302, "Location: https://shop.example/other"),
        status(429, "Retry-After: 30"),
    ]
    world.place(kind, notify=MAIN)
    for _ in range(6):
        work(world, 1)
        world.advance(30)


def dead_receiver(world: WebhookWorld, kind: str) -> None:
    """Let a delivery fail, and its owner retry it, while the order is open again."""
    world.answers += [status(500)] * 12
    order_id = world.place("failing", notify=MAIN)
    for _ in range(14):
        work(world, 2)
        world.advance(3600)
    world.retry(order_id)
    for delivery in world.deliveries(order_id):
        world.retry(delivery.id)
    work(world, 5)


def gone_receiver(world: WebhookWorld, kind: str) -> None:
    """Deliver to a receiver that answers 410, and place another order for all endpoints."""
    world.register("every", all=True)
    world.answers.append(status(410))
    world.place(kind)
    work(world, 4)
    world.place(kind)
    work(world, 4)


def lost_message(world: WebhookWorld, kind: str) -> None:
    """Lose the messages of an order, and those of its delivery."""
    world.place(kind, notify=MAIN)
    for _ in range(4):
        world.lose_messages()
        world.advance(config.settings().resend_after_s + 1)
        world.sweep()
        world.deliver()


def dead_letters(world: WebhookWorld, kind: str) -> None:
    """Bury the message of a delivery before its order's end, and after it."""
    order_id = world.place(kind, notify=MAIN)
    for delivery in world.deliveries(order_id):
        world.bury(delivery.id)
    world.deliver(dead=True)
    while world.deliver():
        pass
    world.advance(10)
    world.deliver()
    for delivery in world.deliveries(order_id):
        world.lose_messages()
        world.bury(delivery.id)
    work(world, 2)


WEBHOOK_FLOWS: dict[str, Flow] = {
    flow.__name__: flow
    for flow in (
        told,
        told_twice,
        repeated,
        repeated_at_once,
        key_reused,
        never_repeated,
        slow_request,
        cancelled,
        stopped,
        retried,
        retried_at_once,
        follow_up,
        chain,
        much_later,
        days_later,
        in_slots,
        moody_receiver,
        dead_receiver,
        gone_receiver,
        lost_message,
        dead_letters,
    )
}
