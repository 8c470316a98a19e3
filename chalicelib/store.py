"""The orders table: insert, get, list, and one function per transition. Every write is conditional.

Each write carries a fresh random `writer`. It fences (a stale worker's finish is refused), and it tells one's own write
when the SDK hid a retry after a lost answer: refused, but the row's writer is the one just sent, so it was this one.
DynamoDB hands the row over with its refusal, free of charge:
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html (ReturnValuesOnConditionCheckFailure)
"""

from __future__ import annotations

from botocore.exceptions import ClientError

from chalicelib import config, orders
from chalicelib.aws import client, translated
from chalicelib.errors import Stale
from chalicelib.orders import Order, Status, Transition
from chalicelib.rows import Item, decode_order, encode, encode_order


def insert(order: Order) -> Order:
    """T1: the row, durable. Returns the order that now has this id: `order`, or an earlier one of the same key."""
    item = encode_order(order)
    condition = "attribute_not_exists(pk) OR expires_at <= :now_s"
    values = {":now_s": encode(order.created_at // orders.SECOND)}
    try:
        with translated():
            client("dynamodb").put_item(
                TableName=config.SETTINGS.orders_table,
                Item=item,
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
    except ClientError as refusal:
        return _refused_row(refusal) or order
    return order


def get(client_name: str, order_id: str) -> Order | None:
    """The order, or None: unknown, another client's, or expired."""
    with translated():
        answer = client("dynamodb").get_item(
            TableName=config.SETTINGS.orders_table,
            Key={"pk": encode(f"{client_name}#{order_id}")},
            ConsistentRead=True,
        )
    order = decode_order(answer["Item"]) if "Item" in answer else None
    return None if order is None or order.expired(orders.now()) else order


def newest(client_name: str, limit: int) -> list[Order]:
    """A client's newest orders, newest first: one query of the index by_time, one read of the rows that it names."""
    with translated():
        page = client("dynamodb").query(
            TableName=config.SETTINGS.orders_table,
            IndexName="by_time",
            KeyConditionExpression="time_shard = :shard",
            ExpressionAttributeValues={":shard": encode(f"{client_name}#0")},
            ScanIndexForward=False,
            Limit=limit,
        )
    return _read([item["pk"]["S"] for item in page["Items"]])


def _read(keys: list[str]) -> list[Order]:
    """The rows of these keys, in their order; expired ones left out."""
    if not keys:
        return []
    table = config.SETTINGS.orders_table
    wanted = {table: {"Keys": [{"pk": encode(key)} for key in keys]}}
    with translated():
        answer = client("dynamodb").batch_get_item(RequestItems=wanted)
    found = {order.key: order for order in map(decode_order, answer["Responses"][table])}
    now = orders.now()
    return [found[key] for key in keys if key in found and not found[key].expired(now)]


def claim(key: str, lease_until: int) -> Order:
    """T3: take an order that waits, or whose lease is over. The claimed row comes back with it, so nobody reads.

    Raises Stale with the row that refused: final, for later, under a live lease, or out of attempts.
    """
    now = orders.now()
    return _update(
        key, orders.CLAIM, now,
        "(#status = :pending OR lease_until < :now) AND attempts < max_attempts"
        " AND (attribute_not_exists(run_at) OR run_at <= :now)",
        {":pending": Status.PENDING.value, ":now": now, ":attempt": [{"start": now}]},
        sets={"lease_until": lease_until},
        also="attempts = attempts + :one, history = list_append(history, :attempt)",
    )


def succeed(order: Order, result: str) -> Order:
    """T4: the result is recorded. Raises Stale if somebody else holds or ended the order."""
    return _finish(order, orders.SUCCEED, None, {"result": result})


def fail(order: Order, error: Item) -> Order:
    """T6: the last attempt failed, or in a way that no retry can mend. Raises Stale as succeed does."""
    return _finish(order, orders.FAIL, error["code"], {"error": error})


def put_back(order: Order, error: Item, backoff_s: float) -> Order:
    """T5: another attempt, once the backoff is over. Raises Stale as succeed does."""
    now = orders.now()
    due_at = now + int((backoff_s + config.SETTINGS.grace_s) * orders.SECOND)
    return _update(
        order.key, orders.PUT_BACK, now, *_held_by(order),
        sets={"error": error, "due_at": due_at, "history": _ended(order, now, error["code"])},
        removes=("lease_until", "progress"),
    )


def give_up(seen: Order, error: Item) -> Order:
    """T7: nobody holds it and no attempt will. `seen` is the row as it was read. Raises Stale if it changed since."""
    now = orders.now()
    return _end(
        seen.key, orders.GIVE_UP, now,
        "writer = :seen AND (attribute_not_exists(lease_until) OR lease_until < :now)",
        {":seen": seen.writer, ":now": now}, {"error": error},
    )


def _finish(order: Order, transition: Transition, code: str | None, sets: Item) -> Order:
    now = orders.now()
    return _end(order.key, transition, now, *_held_by(order), {**sets, "history": _ended(order, now, code)})


def _held_by(order: Order) -> tuple[str, Item]:
    """The fence: the row is still as this order's own claim left it."""
    return "writer = :held", {":held": order.writer}


def _ended(order: Order, now: int, code: str | None) -> list[Item]:
    """The history with its last attempt ended; bounded, so that no row grows for ever."""
    last = {**order.history[-1], "end": now, **({"code": code} if code else {})}
    return [*order.history[:-1], last][-orders.MAX_HISTORY:]


def _end(key: str, transition: Transition, now: int, where: str, values: Item, sets: Item) -> Order:
    """Every transition to a final status: sets the TTL, takes the row off the sweeper's index, ends the lease."""
    expires_at = now // orders.SECOND + config.SETTINGS.keep_s
    return _update(key, transition, now, where, values, sets={**sets, "expires_at": expires_at},
                   removes=("due_at", "due_shard", "lease_until"))


def _update(
    key: str, transition: Transition, now: int, where: str, values: Item,
    *, sets: Item, also: str = "", removes: tuple[str, ...] = (),
) -> Order:
    """One conditional write. The statuses that it may leave and the one it leads to come from the transition alone."""
    sets = {**sets, "writer": orders.new_writer(), "updated_at": now}
    if transition.target is not None:
        sets["status"] = transition.target.value
    sources = {f":from{n}": status.value for n, status in enumerate(transition.sources)}
    change = ", ".join(["SET version = version + :one", *(f"#{name} = :new_{name}" for name in sets)])
    change += f", {also}" if also else ""
    change += " REMOVE " + ", ".join(f"#{name}" for name in removes) if removes else ""
    values = {**values, **sources, ":one": 1, **{f":new_{name}": value for name, value in sets.items()}}
    names = {f"#{name}": name for name in {*sets, *removes, "status"}}
    return _write(key, change, f"#status IN ({', '.join(sources)}) AND {where}", names, values, sets["writer"])


def _write(key: str, change: str, condition: str, names: dict[str, str], values: Item, writer: str) -> Order:
    try:
        with translated():
            answer = client("dynamodb").update_item(
                TableName=config.SETTINGS.orders_table,
                Key={"pk": encode(key)},
                UpdateExpression=change,
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues={name: encode(value) for name, value in values.items()},
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
    except ClientError as refusal:
        row = _refused_row(refusal)
        if row is not None and row.writer == writer:
            return row
        raise Stale(row) from None
    return decode_order(answer["Attributes"])


def _refused_row(refusal: ClientError) -> Order | None:
    item: Item | None = refusal.response.get("Item")
    return decode_order(item) if item else None
