"""Translate the conditions that the code sends to DynamoDB into the model's clauses."""

from __future__ import annotations

import re
from typing import Any

from tests.model.table import Rule

# A clause of a condition expression -> its name in the model
WORDS = {
    "attribute_not_exists(pk) OR expires_at <= :now_s": "absent or expired",
    "(#status = :pending OR lease_until < :now)": "waits or lease over",
    "attempts < max_attempts": "attempts",
    "(attribute_not_exists(run_at) OR run_at <= :now)": "run_at",
    "task = :task": "task",
    "(attempts > :zero OR (slot_at > :slots AND slot_at <= :now))": "slot",
    "fence = :fence": "fence",
    "(attribute_not_exists(lease_until) OR lease_until < :now)": "lease",
    "retry_round = :retry_round": "retry_round",
    "requeue_count = :requeue_count": "requeue_count",
    "check_at = :check_at": "check_at",
    "attribute_not_exists(stop_at)": "no stop",
    "attribute_exists(stop_at)": "to be stopped",
    "attribute_exists(waits_for)": "waits",
    "attribute_not_exists(waits_for)": "waits for none",
    "run_at = :unknown": "time unknown",
    "check_at <= :now": "due",
    "expires_at > :now_s": "not expired",
}
_STATUSES = re.compile(r"#status IN \(([^)]*)\)")


def rule(requests: list[dict[str, Any]]) -> Rule:
    """Return the last conditional write as a rule; raises AssertionError for an unknown clause."""
    body = [request for request in requests if "ConditionExpression" in request][-1]
    values = {
        name: next(iter(value.values()))
        for name, value in body["ExpressionAttributeValues"].items()
    }
    sources = []
    clauses = []
    for clause in _clauses(body["ConditionExpression"]):
        if statuses := _STATUSES.fullmatch(clause):
            sources = [values[name.strip()] for name in statuses[1].split(",")]
        else:
            assert clause in WORDS, (
                f"the model has no name for {clause!r}: see tests/model/words.py"
            )
            clauses.append(WORDS[clause])
    target = body["Item"]["status"]["S"] if "Item" in body else values.get(":new_status")
    return Rule(tuple(sources), target, tuple(clauses))


def _clauses(condition: str) -> list[str]:
    """Split a condition at each AND that is outside of brackets."""
    parts = [""]
    for word in condition.split(" AND "):
        parts[-1] += word
        if parts[-1].count("(") == parts[-1].count(")"):
            parts.append("")
        else:
            parts[-1] += " AND "
    return parts[:-1]
