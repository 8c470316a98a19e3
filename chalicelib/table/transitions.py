"""The orders table: insert, get, list, and one function per transition. Every write is conditional; how
one is made, and how one's own is told, is in writes.py.
"""

from __future__ import annotations

from chalicelib import config, orders
from chalicelib.aws.client import client, translated
from chalicelib.orders import Dispatch, Order, Status, Transition
from chalicelib.table.conditional_write import end, put, update
from chalicelib.table.items import Item, decode_order, encode

_NOT_HELD = "(attribute_not_exists(lease_until) OR lease_until < :now)"


def insert(order: Order) -> Order:
    """T1: the row, durable. Returns the order that now has this id: `order`, or an earlier one of the same key."""
    condition = "attribute_not_exists(pk) OR expires_at <= :now_s"
    return put(order, condition, {":now_s": order.created_at // orders.SECOND})


def get(owner: str, order_id: str) -> Order | None:
    """The order, or None: unknown, another client's, or expired."""
    return read(orders.key_of(owner, order_id))


def read(key: str) -> Order | None:
    """The order of a row key, or None: there is none, or it expired."""
    with translated():
        answer = client("dynamodb").get_item(
            TableName=config.settings().orders_table, Key={"pk": encode(key)}, ConsistentRead=True
        )
    order = decode_order(answer["Item"]) if "Item" in answer else None
    return None if order is None or order.expired(orders.now()) else order


def claim(key: str, task: str, lease_until: int) -> Order:
    """T3: take an order of that task that waits, or whose lease is over. The claimed row comes back with it, so nobody
    reads.

    Raises ConditionFailed with the row that refused: final, for later, under a live lease, out of attempts, or of another task.
    """
    now = orders.now()
    return update(
        key,
        orders.CLAIM,
        now,
        "(#status = :pending OR lease_until < :now) AND attempts < max_attempts"
        " AND (attribute_not_exists(run_at) OR run_at <= :now) AND task = :task",
        {
            ":pending": Status.PENDING.value,
            ":now": now,
            ":task": task,
            ":attempt": [{"start": now}],
        },
        sets={
            "lease_until": lease_until,
            "requeue_count": 0,
        },  # it moves again: the next kill waits no longer than the first
        also="attempts = attempts + :one, history = list_append(history, :attempt)",
    )


def succeed(order: Order, result: str) -> Order:
    """T4: the result is recorded. Raises ConditionFailed if somebody else holds or ended the order."""
    return _finish(order, orders.SUCCEED, None, {"result": result})


def fail(order: Order, error: Item) -> Order:
    """T6: the last attempt failed, or in a way that no retry can mend. Raises ConditionFailed as succeed does."""
    return _finish(order, orders.FAIL, error["code"], {"error": error})


def put_back(order: Order, error: Item, backoff_s: float) -> Order:
    """T5: another attempt, once the backoff is over. Raises ConditionFailed as succeed does."""
    now = orders.now()
    check_at = now + int((backoff_s + config.settings().resend_after_s) * orders.SECOND)
    return update(
        order.key,
        orders.PUT_BACK,
        now,
        *_held_by(order),
        sets={
            "error": error,
            "check_at": check_at,
            "history": _ended(order, now, error["code"]),
            **_placed(order),
        },
        removes=("lease_until", "progress"),
    )


def give_up(seen: Order, error: Item) -> Order:
    """T7: nobody holds it, and no attempt will mend it. `seen` is the row as read. Raises ConditionFailed if it changed."""
    now = orders.now()
    values = {":seen": seen.fence, ":now": now}
    return end(
        seen.key, orders.GIVE_UP, now, f"fence = :seen AND {_NOT_HELD}", values, {"error": error}
    )


def cancel(seen: Order) -> Order:
    """T8: its client withdraws it. Naming the round makes a hidden retry harmless. Raises ConditionFailed if it was claimed."""
    return end(
        seen.key,
        orders.CANCEL,
        orders.now(),
        "retry_round = :retry_round",
        {":retry_round": seen.retry_round},
        {},
    )


def resend(seen: Order, dispatch: Dispatch) -> Order:
    """T9: before the sweeper sends it. Raises ConditionFailed if anything moved since it was read, another sweeper say."""
    now = orders.now()
    return update(
        seen.key,
        orders.RESEND,
        now,
        f"fence = :seen AND requeue_count = :requeue_count AND check_at = :due AND check_at <= :now AND {_NOT_HELD}",
        {
            ":seen": seen.fence,
            ":requeue_count": seen.requeue_count,
            ":due": seen.check_at,
            ":now": now,
        },
        sets={
            "requeue_count": seen.requeue_count + 1,
            "check_at": dispatch.check_at,
            "check_shard": dispatch.check_shard,
        },
    )


def postpone(seen: Order, dispatch: Dispatch) -> Order:
    """T10: its message is dead; the sweeper will send another. Raises ConditionFailed if somebody holds or ended it."""
    now = orders.now()
    return update(
        seen.key,
        orders.POSTPONE,
        now,
        _NOT_HELD,
        {":now": now},
        sets={"check_at": dispatch.check_at, "check_shard": dispatch.check_shard},
    )


def retry(seen: Order, dispatch: Dispatch) -> Order:
    """T11: another round, at its client's word. Raises ConditionFailed if it isn't FAILED or CANCELLED in that round any more."""
    now = orders.now()
    return update(
        seen.key,
        orders.RETRY,
        now,
        "retry_round = :retry_round AND expires_at > :now_s",
        {":retry_round": seen.retry_round, ":now_s": now // orders.SECOND},
        sets={
            "attempts": 0,
            "requeue_count": 0,
            "retry_round": seen.retry_round + 1,
            "round_started_at": now,
            "check_at": dispatch.check_at,
            "check_shard": dispatch.check_shard,
            "history": list(seen.history[-orders.MAX_HISTORY :]),
        },
        removes=("expires_at", "lease_until", "result", "error", "progress"),
    )


def report(order: Order, progress: Item) -> Order:
    """T12: how far its task is. It keeps the fence, which the finish will name. Raises ConditionFailed as succeed does."""
    return update(
        order.key,
        orders.REPORT,
        orders.now(),
        *_held_by(order),
        sets={"progress": progress, "fence": order.fence},
    )


def _finish(order: Order, transition: Transition, code: str | None, sets: Item) -> Order:
    now = orders.now()
    sets = {**sets, "history": _ended(order, now, code), **_placed(order)}
    stale = () if "error" in sets else ("error",)  # of an attempt before the one that succeeded
    return end(order.key, transition, now, *_held_by(order), sets, stale)


def _held_by(order: Order) -> tuple[str, Item]:
    """The fence: the row is still as this order's own claim left it."""
    return "fence = :held", {":held": order.fence}


def _placed(order: Order) -> Item:
    """The links to its follow-ups are written with the end of the attempt that placed them."""
    return {"follow_ups": list(order.follow_ups)} if order.follow_ups else {}


def _ended(order: Order, now: int, code: str | None) -> list[Item]:
    """The history with its last attempt ended; bounded, so that no row grows for ever."""
    last = {**order.history[-1], "end": now, **({"code": code} if code else {})}
    return [*order.history[:-1], last][-orders.MAX_HISTORY :]
