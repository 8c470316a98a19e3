"""Read and write orders: insert, get, and one function per transition.

Every write is conditional; see conditional_write.py. `current` is always the row as it was read.
Every transition raises ConditionFailed, with the row as it is now, if its condition does not hold.
"""

from __future__ import annotations

from msgspec.structs import replace

from chalicelib import clock, config, ids, orders
from chalicelib.aws.client import client, translated
from chalicelib.clock import Micros
from chalicelib.dispatch import Dispatch, after_backoff, is_long
from chalicelib.errors import ConditionFailed
from chalicelib.orders import Attempt, Failure, Order, Progress, Status, Transition
from chalicelib.table.conditional_write import end, put, update
from chalicelib.table.items import Values, decode_order, encode

NOT_HELD = "(attribute_not_exists(lease_until) OR lease_until < :now)"


def insert(order: Order) -> Order:
    """Insert a new order. Return the order that now has its id: `order`, or an earlier one."""
    condition = "attribute_not_exists(pk) OR expires_at <= :now_s"
    return put(order, condition, {":now_s": order.created_at // clock.SECOND})


def get(owner: str, order_id: str) -> Order | None:
    """Return an owner's order; None if the owner has no such order or it expired."""
    return read(ids.key_of(owner, order_id))


def read(key: str) -> Order | None:
    """Return the order with this row key; None if there is none or it expired."""
    with translated():
        response = client("dynamodb").get_item(
            TableName=config.settings().orders_table, Key={"pk": encode(key)}, ConsistentRead=True
        )
    order = decode_order(response["Item"]) if "Item" in response else None
    return None if order is None or order.expired(clock.now()) else order


def claim(key: str, task: str, lease_until: Micros) -> Order:
    """Claim an order that waits, or whose lease is over, and return it. A read is not needed.

    Raises ConditionFailed if the order is final, not due yet, under a live lease, out of attempts,
    to be stopped, or names another task.
    """
    return _claim(key, task, lease_until, clock.now())


def claim_in_slot(key: str, task: str, lease_until: Micros) -> Order:
    """Claim an order of a task with per_minute: as `claim`, but the first attempt in its slot only.

    Raises ConditionFailed also if the order has no slot yet, or its slot is ahead or over.
    """
    now = clock.now()
    where = " AND (attempts > :zero OR (slot_at > :slots AND slot_at <= :now))"
    return _claim(
        key, task, lease_until, now, where, {":zero": 0, ":slots": orders.start_of_slots(now)}
    )


def claim_with_slot(current: Order, lease_until: Micros, slot_at: Micros) -> Order:
    """Claim an order in a slot that was reserved for it just now.

    Raises ConditionFailed if the row changed since it was read, or the slot is over by now.
    """
    now = clock.now()
    current = replace(current, slot_at=slot_at)
    if not current.in_slot(now):
        raise ConditionFailed(current)
    where = " AND fence = :fence"
    values = {":fence": current.fence}
    return _claim(current.key, current.task, lease_until, now, where, values, {"slot_at": slot_at})


def _claim(
    key: str,
    task: str,
    lease_until: Micros,
    now: Micros,
    where: str = "",
    values: Values | None = None,
    sets: Values | None = None,
) -> Order:
    """Write a claim; `where`, `values` and `sets` are what a task with per_minute adds."""
    return update(
        key,
        orders.CLAIM,
        now,
        "(#status = :pending OR lease_until < :now) AND attempts < max_attempts"
        f" AND (attribute_not_exists(run_at) OR run_at <= :now) AND task = :task"
        f" AND attribute_not_exists(stop_at){where}",
        {
            ":pending": Status.PENDING,
            ":now": now,
            ":task": task,
            ":attempt": [Attempt(now)],
            **(values or {}),
        },
        # The order moves again: if it is lost again, requeue it as soon as the first time
        sets={"lease_until": lease_until, "requeue_count": 0, **(sets or {})},
        also="attempts = attempts + :one, history = list_append(history, :attempt)",
    )


def reschedule(current: Order, slot_at: Micros, dispatch: Dispatch) -> Order:
    """Give an order that has no slot, or missed it, a new one that lies ahead.

    Raises ConditionFailed if the row changed since it was read.
    """
    return update(
        current.key,
        orders.RESCHEDULE,
        clock.now(),
        *held_by(current),
        sets={
            "slot_at": slot_at,
            "check_at": dispatch.check_at,
            "check_shard": dispatch.check_shard,
        },
    )


def succeed(order: Order, result: str | None, result_file: str | None = None) -> Order:
    """Record the result, or the file that holds it.

    Raises ConditionFailed if this attempt lost its claim.
    """
    sets = {"result_file": result_file} if result_file else {"result": result}
    return _finish(order, orders.SUCCEED, None, sets)


def fail(order: Order, error: Failure) -> Order:
    """Record the final error. Raises ConditionFailed if this attempt lost its claim."""
    return _finish(order, orders.FAIL, error.code, {"error": error})


def put_back(order: Order, error: Failure, backoff: Micros) -> Order:
    """Schedule another attempt after the backoff, before which no attempt starts if it is long.

    Raises ConditionFailed if this attempt lost its claim, or the order is to be stopped.
    """
    now = clock.now()
    dispatch = after_backoff(order.id, now, backoff)
    # The age of the order goes on while it waits
    wait = {"run_at": now + backoff, "runnable_since": order.began_at} if is_long(backoff) else {}
    where, values = held_by(order)
    return update(
        order.key,
        orders.PUT_BACK,
        now,
        f"{where} AND attribute_not_exists(stop_at)",
        values,
        sets={
            "error": error,
            "check_at": dispatch.check_at,
            "check_shard": dispatch.check_shard,
            "history": ended(order, now, error.code),
            **wait,
            **follow_ups(order),
        },
        removes=("lease_until", "progress"),
    )


def give_up(current: Order, error: Failure) -> Order:
    """Fail an order that has no live lease and is out of attempts or out of time.

    Raises ConditionFailed if the row changed since it was read.
    """
    now = clock.now()
    condition = f"fence = :fence AND {NOT_HELD}"
    values = {":fence": current.fence, ":now": now}
    return end(current, orders.GIVE_UP, now, condition, values, {"error": error})


def cancel(current: Order) -> Order:
    """Cancel an order for its owner. Raises ConditionFailed if a worker has claimed it.

    The condition names the retry round, so a delayed duplicate of this call can't cancel the next.
    """
    return end(
        current,
        orders.CANCEL,
        clock.now(),
        "retry_round = :retry_round",
        {":retry_round": current.retry_round},
        {},
    )


def resend(current: Order, dispatch: Dispatch) -> Order:
    """Count a requeue, before the sweeper sends the message.

    Raises ConditionFailed if the row changed since it was read, by another sweeper for example.
    """
    now = clock.now()
    return update(
        current.key,
        orders.RESEND,
        now,
        "fence = :fence AND requeue_count = :requeue_count"
        f" AND check_at = :check_at AND check_at <= :now AND {NOT_HELD}",
        {
            ":fence": current.fence,
            ":requeue_count": current.requeue_count,
            ":check_at": current.check_at,
            ":now": now,
        },
        sets={
            "requeue_count": current.requeue_count + 1,
            "check_at": dispatch.check_at,
            "check_shard": dispatch.check_shard,
        },
    )


def postpone(current: Order, dispatch: Dispatch) -> Order:
    """Set a new check time for an order whose message is dead; the sweeper will send another.

    Raises ConditionFailed if the order is final or a worker holds it.
    """
    now = clock.now()
    return update(
        current.key,
        orders.POSTPONE,
        now,
        NOT_HELD,
        {":now": now},
        sets={"check_at": dispatch.check_at, "check_shard": dispatch.check_shard},
    )


def report(order: Order, progress: Progress) -> Order:
    """Record the progress of a running task, and keep the fence for the finish.

    Raises ConditionFailed if this attempt lost its claim.
    """
    return update(
        order.key,
        orders.REPORT,
        clock.now(),
        *held_by(order),
        sets={"progress": progress, "fence": order.fence},
    )


def _finish(order: Order, transition: Transition, code: str | None, sets: Values) -> Order:
    now = clock.now()
    sets = {**sets, "history": ended(order, now, code), **follow_ups(order)}
    removes = () if "error" in sets else ("error",)  # of an attempt before the one that succeeded
    return end(order, transition, now, *held_by(order), sets, removes)


def held_by(order: Order) -> tuple[str, Values]:
    """Return the condition, and its values, that the row still has the fence of this order."""
    return "fence = :fence", {":fence": order.fence}


def follow_ups(order: Order) -> Values:
    """Return the links to follow-ups, written at the end of the attempt that placed them."""
    return {"follow_ups": list(order.follow_ups)} if order.follow_ups else {}


def ended(order: Order, now: Micros, code: str | None) -> list[Attempt]:
    """Return the history with its last attempt ended, cut to MAX_HISTORY attempts."""
    *earlier, last = order.history
    return [*earlier, replace(last, end=now, code=code)][-orders.MAX_HISTORY :]
