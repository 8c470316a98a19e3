"""Orders of tasks with per_minute that a worker could not claim for want of a slot.

The order's message was early or late, its owner had asked for a later time or for a retry, or it is
older than the limit. Waiting costs no attempt, and the order stays in the due index all the time.
"""

from __future__ import annotations

from chalicelib import clock
from chalicelib.clock import Micros
from chalicelib.dispatch import plan
from chalicelib.errors import ConditionFailed
from chalicelib.orders import Order, Status
from chalicelib.queue import Ack, Keep
from chalicelib.table import slots, transitions


def needs_slot(row: Order) -> bool:
    """Return True if the order waits for its first attempt, and its slot is not now."""
    return row.status is Status.PENDING and row.attempts == 0 and not row.in_slot(clock.now())


def take_slot(row: Order, per_minute: float, lease_until: Micros) -> Order | Ack | Keep:
    """Reserve a slot, unless the order's own lies ahead. Claim the order if the slot is now.

    Otherwise keep the message until the slot. If that is too far for SQS, acknowledge it: the
    sweeper will send another. Raises Unavailable.
    """
    slot_at = row.slot_at
    if slot_at is None or slot_at <= clock.now():
        slot_at = slots.reserve(row.task, per_minute)
        dispatch = plan(row.id, clock.now(), row.run_at, slot_at)
        try:
            if dispatch.delay_s == 0:
                return transitions.claim_with_slot(row, lease_until, slot_at)
            transitions.reschedule(row, slot_at, dispatch)
        except ConditionFailed:  # another worker, the sweeper or the owner was faster
            return Keep(0, "claim_again")
    else:
        dispatch = plan(row.id, clock.now(), row.run_at, slot_at)
    # Sending another message would count as a loop of this function, which Lambda stops
    return Ack() if dispatch.delay_s is None else Keep(dispatch.delay_s, "slot_ahead")
