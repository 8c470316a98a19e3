"""Conditional writes to the orders table, each with a fencing token.

Each write leaves a new random `fence` in the row. The fencing token stops a worker that lost its
claim from finishing the order. It also makes retries safe: when our first try succeeded but its
response was lost, the retry fails its condition, finds its own token in the row and knows that it
had succeeded. DynamoDB returns the row with the failed condition, at no extra cost:
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html
(ReturnValuesOnConditionCheckFailure)
"""

from __future__ import annotations

import functools

from chalicelib import clock, config, ids
from chalicelib.aws.client import client, translated
from chalicelib.clock import Micros
from chalicelib.dispatch import failure_shard
from chalicelib.errors import CallRefused, ConditionFailed, Unavailable
from chalicelib.orders import Order, Status, Transition
from chalicelib.table.items import Item, Values, decode_order, encode, encode_order


def put(order: Order, condition: str, values: Values) -> Order:
    """Insert a row. Return the order that now has its id: `order`, or the one already there."""
    try:
        with translated():
            client("dynamodb").put_item(
                TableName=config.settings().orders_table,
                Item=encode_order(order),
                ConditionExpression=condition,
                ExpressionAttributeValues=_encode_values(values),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
    except CallRefused as error:
        row = _current_row(error)
        if row is None:
            raise Unavailable(
                "AWS rejected the write without returning the current row; try again"
            ) from error
        return row
    return order


def end(
    order: Order,
    transition: Transition,
    now: Micros,
    where: str,
    values: Values,
    sets: Values,
    removes: tuple[str, ...] = (),
) -> Order:
    """Move an order to a final status: set its TTL, end its timer, release the lease.

    A failed order stays in the due index, in a partition that lists the failures of its task. The
    arguments are those of `update`. Raises ConditionFailed as `update` does.
    """
    removes = ("lease_until", *removes)
    if transition.target is Status.FAILED:
        shard = failure_shard(order.task, order.id)
        sets = {**sets, "check_at": now, "check_shard": shard}
    else:
        removes = ("check_at", "check_shard", *removes)
    expires_at = now // clock.SECOND + config.settings().retention_s
    sets = {**sets, "expires_at": expires_at}
    return update(order.key, transition, now, where, values, sets=sets, removes=removes)


def update(
    key: str,
    transition: Transition,
    now: Micros,
    where: str,
    values: Values,
    *,
    sets: Values,
    also: str = "",
    removes: tuple[str, ...] = (),
    clause: str = "",
) -> Order:
    """Write one transition of an order. Return the order as it is now.

    The allowed current statuses and the new one come from the transition alone. Raises
    ConditionFailed, with the current row, if the status or `where` does not hold.

    Args:
        key: the row's key
        transition: the change of status
        now: becomes `updated_at`
        where: a condition beside the status
        values: the values of the placeholders in `where`, `also` and `clause`
        sets: attributes to set
        also: more assignments of the SET clause
        removes: attributes to remove
        clause: an ADD or DELETE clause, for sets
    """
    sets = {"fence": ids.new_fence(), **sets, "updated_at": now}
    if transition.target is not None:
        sets["status"] = transition.target
    change, names = _change(tuple(sets), also, removes, clause)
    sources = {f":from{n}": status for n, status in enumerate(transition.sources)}
    new_values = {f":new_{name}": value for name, value in sets.items()}
    values = {**values, **sources, ":one": 1, **new_values}
    condition = f"#status IN ({', '.join(sources)}) AND {where}"
    return _update_item(key, change, condition, names, values, sets["fence"])


@functools.cache
def _change(
    sets: tuple[str, ...], also: str, removes: tuple[str, ...], clause: str
) -> tuple[str, dict[str, str]]:
    """Return the update expression and its names; every write also counts the version up."""
    assignments = ["version = version + :one", *(f"#{name} = :new_{name}" for name in sets)]
    if also:
        assignments.append(also)
    expression = "SET " + ", ".join(assignments)
    if removes:
        expression += " REMOVE " + ", ".join(f"#{name}" for name in removes)
    return expression + clause, {f"#{name}": name for name in (*sets, *removes, "status")}


def _update_item(
    key: str, change: str, condition: str, names: dict[str, str], values: Values, fence: str
) -> Order:
    """Update a row, and recognize our own write by `fence` if an earlier try had succeeded."""
    try:
        with translated():
            response = client("dynamodb").update_item(
                TableName=config.settings().orders_table,
                Key={"pk": encode(key)},
                UpdateExpression=change,
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=_encode_values(values),
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
    except CallRefused as error:
        row = _current_row(error)
        if row is not None and row.fence == fence:
            return row
        raise ConditionFailed(row) from None
    return decode_order(response["Attributes"])


def _current_row(error: CallRefused) -> Order | None:
    return decode_order(error.item) if error.item else None


def _encode_values(values: Values) -> Item:
    return {name: encode(value) for name, value in values.items()}
