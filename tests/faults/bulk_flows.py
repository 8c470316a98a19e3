"""The flows of requests about many orders: bulks, and retries and cancels by an operator."""

from __future__ import annotations

from tests.faults.world import World


def bulk(world: World, kind: str) -> None:
    """Place three orders by one request, which is repeated until no outcome is unknown."""
    world.place_many((kind, "ok", kind))
    world.drain(batch=3)


def bulk_after_its_end(world: World, kind: str) -> None:
    """Repeat a bulk while its orders wait, and again when they have ended."""
    for _ in range(3):
        world.place_many((kind, "ok"), key="again")
        world.drain(batch=2)


def bulk_in_two_requests(world: World, kind: str) -> None:
    """Place four orders by two requests, as our client does, and repeat the second one."""
    world.place_many((kind, "ok"), key="half.0")
    for _ in range(2):
        world.place_many(("ok", kind), key="half.1")
    world.drain(batch=4)


def bulk_with_slots(world: World, kind: str) -> None:
    """Place orders that take slots: a bulk that is repeated must find those it has placed."""
    for _ in range(2):
        world.place_many((kind, "ok"), "paced", key="slots")
    for _ in range(3):
        world.drain()
        world.advance(33)


def bulk_cancel(world: World, kind: str) -> None:
    """Cancel three orders, of which one is held by a worker that has died, and one has ended."""
    order_ids = world.place_many((kind, "ok", kind))
    world.claim(order_ids[1], lease_s=30)
    world.deliver()
    world.cancel_many(order_ids)
    world.drain()
    world.advance(31)
    world.drain()


def operator_cancel(world: World, kind: str) -> None:
    order_ids = world.place_many((kind, kind))
    world.cancel_many(order_ids, by_operator=True)
    world.drain()


def operator_retry(world: World, kind: str) -> None:
    """Retry all that failed, in two pages, and repeat all of it after they have ended."""
    _failed(world, kind)
    before = world.retry_failed()
    world.run_to_end()
    world.retry_failed(before)
    world.drain()


def operator_retry_at_once(world: World, kind: str) -> None:
    """Press retry again before anything has run, and again when some have failed again."""
    _failed(world, kind)
    before = world.retry_failed()
    world.retry_failed(before)
    world.drain(batch=3)
    world.retry_failed(before)
    world.drain()


def two_presses(world: World, kind: str) -> None:
    """Press retry once more for those that failed again."""
    _failed(world, kind)
    for _ in range(2):
        world.retry_failed()
        world.run_to_end()


def operator_retry_over_a_time(world: World, kind: str) -> None:
    """Spread a retry over forty minutes: some messages are delayed, others the sweeper sends."""
    _failed(world, kind)
    before = world.retry_failed(over_s=2400)
    world.retry_failed(before)
    for _ in range(4):
        world.advance(10 * 60)
        world.sweep()
        world.drain()


def operator_retry_of_chosen(world: World, kind: str) -> None:
    """Retry two of three failed orders, and repeat that after they have ended."""
    order_ids = _failed(world, kind)[:2]
    before = world.retry_chosen(order_ids)
    world.run_to_end()
    world.retry_chosen(order_ids, before)
    world.accepted.update(dict.fromkeys(set(world.accepted) - set(order_ids), "failing"))
    world.drain()


def operator_retry_and_cancel(world: World, kind: str) -> None:
    """Repeat two retries after the owner has cancelled an order that they had retried."""
    order_ids = _failed(world, kind)
    before = world.retry_chosen(order_ids)
    world.cancel_many(order_ids[:1])
    world.retry_chosen(order_ids, before)
    world.retry_failed(before)
    world.drain(batch=3)


def _failed(world: World, kind: str) -> list[str]:
    """Place three orders whose first round fails; return their ids."""
    order_ids = world.place_many((kind, "ok", kind), "broken")
    world.drain(batch=3)
    world.run_to_end()
    return order_ids


BULK_FLOWS = (
    bulk,
    bulk_after_its_end,
    bulk_in_two_requests,
    bulk_with_slots,
    bulk_cancel,
    operator_cancel,
    operator_retry,
    operator_retry_at_once,
    two_presses,
    operator_retry_over_a_time,
    operator_retry_of_chosen,
    operator_retry_and_cancel,
)
