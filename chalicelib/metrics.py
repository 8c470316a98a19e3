"""Metrics as members of log lines.

CloudWatch extracts them from the lines, so they need no call and no library (AWS calls this the
embedded metric format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/).
Each combination of dimensions is billed as its own metric, so they name tasks and statuses, which
are few, but never orders or owners.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

NAMESPACE = "Orderline"
_BUILT_IN = "orderline."
_BY_STACK = ["stack"]
_BY_TASK = ["stack", "task"]
_BY_STATUS = ["stack", "task", "status"]

# event -> (dimensions, {metric: unit}). A metric that is not a member of its line counts the event.
EVENTS: dict[str, tuple[list[list[str]], dict[str, str]]] = {
    "order_accepted": ([_BY_STACK, _BY_TASK], {"orders_accepted": "Count"}),
    "attempt_began": ([_BY_STACK, _BY_TASK], {"attempts": "Count", "age_ms": "Milliseconds"}),
    "attempt_ended": ([_BY_STACK, _BY_TASK], {"duration_ms": "Milliseconds"}),
    "order_ended": ([_BY_STATUS], {"orders_ended": "Count"}),
    "message_forwarded": ([_BY_STACK], {"messages_forwarded": "Count"}),
    "send_failed": ([_BY_STACK], {"sends_failed": "Count"}),
    "swept": ([_BY_STACK], {"largest_overdue_s": "Seconds", "resent": "Count"}),
    "dead_letter": ([_BY_STACK], {"dead_letters": "Count"}),
    "http_failed": ([_BY_STACK], {"http_failures": "Count"}),
    "bulk_failed": ([_BY_STACK], {"http_failures": "Count"}),
}


def members(event: str, line: Mapping[str, Any], stack: str) -> dict[str, Any]:
    """Return the members that turn an event's log line into metrics; empty for an event without."""
    if event not in EVENTS:
        return {}
    dimensions, units = EVENTS[event]
    if str(line.get("task", "")).startswith(_BUILT_IN):  # the totals are of the users' tasks
        dimensions = [each for each in dimensions if each != _BY_STACK]
    block = {
        "Namespace": NAMESPACE,
        "Dimensions": dimensions,
        "Metrics": [{"Name": name, "Unit": unit} for name, unit in units.items()],
    }
    counts = {name: 1 for name in units if name not in line}
    return {
        **counts,
        "stack": stack,
        "_aws": {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [block]},
    }
