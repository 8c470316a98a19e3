"""The slots of tasks with per_minute: times at which an order's first attempt may start.

A row for each task in the orders table holds the next free slot, and every reservation moves it on
by one step. So no two orders get the same slot, however many functions reserve at once, and a crash
or a repeated call can only leave a slot unused.

Why no window of 60 seconds has more than per_minute starts:
- Slots are at least (60 + TOLERANCE_S) / per_minute seconds apart.
- An order starts at its slot or less than START_WITHIN_S after it, by its worker's clock. Clocks
  are at most CLOCK_SKEW_S apart, so the time from slot to start differs by less than TOLERANCE_S.
- So the starts of a window of 60 s have their slots within 60 + TOLERANCE_S seconds, and a time as
  long as that has at most per_minute of them.
What is late cannot break this: it starts in another slot, or not yet. docs/adr/0013 has the price.
"""

from __future__ import annotations

import math

from chalicelib import clock, config
from chalicelib.aws.client import client, translated
from chalicelib.clock import SECOND, Micros
from chalicelib.errors import CallRefused, Unavailable
from chalicelib.orders import CLOCK_SKEW_S, START_WITHIN_S
from chalicelib.table.items import Values, decode, encode

WINDOW_S = 60
TOLERANCE_S = START_WITHIN_S + CLOCK_SKEW_S
# The next free slot that this process saw last, by row key: it only moves on, so while it lies
# ahead the next reservation needs no second try
_seen: dict[str, Micros] = {}


def step(per_minute: float) -> Micros:
    """Return the time between two slots."""
    whole = math.floor(per_minute) if per_minute >= 1 else per_minute  # 1.5 orders are one
    return math.ceil((WINDOW_S + TOLERANCE_S) * SECOND / whole)


def reserve(task_name: str, per_minute: float) -> Micros:
    """Reserve the next free slot of a task, which is now if there was none for a step.

    Nearly always one write; two if this process did not know how far others had reserved. Raises
    Unavailable; the slot may then be reserved, and stays unused.
    """
    key = _key(task_name)
    now = clock.now()
    distance = step(per_minute)
    ahead = _seen.get(key, 0) >= now
    # With the same `now` the third try can't fail: the slot has only moved on since the second
    for _ in range(3):
        next_at = _queue_up(key, now, distance) if ahead else _begin(key, now, distance)
        if next_at is not None:
            _seen[key] = next_at
            return next_at - distance
        ahead = not ahead
    raise Unavailable(f"the slots of the task {task_name} were reset meanwhile; try again")


def forget() -> None:
    """Forget what this process saw, for a test on another table."""
    _seen.clear()


def _queue_up(key: str, now: Micros, distance: Micros) -> Micros | None:
    """Take the next free slot, if it lies ahead. Return the one after it, or None."""
    return _update(
        key,
        "SET #next_at = #next_at + :step",
        "#next_at >= :now",
        {":now": now, ":step": distance},
    )


def _begin(key: str, now: Micros, distance: Micros) -> Micros | None:
    """Take a slot now, if the next free one has passed. Return the one after it, or None."""
    return _update(
        key,
        "SET #next_at = :next",
        "attribute_not_exists(#next_at) OR #next_at < :now",
        {":now": now, ":next": now + distance},
    )


def _update(key: str, change: str, condition: str, values: Values) -> Micros | None:
    """Update the row of a task; return the next free slot, or None if the condition failed."""
    try:
        with translated():
            response = client("dynamodb").update_item(
                TableName=config.settings().orders_table,
                Key={"pk": encode(key)},
                UpdateExpression=change,
                ConditionExpression=condition,
                ExpressionAttributeNames={"#next_at": "next_at"},
                ExpressionAttributeValues={name: encode(value) for name, value in values.items()},
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
    except CallRefused:
        return None
    next_at: Micros = decode(response["Attributes"]["next_at"])
    return next_at


def _key(task_name: str) -> str:
    """Return the row key. It can't be an order's or a last tick's: no task's name has a `#`."""
    return f"#rate#{task_name}"
