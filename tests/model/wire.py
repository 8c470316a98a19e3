"""The conditions that the code really sends to DynamoDB, read off the wire, in the model's words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from chalicelib import aws
from tests.model.table import Rule

# A clause of a condition as it is written -> the model's word for it
WORDS = {
    "attribute_not_exists(pk) OR expires_at <= :now_s": "absent or expired",
    "(#status = :pending OR lease_until < :now)": "waits or lease over",
    "attempts < max_attempts": "attempts",
    "(attribute_not_exists(run_at) OR run_at <= :now)": "run_at",
    "writer = :held": "writer",
    "writer = :seen": "writer",
    "(attribute_not_exists(lease_until) OR lease_until < :now)": "lease",
    "rounds = :rounds": "rounds",
    "resends = :resends": "resends",
    "due_at = :due": "due_at",
    "due_at <= :now": "due",
    "expires_at > :now_s": "not expired",
}
_STATUSES = re.compile(r"#status IN \(([^)]*)\)")


@contextmanager
def recorded() -> Iterator[Callable[[], Rule]]:
    """Hands over a function that tells the last conditional write as a rule of the model."""
    sent: list[dict[str, Any]] = []

    def listen(request: Any, **_: Any) -> None:
        body = json.loads(request.body)
        if "ConditionExpression" in body:
            sent.append(body)

    events = aws.client("dynamodb").meta.events
    events.register_first("before-send.dynamodb", listen)
    try:
        yield lambda: rule(sent[-1])
    finally:
        events.unregister("before-send.dynamodb", listen)


def rule(body: dict[str, Any]) -> Rule:
    """A request's condition and effect on the status. Fails for a clause that the model has no word for."""
    values = {name: next(iter(value.values())) for name, value in body["ExpressionAttributeValues"].items()}
    sources, clauses = [], []
    for clause in _clauses(body["ConditionExpression"]):
        if statuses := _STATUSES.fullmatch(clause):
            sources = [values[name.strip()] for name in statuses[1].split(",")]
        else:
            assert clause in WORDS, f"the model has no word for {clause!r}: see tests/model/wire.py"
            clauses.append(WORDS[clause])
    target = body["Item"]["status"]["S"] if "Item" in body else values.get(":new_status")
    return Rule(tuple(sources), target, tuple(clauses))


def _clauses(condition: str) -> list[str]:
    """What stands between the ANDs that no bracket holds."""
    parts = [""]
    for word in condition.split(" AND "):
        parts[-1] += word
        if parts[-1].count("(") == parts[-1].count(")"):
            parts.append("")
        else:
            parts[-1] += " AND "
    return parts[:-1]
