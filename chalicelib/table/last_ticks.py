"""The last tick of each periodic task: one row per task in the orders table, without a TTL.

Orders expire, so they can't tell whether last month's tick was placed. This row never expires.
"""

from __future__ import annotations

from msgspec import Struct

from chalicelib import config
from chalicelib.aws.client import client, translated
from chalicelib.clock import Micros
from chalicelib.errors import CallRefused
from chalicelib.table.items import Values, decode, encode


class LastTick(Struct, frozen=True):
    """The last tick whose order was placed, and the schedule that it belongs to.

    tick      its time; 0 if the schedule has had none yet
    schedule  the task's period as declared, such as `cron 0 6 * * *`
    """

    tick: Micros
    schedule: str


def read(task_name: str) -> LastTick | None:
    """Return the last tick of a task, or None if none was ever recorded. Raises Unavailable."""
    with translated():
        response = client("dynamodb").get_item(
            TableName=config.settings().orders_table,
            Key={"pk": encode(_key(task_name))},
            ConsistentRead=True,
        )
    item = response.get("Item")
    return LastTick(decode(item["tick"]), decode(item["schedule"])) if item else None


def record(task_name: str, last: LastTick, previous: LastTick | None) -> bool:
    """Replace the row as it was read, `previous`, by `last`.

    Return False if another sweeper was faster. Raises Unavailable.
    """
    item = {
        "pk": encode(_key(task_name)),
        "tick": encode(last.tick),
        "schedule": encode(last.schedule),
    }
    if previous is None:
        expected: Values = {"ConditionExpression": "attribute_not_exists(pk)"}
    else:
        expected = {
            "ConditionExpression": "tick = :tick AND schedule = :schedule",
            "ExpressionAttributeValues": {
                ":tick": encode(previous.tick),
                ":schedule": encode(previous.schedule),
            },
        }
    try:
        with translated():
            client("dynamodb").put_item(
                TableName=config.settings().orders_table, Item=item, **expected
            )
    except CallRefused:
        return False
    return True


def _key(task_name: str) -> str:
    """Return the row key. Owners' names are never empty, so it can't be the key of an order."""
    return f"#{task_name}"
