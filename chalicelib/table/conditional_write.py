"""One conditional write to the orders table, and how to tell one's own.

Each write carries a fresh random `fence`. It fences (a stale worker's finish is refused), and it tells one's own write
when the SDK hid a retry after a lost answer: refused, but the row's fence is the one just sent, so it was this one.
DynamoDB hands the row over with its refusal, free of charge:
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html (ReturnValuesOnConditionCheckFailure)
"""

from __future__ import annotations

from chalicelib import config, logs, orders
from chalicelib.aws.client import client, translated
from chalicelib.errors import CallRefused, ConditionFailed, Unavailable
from chalicelib.orders import Order, Transition
from chalicelib.table.items import Item, decode_order, encode, encode_order


def put(order: Order, condition: str, values: Item) -> Order:
    """Make the row. Returns the order that now has its id: `order`, or the one that was there."""
    try:
        with translated():
            client("dynamodb").put_item(
                TableName=config.settings().orders_table,
                Item=encode_order(order),
                ConditionExpression=condition,
                ExpressionAttributeValues=_encoded(values),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
    except CallRefused as refusal:
        row = _refused_row(refusal)
        if row is None:
            raise Unavailable(
                "AWS refused the row and did not say for which: try again"
            ) from refusal
        return row
    return order


def end(
    key: str,
    transition: Transition,
    now: int,
    where: str,
    values: Item,
    sets: Item,
    removes: tuple[str, ...] = (),
) -> Order:
    """Every transition to a final status: sets the TTL, takes the row off the sweeper's index, ends the lease."""
    expires_at = now // orders.SECOND + config.settings().retention_s
    order = update(
        key,
        transition,
        now,
        where,
        values,
        sets={**sets, "expires_at": expires_at},
        removes=("check_at", "check_shard", "lease_until", *removes),
    )
    logs.event(
        "order_ended",
        order=order.id,
        owner=logs.hashed(order.owner),
        task=order.task,
        status=order.status.value,
        code=order.error["code"] if order.error else None,
    )
    return order


def update(
    key: str,
    transition: Transition,
    now: int,
    where: str,
    values: Item,
    *,
    sets: Item,
    also: str = "",
    removes: tuple[str, ...] = (),
) -> Order:
    """One conditional write. The statuses that it may leave and the one it leads to come from the transition alone."""
    sets = {"fence": orders.new_fence(), **sets, "updated_at": now}
    if transition.target is not None:
        sets["status"] = transition.target.value
    sources = {f":from{n}": status.value for n, status in enumerate(transition.sources)}
    change = ", ".join(
        ["SET version = version + :one", *(f"#{name} = :new_{name}" for name in sets)]
    )
    change += f", {also}" if also else ""
    change += " REMOVE " + ", ".join(f"#{name}" for name in removes) if removes else ""
    values = {
        **values,
        **sources,
        ":one": 1,
        **{f":new_{name}": value for name, value in sets.items()},
    }
    names = {f"#{name}": name for name in {*sets, *removes, "status"}}
    return _write(
        key, change, f"#status IN ({', '.join(sources)}) AND {where}", names, values, sets["fence"]
    )


def _write(
    key: str, change: str, condition: str, names: dict[str, str], values: Item, fence: str
) -> Order:
    try:
        with translated():
            answer = client("dynamodb").update_item(
                TableName=config.settings().orders_table,
                Key={"pk": encode(key)},
                UpdateExpression=change,
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=_encoded(values),
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
    except CallRefused as refusal:
        row = _refused_row(refusal)
        if row is not None and row.fence == fence:
            return row
        raise ConditionFailed(row) from None
    return decode_order(answer["Attributes"])


def _refused_row(refusal: CallRefused) -> Order | None:
    return decode_order(refusal.item) if refusal.item else None


def _encoded(values: Item) -> Item:
    return {name: encode(value) for name, value in values.items()}
